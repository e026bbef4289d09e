//! A destination that holds the others up: it leaves the pass, and is completed from one of the others.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{SpySink, assert_idle, failing, objects, place, records, request, store};
use teeline::sinks::{Fault, FaultPlan, FaultSink, MemorySink, Operation, What, When};
use teeline::{
    BackupReport, CatchUp, Class, DestinationSpec, DestinationState, DestinationStatus, Engine,
    Executor, LagPolicy, ProgressEvent, RunStatus, StrategyKind, SyncRequest, SyncStatus,
    VerifyRequest,
};
use tokio::sync::watch;

/// A store that stops answering part-way. It is slower than any.
fn stalling(name: &str, at_write: u64) -> (MemorySink, DestinationSpec) {
    failing(
        name,
        Fault::new(Operation::Write, When::From(at_write), What::Stall),
    )
}

fn small(executor: Executor) -> Engine {
    Engine::builder()
        .executor(executor)
        .budget_bytes(1 << 20)
        .build()
        .expect("an engine")
}

async fn backup(
    engine: &Engine,
    (strategy, patience): (StrategyKind, Duration),
    destinations: &[DestinationSpec],
) -> BackupReport {
    let mut asked = request(&records(6000), destinations);
    asked.strategy = strategy;
    asked.lag_patience = patience;
    engine.backup(asked).await
}

#[tokio::test]
async fn who_holds_up_the_others_leaves_the_pass() {
    // One that is slow at once needs no patience to be known; one that has done its share so far is given some.
    for (executor, at_write, patience) in [
        (Executor::Threads(2), 9, Duration::from_secs(3600)),
        (Executor::Inline, 9, Duration::from_secs(3600)),
        (Executor::Threads(2), 60, Duration::from_millis(200)),
    ] {
        let engine = small(executor);
        let ((good, near), (slow, far)) = (store("near"), stalling("far", at_write));
        let (_, third) = store("third");
        let report = backup(
            &engine,
            (StrategyKind::Any, patience),
            &[near.clone(), far, third],
        )
        .await;
        assert_eq!(
            (report.status, report.exit_code()),
            (RunStatus::Degraded, 3)
        );
        let [near_report, far_report, third_report] = &report.destinations[..] else {
            panic!("three: {report:?}");
        };
        assert_eq!(near_report.status, DestinationStatus::Committed);
        assert_eq!(third_report.status, DestinationStatus::Committed);
        assert_eq!(far_report.status, DestinationStatus::Behind);
        assert!(far_report.error.is_none(), "{far_report:?}");
        assert!(far_report.segments < near_report.segments);
        assert_eq!(
            far_report.segments > 0,
            at_write > 9,
            "what is committed stays"
        );
        assert!(far_report.lag_bytes_max > near_report.lag_bytes_max / 2);
        let manifest = |sink: &MemorySink| {
            let keys = sink.keys();
            keys.iter().any(|key| key.file_name() == "manifest.json")
        };
        assert!(manifest(&good) && !manifest(&slow));
        assert_idle(&engine);
        assert_eq!(engine.list(&[near]).await.backups.len(), 1);
    }
}

