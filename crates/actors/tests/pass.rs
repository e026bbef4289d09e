//! What becomes of a pass in which something is not as it should be: it ends, it says why, and nothing of it is left.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{BLOCK_BYTES, Keeper, Keeping, Kept, Records, pass};
use teeline_actors::{Budget, Executor, Host, Pass, PassEnd, PassReport, Verification};
use teeline_core::{
    BackupError, Class, DestinationId, DestinationStatus, ObjectKey, Outcome, ProgressEvent, Sink,
    Verified, document, layout,
};
use teeline_sinks::{Fault, FaultPlan, FaultSink, MemorySink, Operation, What, When};

/// What a pass ends with. That it does is part of every test.
async fn run(pass: Pass) -> Result<PassReport, BackupError> {
    let host = Host::start(Executor::Threads(2)).expect("threads");
    let ended = tokio::time::timeout(Duration::from_secs(60), host.run(pass)).await;
    ended.expect("the pass ends")
}

#[tokio::test]
async fn a_file_that_no_reader_takes_is_not_published() {
    let (budget, sink) = (Budget::new(8 << 20), MemorySink::new("one"));
    let mut source = Records::of(10, 100);
    let bytes = usize::try_from(document::BYTES_MAX).unwrap() + 1;
    source.attachments = vec![("large.json".to_owned(), Bytes::from(vec![0; bytes]))];
    let report = run(pass(source, &budget, vec![Arc::new(sink.clone())]))
        .await
        .unwrap();
    assert_eq!(report.end, PassEnd::Finished(Outcome::Failed));
    let error = report.error.unwrap().to_string();
    assert!(error.starts_with("write large.json: "), "{error}");
    let published = |key: &ObjectKey| key.as_str().contains("large.json");
    assert!(!sink.keys().iter().any(published));
    assert!(budget.is_whole());
}

#[tokio::test]
async fn a_source_that_gives_what_restores_would_refuse_fails_the_run() {
    let good = Records::of(10, 100);
    let with = |record: &'static [u8]| {
        let mut source = good.clone();
        source.records.push(Bytes::from_static(record));
        source
    };
    let again = Records {
        begins_again: true,
        ..good.clone()
    };
    for (source, expected) in [
        (with(b"{\"n\":1}"), "isn't one line"),
        (with(b"{\n\"n\":1}\n"), "isn't one line"),
        (again, "begins a second time"),
    ] {
        let (budget, sink) = (Budget::new(8 << 20), MemorySink::new("one"));
        let report = run(pass(source, &budget, vec![Arc::new(sink.clone())])).await;
        let report = report.unwrap();
        assert_eq!(report.end, PassEnd::Finished(Outcome::Failed));
        let error = report.error.unwrap().to_string();
        assert!(error.contains(expected), "{error}");
        let catalogued = |key: &ObjectKey| key.as_str().starts_with("catalog/");
        assert!(!sink.keys().iter().any(catalogued), "{:?}", sink.keys());
        assert!(budget.is_whole());
    }
}

#[tokio::test]
async fn what_is_attested_has_the_size_that_was_sent() {
    let lose = |operation, file: &str| {
        Fault::new(operation, When::Nth(1), What::LoseByte).on_keys_with(file)
    };
    for fault in [
        None,
        Some(lose(Operation::Write, "events.jsonl")),
        Some(lose(Operation::Put, "events.index")),
        Some(lose(Operation::Put, "run.json")),
        Some(lose(Operation::Put, "catalog/")),
        Some(lose(Operation::Put, "manifest.json")),
    ] {
        let budget = Budget::new(8 << 20);
        let rules = fault.clone().into_iter().collect();
        let plan = FaultPlan { seed: 1, rules };
        let sink = FaultSink::new(Arc::new(MemorySink::new("one")), plan);
        let mut pass = pass(Records::of(10, 100), &budget, vec![Arc::new(sink)]);
        pass.verification = Verification::Attested;
        let report = run(pass).await.unwrap();
        let (_, destination) = &report.destinations[0];
        let error = destination.error.as_ref().map(|error| error.class);
        match fault {
            None => assert_eq!(
                (destination.status, destination.verified, error),
                (DestinationStatus::Committed, Verified::Attested, None)
            ),
            Some(_) => assert_eq!(error, Some(Class::Corrupt), "{fault:?}: {destination:?}"),
        }
        assert!(budget.is_whole());
    }
}

/// Records of which one is larger than a budget of 1 MiB, after some that aren't.
fn small_and_large() -> Records {
    let mut source = Records::of(20, BLOCK_BYTES / 2);
    let large = [vec![b'x'; 3 << 20], vec![b'\n']].concat();
    source.records.push(large.into());
    source.records.extend(Records::of(20, 100).records);
    source
}

#[tokio::test]
async fn a_destination_that_is_out_holds_nothing_of_the_budget() {
    let (budget, kept) = (Budget::new(1 << 20), Kept::default());
    let hangs = Keeper::new(Keeping::AfterFailure, &kept);
    let good = MemorySink::new("good");
    let sinks: Vec<Arc<dyn Sink>> = vec![Arc::new(hangs), Arc::new(good)];
    let report = run(pass(small_and_large(), &budget, sinks)).await.unwrap();
    assert_eq!(report.end, PassEnd::Finished(Outcome::Degraded));
    let statuses = report.destinations.iter().map(|(_, report)| report.status);
    assert_eq!(
        statuses.collect::<Vec<_>>(),
        [DestinationStatus::Failed, DestinationStatus::Committed]
    );
    assert_eq!(
        kept.lock().unwrap().len(),
        1,
        "the call still has its bytes"
    );
    assert!(budget.is_whole());
}

