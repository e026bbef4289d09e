//! What dead runs have left goes, and what may still be wanted doesn't.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use teeline::sinks::{Fault, FaultPlan, FaultSink, MemorySink, Operation, What, When};
use teeline::{
    BackupError, BackupId, Class, DestinationSpec, Operation as Tried, RemovalStatus,
    RepairRequest, Resume, Retention, Sink, SyncRequest, WithdrawalReason, exit,
};
use teeline_core::{ObjectKey, Withdrawal, document, layout, published_marker};

use super::{DAY_MS, HOUR_MS, KILLED, World, is_gone, key, keys_about, lose, removals};
use crate::common::watched::watched;
use crate::common::{any_of, failing, place, request, store};

/// A run that ends before it has published, and says so.
async fn failed() -> (World, MemorySink, [DestinationSpec; 1], BackupId) {
    let world = World::new();
    let fault = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent));
    let (sink, spec) = failing("here", fault.on_keys_with(".index"));
    let report = world
        .engine
        .backup(request(&world.lines, std::slice::from_ref(&spec)))
        .await;
    assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
    (world, sink, [spec], report.id.unwrap())
}

/// A run that was killed: these of its files are gone, as if they hadn't been written yet.
async fn killed(lacking: &[&str]) -> (World, MemorySink, [DestinationSpec; 1], BackupId) {
    let world = World::new();
    let (sink, spec) = store("here");
    let id = world.backup(std::slice::from_ref(&spec)).await;
    lose(&sink, lacking).await;
    (world, sink, [spec], id)
}

#[tokio::test]
async fn what_a_failed_run_left_goes_when_it_is_old_enough() {
    let (world, sink, at, id) = failed().await;
    world.wait(7 * DAY_MS - HOUR_MS);
    let early = world.cleanup(&at, Retention::default()).await;
    assert!(removals(&early).is_empty(), "{early:?}");
    assert!(keys_about(&sink, &id).len() > 1);

    world.wait(HOUR_MS);
    let late = world.cleanup(&at, Retention::default()).await;
    assert_eq!((late.count, late.exit_code()), (0, exit::DONE), "{late:?}");
    let removal = removals(&late)[0];
    assert_eq!(
        (removal.status, removal.reason),
        (RemovalStatus::Removed, Some(WithdrawalReason::DeadRun))
    );
    let left = keys_about(&sink, &id);
    assert!(
        left.len() == 1 && left[0].starts_with("runs/"),
        "why it failed stays: {left:?}"
    );
    let status = world.engine.status(&at, &id).await;
    assert_eq!(status.status, teeline::BackupState::Failed, "{status:?}");
    assert_eq!(status.timestamp, id.began());
    let error = status.error.as_ref().expect("it is said why");
    assert_eq!(error.class, Class::Permanent, "{error:?}");
    assert_eq!(status.exit_code(), exit::DONE);
}

#[tokio::test]
async fn what_a_killed_run_left_goes_as_well() {
    let (world, sink, at, id) =
        killed(&["manifest.json", "runs/", "catalog/", "~0002.index"]).await;
    world.wait(7 * DAY_MS);
    let report = world.cleanup(&at, Retention::default()).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert_eq!(removals(&report)[0].status, RemovalStatus::Removed);
    assert_eq!(keys_about(&sink, &id), [""; 0]);
}

#[tokio::test]
async fn a_sweep_that_broke_off_is_gone_on_with() {
    let (world, sink, _, id) = killed(&KILLED).await;
    world.wait(7 * DAY_MS);
    // As far as its withdrawal and the first files.
    let other = MemorySink::new("elsewhere");
    for moved in sink.keys() {
        other.overwrite(&moved, &crate::common::whole(&sink, &moved).await);
    }
    let elsewhere = [crate::common::place("here", other.clone())];
    world.cleanup(&elsewhere, Retention::default()).await;
    assert_eq!(keys_about(&other, &id), [""; 0]);
    let claim = crate::common::whole(&sink, &key(&format!("{id}/run.json"))).await;
    let entry = sink
        .keys()
        .into_iter()
        .find(|key| key.as_str().starts_with("catalog/"))
        .unwrap();
    let withdrawal = teeline_core::document::seal(&teeline_core::Withdrawal {
        id: id.clone(),
        path: Some(id.to_string()),
        withdrawn_at: "2026-11-30T12:00:00.000Z".parse().unwrap(),
        reason: WithdrawalReason::DeadRun,
        by: None,
    });
    other.overwrite(&teeline_core::layout::sweep(&entry).unwrap(), &withdrawal);
    other.overwrite(&key(&format!("{id}/run.json")), &claim);
    // Whoever has put that may be at work for an hour.
    let report = world.cleanup(&elsewhere, Retention::default()).await;
    let left = &removals(&report)[0];
    assert_eq!(left.status, RemovalStatus::Withdrawn, "{report:?}");
    assert_eq!(keys_about(&other, &id).len(), 2);
    world.wait(2 * HOUR_MS);
    let report = world.cleanup(&elsewhere, Retention::default()).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert_eq!(keys_about(&other, &id), [""; 0], "and what withdrew it");
}