#[tokio::test]
async fn who_cannot_be_done_without_is_not_let_go() {
    let engine = small(Executor::Threads(2));
    let mut far = stalling("far", 9).1;
    for (strategy, required) in [(StrategyKind::All, None), (StrategyKind::Any, Some(true))] {
        far.lag = Some(LagPolicy::Detach);
        far.required = required;
        let report = backup(
            &engine,
            (strategy, Duration::from_secs(1)),
            &[store("near").1, far.clone()],
        )
        .await;
        let error = report.error.expect("refused");
        assert_eq!(error.class, Class::Usage, "{error:?}");
        assert!(
            error.message.contains("destination far: it is required"),
            "{error:?}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("events.jsonl"), records(10)).unwrap();
    (far.required, far.lag) = (None, Some(LagPolicy::Spill));
    let source = teeline::JsonlSource::path(folder.path());
    let mut asked = teeline::BackupRequest::new(source, vec![store("near").1, far]);
    asked.strategy = StrategyKind::Priority;
    asked.block_bytes = Some(4 << 10);
    let error = engine.check(&asked).unwrap_err();
    assert!(
        error.to_string().contains("one destination at a time"),
        "{error}"
    );
}

#[tokio::test]
async fn who_is_waited_for_is_not_let_go() {
    for (strategy, lag) in [
        (StrategyKind::Any, LagPolicy::Block),
        (StrategyKind::All, LagPolicy::Spill),
    ] {
        is_not_let_go(strategy, lag).await;
    }
}

async fn is_not_let_go(strategy: StrategyKind, lag: LagPolicy) {
    let engine = small(Executor::Threads(2));
    let (near, mut far) = (store("near").1, stalling("far", 9).1);
    far.lag = Some(lag);
    let mut asked = request(&records(6000), &[near, far]);
    asked.strategy = strategy;
    asked.lag_patience = Duration::from_millis(100);
    asked.spill_bytes = 256 << 10;
    let (cancel, seen) = (asked.cancel.clone(), Arc::new(tokio::sync::Notify::new()));
    let stuck = Arc::clone(&seen);
    asked.observer = Some(Arc::new(move |event| {
        if let teeline::ProgressEvent::Acked { lag_bytes, .. } = event
            && lag_bytes > 0
        {
            stuck.notify_one();
        }
    }));
    let (report, ()) = tokio::join!(engine.backup(asked), async {
        seen.notified().await;
        // Longer than a pass that may do without it waits.
        tokio::time::sleep(Duration::from_millis(300)).await;
        cancel.cancel();
    });
    assert_eq!(
        report.exit_code(),
        130,
        "it was still under way: {report:?}"
    );
    assert_idle(&engine);
}

#[tokio::test]
async fn who_was_left_behind_is_completed_from_another() {
    let engine = small(Executor::Threads(2));
    let ((good, near), (slow, far)) = (store("near"), stalling("far", 60));
    let how = (StrategyKind::Any, Duration::from_millis(200));
    let report = backup(&engine, how, &[near.clone(), far]).await;
    assert_eq!(report.destinations[1].status, DestinationStatus::Behind);
    let kept = report.destinations[1].segments;
    assert!(kept > 0);
    // The same store, once it answers again.
    let places = vec![near, place("far", slow.clone())];
    let mut asked = SyncRequest::new(places.clone());
    asked.id = report.id;
    let synced = engine.sync(asked).await;
    assert_eq!(synced.exit_code(), 0, "{synced:?}");
    let copies = &synced.backups[0].destinations;
    assert_eq!(copies[0].status, SyncStatus::Whole);
    assert_eq!(copies[1].status, SyncStatus::Copied);
    let stored = report.size;
    assert!(
        copies[1].bytes > 0 && copies[1].bytes < stored,
        "what was there isn't copied again"
    );
    assert_eq!(objects(&slow).await, objects(&good).await);
    let verified = engine.verify(VerifyRequest::new(places.clone())).await;
    assert_eq!(verified.exit_code(), 0, "{verified:?}");
    let again = engine.sync(SyncRequest::new(places)).await;
    assert!(
        again.backups.is_empty() && again.exit_code() == 0,
        "{again:?}"
    );
    assert_idle(&engine);
}

#[tokio::test]
async fn a_gap_is_filled_with_nothing_but_what_was_verified() {
    let engine = small(Executor::Threads(2));
    let flips = Fault::new(Operation::Read, When::From(1), What::FlipBit).on_keys_with(".jsonl");
    let ((good, near), (other, far)) = (store("near"), store("far"));
    let how = (StrategyKind::Any, Duration::from_secs(10));
    let report = backup(&engine, how, std::slice::from_ref(&near)).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    let plan = FaultPlan::new(1).with(flips);
    let broken = place("near", FaultSink::new(Arc::new(good.clone()), plan));
    let synced = engine
        .sync(SyncRequest::new(vec![broken, far.clone()]))
        .await;
    assert_eq!(synced.exit_code(), 13, "{synced:?}");
    assert!(
        engine
            .list(std::slice::from_ref(&far))
            .await
            .backups
            .is_empty()
    );
    // Begun, and gone on with.
    let synced = engine.sync(SyncRequest::new(vec![near, far])).await;
    assert_eq!(synced.exit_code(), 0, "{synced:?}");
    assert_eq!(objects(&other).await, objects(&good).await);
    assert_idle(&engine);
}

#[tokio::test]
async fn a_run_that_waits_completes_who_was_left_behind() {
    let engine = small(Executor::Threads(2));
    let once = Fault::new(Operation::Write, When::Nth(60), What::Stall);
    let ((good, near), (slow, far)) = (store("near"), failing("far", once));
    let mut asked = request(&records(6000), &[near, far]);
    asked.strategy = StrategyKind::Any;
    asked.lag_patience = Duration::from_millis(200);
    asked.catch_up = CatchUp::Wait;
    let report = engine.backup(asked).await;
    assert_eq!(
        (report.status, report.exit_code()),
        (RunStatus::Completed, 0),
        "{report:?}"
    );
    assert_eq!(report.destinations[1].status, DestinationStatus::Committed);
    assert_eq!(
        report.destinations[1].segments,
        report.destinations[0].segments
    );
    assert_eq!(objects(&slow).await, objects(&good).await);
    assert_idle(&engine);
}

#[tokio::test]
async fn a_quorum_that_is_only_met_by_who_was_left_behind_is_met() {
    let engine = small(Executor::Threads(2));
    let once = Fault::new(Operation::Write, When::Nth(60), What::Stall);
    let unpublished = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent));
    let (_, far) = failing("far", once);
    let (_, third) = failing("third", unpublished.on_keys_with("/manifest.json"));
    let mut asked = request(&records(6000), &[store("near").1, far, third]);
    asked.strategy = StrategyKind::Quorum(2);
    asked.lag_patience = Duration::from_millis(200);
    asked.catch_up = CatchUp::Wait;
    let report = engine.backup(asked).await;
    let statuses: Vec<_> = report.destinations.iter().map(|at| at.status).collect();
    assert_eq!(
        statuses,
        [
            DestinationStatus::Committed,
            DestinationStatus::Committed,
            DestinationStatus::Unknown
        ]
    );
    assert_eq!(
        (report.status, report.exit_code()),
        (RunStatus::Degraded, 3),
        "{report:?}"
    );
    assert!(report.error.is_none(), "{report:?}");
}

