//! What a failing destination does to a run, by strategy.

mod common;

use common::{assert_idle, engine, failing, records, request, store};
use teeline::sinks::{Fault, Operation, What, When};
use teeline::{
    BackupReport, Class, DestinationSpec, DestinationStatus, Engine, Executor, RunStatus,
    StrategyKind, VerifyRequest,
};

/// The ways in which a destination dies before it publishes: from the start, part-way, at the end; by errors, by a panic.
fn deaths() -> Vec<Fault> {
    let fail = What::Fail(Class::Permanent);
    vec![
        Fault::new(Operation::Put, When::From(1), fail),
        Fault::new(Operation::Begin, When::From(2), fail),
        Fault::new(Operation::Write, When::From(9), fail),
        Fault::new(Operation::Commit, When::From(2), fail),
        Fault::new(Operation::Write, When::From(5), What::Panic),
        Fault::new(Operation::Write, When::Nth(6), What::FlipBit).on_keys_with(".jsonl"),
        Fault::new(Operation::Put, When::From(1), fail).on_keys_with("catalog/"),
        Fault::new(Operation::Put, When::From(1), What::Fail(Class::Transient))
            .on_keys_with("catalog/"),
    ]
}

async fn backup(
    engine: &Engine,
    strategy: StrategyKind,
    destinations: &[DestinationSpec],
) -> BackupReport {
    let mut request = request(&records(3000), destinations);
    request.strategy = strategy;
    engine.backup(request).await
}

fn statuses(report: &BackupReport) -> Vec<DestinationStatus> {
    report
        .destinations
        .iter()
        .map(|destination| destination.status)
        .collect()
}

#[tokio::test]
async fn all_lists_nothing_where_one_dies_before_publishing() {
    for death in deaths().into_iter().take(6) {
        let engine = engine(Executor::Threads(2));
        let ((_, good), (_, bad)) = (store("good"), failing("bad", death.clone()));
        let report = backup(&engine, StrategyKind::All, &[good.clone(), bad.clone()]).await;
        assert_eq!(
            (report.status, report.exit_code()),
            (RunStatus::Failed, 1),
            "{death:?}"
        );
        assert!(
            report.destinations[1].error.is_some(),
            "{death:?}: its own error"
        );
        assert_eq!(report.destinations[1].status, DestinationStatus::Failed);
        let good_error = report.destinations[0].error.as_ref().unwrap();
        assert!(
            good_error
                .message
                .ends_with("given up, since the run failed"),
            "{death:?}: {good_error:?}"
        );
        assert!(engine.list(&[good]).await.backups.is_empty(), "{death:?}");
        assert_idle(&engine);
    }
}

#[tokio::test]
async fn any_goes_on_without_the_dead_one() {
    for death in deaths() {
        let engine = engine(Executor::Threads(2));
        let ((_, good), (_, bad)) = (store("good"), failing("bad", death.clone()));
        let report = backup(&engine, StrategyKind::Any, &[bad, good.clone()]).await;
        assert_eq!(
            (report.status, report.exit_code()),
            (RunStatus::Degraded, 3),
            "{death:?}: {report:?}"
        );
        assert_eq!(
            statuses(&report),
            [DestinationStatus::Failed, DestinationStatus::Committed]
        );
        assert_eq!(
            engine.list(std::slice::from_ref(&good)).await.backups.len(),
            1
        );
        let verified = engine.verify(VerifyRequest::new(vec![good])).await;
        assert_eq!(verified.exit_code(), 0, "{verified:?}");
        assert_idle(&engine);
    }
}

#[tokio::test]
async fn a_quorum_of_two_needs_two() {
    let dead = || Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent));
    let engine = engine(Executor::Threads(2));
    let destinations = [store("a").1, store("b").1, failing("c", dead()).1];
    let report = backup(&engine, StrategyKind::Quorum(2), &destinations).await;
    assert_eq!(report.exit_code(), 3, "{report:?}");
    let destinations = [store("a").1, failing("b", dead()).1, failing("c", dead()).1];
    let report = backup(&engine, StrategyKind::Quorum(2), &destinations).await;
    assert_eq!(report.exit_code(), 1, "{report:?}");
    assert!(engine.list(&destinations[..1]).await.backups.is_empty());
    assert_idle(&engine);
}