/// Puts what withdraws a run that was taken for dead, and nothing more: whoever did so has died, or is about to look.
async fn begin_sweep(sink: &MemorySink, id: &BackupId) {
    let mut keys = sink.keys().into_iter();
    let entry = keys.find(|key| layout::catalog_entry_id(key).as_ref() == Some(id));
    let withdrawal = document::seal(&Withdrawal {
        id: id.clone(),
        path: Some(id.to_string()),
        withdrawn_at: "2026-11-30T12:00:00.000Z".parse().unwrap(),
        reason: WithdrawalReason::DeadRun,
        by: None,
    });
    sink.overwrite(&layout::sweep(&entry.unwrap()).unwrap(), &withdrawal);
}

#[tokio::test]
async fn what_was_published_while_it_was_taken_for_dead_is_not_swept() {
    let world = World::new();
    let (sink, spec) = store("here");
    let at = [spec];
    let id = world.backup(&at).await;
    let before = sink.keys();
    begin_sweep(&sink, &id).await;
    assert!(world.listed(&at).await.is_empty());
    world.wait(8 * DAY_MS);
    let report = world.cleanup(&at, Retention::default()).await;
    let kept = &removals(&report)[0];
    assert_eq!(kept.status, RemovalStatus::Failed, "{report:?}");
    let error = kept.error.as_ref().unwrap();
    assert!(error.message.contains("published meanwhile"), "{error:?}");
    assert_eq!(sink.keys(), before, "and the sweep is taken back");
    world
        .assert_listed_and_whole(&at, std::slice::from_ref(&id))
        .await;

    // Where some of it is gone already, the manifest makes no backup of the rest.
    lose(&sink, &["~0002.index"]).await;
    begin_sweep(&sink, &id).await;
    let report = world.cleanup(&at, Retention::default()).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert!(
        keys_about(&sink, &id)
            .iter()
            .all(|key| key.starts_with("runs/"))
    );
}

/// A 404 to a HEAD may be a page of somebody in between, as no answer to it has words.
fn page() -> Result<(), BackupError> {
    let message = "there is no such page";
    Err(BackupError::new(Class::NotFound, "ask for", "it", message))
}