#[tokio::test]
async fn a_copy_that_is_completed_and_cannot_be_read_again_may_be_there() {
    let engine = small(Executor::Threads(2));
    let sink = MemorySink::new("far");
    let stalls = Fault::new(Operation::Write, When::Nth(60), What::Stall);
    let unread = Fault::new(Operation::Read, When::From(1), What::Fail(Class::Permanent));
    let plan = FaultPlan::new(1)
        .with(stalls)
        .with(unread.on_keys_with("/manifest.json"));
    let far = place("far", FaultSink::new(Arc::new(sink), plan));
    let mut asked = request(&records(6000), &[store("near").1, far]);
    asked.strategy = StrategyKind::Any;
    asked.lag_patience = Duration::from_millis(200);
    asked.catch_up = CatchUp::Wait;
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), 3, "{report:?}");
    assert_eq!(report.destinations[1].status, DestinationStatus::Unknown);
    assert!(report.destinations[1].error.is_some(), "{report:?}");
}

/// What becomes of a run with one that answers only once the other has all the data, just after `meanwhile` was done.
async fn spilling(
    strategy: StrategyKind,
    temp_dir: &Path,
    meanwhile: impl Fn(&Path) + Send + Sync + 'static,
) -> (BackupReport, MemorySink, MemorySink) {
    let engine = Engine::builder()
        .budget_bytes(1 << 20)
        .temp_dir(temp_dir)
        .build()
        .expect("an engine");
    let (good, near) = store("near");
    let (opener, gate) = watch::channel(false);
    let slow = MemorySink::new("far");
    let far = place("far", SpySink::gated(slow.clone(), gate));
    let mut asked = request(&records(6000), &[near, far]);
    (asked.strategy, asked.lag) = (strategy, Some(LagPolicy::Spill));
    let folder = temp_dir.to_owned();
    asked.observer = Some(Arc::new(move |event| {
        if let ProgressEvent::State {
            state: DestinationState::Prepared,
            ..
        } = event
            && !opener.send_replace(true)
        {
            meanwhile(&folder);
        }
    }));
    let report = engine.backup(asked).await;
    assert_idle(&engine);
    (report, good, slow)
}

