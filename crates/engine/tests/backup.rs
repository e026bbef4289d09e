//! One pass to several stores: the same bytes everywhere, whatever runs them; nothing on failure of the source.

mod common;

use std::sync::{Arc, Mutex};

use common::{
    SpySink, assert_idle, engine, objects, place, records, request, source, store, whole,
};
use teeline::sinks::{Fault, FaultPlan, FaultSink, MemorySink, Operation, What, When};
use teeline::{
    Cancel, DestinationStatus, Engine, Executor, JsonlSource, ProgressEvent, RestoreRequest,
    RestoreTarget, RunStatus, StrategyKind, VerifyRequest, Which, WhichBackups,
};
use teeline_core::{AskedFor, Index, Manifest, ObjectKey, RunClaim, document};

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
    asked.source = Arc::new(JsonlSource::from_reader("events", Box::new(Panics)));
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
    asked.observer = Some(Arc::new(move |event| {
        if matches!(event, ProgressEvent::Read { records, .. } if records > 1000) {
            cancel.cancel();
        }
    }));
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), 130, "{report:?}");
    let of_destination = report.destinations[0].error.as_ref().unwrap();
    assert!(of_destination.message.ends_with("interrupted"));
    assert!(engine.list(&[to]).await.backups.is_empty());
    assert_idle(&engine);
}

#[tokio::test]
async fn a_selection_that_nothing_answers_to_is_refused_before_anything_is_written() {
    for (include, exclude) in [
        (&["evnts"][..], &[][..]),
        (&["events", "evnts"], &[]),
        (&[], &["*"]),
        (&["ev*"], &["events"]),
    ] {
        let engine = engine(Executor::Threads(1));
        let (sink, to) = store("one");
        let mut asked = request(&records(10), &[to]);
        asked.include = include.iter().map(ToString::to_string).collect();
        asked.exclude = exclude.iter().map(ToString::to_string).collect();
        let report = engine.backup(asked).await;
        assert_eq!(report.exit_code(), 2, "{report:?}");
        assert!(
            report.error.unwrap().message.contains("there are: events"),
            "what there is, is named"
        );
        assert_eq!(sink.keys(), [], "{include:?} {exclude:?}");
        assert_idle(&engine);
    }
}

#[tokio::test]
async fn what_is_said_of_a_backup_is_kept_with_it() {
    let engine = engine(Executor::Threads(1));
    let (sink, to) = store("one");
    let mut asked = request(&records(10), std::slice::from_ref(&to));
    asked.metadata = serde_json::from_str(r#"{"type":"mine","why":["release",7]}"#).unwrap();
    let said = asked.metadata.clone();
    let report = engine.backup(asked).await;
    let listed = engine.list(std::slice::from_ref(&to)).await.backups;
    assert_eq!(listed[0].metadata, said);
    assert_eq!(
        listed[0].backup_type.as_str(),
        "full",
        "it is in nobody's way"
    );
    let status = engine.status(&[to], &report.id.unwrap()).await;
    assert_eq!(status.metadata, said);
    let manifest = sink
        .keys()
        .into_iter()
        .find(|key| key.file_name() == "manifest.json");
    let bytes = whole(&sink, &manifest.unwrap()).await;
    let manifest: Manifest = document::open("manifest.json", &bytes).unwrap();
    assert_eq!(manifest.metadata, said);
}

#[tokio::test]
async fn a_selective_backup_says_of_what() {
    let engine = engine(Executor::Threads(1));
    let (sink, to) = store("one");
    let selective = |names: Option<&[&str]>| {
        let mut asked = request(&records(10), std::slice::from_ref(&to));
        asked.backup_type = "selective".parse().unwrap();
        // Names aren't globs, and stand instead of what is included.
        asked.include = vec!["*".to_owned(); usize::from(names.is_some())];
        asked.resources = names.map(|names| names.iter().map(ToString::to_string).collect());
        asked
    };
    for (names, message) in [
        (None, "what is wanted"),
        (Some(&[][..]), "it names none"),
        (Some(&["events", ""]), "one of the names is empty"),
        (Some(&["event?"]), "there are: events"),
        (Some(&["*"]), "there are: events"),
    ] {
        let report = engine.backup(selective(names)).await;
        let error = report.error.as_ref().unwrap();
        assert!(error.message.contains(message), "{names:?}: {error:?}");
        assert_eq!((report.exit_code(), sink.keys()), (2, vec![]), "{names:?}");
    }
    // A catalogue's entry has all of them.
    let many = "a".repeat(usize::try_from(AskedFor::BYTES_MAX).unwrap());
    let mut asked = selective(None);
    asked.include = vec![many];
    let error = engine.check(&asked).unwrap_err();
    assert!(error.message().contains("accepted: up to"), "{error}");

    let report = engine.backup(selective(Some(&["events"]))).await;
    assert_eq!(
        (report.exit_code(), report.record_count),
        (0, 10),
        "{report:?}"
    );
}

#[tokio::test]
async fn a_budget_that_is_too_small_is_refused_with_the_sum() {
    let engine = teeline::Engine::builder()
        .workers(4)
        .budget_bytes(2 << 20)
        .build()
        .unwrap();
    let asked = teeline::BackupRequest::new(source(b"{}\n"), vec![store("one").1]);
    let refused = engine.check(&asked).unwrap_err();
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), 2);
    let error = report.error.unwrap();
    assert!(error.message.contains("5 blocks"));
    let help = error.suggestion.unwrap();
    for setting in [
        "engine.budget_bytes",
        "engine.workers",
        "backup.block_bytes",
    ] {
        assert!(help.contains(setting), "{help}");
    }
    assert_eq!(
        refused.to_string(),
        error.message,
        "the check says the same"
    );
}

