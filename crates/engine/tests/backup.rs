//! One pass to several stores: the same bytes everywhere, whatever runs them; nothing on failure of the source.

mod common;

use common::{assert_idle, engine, objects, records, request, source, store};
use teeline::{
    Cancel, Executor, JsonlSource, ProgressEvent, RestoreRequest, RestoreTarget, RunStatus, Which,
};

#[tokio::test]
async fn copies_are_equal_and_the_same_through_every_executor() {
    let lines = records(5000);
    let mut made = Vec::new();
    for executor in [Executor::Inline, Executor::Threads(1), Executor::Threads(4)] {
        let engine = engine(executor);
        let ((one, to_one), (two, to_two)) = (store("one"), store("two"));
        let report = engine.backup(request(&lines, &[to_one, to_two])).await;
        assert_eq!(
            (report.exit_code(), report.record_count),
            (0, 5000),
            "{report:?}"
        );
        assert_eq!(objects(&one).await, objects(&two).await);
        made.push(objects(&one).await);
        assert_idle(&engine);
    }
    assert!(made[0].len() > 10, "several segments: {}", made[0].len());
    let keys = |objects: &[(teeline_core::ObjectKey, Vec<u8>)]| {
        objects
            .iter()
            .map(|(key, _)| key.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&made[0]), keys(&made[1]));
    assert!(made[0] == made[1] && made[1] == made[2], "the same bytes");
}

#[tokio::test]
async fn a_restore_gives_the_lines_back_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let mut lines = records(2000);
    lines.extend_from_slice(format!("[\"{}\"]\r\n", "long".repeat(300_000)).as_bytes());
    lines.extend_from_slice(&records(10));
    let engine = engine(Executor::Threads(2));
    let (_, to) = store("one");
    let report = engine
        .backup(request(&lines, std::slice::from_ref(&to)))
        .await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    let target = folder.path().join("restored");
    let restore = RestoreRequest::new(
        Which::Latest,
        vec![to],
        RestoreTarget::Folder(target.clone()),
    );
    let restored = engine.restore(restore).await;
    assert_eq!(restored.exit_code(), 0, "{restored:?}");
    assert!(
        std::fs::read(target.join("events.jsonl")).unwrap() == lines,
        "the same bytes"
    );
}

#[tokio::test]
async fn a_malformed_line_fails_the_run_and_is_named() {
    let mut lines = records(1000);
    lines.extend_from_slice(b"{\"id\":}\n");
    lines.extend_from_slice(&records(1000));
    let engine = engine(Executor::Threads(2));
    let (_, to) = store("one");
    let report = engine
        .backup(request(&lines, std::slice::from_ref(&to)))
        .await;
    assert_eq!(report.exit_code(), 1);
    let error = report.error.unwrap().message;
    assert!(
        error.contains("line 1001") && error.contains("column 7"),
        "{error}"
    );
    assert!(engine.list(&[to]).await.backups.is_empty());
    assert_idle(&engine);
}

#[tokio::test]
async fn a_record_that_is_too_large_is_named() {
    let mut lines = records(10);
    lines.extend_from_slice(format!("\"{}\"\n", "x".repeat(10_000)).as_bytes());
    let engine = engine(Executor::Threads(1));
    let mut request = request(&lines, &[store("one").1]);
    request.record_bytes_max = 8 << 10;
    let report = engine.backup(request).await;
    assert!(report.error.unwrap().message.contains("line 11"));
}

#[tokio::test]
async fn a_record_larger_than_the_budget_travels_alone() {
    let mut lines = records(500);
    for _ in 0..3 {
        lines.extend_from_slice(format!("\"{}\"\n", "large ".repeat(5 << 20)).as_bytes());
        lines.extend_from_slice(&records(500));
    }
    let engine = engine(Executor::Threads(2));
    let report = engine
        .backup(request(&lines, &[store("one").1, store("two").1]))
        .await;
    assert_eq!(
        (report.exit_code(), report.record_count),
        (0, 2003),
        "{report:?}"
    );
    assert_idle(&engine);
}

#[tokio::test]
async fn a_panicking_source_fails_the_run() {
    struct Panics;
    impl std::io::Read for Panics {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            panic!("on purpose")
        }
    }
    let engine = engine(Executor::Threads(2));
    let (_, to) = store("one");
    let mut asked = request(b"", std::slice::from_ref(&to));
    asked.source = std::sync::Arc::new(JsonlSource::from_reader("events", Box::new(Panics)));
    let report = engine.backup(asked).await;
    assert_eq!(report.status, RunStatus::Failed);
    assert!(engine.list(&[to]).await.backups.is_empty());
    assert_idle(&engine);
}

#[tokio::test]
async fn a_cancelled_run_lists_nothing() {
    let engine = engine(Executor::Threads(2));
    let (_, to) = store("one");
    let mut asked = request(&records(20_000), std::slice::from_ref(&to));
    let cancel = Cancel::new();
    asked.cancel = cancel.clone();
    asked.observer = Some(std::sync::Arc::new(move |event| {
        if matches!(event, ProgressEvent::Read { records, .. } if records > 1000) {
            cancel.cancel();
        }
    }));
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), 130, "{report:?}");
    assert!(engine.list(&[to]).await.backups.is_empty());
    assert_idle(&engine);
}

#[tokio::test]
async fn a_pattern_that_no_resource_answers_to_is_an_error() {
    let engine = engine(Executor::Threads(1));
    let (_, to) = store("one");
    let mut asked = request(&records(10), std::slice::from_ref(&to));
    asked.include = vec!["evnts".to_owned()];
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), 2);
    assert!(
        report.error.unwrap().message.contains("events"),
        "what there is, is named"
    );
    assert!(engine.list(&[to]).await.backups.is_empty());
}

#[tokio::test]
async fn a_budget_that_is_too_small_is_refused_with_the_sum() {
    let engine = teeline::Engine::builder()
        .workers(4)
        .budget_bytes(2 << 20)
        .build()
        .unwrap();
    let asked = teeline::BackupRequest::new(source(b"{}\n"), vec![store("one").1]);
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), 2);
    assert!(report.error.unwrap().message.contains("5 blocks"));
}

#[test]
fn a_host_without_a_runtime_can_wait() {
    let engine = engine(Executor::Threads(1));
    let (_, to) = store("one");
    let report = engine.backup_blocking(request(&records(100), std::slice::from_ref(&to)));
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!(engine.list_blocking(&[to]).backups.len(), 1);
}