#[tokio::test]
async fn what_one_is_yet_to_be_sent_waits_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    for strategy in [StrategyKind::Any, StrategyKind::All] {
        let made = folder.path().join("made");
        let (report, good, slow) = spilling(strategy, &made, |_| ()).await;
        assert_eq!(report.exit_code(), 0, "{report:?}");
        let [near, far] = &report.destinations[..] else {
            panic!("two: {report:?}");
        };
        assert_eq!(near.spooled_bytes, 0);
        assert!(far.spooled_bytes > report.size / 2, "{report:?}");
        assert!(far.lag_bytes_max > report.size / 2, "{report:?}");
        assert_eq!(objects(&slow).await, objects(&good).await);
        assert_eq!(std::fs::read_dir(&made).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn where_all_that_are_left_spill_nobody_waits_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::builder()
        .budget_bytes(1 << 20)
        .temp_dir(folder.path())
        .build()
        .expect("an engine");
    let ends = Fault::new(
        Operation::Write,
        When::From(120),
        What::Fail(Class::Permanent),
    );
    let (_, near) = failing("near", ends);
    let (opener, gate) = watch::channel(false);
    let slow = ["far", "farther"].map(MemorySink::new);
    let mut places = vec![near];
    for (name, sink) in ["far", "farther"].into_iter().zip(&slow) {
        places.push(place(name, SpySink::gated(sink.clone(), gate.clone())));
    }
    let mut asked = request(&records(6000), &places);
    (asked.strategy, asked.lag) = (StrategyKind::Any, Some(LagPolicy::Spill));
    asked.observer = Some(Arc::new(move |event| {
        if let ProgressEvent::State {
            state: DestinationState::Down,
            ..
        } = event
        {
            opener.send_replace(true);
        }
    }));
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), 3, "{report:?}");
    let spooled = report.destinations.iter().map(|at| at.spooled_bytes);
    assert!(spooled.skip(1).all(|bytes| bytes > 0), "{report:?}");
    let [one, other] = &slow;
    assert_eq!(objects(one).await, objects(other).await);
    assert_idle(&engine);
}

#[tokio::test]
async fn one_for_whom_the_disk_has_no_room_leaves_the_pass() {
    let engine = small(Executor::Threads(2));
    let mut far = stalling("far", 9).1;
    far.lag = Some(LagPolicy::Spill);
    let mut asked = request(&records(6000), &[store("near").1, far]);
    asked.strategy = StrategyKind::Any;
    asked.spill_bytes = 256 << 10;
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), 3, "{report:?}");
    let [near, far] = &report.destinations[..] else {
        panic!("two: {report:?}");
    };
    assert_eq!(near.status, DestinationStatus::Committed);
    assert_eq!(far.status, DestinationStatus::Behind);
    assert!(far.error.is_none(), "{far:?}");
    assert_idle(&engine);
}

/// Overwrites what this process has open in a folder, names or not.
#[cfg(target_os = "linux")]
fn spoil_open_files(folder: &Path) {
    for open in std::fs::read_dir("/proc/self/fd").expect("it can be") {
        let path = open.expect("it can be").path();
        // The folder's own handle, which is listed as well, is closed by now.
        let Ok(file) = std::fs::read_link(&path) else {
            continue;
        };
        if file.starts_with(folder) {
            let bytes = std::fs::metadata(&path).expect("it can be").len();
            std::fs::write(&path, vec![0; usize::try_from(bytes).expect("it can be")])
                .expect("it can be");
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn bytes_that_changed_on_disk_fail_only_whom_they_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (report, good, slow) = spilling(StrategyKind::Any, folder.path(), spoil_open_files).await;
    assert_eq!(report.exit_code(), 3, "{report:?}");
    let [near, far] = &report.destinations[..] else {
        panic!("two: {report:?}");
    };
    assert_eq!(near.status, DestinationStatus::Committed);
    assert_eq!(far.status, DestinationStatus::Failed);
    assert_eq!(far.error.as_ref().unwrap().class, Class::Corrupt, "{far:?}");
    let manifest = |sink: &MemorySink| {
        let keys = sink.keys();
        keys.iter().any(|key| key.file_name() == "manifest.json")
    };
    assert!(manifest(&good) && !manifest(&slow));
}

#[tokio::test]
async fn a_folder_that_cannot_take_it_is_found_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (report, good, slow) = spilling(StrategyKind::Any, &file.join("tmp"), |_| ()).await;
    let error = report.error.expect("refused");
    assert!(error.message.contains("Not a directory"), "{error:?}");
    assert!(error.suggestion.unwrap().contains("--temp-dir"));
    assert!(good.keys().is_empty() && slow.keys().is_empty());
}