#[tokio::test]
async fn a_run_whose_future_is_dropped_ends_and_is_not_counted_any_more() {
    let engine = engine(Executor::Threads(1));
    let (_, to) = store("one");
    let mut dropped = Box::pin(engine.backup(request(&records(100), std::slice::from_ref(&to))));
    assert!(futures::poll!(&mut dropped).is_pending());
    drop(dropped);
    let since = std::time::Instant::now();
    while !engine.is_idle() {
        assert!(since.elapsed().as_secs() < 60, "it is counted for ever");
        tokio::task::yield_now().await;
    }
    assert_eq!(engine.list(&[to]).await.backups.len(), 1);
}

#[test]
fn a_host_without_a_runtime_can_wait() {
    let engine = engine(Executor::Threads(1));
    let (_, to) = store("one");
    let report = engine.backup_blocking(request(&records(100), std::slice::from_ref(&to)));
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!(engine.list_blocking(&[to]).backups.len(), 1);
}

#[tokio::test]
async fn the_claim_names_the_files_and_the_last_index_ends_them() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("events.jsonl"), records(3000)).unwrap();
    std::fs::write(folder.path().join("none.jsonl"), b"").unwrap();
    let engine = engine(Executor::Threads(2));
    let (sink, to) = store("one");
    let mut asked = request(b"", std::slice::from_ref(&to));
    asked.source = Arc::new(JsonlSource::path(folder.path()));
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");

    let path = report.folder.unwrap();
    let at = |file: &str| ObjectKey::new(format!("{path}/{file}")).unwrap();
    let claim: RunClaim = document::open("run.json", &whole(&sink, &at("run.json")).await).unwrap();
    let stems: Vec<_> = claim
        .claimed
        .resources
        .iter()
        .map(|r| r.stem.as_str())
        .collect();
    assert_eq!(stems, ["events", "none"]);
    assert_eq!(
        (claim.head.path, claim.claimed.objects),
        (path.clone(), None)
    );

    let manifest: Manifest =
        document::open("manifest", &whole(&sink, &at("manifest.json")).await).unwrap();
    for resource in &manifest.resources {
        let mut ends = Vec::new();
        for segment in &resource.segments {
            let index = whole(&sink, &at(&segment.index)).await;
            ends.push(Index::parse(&segment.index, &index).unwrap().last.is_some());
        }
        let (last, others) = ends.split_last().expect("each resource has a file");
        assert!(
            *last && !others.contains(&true),
            "{}: {ends:?}",
            resource.name
        );
    }
    let none = &manifest.resources[1];
    assert_eq!(
        (none.segments.len(), none.records, none.plain_bytes),
        (1, 0, 0)
    );

    let target = folder.path().join("restored");
    let restore = RestoreRequest::new(
        Which::Latest,
        vec![to],
        RestoreTarget::Folder(target.clone()),
    );
    assert_eq!(engine.restore(restore).await.exit_code(), 0);
    assert!(std::fs::read(target.join("events.jsonl")).unwrap() == records(3000));
    assert_eq!(std::fs::read(target.join("none.jsonl")).unwrap(), b"");
}

