//! Backups in a class that can't be read at once: what is asked for on the wire, what is attested, and how it comes back.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{assert_idle, records, request};
use futures::{FutureExt, TryStreamExt};
use teeline::{
    BackupReport, Class, CopyState, DestinationSpec, Engine, Place, RepairRequest, RestoreRequest,
    RestoreStatus, RestoreTarget, SyncRequest, Thaw, ThawTier, Verified, VerifyRequest, Which,
};
use teeline_core::ObjectKey;
use teeline_embedded_s3::{Credentials, EmbeddedS3, RecordedRequest};
use tempfile::TempDir;

const THAW: Thaw = Thaw {
    days: 3,
    tier: ThawTier::Standard,
};

/// A bucket at a server of its own, as destination `archive`.
struct Fixture {
    server: Arc<EmbeddedS3>,
    folder: TempDir,
    lines: Vec<u8>,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let credentials = Credentials {
            access_key: "k".into(),
            secret_key: "s".into(),
        };
        let server = EmbeddedS3::start(folder.path().join("s3"), credentials).expect("start");
        server.create_bucket("bucket").expect("bucket");
        Fixture {
            server: Arc::new(server),
            folder,
            lines: records(5_000),
        }
    }

    fn archive(&self, class: &str) -> DestinationSpec {
        let url = format!(
            "archive=http://k:s@{}/bucket/backups",
            self.server.address()
        );
        let mut spec = DestinationSpec::parse(&url).expect("a destination");
        let Place::S3(place) = &mut spec.place else {
            panic!("a bucket");
        };
        place.storing.class = Some(class.parse().expect("a class"));
        place.storing.encryption = Some(teeline::ServerSideEncryption::S3);
        place.storing.tags = [("team".to_owned(), "billing".to_owned())].into();
        spec
    }

    fn folder(&self, name: &str) -> DestinationSpec {
        let path = self.folder.path().join(name);
        DestinationSpec::new(name, Place::Folder(path)).expect("a name")
    }

    async fn back_up(&self, engine: &Engine, to: &[DestinationSpec]) -> BackupReport {
        let report = engine.backup(request(&self.lines, to)).await;
        assert_eq!(report.exit_code(), 0, "{report:?}");
        report
    }

    fn restore(&self, from: &[DestinationSpec], to: &str) -> RestoreRequest {
        let target = RestoreTarget::Folder(self.folder.path().join(to));
        RestoreRequest::new(Which::Latest, from.to_vec(), target)
    }

    fn restored(&self, to: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join(to).join("events.jsonl")).expect("restored")
    }
}

fn engine() -> Engine {
    Engine::new().expect("an engine")
}

#[tokio::test]
async fn only_data_is_in_the_class_and_all_the_rest_can_be_read() {
    let fixture = Fixture::new();
    fixture.server.record();
    let archive = fixture.archive("GLACIER");
    let report = fixture
        .back_up(&engine(), std::slice::from_ref(&archive))
        .await;
    assert_eq!(report.destinations[0].verified, Verified::Attested);

    let puts = fixture.server.recorded().into_iter();
    let puts: Vec<RecordedRequest> = puts.filter(|request| request.method == "PUT").collect();
    let data = |request: &RecordedRequest| request.path.ends_with(".jsonl.gz");
    assert!(puts.iter().filter(|put| data(put)).count() > 3);
    for put in &puts {
        let class = put.header("x-amz-storage-class");
        assert_eq!(class, data(put).then_some("GLACIER"), "{}", put.path);
        let encryption = put.header("x-amz-server-side-encryption");
        assert_eq!(encryption, Some("AES256"), "{}", put.path);
        assert_eq!(put.header("x-amz-tagging"), Some("team=billing"));
    }
    for file in [
        "manifest.json",
        "run.json",
        ".index",
        "teeline.json",
        "/catalog/",
        "/runs/",
    ] {
        assert!(puts.iter().any(|put| put.path.contains(file)), "{file}");
    }
}