/// A store where, once somebody is about to remove what is swept, HEADs of keys that end so are answered by somebody in between, so often.
fn denied_while_it_is_swept(sink: &MemorySink, end: &'static str, times: u64) -> DestinationSpec {
    let (sweeps, denied) = (AtomicU64::new(0), AtomicU64::new(0));
    watched(sink, "here", move |operation, key| match key {
        Some(key) if operation == Operation::Head && key.as_str().ends_with(".swept") => {
            sweeps.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
        Some(key) if operation == Operation::Head && key.as_str().ends_with(end) => {
            let is_denied =
                sweeps.load(Ordering::SeqCst) > 1 && denied.fetch_add(1, Ordering::SeqCst) < times;
            if is_denied { page() } else { Ok(()) }
        }
        _ => Ok(()),
    })
}

#[tokio::test]
async fn a_proxy_that_knows_of_no_file_of_a_backup_has_none_swept() {
    let world = World::new();
    let (sink, spec) = store("here");
    let at = [spec];
    let id = world.backup(&at).await;
    let before = sink.keys();
    let mut keys = before.iter();
    let entry = keys.find(|key| layout::catalog_entry_id(key).as_ref() == Some(&id));
    let entry: &'static str = entry.unwrap().file_name().to_owned().leak();
    world.wait(8 * DAY_MS);
    for file in ["manifest.json", "run.json", entry, ".gz", "~0002.index"] {
        for times in [1, 2, u64::MAX] {
            begin_sweep(&sink, &id).await;
            world.wait(3 * HOUR_MS);
            let denied = denied_while_it_is_swept(&sink, file, times);
            let report = world.cleanup(&[denied], Retention::default()).await;
            let kept = &removals(&report)[0];
            assert_eq!(kept.status, RemovalStatus::Failed, "{file}: {report:?}");
            let left = sink.keys();
            let lost = before.iter().find(|key| !left.contains(key));
            assert_eq!(lost, None, "{file}, {times} times: {report:?}");
        }
    }
    begin_sweep(&sink, &id).await;
    world.wait(3 * HOUR_MS);
    world.cleanup(&at, Retention::default()).await;
    assert_eq!(sink.keys(), before, "and the sweep is taken back");
    world.assert_listed_and_whole(&at, &[id]).await;
}

/// A store where this happens when somebody asks for the second time whether an object is there whose key ends so: who goes on with what
/// is withdrawn reads it first, and asks again before anything is removed.
fn when_asked_again(
    sink: &MemorySink,
    end: &'static str,
    happens: impl Fn(&ObjectKey) -> Result<(), BackupError> + Send + Sync + 'static,
) -> DestinationSpec {
    let asked = AtomicU64::new(0);
    watched(sink, "here", move |operation, key| match key {
        Some(key) if operation == Operation::Head && key.as_str().ends_with(end) => {
            match asked.fetch_add(1, Ordering::SeqCst) {
                1 => happens(key),
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    })
}

#[tokio::test]
async fn what_came_since_a_leftover_sweep_was_listed_is_not_swept_by_it() {
    let (world, sink, at, id) = killed(&[]).await;
    let mut whole = Vec::new();
    for key in sink.keys() {
        whole.push((key.clone(), crate::common::whole(&sink, &key).await));
    }
    begin_sweep(&sink, &id).await;
    lose(&sink, &KILLED).await;
    world.wait(8 * DAY_MS);
    // Another one has gone on with it and removed all, and a sync has brought the backup back.
    let inner = sink.clone();
    let late = when_asked_again(&sink, ".swept", move |sweep| {
        futures::executor::block_on(inner.delete(sweep))?;
        for (key, bytes) in &whole {
            inner.overwrite(key, bytes);
        }
        Ok(())
    });
    let report = world.cleanup(&[late], Retention::default()).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    world.assert_listed_and_whole(&at, &[id]).await;
}

#[tokio::test]
async fn what_is_not_withdrawn_any_more_stays() {
    let world = World::new();
    let (sink, spec) = store("here");
    let id = world.backup(std::slice::from_ref(&spec)).await;
    world.delete(std::slice::from_ref(&spec), &id).await;
    world.wait(30 * DAY_MS);
    // Somebody has wanted it back, right before its grace is over for the one who looks.
    let inner = sink.clone();
    let late = when_asked_again(&sink, ".withdrawn", move |withdrawal| {
        futures::executor::block_on(inner.delete(withdrawal))
    });
    let report = world.cleanup(&[late], Retention::default()).await;
    let left = removals(&report)[0];
    assert_eq!(left.status, RemovalStatus::Failed, "{report:?}");
    let error = left.error.as_ref().unwrap();
    assert!(error.message.contains("isn't withdrawn any more"));
    world.assert_listed_and_whole(&[spec], &[id]).await;
}

#[tokio::test]
async fn a_backup_that_may_have_lost_its_manifest_is_left() {
    let (world, sink, at, id) = killed(&["manifest.json", "runs/", "catalog/"]).await;
    world.wait(30 * DAY_MS);
    let before = sink.keys();
    let report = world.cleanup(&at, Retention::default()).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    let left = removals(&report)[0];
    assert_eq!(left.status, RemovalStatus::Left);
    let suggestion = left.error.as_ref().unwrap().suggestion.as_ref().unwrap();
    assert!(
        suggestion.contains("repair") && suggestion.contains(id.as_str()),
        "{suggestion}"
    );
    assert_eq!(sink.keys(), before);
    let mut named = RepairRequest::rebuild_manifests(at.to_vec());
    named.id = Some(id.clone());
    let repaired = world.engine.repair(named).await;
    assert_eq!(repaired.exit_code(), exit::DONE, "{repaired:?}");
    world.assert_listed_and_whole(&at, &[id]).await;
}

#[tokio::test]
async fn what_a_run_said_before_it_was_taken_up_and_published_is_outdated() {
    let world = World::new();
    let (_folder, path) = world.file();
    let fault = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent));
    let (sink, spec) = failing("here", fault.on_keys_with(".index"));
    let failed = any_of(&world.engine, &path, &[spec], None).await;
    assert_eq!(failed.exit_code(), exit::FAILED, "{failed:?}");
    let (id, at) = (failed.id.unwrap(), [place("here", sink.clone())]);

    let no_record = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent));
    let plan = FaultPlan::new(1).with(no_record.on_keys_with("runs/"));
    let silent = place("here", FaultSink::new(Arc::new(sink.clone()), plan));
    let published = any_of(
        &world.engine,
        &path,
        &[silent],
        Some(Resume::Run(id.clone())),
    )
    .await;
    assert_eq!(published.id.as_ref(), Some(&id), "{published:?}");
    assert_eq!(world.listed(&at).await, std::slice::from_ref(&id));
    lose(&sink, &["manifest.json"]).await;
    world.wait(30 * DAY_MS);

    // The first one takes away what would have it listed by its entry alone.
    for _ in 0..2 {
        let report = world.cleanup(&at, Retention::default()).await;
        let left = removals(&report)[0];
        assert_eq!(left.status, RemovalStatus::Left, "{report:?}");
    }
    let mut named = RepairRequest::rebuild_manifests(at.to_vec());
    named.id = Some(id.clone());
    let repaired = world.engine.repair(named).await;
    assert_eq!(repaired.exit_code(), exit::DONE, "{repaired:?}");
    world.assert_listed_and_whole(&at, &[id]).await;
}

