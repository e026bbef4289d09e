//! What a backup would come to, beside what it then comes to; and that finding out leaves nothing anywhere.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use common::{assert_idle, records, source, store};
use futures::StreamExt;
use serde_json::{Value, json};
use teeline::{
    BackupRequest, Connection, DestinationSpec, DryRunReport, DryRunStatus, Engine, Hooks,
    JsonlSource, Partitions, Query, RunEvent, S3dbSource, ScanOptions, Source, Target,
};
use teeline_core::{Frame, FrameHeader, Restoring, RestoringResource, SourceKind};
use teeline_embedded_s3::{Credentials, EmbeddedS3};
use teeline_sources::s3db::{S3dbTarget, WriteBackOptions};

fn engine() -> Engine {
    Engine::builder().workers(1).build().unwrap()
}

/// Within so many percent.
fn assert_near(judged: u64, real: u64, percent: u64, what: &str) {
    let off = judged.abs_diff(real);
    assert!(
        off * 100 <= real * percent,
        "{what}: {judged}, and it was {real}"
    );
}

/// A dry run, and the backup that it is about.
async fn both(source: Arc<dyn Source>, change: impl Fn(&mut BackupRequest)) -> (DryRunReport, u64) {
    let engine = engine();
    let (sink, to) = store("copy");
    let mut asked = BackupRequest::of(source, vec![to]);
    change(&mut asked);
    let judged = engine.dry_run(asked.clone()).await;
    assert_eq!(judged.status, DryRunStatus::DryRun, "{judged:?}");
    assert_eq!(sink.keys(), [], "nothing was written");
    let real = engine.backup(asked).await;
    assert_eq!(real.exit_code(), 0, "{real:?}");
    assert_near(judged.record_count, real.record_count, 8, "records");
    assert_near(judged.object_count, real.object_count, 8, "objects");
    assert_near(judged.plain_bytes, real.plain_bytes, 8, "plain bytes");
    // What is less than a block compresses less well.
    assert_near(judged.size, real.size, 30, "stored bytes");
    assert_idle(&engine);
    (judged, real.record_count)
}

fn file(folder: &Path, name: &str, lines: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, lines).unwrap();
    path
}

#[tokio::test]
async fn a_small_source_is_its_own_sample() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "events.jsonl", &records(700));
    let (judged, real) = both(Arc::new(JsonlSource::path(path)), |_| ()).await;
    assert!(judged.is_whole);
    assert_eq!(
        (judged.record_count, judged.sample.record_count),
        (real, real)
    );
    assert_eq!(judged.resources[0].name, "events");
}

#[tokio::test]
async fn an_incremental_one_is_judged_as_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "events.jsonl", &records(700));
    let incremental = |asked: &mut BackupRequest| {
        asked.backup_type = "incremental".parse().unwrap();
    };
    let files = Arc::new(JsonlSource::path(path));
    let (judged, real) = both(Arc::clone(&files) as _, incremental).await;
    assert_eq!(
        (judged.backup_type.as_str(), judged.record_count),
        ("incremental", real)
    );
    let (_, to) = store("copy");
    let mut asked = BackupRequest::of(files, vec![to]);
    incremental(&mut asked);
    asked.since = Some("2026-11-01T00:00:00Z".parse().unwrap());
    let judged = engine().dry_run(asked).await;
    assert_eq!(
        (judged.exit_code(), judged.record_count),
        (0, real),
        "{judged:?}"
    );
    let (_server, _folder, connection) = database().await;
    let source = S3dbSource::new(connection, ScanOptions::default());
    both(Arc::new(source), incremental).await;
}

#[tokio::test]
async fn files_are_judged_by_their_beginnings() {
    let folder = tempfile::tempdir().unwrap();
    let lines = records(60_000);
    let plain = file(folder.path(), "events.jsonl", &lines);
    let packed = zstd_of(&lines);
    let packed = file(folder.path(), "packed.jsonl.zst", &packed);
    for path in [plain, packed] {
        let (judged, real) = both(Arc::new(JsonlSource::path(path)), |_| ()).await;
        assert!(
            !judged.is_whole && judged.sample.record_count < real * 9 / 10,
            "{judged:?}"
        );
        assert!(judged.estimated_duration >= judged.sample.duration);
    }
}

/// As teeline itself packs lines.
fn zstd_of(lines: &[u8]) -> Vec<u8> {
    let engine = engine();
    let folder = tempfile::tempdir().unwrap();
    let to = DestinationSpec::parse(&folder.path().display().to_string()).unwrap();
    let mut asked = BackupRequest::new(source(lines), vec![to]);
    asked.compression = "zstd".parse().unwrap();
    let made = engine.backup_blocking(asked);
    let path = folder.path().join(made.id.unwrap().as_str());
    std::fs::read(path.join("events.jsonl.zst")).unwrap()
}