#[tokio::test]
async fn a_store_that_keeps_what_it_was_given_fails_the_run_by_name() {
    let (budget, kept) = (Budget::new(1 << 20), Kept::default());
    let keeps = Keeper::new(Keeping::UntilCommit, &kept);
    let good = MemorySink::new("good");
    let sinks: Vec<Arc<dyn Sink>> = vec![Arc::new(good), Arc::new(keeps)];
    let mut pass = pass(Records::of(100, BLOCK_BYTES - 1), &budget, sinks);
    pass.head.plan.segment_bytes = 64 << 20;
    pass.destinations[1].name = "hoard".to_owned();
    let report = run(pass).await.unwrap();
    assert_eq!(report.end, PassEnd::Finished(Outcome::Failed));
    let error = report.error.unwrap();
    let message = error.to_string();
    assert!(
        message.contains("hoard") && !message.contains("good"),
        "{message}"
    );
    assert!(error.suggestion().is_some());
    assert!(budget.is_whole());
}

#[tokio::test]
async fn a_wait_for_another_run_is_no_reason_to_fail() {
    let budget = Budget::new(1 << 20);
    let others = budget.lease(1 << 20).await;
    let started = Arc::new(tokio::sync::Notify::new());
    let mut pass = pass(
        small_and_large(),
        &budget,
        vec![Arc::new(MemorySink::new("one"))],
    );
    pass.starved_after = Duration::from_millis(1);
    let begun = Arc::clone(&started);
    pass.observer = Arc::new(move |event| {
        if matches!(event, ProgressEvent::Resource { .. }) {
            begun.notify_one();
        }
    });
    let (report, ()) = tokio::join!(run(pass), async {
        started.notified().await;
        // So long that it was asked several times whether a lease will come.
        let since = Instant::now();
        while since.elapsed().as_millis() < 20 {
            tokio::task::yield_now().await;
        }
        drop(others);
    });
    assert_eq!(report.unwrap().end, PassEnd::Finished(Outcome::Completed));
    assert!(budget.is_whole());
}

#[tokio::test]
async fn an_observer_that_panics_is_told_nothing_more_and_the_pass_goes_on() {
    let (budget, told) = (Budget::new(8 << 20), Arc::new(AtomicU64::new(0)));
    for panics_at in [1, 2, 3, 5, 9] {
        told.store(0, Ordering::Relaxed);
        let sinks: Vec<Arc<dyn Sink>> = vec![
            Arc::new(MemorySink::new("a")),
            Arc::new(MemorySink::new("b")),
        ];
        let mut pass = pass(small_and_large(), &budget, sinks);
        let told = Arc::clone(&told);
        let count = Arc::clone(&told);
        pass.observer = Arc::new(move |_| {
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            assert!(number < panics_at, "on purpose");
        });
        let report = run(pass).await.unwrap();
        assert_eq!(
            report.end,
            PassEnd::Finished(Outcome::Completed),
            "{panics_at}"
        );
        assert_eq!(told.load(Ordering::Relaxed), panics_at);
        assert!(budget.is_whole());
    }
}

#[tokio::test]
async fn a_supervisor_that_panics_leaves_nothing_behind() {
    let (budget, sink) = (Budget::new(1 << 20), MemorySink::new("one"));
    let mut pass = pass(small_and_large(), &budget, vec![Arc::new(sink.clone())]);
    // The strategy knows one destination, number 0.
    pass.destinations[0].id = DestinationId(7);
    let error = run(pass).await.unwrap_err();
    assert!(error.to_string().contains("supervisor panicked"), "{error}");
    assert!(budget.is_whole());
    let published = |key: &ObjectKey| key.as_str().ends_with("manifest.json");
    assert!(!sink.keys().iter().any(published));
}

#[tokio::test]
async fn a_run_that_another_process_has_taken_up_is_left_to_that() {
    for (taken_up, status) in [
        (1, DestinationStatus::Failed),
        (2, DestinationStatus::Committed),
    ] {
        let (budget, sink) = (Budget::new(8 << 20), MemorySink::new("one"));
        let pass = pass(Records::of(10, 100), &budget, vec![Arc::new(sink.clone())]);
        let folder = pass.path.clone();
        let marker = folder.join(&layout::resumption(taken_up)).unwrap();
        sink.put(&marker, Bytes::from_static(b"{}")).await.unwrap();
        let report = run(pass).await.unwrap();
        let (_, destination) = &report.destinations[0];
        assert_eq!(destination.status, status, "{destination:?}");
        let manifest = folder.join(layout::MANIFEST).unwrap();
        let is_published = sink.keys().contains(&manifest);
        assert_eq!(is_published, status == DestinationStatus::Committed);
        let error = destination.error.as_ref();
        assert!(error.is_none_or(|error| {
            error
                .message
                .contains("has been taken up by another process")
        }));
    }
}