#[tokio::test]
async fn what_a_sync_has_completed_of_a_run_that_was_taken_up_was_published() {
    let world = World::new();
    let (_folder, path) = world.file();
    let fails = || {
        let fault = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent));
        fault.on_keys_with(".index")
    };
    let (here, at_here) = failing("here", fails());
    let (there, at_there) = failing("there", fails());
    let both = [at_here, at_there.clone()];
    let id = any_of(&world.engine, &path, &both, None).await.id.unwrap();
    let here = place("here", here);
    world.wait(HOUR_MS);
    let both = [here.clone(), at_there];
    let taken_up = any_of(&world.engine, &path, &both, Some(Resume::Run(id.clone()))).await;
    assert_eq!(taken_up.id.as_ref(), Some(&id), "{taken_up:?}");
    let at = [place("there", there.clone())];
    let all = vec![here, at[0].clone()];
    world.wait(HOUR_MS);
    let synced = world.engine.sync(SyncRequest::new(all)).await;
    assert_eq!(synced.exit_code(), exit::DONE, "{synced:?}");
    lose(&there, &["manifest.json"]).await;
    world.wait(30 * DAY_MS);
    for _ in 0..2 {
        let report = world.cleanup(&at, Retention::default()).await;
        let swept = removals(&report);
        let is_removed = |it: &teeline::Removal| it.status == RemovalStatus::Removed;
        assert!(!swept.into_iter().any(is_removed), "{report:?}");
    }
    let mut named = RepairRequest::rebuild_manifests(at.to_vec());
    named.id = Some(id.clone());
    let repaired = world.engine.repair(named).await;
    assert_eq!(repaired.exit_code(), exit::DONE, "{repaired:?}");
    world.assert_listed_and_whole(&at, &[id]).await;
}

#[tokio::test]
async fn a_lost_manifest_is_damage_and_nothing_is_removed() {
    let (world, sink, at, id) = killed(&["manifest.json"]).await;
    world.wait(30 * DAY_MS);
    let mut before = sink.keys();
    let report = world
        .cleanup(
            &at,
            Retention {
                count: 1,
                ..Retention::default()
            },
        )
        .await;
    assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");
    // But what marks it as published, which listings would go by.
    before.retain(|key| published_marker::entry_of(key).is_none());
    assert_eq!(sink.keys(), before);
    assert!(keys_about(&sink, &id).len() > 3);
}