#[tokio::test]
async fn priority_moves_on_with_a_pass_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("events.jsonl"), records(3000)).unwrap();
    let engine = engine(Executor::Threads(2));
    let dies = Fault::new(
        Operation::Write,
        When::From(3),
        What::Fail(Class::Permanent),
    );
    let destinations = [
        failing("first", dies).1,
        store("second").1,
        store("third").1,
    ];
    let source = teeline::JsonlSource::path(folder.path());
    let mut asked = teeline::BackupRequest::new(source, destinations.to_vec());
    asked.strategy = StrategyKind::Priority;
    asked.block_bytes = Some(4 << 10);
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), 3, "{report:?}");
    let expected = [
        DestinationStatus::Failed,
        DestinationStatus::Committed,
        DestinationStatus::Skipped,
    ];
    assert_eq!(statuses(&report), expected);
    assert_eq!(
        engine.list(&destinations[1..]).await.backups[0].record_count,
        3000
    );
    assert_idle(&engine);
}

#[tokio::test]
async fn a_pass_that_was_given_up_is_recorded_under_its_own_id() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("events.jsonl"), records(3000)).unwrap();
    let engine = teeline::Engine::builder().workers(1).build().unwrap();
    let refuses = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent));
    let (first, at_first) = failing("first", refuses.on_keys_with("catalog/"));
    let source = teeline::JsonlSource::path(folder.path());
    let mut asked = teeline::BackupRequest::new(source, vec![at_first, store("second").1]);
    asked.strategy = StrategyKind::Priority;
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), 3, "{report:?}");
    let made = report.id.unwrap();
    let keys = first.keys();
    let recorded = keys.iter().filter_map(teeline_core::layout::run_record_id);
    let given_up: Vec<_> = recorded.filter(|id| *id != made).collect();
    let [given_up] = &given_up[..] else {
        panic!("{given_up:?}")
    };
    let status = engine
        .status(&[common::place("first", first)], given_up)
        .await;
    assert_eq!(status.status, teeline::BackupState::Failed, "{status:?}");
}

#[tokio::test]
async fn a_later_pass_that_makes_nothing_has_no_numbers_of_an_earlier_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("events.jsonl"), records(3000)).unwrap();
    // No more than 16 chunks fit into it, so the source isn't read to its end before a destination has failed.
    let builder = teeline::Engine::builder().workers(1);
    let engine = builder.budget_bytes(1 << 20).build().unwrap();
    let fail = What::Fail(Class::Permanent);
    let at_the_end = Fault::new(Operation::Put, When::From(1), fail).on_keys_with("catalog/");
    let at_once = Fault::new(Operation::Put, When::From(1), fail);
    let destinations = vec![failing("first", at_the_end).1, failing("second", at_once).1];
    let source = teeline::JsonlSource::path(folder.path());
    let mut asked = teeline::BackupRequest::new(source, destinations);
    asked.strategy = StrategyKind::Priority;
    asked.block_bytes = Some(4 << 10);
    let report = engine.backup(asked).await;
    assert_eq!(report.exit_code(), 1, "{report:?}");
    assert_eq!(
        (report.record_count, report.size, report.checksum),
        (0, 0, None),
        "{report:?}"
    );
    assert!(report.resources.is_empty(), "{report:?}");
    assert_idle(&engine);
}

#[tokio::test]
async fn priority_is_refused_where_the_source_cannot_be_read_again() {
    let engine = engine(Executor::Threads(1));
    let report = backup(
        &engine,
        StrategyKind::Priority,
        &[store("a").1, store("b").1],
    )
    .await;
    assert_eq!(report.exit_code(), 2, "{report:?}");
}

#[tokio::test]
async fn a_required_destination_fails_the_run_whatever_the_strategy() {
    let engine = engine(Executor::Threads(2));
    let dies = Fault::new(
        Operation::Write,
        When::From(3),
        What::Fail(Class::Permanent),
    );
    let (mut bad, good) = (failing("bad", dies).1, store("good").1);
    bad.required = Some(true);
    let report = backup(&engine, StrategyKind::Any, &[bad, good.clone()]).await;
    assert_eq!(report.exit_code(), 1);
    assert!(engine.list(&[good]).await.backups.is_empty());
}

