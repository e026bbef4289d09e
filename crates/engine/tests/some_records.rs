//! Backups of some records only, and what a restore says of them.
#![allow(clippy::unwrap_used)]

mod common;

use common::{assert_idle, engine, request, store};
use serde_json::{Value, json};
use teeline::{
    BackupRequest, Class, Connection, DestinationSpec, Executor, LineCheck, Partitions, Query,
    RestoreMode, RestoreRequest, RestoreTarget, S3dbSource, ScanOptions, Target, Which,
};
use teeline_core::{Frame, FrameHeader, Restoring, RestoringResource, SourceKind};
use teeline_embedded_s3::{Credentials, EmbeddedS3};
use teeline_sources::s3db::{S3dbTarget, WriteBackOptions};

/// Ten lines, of which every second is active.
fn lines() -> Vec<u8> {
    let line = |number: usize| {
        let status = ["active", "done"][number % 2];
        format!("{{\"id\":{number},\"of\":{{\"status\":\"{status}\"}}}}\n")
    };
    (0..10).map(line).collect::<String>().into_bytes()
}

fn of_active(to: &DestinationSpec) -> BackupRequest {
    let mut asked = request(&lines(), std::slice::from_ref(to));
    asked.query = Query::new(json!({"events": {"of.status": "active"}})).unwrap();
    asked
}

#[tokio::test]
async fn lines_that_meet_a_query_are_backed_up_and_a_restore_says_that_others_are_not() {
    let engine = engine(Executor::Threads(1));
    let (_, to) = store("one");
    let mut asked = of_active(&to);
    asked.backup_type = "selective".parse().unwrap();
    let report = engine.backup(asked).await;
    assert_eq!(
        (report.exit_code(), report.record_count),
        (0, 5),
        "{report:?}"
    );
    let id = report.id.unwrap();
    let expected = json!({"query": {"events": {"of.status": ["active"]}}});
    let status = engine.status(std::slice::from_ref(&to), &id).await;
    assert_eq!(serde_json::to_value(&status.in_part).unwrap(), expected);

    let folder = tempfile::tempdir().unwrap();
    let target = RestoreTarget::Folder(folder.path().join("restored"));
    let restore = RestoreRequest::new(Which::Latest, vec![to.clone()], target);
    let restored = engine.restore(restore).await;
    assert_eq!(restored.exit_code(), 0, "{restored:?}");
    assert_eq!(serde_json::to_value(&restored.in_part).unwrap(), expected);
    let text = std::fs::read_to_string(folder.path().join("restored/events.jsonl")).unwrap();
    let ids: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone())
        .collect();
    assert_eq!(ids, [0, 2, 4, 6, 8]);

    // What isn't in it isn't what was deleted.
    let database = "http://key:secret@127.0.0.1:1/bucket".parse().unwrap();
    let mut replacing =
        RestoreRequest::new(Which::Latest, vec![to], RestoreTarget::Database(database));
    replacing.mode = Some(RestoreMode::Replace);
    let refused = engine.restore(replacing).await.error.unwrap();
    assert_eq!(refused.class, Class::Usage);
    assert!(
        refused.message.contains("some records of events only"),
        "{}",
        refused.message
    );
    assert_idle(&engine);
}

#[tokio::test]
async fn what_a_source_cannot_tell_is_refused_before_anything_is_written() {
    let engine = engine(Executor::Threads(1));
    let unchecked = || {
        teeline::JsonlSource::from_reader("events", Box::new(std::io::Cursor::new(lines())))
            .validate(LineCheck::Lines)
    };
    for (change, expected) in [
        (
            (|asked: &mut BackupRequest| {
                asked.query = Query::new(json!({"evnts": {"id": 1}})).unwrap();
            }) as fn(&mut BackupRequest),
            "there are: events",
        ),
        (
            |asked| asked.partitions = Partitions::new(json!({"byRegion": "US"})).unwrap(),
            "JSON lines have none",
        ),
    ] {
        let (sink, to) = store("one");
        let mut asked = of_active(&to);
        change(&mut asked);
        let report = engine.backup(asked).await;
        assert_eq!(report.exit_code(), 2, "{report:?}");
        let message = report.error.unwrap().message;
        assert!(message.contains(expected), "{message}");
        assert_eq!(sink.keys(), []);
    }
    let (sink, to) = store("one");
    let mut asked = BackupRequest::new(unchecked(), vec![to.clone()]);
    asked.query = of_active(&to).query;
    assert_eq!(engine.backup(asked).await.exit_code(), 2);
    assert_eq!(sink.keys(), []);
    assert_idle(&engine);
}

