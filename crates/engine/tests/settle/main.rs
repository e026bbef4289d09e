//! A database that changes while it is backed up: what is restored is what it was in the end, whatever it is restored to.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[path = "../common/mod.rs"]
mod common;
mod database;
mod lost;
mod moving;

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use common::store;
use database::{Database, after, before};
use moving::Moving;
use serde_json::Value;
use teeline::sinks::MemorySink;
use teeline::{
    BackupReport, BackupRequest, Class, Connection, DestinationSpec, Engine, RepairRequest,
    RestoreCounts, RestoreReport, RestoreRequest, RestoreStatus, RestoreTarget, S3dbSource,
    ScanOptions, SettleOutcome, SettledCounts, Settling, Sink, VerifyRequest, Which,
};
use teeline_core::{Frame, Manifest, ObjectKey, document};
use teeline_embedded_s3::{Credentials, EmbeddedS3};

/// A server with a database, and the backup that was made while it changed.
struct Made {
    engine: Engine,
    server: EmbeddedS3,
    sink: MemorySink,
    at: Vec<DestinationSpec>,
    report: BackupReport,
    folder: tempfile::TempDir,
}

impl Made {
    async fn new(settle_passes_max: u32) -> Self {
        Self::of("full", settle_passes_max, after()).await
    }

    /// Of this type, an incremental one after a full one that nobody disturbed, while the database became another one.
    async fn of(backup_type: &str, settle_passes_max: u32, becomes: Database) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = Credentials {
            access_key: "me".into(),
            secret_key: "secret".into(),
        };
        let server = EmbeddedS3::start(folder.path().join("s3"), keys).unwrap();
        server.create_bucket("bucket").unwrap();
        let connection: Connection = server.url("bucket", "db").parse().unwrap();
        before().write(&connection).await;
        let options = ScanOptions {
            settle_passes_max,
            piece_bytes: 100_000,
            ..ScanOptions::default()
        };
        let source = || S3dbSource::new(connection.clone(), options);
        // One whose ids differ.
        let engine = Engine::builder().workers(2).build().unwrap();
        let (sink, at) = store("copy");
        if backup_type == "incremental" {
            let full = BackupRequest::new(source(), vec![at.clone()]);
            assert_eq!(engine.backup(full).await.exit_code(), 0);
        }
        let source = Moving {
            inner: source(),
            becomes,
        };
        let mut request = BackupRequest::new(source, vec![at.clone()]);
        request.backup_type = backup_type.parse().unwrap();
        let report = engine.backup(request).await;
        assert_eq!(report.exit_code(), 0, "{report:?}");
        Made {
            engine,
            server,
            sink,
            at: vec![at],
            report,
            folder,
        }
    }

    fn request(&self, target: RestoreTarget) -> RestoreRequest {
        RestoreRequest::new(Which::Latest, self.at.clone(), target)
    }

    async fn restore(&self, request: RestoreRequest) -> RestoreReport {
        let report = self.engine.restore(request).await;
        assert!(report.error.is_none(), "{report:?}");
        report
    }

    fn connection(&self, prefix: &str) -> Connection {
        self.server.url("bucket", prefix).parse().unwrap()
    }

    fn file(&self, name: &str) -> ObjectKey {
        let path = self.report.folder.as_ref().unwrap();
        ObjectKey::new(format!("{path}/{name}")).unwrap()
    }

    async fn read(&self, name: &str) -> Bytes {
        let key = self.file(name);
        let size = self.sink.head(&key).await.unwrap().bytes;
        self.sink.read(&key, 0..size).await.unwrap()
    }

    /// A database as a backup of it that rests is restored to a folder: every file, lines in order.
    async fn shown(&self, prefix: &str) -> BTreeMap<String, Vec<Vec<u8>>> {
        let (_, at) = store(prefix);
        let source = S3dbSource::new(self.connection(prefix), ScanOptions::default());
        let made = self
            .engine
            .backup(BackupRequest::new(source, vec![at.clone()]))
            .await;
        assert_eq!(made.exit_code(), 0, "{made:?}");
        let folder = self.folder.path().join(prefix);
        let target = RestoreTarget::Folder(folder.clone());
        let restored = self
            .engine
            .restore(RestoreRequest::new(Which::Latest, vec![at], target))
            .await;
        assert!(restored.error.is_none(), "{restored:?}");
        files(&folder)
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<Vec<u8>>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let file = |entry: std::fs::DirEntry| {
        let bytes = std::fs::read(entry.path()).unwrap();
        let mut lines: Vec<_> = bytes
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        lines.sort_unstable();
        (entry.file_name().to_string_lossy().into_owned(), lines)
    };
    entries.map(file).collect()
}