/// A server with a database of 2,500 orders, each with an entry, and a few objects.
async fn database() -> (EmbeddedS3, tempfile::TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let keys = Credentials {
        access_key: "me".into(),
        secret_key: "secret".into(),
    };
    let server = EmbeddedS3::start(folder.path(), keys).unwrap();
    server.create_bucket("bucket").unwrap();
    let connection: Connection = server.url("bucket", "db").parse().unwrap();
    let region = |number: usize| ["US", "EU"][number % 2];
    let catalogue = json!({ "version": "1", "resources": { "orders": {
        "currentVersion": "v1",
        "partitions": { "byRegion": { "fields": { "region": "string" } } },
        "versions": { "v1": { "attributes": { "region": "string", "text": "string" }, "behavior": "user-managed" } },
        "schemaRegistry": { "nextIndex": 2, "mapping": { "region": 0, "text": 1 }, "burned": [] },
    } } });
    let restoring = Restoring {
        backup: "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap(),
        source: SourceKind::S3db,
        resources: vec![RestoringResource {
            name: "orders".to_owned(),
            restored_as: Some("orders".to_owned()),
            is_in_part: false,
        }],
        is_of_some: false,
        ids: None,
        database_catalogue: Some(Bytes::from(catalogue.to_string())),
        dry_run: false,
    };
    let mut target = S3dbTarget::new(connection.clone(), WriteBackOptions::default());
    target.check(&restoring).await.unwrap();
    target.begin(&restoring).await.unwrap();
    let line = |number: usize| {
        let text =
            format!("{:x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).repeat(number % 9 + 1);
        let order: Value =
            json!({"id": format!("o{number:05}"), "region": region(number), "text": text});
        format!("{order}\n")
    };
    let lines: String = (0..2_500).map(line).collect();
    target.lines("orders", lines.into()).await.unwrap();
    let frames = (0..2_500).map(|number| Frame {
        header: FrameHeader {
            key: format!(
                "resource=orders/partition=byRegion/region={}/id=o{number:05}",
                region(number)
            ),
            offset: 0,
            length: 0,
            size: 0,
            content_type: None,
            metadata: [("_v".to_owned(), "v1".to_owned())].into(),
        },
        bytes: Bytes::new(),
    });
    target.frames(frames.collect()).await.unwrap();
    target.finish().await.unwrap();
    (server, folder, connection)
}

#[tokio::test]
async fn a_database_is_listed_and_some_of_it_read() {
    let (server, _folder, connection) = database().await;
    let source = || -> Arc<dyn Source> {
        Arc::new(S3dbSource::new(connection.clone(), ScanOptions::default()))
    };
    let before = server.requests();
    let judged = engine()
        .dry_run(BackupRequest::of(source(), vec![store("one").1]))
        .await;
    let requests = server.requests() - before;
    assert!(
        judged.sample.record_count <= 1_000 && judged.sample.object_count <= 1_000,
        "{judged:?}"
    );
    assert!(requests < 2_200, "{requests} for 5,000 objects");
    assert_eq!((judged.record_count, judged.object_count), (2_500, 2_500));
    both(source(), |_| ()).await;
    // Of some records, as many as the sample has of them, and their entries with them.
    let (judged, real) = both(source(), |asked| {
        asked.query = Query::new(json!({"orders": {"region": "US"}})).unwrap();
    })
    .await;
    assert_eq!(real, 1_250);
    assert!(!judged.is_whole);
    let in_partition = |asked: &mut BackupRequest| {
        asked.partitions = Partitions::new(json!({"byRegion": ["EU"]})).unwrap();
    };
    both(source(), in_partition).await;
}

#[tokio::test]
async fn nothing_is_written_and_nobody_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "events.jsonl", &records(50));
    let told = Arc::new(AtomicU32::new(0));
    let tells = Arc::clone(&told);
    let hooks = Hooks::default().callback("counting", &[], move |_| {
        let tells = Arc::clone(&tells);
        async move {
            tells.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    });
    let never = folder.path().join("never");
    let engine = Engine::builder()
        .workers(1)
        .temp_dir(folder.path().join("temp"))
        .build()
        .unwrap();
    let to = [
        DestinationSpec::parse(&never.display().to_string()).unwrap(),
        DestinationSpec::parse("dead=http://key:secret@127.0.0.1:1/bucket").unwrap(),
    ];
    let mut asked = BackupRequest::new(JsonlSource::path(&path), to.to_vec());
    asked.hooks = hooks;
    let events = engine.events();
    let judged = engine.dry_run(asked).await;
    drop(engine);
    let heard: Vec<RunEvent> = events.collect().await;
    assert!(heard.is_empty(), "{heard:?}");
    assert_eq!(
        (judged.exit_code(), judged.record_count),
        (0, 50),
        "{judged:?}"
    );
    assert_eq!(told.load(Ordering::Relaxed), 0);
    let there: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(there.len(), 1, "{there:?}");
}

#[tokio::test]
async fn what_a_backup_refuses_is_not_promised() {
    let engine = engine();
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "events.jsonl", &records(5));
    let (_, to) = store("one");
    let mut unknown = BackupRequest::new(JsonlSource::path(&path), vec![to.clone()]);
    unknown.include = vec!["evnts".to_owned()];
    let report = engine.dry_run(unknown).await;
    assert_eq!(
        (report.exit_code(), report.status),
        (2, DryRunStatus::Failed),
        "{report:?}"
    );
    let piped = BackupRequest::new(source(&records(5)), vec![to.clone()]);
    assert_eq!(engine.dry_run(piped).await.exit_code(), 2);
    let lacking = BackupRequest::new(
        JsonlSource::path(folder.path().join("not.jsonl")),
        vec![to.clone()],
    );
    assert_eq!(engine.dry_run(lacking).await.exit_code(), 1);
    let cancelled = BackupRequest::new(JsonlSource::path(&path), vec![to]);
    cancelled.cancel.cancel();
    assert_eq!(engine.dry_run(cancelled).await.exit_code(), 130);
    assert_idle(&engine);
}