#[tokio::test]
async fn a_store_is_told_what_a_segment_will_take() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    std::fs::write(&file, records(20_000)).unwrap();
    let engine = engine(Executor::Threads(2));
    let expected = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&expected);
    let noting = SpySink::new(MemorySink::new("one"), move |operation, _, bytes| {
        if operation == Operation::Begin {
            noted.lock().unwrap().push(bytes);
        }
    });
    let mut asked = request(b"", &[common::place("one", noting)]);
    asked.source = Arc::new(JsonlSource::path(&file));
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    let expected = expected.lock().unwrap();
    // A chunk is at most a block, so more was told than the first chunk's size; and never more than a segment holds.
    assert!(expected.len() > 3, "{expected:?}");
    let (last, full) = expected.split_last().unwrap();
    assert!(full.iter().all(|bytes| *bytes == 16 << 10), "{expected:?}");
    assert!(*last <= 16 << 10, "{expected:?}");
}

#[tokio::test]
async fn two_backups_at_once_of_disjoint_resources_are_both_whole() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["users", "events", "others"] {
        std::fs::write(folder.path().join(format!("{name}.jsonl")), records(2000)).unwrap();
    }
    let engine = Engine::new().unwrap();
    let (sink, to) = store("one");
    let of = |name: &str| {
        let mut asked = request(b"", std::slice::from_ref(&to));
        asked.source = Arc::new(JsonlSource::path(folder.path()));
        asked.resources = Some(vec![name.to_owned()]);
        asked
    };
    let (users, events) = tokio::join!(engine.backup(of("users")), engine.backup(of("events")));
    for (report, name) in [(&users, "users"), (&events, "events")] {
        assert_eq!(report.exit_code(), 0, "{report:?}");
        assert_eq!(
            (report.record_count, &report.resources),
            (2000, &vec![name.to_owned()])
        );
    }
    assert_ne!(users.id, events.id);
    assert_eq!(
        engine.list(std::slice::from_ref(&to)).await.backups.len(),
        2
    );
    let mut all = VerifyRequest::new(vec![to]);
    all.which = WhichBackups::All;
    assert_eq!(engine.verify(all).await.exit_code(), 0);
    assert!(
        sink.keys()
            .iter()
            .all(|key| !key.as_str().contains("others"))
    );
    assert_idle(&engine);
}

/// What a panic says goes to the panic hook of the host, and nowhere else: not into a report, nor to any destination.
#[tokio::test]
async fn what_a_panic_says_is_neither_reported_nor_kept() {
    const SAID: &str = "canary-of-a-panic";
    let engine = engine(Executor::Threads(1));
    let (healthy, at) = store("healthy");
    let panicking = SpySink::new(MemorySink::new("panicking"), |_, _, _| {
        panic!("connecting to http://key:{SAID}@host/bucket")
    });
    let mut asked = request(&records(100), &[at, place("panicking", panicking)]);
    asked.strategy = StrategyKind::Any;
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), 3, "{report:?}");
    let reported = format!("{report:?} {}", serde_json::to_string(&report).unwrap());
    assert!(reported.contains("panicked"), "{reported}");
    assert!(!reported.contains(SAID), "{reported}");
    for key in healthy.keys() {
        let bytes = whole(&healthy, &key).await;
        assert!(!String::from_utf8_lossy(&bytes).contains(SAID), "{key}");
    }
}

/// A store that a host brings may panic whenever it is asked: others' results are told and kept all the same.
#[tokio::test]
async fn a_store_that_panics_takes_nobody_elses_result_along() {
    let operations = [
        Operation::Begin,
        Operation::Put,
        Operation::Read,
        Operation::Head,
        Operation::List,
        Operation::Delete,
    ];
    let always = |operation| Fault::new(operation, When::From(1), What::Panic);
    for panics in operations
        .map(|one| vec![one])
        .into_iter()
        .chain([operations.to_vec()])
    {
        let engine = engine(Executor::Threads(1));
        let (_, at) = store("healthy");
        let plan = FaultPlan {
            seed: 1,
            rules: panics.iter().copied().map(always).collect(),
        };
        let sink = FaultSink::new(Arc::new(MemorySink::new("panicking")), plan);
        let both = [at, place("panicking", sink)];
        let mut asked = request(&records(100), &both);
        asked.strategy = StrategyKind::Any;
        let report = engine.backup(asked).await;
        assert!(
            [0, 3].contains(&report.exit_code()),
            "{panics:?}: {report:?}"
        );
        let healthy = &report.destinations[0];
        assert_eq!(
            healthy.status,
            DestinationStatus::Committed,
            "{panics:?}: {report:?}"
        );
        let listed = engine.list(&both).await;
        assert_eq!(listed.backups.len(), 1, "{panics:?}: {listed:?}");
        let mut all = VerifyRequest::new(both[..1].to_vec());
        all.which = WhichBackups::All;
        assert_eq!(engine.verify(all).await.exit_code(), 0, "{panics:?}");
        assert_idle(&engine);
    }
}
