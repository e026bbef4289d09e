//! Taking up a run of a database that broke off, where records are told to be lines or objects by bounds.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use common::{assert_idle, failing, place, store};
use serde_json::json;
use teeline::sinks::{Fault, Operation, What, When};
use teeline::{
    BackupReport, BackupRequest, Class, Connection, DestinationSpec, Engine, RestoreRequest,
    RestoreTarget, Resume, S3dbSource, ScanOptions, Target, Which, exit,
};
use teeline_core::{Frame, FrameHeader, Restoring, RestoringResource, SourceKind};
use teeline_embedded_s3::{Credentials, EmbeddedS3};
use teeline_sources::s3db::{S3dbTarget, WriteBackOptions};

/// A database of two notes with content of their own, a small one and a large one.
struct Site {
    engine: Engine,
    connection: Connection,
    folder: tempfile::TempDir,
    _server: EmbeddedS3,
}

impl Site {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = Credentials {
            access_key: "me".into(),
            secret_key: "secret".into(),
        };
        let root = folder.path().join("s3");
        let then = SystemTime::now() - Duration::from_secs(3_600);
        {
            let server = EmbeddedS3::start_at(&root, keys.clone(), Arc::new(move || then)).unwrap();
            server.create_bucket("bucket").unwrap();
            write(&server.url("bucket", "db").parse().unwrap()).await;
        }
        // By then what it has isn't young any more.
        let server = EmbeddedS3::start(&root, keys).unwrap();
        Site {
            engine: Engine::builder().build().unwrap(),
            connection: server.url("bucket", "db").parse().unwrap(),
            folder,
            _server: server,
        }
    }

    async fn backup(
        &self,
        to: &DestinationSpec,
        options: ScanOptions,
        resume: Option<Resume>,
    ) -> BackupReport {
        let source = S3dbSource::new(self.connection.clone(), options);
        let mut request = BackupRequest::new(source, vec![to.clone()]);
        (request.resume, request.resume_quiet) = (resume, Duration::from_millis(1));
        let report = self.engine.backup(request).await;
        assert_idle(&self.engine);
        report
    }

    /// Every file that a backup is restored to.
    async fn restored(&self, from: &DestinationSpec) -> BTreeMap<String, Vec<u8>> {
        let folder = self.folder.path().join("restored");
        let target = RestoreTarget::Folder(folder.clone());
        let request = RestoreRequest::new(Which::Latest, vec![from.clone()], target);
        let restored = self.engine.restore(request).await;
        assert_eq!(restored.exit_code(), exit::DONE, "{restored:?}");
        let files = files(&folder);
        std::fs::remove_dir_all(folder).unwrap();
        files
    }

    /// Breaks a run off that reads by some bounds, when all of its records are there and no other object is; goes on by others, and
    /// compares what comes of it with what an uninterrupted run makes.
    async fn check(&self, then: ScanOptions, now: ScanOptions) -> BackupReport {
        let fault = Fault::new(
            Operation::Commit,
            When::From(1),
            What::Fail(Class::Permanent),
        );
        let (sink, breaks) = failing("here", fault.on_keys_with("_objects.frames"));
        let broken_off = self.backup(&breaks, then, None).await;
        assert_eq!(broken_off.exit_code(), exit::FAILED, "{broken_off:?}");
        let here = place("here", sink);
        let resume = Resume::Run(broken_off.id.unwrap());
        let resumed = self.backup(&here, now, Some(resume)).await;
        let (_, there) = store("there");
        let whole = self.backup(&there, now, None).await;
        assert_eq!(resumed.exit_code(), whole.exit_code(), "{resumed:?}");
        if whole.exit_code() == exit::DONE {
            assert_eq!(
                (resumed.record_count, resumed.object_count, resumed.kept_raw),
                (whole.record_count, whole.object_count, whole.kept_raw)
            );
            assert!(self.restored(&here).await == self.restored(&there).await);
        }
        resumed
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let file = |entry: std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, std::fs::read(entry.path()).unwrap())
    };
    entries.map(file).collect()
}

/// Writes the database.
async fn write(at: &Connection) {
    let catalogue = json!({ "version": "1", "resources": { "notes": {
        "currentVersion": "v1",
        "versions": { "v1": { "attributes": { "name": "string" }, "behavior": "user-managed" } },
        "schemaRegistry": { "nextIndex": 1, "mapping": { "name": 0 }, "burned": [] },
    } } });
    let restoring = Restoring {
        backup: "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap(),
        source: SourceKind::S3db,
        resources: vec![RestoringResource {
            name: "notes".to_owned(),
            restored_as: Some("notes".to_owned()),
            is_in_part: false,
        }],
        is_of_some: false,
        ids: None,
        database_catalogue: Some(catalogue.to_string().into()),
        dry_run: false,
    };
    let mut target = S3dbTarget::new(at.clone(), WriteBackOptions::default());
    target.check(&restoring).await.unwrap();
    target.begin(&restoring).await.unwrap();
    let of = |id: &str, name: &str, bytes: usize| Frame {
        header: FrameHeader {
            key: format!("resource=notes/data/id={id}"),
            offset: 0,
            length: bytes as u64,
            size: bytes as u64,
            content_type: Some("application/octet-stream".to_owned()),
            metadata: [("0", name), ("_v", "v1")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        },
        bytes: Bytes::from(vec![0x80; bytes]),
    };
    let notes = vec![of("a", "small", 100), of("b", "large", 3_500)];
    target.frames(notes).await.unwrap();
    target.finish().await.unwrap();
}

fn reading(inline_bytes_max: u64, record_bytes_max: usize) -> ScanOptions {
    ScanOptions {
        inline_bytes_max,
        record_bytes_max,
        ..ScanOptions::default()
    }
}

#[tokio::test]
async fn what_no_line_of_the_first_run_carries_is_not_left_out_when_it_is_taken_up() {
    let site = Site::new().await;
    // As base64 it is larger than a line may be, though its bytes are few enough.
    let options = reading(4_096, 4_096);
    let resumed = site.check(options, options).await;
    let came_of_it = resumed.resumed.unwrap();
    assert_eq!(resumed.id.as_ref(), Some(&came_of_it.run));
    assert_eq!(
        (came_of_it.afresh_because, came_of_it.bytes_not_read),
        (None, 0)
    );

    // Where lines carry all of it, nothing is read again.
    let options = reading(4_096, 8_192);
    let resumed = site.check(options, options).await;
    let came_of_it = resumed.resumed.unwrap();
    assert_eq!(resumed.id.as_ref(), Some(&came_of_it.run));
    assert!(came_of_it.bytes_not_read > 4_096, "{came_of_it:?}");
}

#[tokio::test]
async fn a_run_that_read_by_other_bounds_is_begun_afresh() {
    let site = Site::new().await;
    for (then, now, why) in [
        (
            reading(1_024, 65_536),
            reading(8_192, 65_536),
            "resume inline_bytes_max: it is 8192 bytes now, and was 1024 bytes",
        ),
        (
            reading(4_096, 4_096),
            reading(4_096, 65_536),
            "resume record_bytes_max: it is 65536 bytes now, and was 4096 bytes",
        ),
        (
            reading(4_096, 65_536),
            reading(4_096, 4_096),
            "resume record_bytes_max: it is 4096 bytes now, and was 65536 bytes",
        ),
    ] {
        let resumed = site.check(then, now).await;
        let came_of_it = resumed.resumed.unwrap();
        assert_ne!(resumed.id, Some(came_of_it.run));
        assert_eq!(came_of_it.afresh_because.as_deref(), Some(why));
    }
}