#[tokio::test]
async fn a_folder_that_only_has_the_name_of_a_run_is_nobody_s() {
    let world = World::new();
    let (sink, spec) = store("here");
    let at = [spec];
    let id = world.backup(&at).await;
    let other = "full-2020-01-01T00-00-00-aaaaaaaaaa";
    for name in [
        format!("restored/{id}/events.jsonl"),
        format!("{other}/events.jsonl.gz"),
    ] {
        sink.put(&key(&name), "x".into()).await.unwrap();
    }
    world.wait(30 * DAY_MS);
    let before = sink.keys();
    let report = world.cleanup(&at, Retention::default()).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert!(removals(&report).is_empty(), "{report:?}");
    assert_eq!(sink.keys(), before);
}

#[tokio::test]
async fn what_was_swept_can_be_copied_there_again() {
    let world = World::new();
    let fault = Fault::new(Operation::Put, When::Nth(1), What::Fail(Class::Permanent));
    let (sink, broken) = failing("broken", fault.on_keys_with(".index"));
    let (_, good) = store("good");
    let mut degraded = request(&world.lines, &[good.clone(), broken.clone()]);
    degraded.strategy = teeline::StrategyKind::Any;
    let report = world.engine.backup(degraded).await;
    assert_eq!(report.exit_code(), exit::DEGRADED, "{report:?}");
    let id = report.id.unwrap();
    world.wait(8 * DAY_MS);
    let both = [good, broken];
    let cleaned = world.cleanup(&both, Retention::default()).await;
    assert_eq!(removals(&cleaned).len(), 1, "{cleaned:?}");
    assert!(
        keys_about(&sink, &id)
            .iter()
            .all(|key| key.starts_with("runs/"))
    );
    let synced = world.engine.sync(SyncRequest::new(both.to_vec())).await;
    assert_eq!(synced.exit_code(), exit::DONE, "{synced:?}");
    world.assert_listed_and_whole(&both[1..], &[id]).await;
}

#[tokio::test]
async fn a_run_that_may_be_going_on_is_neither_swept_nor_deleted() {
    let (world, sink, at, id) = killed(&KILLED).await;
    world.wait(6 * DAY_MS);
    let before = sink.keys();
    let report = world.cleanup(&at, Retention::default()).await;
    assert!(removals(&report).is_empty(), "{report:?}");
    let refused = world.delete_at_once(&at, &id).await;
    assert_eq!(refused.exit_code(), exit::FAILED, "{refused:?}");
    let error = refused.destinations[0].removal.error.clone().unwrap();
    assert_eq!(error.class, Class::Conflict);
    assert!(error.message.contains("may be going on"), "{error:?}");
    let failure = refused.failure.unwrap();
    assert_eq!(
        (failure.operation, failure.status_code, failure.retriable),
        (Tried::Delete, 409, false)
    );
    assert_eq!(failure.backup_id.as_ref(), Some(&id));
    assert!(!failure.suggestion.is_empty());
    assert_eq!(sink.keys(), before);

    // One that began in the future, by what it says, isn't old either.
    world.wait(-30 * DAY_MS);
    let report = world.cleanup(&at, Retention::default()).await;
    assert!(removals(&report).is_empty(), "{report:?}");

    world.wait(31 * DAY_MS);
    let deleted = world.delete_at_once(&at, &id).await;
    assert_eq!(deleted.exit_code(), exit::DONE, "{deleted:?}");
}

#[tokio::test]
async fn where_unfinished_uploads_cannot_be_listed_only_the_rules_are_carried_out() {
    let world = World::new();
    let fault = Fault::new(
        Operation::Unfinished,
        When::From(1),
        What::Fail(Class::Permanent),
    );
    let (sink, spec) = failing("here", fault);
    let at = [spec];
    let dead = world.backup(&at).await;
    lose(&sink, &KILLED).await;
    world.wait(8 * DAY_MS);
    let made = world.daily(2, &at).await;
    let before = keys_about(&sink, &dead);
    let rules = Retention {
        count: 1,
        ..Retention::default()
    };
    let report = world.cleanup(&at, rules).await;
    assert_eq!(
        (report.count, report.exit_code()),
        (1, exit::DEGRADED),
        "{report:?}"
    );
    world.wait(2 * DAY_MS);
    let report = world.cleanup(&at, rules).await;
    assert_eq!(
        removals(&report)[0].status,
        RemovalStatus::Removed,
        "{report:?}"
    );
    assert!(is_gone(&sink, &made[0]));
    assert_eq!(keys_about(&sink, &dead), before, "it may be going on");
}