#[tokio::test]
async fn an_optional_destination_degrades_all() {
    let engine = engine(Executor::Threads(2));
    let dies = Fault::new(
        Operation::Write,
        When::From(3),
        What::Fail(Class::Permanent),
    );
    let (mut bad, good) = (failing("bad", dies).1, store("good").1);
    bad.required = Some(false);
    let report = backup(&engine, StrategyKind::All, &[bad, good.clone()]).await;
    assert_eq!(report.exit_code(), 3);
    assert_eq!(engine.list(&[good]).await.backups.len(), 1);
}

#[tokio::test]
async fn a_failure_between_publishes_says_where_the_backup_is_visible() {
    let engine = engine(Executor::Threads(2));
    let dies = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent))
        .on_keys_with("manifest.json");
    let (good, bad) = (store("good").1, failing("bad", dies).1);
    let report = backup(&engine, StrategyKind::All, &[good, bad]).await;
    assert_eq!(report.exit_code(), 1);
    assert_eq!(
        statuses(&report),
        [DestinationStatus::Committed, DestinationStatus::Unknown]
    );
    let error = report.error.expect("it says so");
    assert!(
        error.message.contains("half-published") && error.message.contains("good"),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_fails_once_the_manifest_is_being_written_may_be_visible() {
    let on =
        |operation, what| Fault::new(operation, When::From(1), what).on_keys_with("manifest.json");
    let fail = |class| What::Fail(class);
    let (unknown, failed) = (DestinationStatus::Unknown, DestinationStatus::Failed);
    for (fault, status, visible) in [
        (on(Operation::Read, fail(Class::Permanent)), unknown, 1),
        // What differs from one time to the next is damaged on its way; what is the same each time stands there, and is taken back.
        (on(Operation::Read, What::FlipBit), unknown, 1),
        (on(Operation::Put, What::FlipBit), unknown, 0),
        (
            on(Operation::DropCached, fail(Class::Permanent)),
            unknown,
            1,
        ),
        (on(Operation::Put, fail(Class::Permanent)), unknown, 0),
        (on(Operation::Put, What::Panic), unknown, 0),
        // What stands there is another one, so this one isn't there.
        (on(Operation::Put, fail(Class::Conflict)), failed, 0),
    ] {
        let engine = engine(Executor::Threads(2));
        let (store, to) = failing("one", fault.clone());
        let report = backup(&engine, StrategyKind::All, &[to]).await;
        assert_eq!(
            (report.exit_code(), statuses(&report)),
            (1, vec![status]),
            "{fault:?}: {report:?}"
        );
        let listed = engine.list(&[common::place("one", store)]).await;
        assert_eq!(listed.backups.len(), visible, "{fault:?}");
        assert_idle(&engine);
    }
}

#[tokio::test]
async fn a_lost_answer_to_publishing_is_made_good_by_the_retry() {
    let engine = engine(Executor::Threads(2));
    let lost =
        Fault::new(Operation::Put, When::Nth(1), What::LoseReply).on_keys_with("manifest.json");
    let report = backup(
        &engine,
        StrategyKind::All,
        &[failing("a", lost).1, store("b").1],
    )
    .await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!(report.destinations[0].retries, 1);
}

#[tokio::test]
async fn a_record_of_the_run_that_is_not_taken_is_said_in_the_report() {
    let engine = engine(Executor::Threads(2));
    let refuses = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent))
        .on_keys_with("runs/");
    let report = backup(
        &engine,
        StrategyKind::All,
        &[failing("a", refuses).1, store("b").1],
    )
    .await;
    assert_eq!(
        (report.exit_code(), report.destinations[1].error.is_none()),
        (0, true),
        "{report:?}"
    );
    assert_eq!(report.destinations[0].status, DestinationStatus::Committed);
    let error = report.destinations[0].error.as_ref().unwrap();
    assert!(error.message.contains("runs/"), "{error:?}");
}

#[tokio::test]
async fn destinations_that_fall_silent_at_the_end_hold_a_run_up_for_seconds_together() {
    let engine = engine(Executor::Threads(2));
    let silent = || Fault::new(Operation::Put, When::From(1), What::Stall).on_keys_with("runs/");
    let destinations = [failing("a", silent()).1, failing("b", silent()).1];
    let begun = std::time::Instant::now();
    let report = backup(&engine, StrategyKind::All, &destinations).await;
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert!(begun.elapsed().as_secs() < 15, "{:?}", begun.elapsed());
    for destination in &report.destinations {
        let error = destination.error.as_ref().unwrap();
        assert!(error.message.contains("no answer within"), "{error:?}");
    }
}