#[tokio::test]
async fn a_check_says_what_it_cannot_read() {
    let fixture = Fixture::new();
    let engine = engine();
    let [archive, local] = [fixture.archive("DEEP_ARCHIVE"), fixture.folder("local")];
    let to = [archive, local];
    let made = fixture.back_up(&engine, &to).await;
    let verified: Vec<_> = made.destinations.iter().map(|at| at.verified).collect();
    assert_eq!(verified, [Verified::Attested, Verified::Read]);
    let id = made.id.expect("an id").to_string();
    let path = fixture.folder.path().join("local").join(id);
    let files = std::fs::read_dir(path).expect("the backup's folder");
    let files = files.map(|file| file.expect("a file"));
    let data = files.filter(|file| file.file_name().to_string_lossy().ends_with(".jsonl.gz"));
    let data: u64 = data
        .map(|file| file.metadata().expect("a file").len())
        .sum();
    for deep in [false, true] {
        let mut request = VerifyRequest::new(to.to_vec());
        request.deep = deep;
        let report = engine.verify(request).await;
        assert_eq!(report.exit_code(), 0, "{report:?}");
        let [archived, whole] = &report.backups[0].destinations[..] else {
            panic!("two: {report:?}");
        };
        assert_eq!(archived.status, CopyState::Attested);
        assert!(archived.attested_files > 3 && archived.bytes > 0);
        assert_eq!(archived.attested_bytes, data);
        assert!(archived.contained.is_none());
        assert_eq!((whole.status, whole.attested_files), (CopyState::Ok, 0));
    }
    assert_idle(&engine);
}

#[tokio::test]
async fn a_restore_takes_what_can_be_read_elsewhere() {
    let fixture = Fixture::new();
    let engine = engine();
    let to = [fixture.archive("GLACIER"), fixture.folder("local")];
    fixture.back_up(&engine, &to).await;
    fixture.server.record();
    let report = engine.restore(fixture.restore(&to, "restored")).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!(report.avoided, []);
    assert_eq!(fixture.restored("restored"), fixture.lines);
    let recorded = fixture.server.recorded().into_iter();
    let tried =
        recorded.filter(|request| request.method == "GET" && request.path.ends_with(".jsonl.gz"));
    for request in tried {
        let range = request.header("range");
        assert_eq!(
            range,
            Some("bytes=0-0"),
            "no more than a look: {}",
            request.path
        );
    }
}

#[tokio::test]
async fn a_thaw_is_asked_for_and_come_back_to() {
    let fixture = Fixture::new();
    let engine = engine();
    let from = [fixture.archive("GLACIER")];
    fixture.back_up(&engine, &from).await;

    let report = engine.restore(fixture.restore(&from, "restored")).await;
    let error = report.error.clone().expect("an error");
    assert_eq!((report.exit_code(), error.class), (1, Class::Archived));
    assert!(error.message.contains("archived at archive"), "{error:?}");
    assert!(error.suggestion.expect("help").contains("--thaw"));

    // Saying what would be done asks for nothing.
    let mut dry = fixture.restore(&from, "restored");
    (dry.dry_run, dry.thaw) = (true, Some(THAW));
    let report = engine.restore(dry).await;
    assert_eq!(
        (report.exit_code(), report.status),
        (1, RestoreStatus::Failed)
    );

    fixture.server.hold_thaws(true);
    for _ in 0..2 {
        let mut request = fixture.restore(&from, "restored");
        request.thaw = Some(THAW);
        let report = engine.restore(request).await;
        assert_eq!(
            (report.exit_code(), report.status),
            (3, RestoreStatus::Thawing)
        );
        let message = report.error.expect("why").message;
        assert!(message.contains("are being thawed at archive"), "{message}");
    }
    assert!(!fixture.folder.path().join("restored").exists());

    fixture.server.hold_thaws(false);
    let report = engine.restore(fixture.restore(&from, "restored")).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!(fixture.restored("restored"), fixture.lines);
    assert_idle(&engine);
}