#[tokio::test]
async fn a_line_that_is_no_json_is_named_as_it_stands_in_the_file() {
    let engine = engine(Executor::Threads(1));
    let (_, to) = store("one");
    for (bad, expected) in [
        ("{\"id\":".to_owned(), "line 11, column 6"),
        (
            format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200)),
            "line 11",
        ),
    ] {
        let mut with_bad = lines();
        with_bad.extend_from_slice(bad.as_bytes());
        let mut asked = request(&with_bad, std::slice::from_ref(&to));
        asked.query = of_active(&to).query;
        let message = engine.backup(asked).await.error.unwrap().message;
        assert!(message.contains(expected), "{message}");
    }
}

/// What is asked for besides.
type Change = fn(&mut BackupRequest);

/// A database of one visit, whose day depends on the machine that wrote its entry.
async fn visit(server: &EmbeddedS3) -> Connection {
    server.create_bucket("bucket").unwrap();
    let connection: Connection = server.url("bucket", "db").parse().unwrap();
    let catalogue = json!({ "version": "1", "resources": { "visits": {
        "currentVersion": "v1",
        "partitions": {
            "byRegion": { "fields": { "region": "string" } },
            "byDay": { "fields": { "day": "date" } },
        },
        "versions": { "v1": { "attributes": { "region": "string", "day": "string" }, "behavior": "body-overflow" } },
        "schemaRegistry": { "nextIndex": 2, "mapping": { "region": 0, "day": 1 }, "burned": [] },
    } } });
    let restoring = Restoring {
        backup: "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap(),
        source: SourceKind::S3db,
        resources: vec![RestoringResource {
            name: "visits".to_owned(),
            restored_as: Some("visits".to_owned()),
            is_in_part: false,
        }],
        is_of_some: false,
        ids: None,
        database_catalogue: Some(catalogue.to_string().into()),
        dry_run: false,
    };
    let mut target = S3dbTarget::new(connection.clone(), WriteBackOptions::default());
    target.check(&restoring).await.unwrap();
    target.begin(&restoring).await.unwrap();
    let visit = json!({"id": "v1", "region": "US", "day": "7 March 2024"});
    let lines = format!("{visit}\n").into();
    target.lines("visits", lines).await.unwrap();
    let entries = ["byRegion/region=US", "byDay/day=2024-03-07"].map(|entry| Frame {
        header: FrameHeader {
            key: format!("resource=visits/partition={entry}/id=v1"),
            offset: 0,
            length: 0,
            size: 0,
            content_type: None,
            metadata: [("_v".to_owned(), "v1".to_owned())].into(),
        },
        bytes: bytes::Bytes::new(),
    });
    target.frames(entries.into()).await.unwrap();
    target.finish().await.unwrap();
    connection
}

#[tokio::test]
async fn a_merge_leaves_the_entries_that_a_backup_of_some_records_may_lack() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Credentials {
        access_key: "me".into(),
        secret_key: "secret".into(),
    };
    let server = EmbeddedS3::start(folder.path(), keys).unwrap();
    let connection = visit(&server).await;
    let engine = engine(Executor::Threads(1));
    let all = |_: &mut BackupRequest| {};
    let in_partition = |asked: &mut BackupRequest| {
        asked.partitions = Partitions::new(json!({"byRegion": ["US"]})).unwrap();
    };
    let meeting = |asked: &mut BackupRequest| {
        asked.query = Query::new(json!({"visits": {"region": "US"}})).unwrap();
    };
    let changes: [(Change, u64); 3] = [(all, 2), (in_partition, 1), (meeting, 1)];
    for (change, objects) in changes {
        let (_, to) = store("one");
        let source = S3dbSource::new(connection.clone(), ScanOptions::default());
        let mut asked = BackupRequest::new(source, vec![to.clone()]);
        change(&mut asked);
        let report = engine.backup(asked).await;
        assert_eq!(
            (report.record_count, report.object_count),
            (1, objects),
            "{report:?}"
        );
        let target = RestoreTarget::Database(connection.clone());
        let mut restore = RestoreRequest::new(Which::Latest, vec![to], target);
        restore.mode = Some(RestoreMode::Merge);
        let restored = engine.restore(restore).await;
        assert_eq!(
            (restored.exit_code(), restored.objects.deleted),
            (0, 0),
            "{restored:?}"
        );
    }
    assert_idle(&engine);
}