fn documents(lines: &[u8]) -> BTreeMap<String, Value> {
    let lines = lines.split_inclusive(|byte| *byte == b'\n');
    let documents = lines.map(|line| serde_json::from_slice::<Value>(line).unwrap());
    documents
        .map(|document| (document["id"].to_string(), document))
        .collect()
}

#[tokio::test]
async fn the_report_and_the_manifest_say_what_had_changed() {
    let made = Made::new(5).await;
    let expected = Settling {
        outcome: SettleOutcome::Settled,
        passes: 2,
        // Two users are new or others, one is gone; of the drafts one is gone and one is new.
        records: SettledCounts {
            created: 2,
            changed: 1,
            deleted: 2,
        },
        // The catalogue and the large one are others, a record of `fresh` is new, and an entry is gone.
        objects: SettledCounts {
            created: 1,
            changed: 2,
            deleted: 1,
        },
    };
    assert_eq!(made.report.settle, Some(expected));
    assert_eq!((made.report.record_count, made.report.object_count), (6, 3));
    let manifest: Manifest = document::open("it", &made.read("manifest.json").await).unwrap();
    assert_eq!(manifest.source.settle, Some(expected));
    assert_eq!(manifest.settled.unwrap().records, 9);
    let id = made.report.id.clone().unwrap();
    let status = made.engine.status(&made.at, &id).await;
    assert_eq!(status.source.unwrap().settle, Some(expected));
    assert_eq!(status.resources.last().unwrap().name, "_settled");

    let bounded = Made::new(1).await;
    let settle = bounded.report.settle.unwrap();
    assert_eq!((settle.outcome, settle.passes), (SettleOutcome::Bound, 1));
    assert_eq!(settle.records, expected.records);
    assert_eq!(Made::new(0).await.report.settle, None);
}

#[tokio::test]
async fn a_database_comes_back_as_it_was_in_the_end() {
    let made = Made::new(5).await;
    let target = || RestoreTarget::Database(made.connection("back"));
    let mut dry = made.request(target());
    dry.dry_run = true;
    let dry = made.restore(dry).await;
    let restored = made.restore(made.request(target())).await;
    for report in [&dry, &restored] {
        let counts: Vec<_> = report
            .restored
            .iter()
            .map(|it| {
                (
                    it.name.as_str(),
                    it.records_restored,
                    it.total_records,
                    it.counts.created,
                )
            })
            .collect();
        // Drafts are objects in the end, and these are counted as what their keys are.
        assert_eq!(
            counts,
            [("users", 3, 3, 3), ("logs", 1, 1, 1), ("drafts", 0, 0, 2)]
        );
        let objects = RestoreCounts {
            created: 2,
            ..RestoreCounts::default()
        };
        assert_eq!(report.objects, objects);
    }
    assert_eq!(made.shown("back").await, made.shown("db").await);
    made.engine
        .verify(VerifyRequest::new(made.at.clone()))
        .await
        .backups
        .iter()
        .for_each(|backup| {
            assert_eq!(backup.destinations[0].damage.len(), 0);
        });
}