#[tokio::test]
async fn a_copy_that_is_completed_there_is_attested() {
    let fixture = Fixture::new();
    let engine = engine();
    let to = [fixture.folder("local"), fixture.archive("GLACIER")];
    let made = fixture.back_up(&engine, &to[..1]).await;
    for copied in [true, false] {
        let report = engine.sync(SyncRequest::new(to.to_vec())).await;
        assert_eq!(report.exit_code(), 0, "{report:?}");
        assert_eq!(report.backups.len(), usize::from(copied), "{report:?}");
    }
    let report = engine.verify(VerifyRequest::new(to[1..].to_vec())).await;
    let copy = &report.backups[0].destinations[0];
    assert_eq!(copy.status, CopyState::Attested, "{copy:?}");

    // What is archived is nobody's donor.
    let from = [fixture.archive("GLACIER"), fixture.folder("other")];
    let report = engine.sync(SyncRequest::new(from.to_vec())).await;
    let error = report.backups[0]
        .destinations
        .iter()
        .find_map(|at| at.error.as_ref());
    assert_eq!(error.expect("why not").class, Class::Archived, "{report:?}");
    assert_eq!(report.backups[0].id, made.id.expect("an id"));
    assert_idle(&engine);
}

#[tokio::test]
async fn a_lost_manifest_is_not_made_again_of_what_could_not_be_compared() {
    let fixture = Fixture::new();
    let engine = engine();
    let archive = [fixture.archive("GLACIER")];
    let made = fixture.back_up(&engine, &archive).await;
    let id = made.id.expect("an id");
    let sink = engine.open(&archive[0]).await.expect("a store");
    let manifest = ObjectKey::new(format!("{id}/manifest.json")).expect("a key");
    sink.delete(&manifest).await.expect("deleted");
    let repair = || {
        let mut request = RepairRequest::rebuild_manifests(archive.to_vec());
        request.id = Some(id.clone());
        engine.repair(request)
    };
    let report = repair().await;
    assert_eq!(report.exit_code(), 1, "{report:?}");
    let error = report.runs[0].destinations[0].error.clone();
    assert_eq!(error.expect("why not").class, Class::Archived);
    assert!(sink.head(&manifest).await.is_err());

    let files = sink.list(None).map_ok(|file| file.key);
    let data = files.try_filter(|key| std::future::ready(key.as_str().ends_with(".jsonl.gz")));
    for key in data.try_collect::<Vec<_>>().await.expect("a list") {
        sink.thaw(&key, THAW).await.expect("thawed");
    }
    assert_eq!(repair().await.exit_code(), 0);
    assert!(sink.head(&manifest).await.is_ok());
    assert_idle(&engine);
}

#[tokio::test]
async fn a_restore_waits_for_a_thaw() {
    let fixture = Fixture::new();
    let from = [fixture.archive("DEEP_ARCHIVE")];
    fixture.server.hold_thaws(true);
    let (server, looks) = (Arc::clone(&fixture.server), Arc::new(AtomicU64::new(0)));
    let waited = Arc::clone(&looks);
    // The thaw comes to its end while it is waited for the third time.
    let engine = Engine::builder().sleep(Arc::new(move |_| {
        if waited.fetch_add(1, Ordering::SeqCst) == 2 {
            server.hold_thaws(false);
        }
        std::future::ready(()).boxed()
    }));
    let engine = engine.build().expect("an engine");
    fixture.back_up(&engine, &from).await;
    let mut request = fixture.restore(&from, "restored");
    (request.thaw, request.wait_for_thaw) = (Some(THAW), true);
    let report = engine.restore(request).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!(looks.load(Ordering::SeqCst), 3);
    assert_eq!(fixture.restored("restored"), fixture.lines);
}