#[tokio::test]
async fn a_folder_and_a_stream_get_lines_by_one_catalogue() {
    let made = Made::new(5).await;
    let folder = made.folder.path().join("out");
    let target = || RestoreTarget::Folder(folder.clone());
    let mut dry = made.request(target());
    dry.dry_run = true;
    let dry = made.restore(dry).await;
    let restored = made.restore(made.request(target())).await;
    assert_eq!(dry.status, RestoreStatus::DryRun);
    for report in [&dry, &restored] {
        let counts: Vec<_> = report
            .restored
            .iter()
            .map(|it| (it.records_restored, it.total_records))
            .collect();
        assert_eq!(counts, [(3, 3), (1, 1), (0, 0)]);
        assert_eq!(report.objects_restored, 5);
    }
    for resource in ["users", "logs", "drafts"] {
        let lines = std::fs::read(folder.join(format!("{resource}.jsonl"))).unwrap();
        assert_eq!(documents(&lines), after().lines(resource), "{resource}");
    }
    let catalogue = std::fs::read(folder.join("_database.json")).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&catalogue).unwrap(),
        after().catalogue
    );
    let frames = std::fs::read(folder.join("_objects.frames")).unwrap();
    let frames = Frame::decode_all(frames.into()).unwrap();
    let mut bodies: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for frame in &frames {
        bodies
            .entry(&frame.header.key)
            .or_default()
            .extend_from_slice(&frame.bytes);
    }
    let objects = after().objects;
    let expected = objects.iter().map(|(key, _, body)| (*key, body.clone()));
    assert_eq!(bodies, expected.collect());
}

#[tokio::test]
async fn single_records_are_found_among_what_changed() {
    let made = Made::new(5).await;
    let choose = |ids: &[&str]| {
        let mut request =
            made.request(RestoreTarget::Folder(made.folder.path().join(ids.join(""))));
        request.resources = vec!["users".to_owned()];
        request.ids = ids.iter().map(|id| (*id).to_owned()).collect();
        request
    };
    let report = made.restore(choose(&["a", "n"])).await;
    assert_eq!(
        (
            report.restored[0].records_restored,
            report.restored[0].total_records
        ),
        (2, 3)
    );
    let lines = std::fs::read(made.folder.path().join("an/users.jsonl")).unwrap();
    let mut expected = after().lines("users");
    expected.remove("\"b\"");
    assert_eq!(documents(&lines), expected);

    let gone = made.engine.restore(choose(&["c"])).await.error.unwrap();
    assert_eq!(gone.class, Class::NotFound);
    assert!(gone.message.contains("ids c"), "{gone:?}");

    let mut renamed = made.request(RestoreTarget::Database(made.connection("renamed")));
    renamed.resources = vec!["users".to_owned()];
    renamed.renames = vec![("users".to_owned(), "people".to_owned())];
    made.restore(renamed).await;
    let shown = made.shown("renamed").await;
    let lines = shown["people.jsonl"].concat();
    assert_eq!(documents(&lines), after().lines("users"));
}

#[tokio::test]
async fn a_lost_manifest_is_made_again_and_damage_is_found() {
    let made = Made::new(5).await;
    let manifest = made.read("manifest.json").await;
    made.sink.delete(&made.file("manifest.json")).await.unwrap();
    let mut repair = RepairRequest::rebuild_manifests(made.at.clone());
    repair.id = made.report.id.clone();
    let repaired = made.engine.repair(repair).await;
    assert_eq!(repaired.exit_code(), 0, "{repaired:?}");
    assert_eq!(made.read("manifest.json").await, manifest);

    let name = "_settled.changes.gz";
    let mut damaged = made.read(name).await.to_vec();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    made.sink.overwrite(&made.file(name), &damaged);
    let verified = made
        .engine
        .verify(VerifyRequest::new(made.at.clone()))
        .await;
    assert_eq!(verified.exit_code(), 13, "{verified:?}");
    let folder = made.folder.path().join("out");
    let restored = made
        .engine
        .restore(made.request(RestoreTarget::Folder(folder.clone())))
        .await;
    assert_eq!(restored.error.unwrap().class, Class::Corrupt);
    assert!(!folder.exists());
}
