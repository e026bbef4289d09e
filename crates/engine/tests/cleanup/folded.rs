//! Entries of a catalogue that a cleanup has folded into keys: what has one is a backup as any other, and whoever changes it finds the
//! entry as it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use teeline::sinks::{Fault, FaultPlan, FaultSink, MemorySink, Operation, What, When};
use teeline::{
    BackupId, BackupReport, Class, CleanupRequest, DeleteRequest, DestinationSpec, Engine,
    ListRequest, ListedStatus, RepairRequest, RepairStatus, RetentionPolicy, Sink, Span,
    SyncRequest, Which, exit,
};
use teeline_core::{ObjectKey, Withdrawal, WithdrawalReason, document, layout, published_marker};

use super::{DAY_MS, HOUR_MS, World, count, daily, is_gone, key, keys_about};
use crate::common::watched::{mortal, watched};
use crate::common::{place, request, store};

/// A store whose lists come in pages.
fn paged(name: &str) -> (MemorySink, DestinationSpec) {
    let sink = MemorySink::new(name).in_pages();
    (sink.clone(), place(name, sink))
}

/// What there is of a backup in a catalogue.
fn in_catalog(sink: &MemorySink, id: &BackupId) -> Vec<ObjectKey> {
    let is_there = |key: &ObjectKey| {
        let entry = published_marker::entry_of(key).unwrap_or_else(|| key.clone());
        layout::catalog_entry_id(&entry).as_ref() == Some(id)
    };
    sink.keys().into_iter().filter(is_there).collect()
}

fn is_folded(sink: &MemorySink, id: &BackupId) -> bool {
    let keys = in_catalog(sink, id);
    keys.len() == 1 && keys.iter().all(published_marker::is_folded)
}

/// Backups of ten days at one store, of which the oldest two are folded; the newest first.
async fn folded() -> (World, MemorySink, [DestinationSpec; 1], Vec<BackupId>) {
    let world = World::new();
    let (sink, spec) = paged("here");
    let at = [spec];
    let mut made = world.daily(9, &at).await;
    let report = world.cleanup(&at, daily(100)).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    made.reverse();
    let folded: Vec<bool> = made.iter().map(|id| is_folded(&sink, id)).collect();
    assert_eq!(folded, [[false; 6].as_slice(), &[true; 3]].concat());
    (world, sink, at, made)
}

#[tokio::test]
async fn what_is_older_than_any_run_is_folded_and_a_backup_as_any_other() {
    let (world, sink, at, made) = folded().await;
    world.assert_listed_and_whole(&at, &made).await;
    let restored = world.restore(&at, Which::Id(made[8].clone())).await;
    assert_eq!(restored.exit_code(), exit::DONE, "{restored:?}");

    let mut failed = ListRequest::new(at.to_vec());
    failed.status = ListedStatus::Failed;
    let failed = world.engine.list(failed).await;
    assert!(failed.backups.is_empty(), "{failed:?}");

    let before = sink.keys();
    let again = world.cleanup(&at, daily(100)).await;
    assert_eq!(again.exit_code(), exit::DONE, "{again:?}");
    assert_eq!(sink.keys(), before, "there is nothing more to do");

    let (other_sink, other) = store("other");
    let both = vec![at[0].clone(), other.clone()];
    let synced = world.engine.sync(SyncRequest::new(both)).await;
    assert_eq!(synced.exit_code(), exit::DONE, "{synced:?}");
    world
        .assert_listed_and_whole(std::slice::from_ref(&other), &made)
        .await;
    let report = world.cleanup(&[other], daily(100)).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    let any = made.iter().any(|id| is_folded(&other_sink, id));
    assert!(!any, "where a list costs nothing, nothing is gained");
}

async fn link(world: &World, at: &[DestinationSpec]) -> BackupReport {
    let mut asked = request(&world.lines, at);
    asked.backup_type = "incremental".parse().unwrap();
    world.engine.backup(asked).await
}

#[tokio::test]
async fn a_link_goes_on_from_one_that_is_folded_and_keeps_it() {
    let world = World::new();
    let (sink, spec) = paged("here");
    let at = [spec];
    let parent = world.backup(&at).await;
    world.wait(8 * DAY_MS);
    world.cleanup(&at, daily(100)).await;
    assert!(is_folded(&sink, &parent));
    let made = link(&world, &at).await;
    assert_eq!(made.exit_code(), exit::DONE, "{made:?}");
    assert_eq!(made.parent.as_ref().map(|parent| &parent.id), Some(&parent));
    let id = made.id.unwrap();
    let refused = world.delete(&at, &parent).await;
    assert!(refused.error.is_some(), "{refused:?}");
    world.wait(8 * DAY_MS);
    let report = world.cleanup(&at, count(1)).await;
    assert_eq!(
        (report.count, report.exit_code()),
        (0, exit::DONE),
        "{report:?}"
    );
    assert!(is_folded(&sink, &parent) && is_folded(&sink, &id));
    world.assert_listed_and_whole(&at, &[id, parent]).await;
}

#[tokio::test]
async fn what_is_folded_goes_as_any_other_and_comes_back_as_any_other() {
    let (world, sink, at, made) = folded().await;
    let oldest = &made[8];
    let report = world.delete(&at, oldest).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    world.assert_listed_and_whole(&at, &made[..8]).await;
    let withdrawal = keys_about(&sink, oldest);
    let withdrawal = withdrawal.iter().find(|key| key.ends_with(".withdrawn"));
    sink.delete(&key(withdrawal.unwrap())).await.unwrap();
    world.assert_listed_and_whole(&at, &made).await;

    let report = world.delete_at_once(&at, oldest).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert!(is_gone(&sink, oldest), "{:?}", keys_about(&sink, oldest));
    let policy = RetentionPolicy {
        grace: Span::default(),
        ..RetentionPolicy::new(count(1))
    };
    let request = CleanupRequest::new(at.to_vec(), policy);
    let report = world.engine.cleanup(request).await;
    assert_eq!(
        (report.count, report.exit_code()),
        (7, exit::DONE),
        "{report:?}"
    );
    assert!(made[1..].iter().all(|id| is_gone(&sink, id)));
    world.assert_listed_and_whole(&at, &made[..1]).await;
}

#[tokio::test]
async fn whatever_is_lost_or_damaged_of_one_heals() {
    let manifest = |id: &BackupId| key(&format!("{id}/manifest.json"));
    for harm in ["key", "another", "manifest", "damaged manifest"] {
        let world = World::new();
        let ((sink, here), (_, there)) = (paged("here"), paged("there"));
        let at = [here, there];
        let id = world.backup(&at).await;
        world.wait(8 * DAY_MS);
        world.cleanup(&at, daily(100)).await;
        let keys = in_catalog(&sink, &id);
        let entry = published_marker::entry_of(&keys[0]).unwrap();
        match harm {
            "key" => sink.delete(&keys[0]).await.unwrap(),
            "another" => {
                let folder = published_marker::folded_folder_of(&entry).unwrap();
                sink.overwrite(&folder.join("AAAA").unwrap(), b"");
            }
            "manifest" => sink.delete(&manifest(&id)).await.unwrap(),
            _ => sink.overwrite(&manifest(&id), b"{}"),
        }
        let request = RepairRequest::heal(at.to_vec());
        let report = world.engine.repair(request).await;
        assert_eq!(report.exit_code(), exit::DONE, "{harm}: {report:?}");
        let became = report.runs[0].destinations.iter().map(|copy| copy.status);
        let became: Vec<RepairStatus> = became.collect();
        let mended = match harm {
            // What it says besides is right.
            "another" => RepairStatus::Whole,
            _ => RepairStatus::Healed,
        };
        assert_eq!(became, [mended, RepairStatus::Whole], "{harm}");
        world
            .assert_listed_and_whole(&at[..1], std::slice::from_ref(&id))
            .await;
        let is_object = sink.keys().contains(&entry);
        assert_eq!(is_object, harm != "another", "{harm}");

        world.wait(8 * DAY_MS);
        let report = world.cleanup(&at, daily(100)).await;
        assert_eq!(report.exit_code(), exit::DONE, "{harm}: {report:?}");
        assert!(
            is_folded(&sink, &id),
            "{harm}: {:?}",
            in_catalog(&sink, &id)
        );
        world.assert_listed_and_whole(&at[..1], &[id]).await;
    }
}

#[tokio::test]
async fn where_its_manifest_is_gone_the_entry_stays_one() {
    let (world, sink, at, made) = folded().await;
    let oldest = &made[8];
    sink.delete(&key(&format!("{oldest}/manifest.json")))
        .await
        .unwrap();
    let report = world.cleanup(&at, daily(100)).await;
    assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");
    let left = in_catalog(&sink, oldest);
    assert!(
        layout::catalog_entry_id(&left[0]).is_some() && left.len() == 1,
        "{left:?}"
    );
    let rebuilt = RepairRequest::rebuild_manifests(at.to_vec());
    let rebuilt = world.engine.repair(rebuilt).await;
    assert_eq!(rebuilt.exit_code(), exit::DONE, "{rebuilt:?}");
    world.assert_listed_and_whole(&at, &made).await;
}

/// Folds and, where `goes`, removes a backup at a store that dies after so many calls; whether that lived to the end.
async fn one_death(calls: u64, goes: bool) -> bool {
    let world = World::new();
    let (sink, spec) = paged("here");
    let at = [spec];
    let old = world.backup(&at).await;
    world.wait(8 * DAY_MS);
    if goes {
        world.cleanup(&at, daily(100)).await;
        assert!(is_folded(&sink, &old));
    }
    let newest = world.backup(&at).await;
    let clean = async |at: &[DestinationSpec]| match goes {
        true => world.delete_at_once(at, &old).await.exit_code(),
        false => world.cleanup(at, daily(100)).await.exit_code(),
    };
    let code = clean(&[mortal(&sink, "here", calls)]).await;
    // Where it dies while it looks whether it may fold, that is no failure.
    let lived = code == exit::DONE && (goes || is_folded(&sink, &old));
    let both = [newest.clone(), old.clone()];
    let left = if goes { &both[..1] } else { &both[..] };
    if !goes {
        world.assert_listed_and_whole(&at, left).await;
    }
    world.wait(2 * HOUR_MS);
    assert_eq!(clean(&at).await, exit::DONE, "after {calls} calls");
    world.assert_listed_and_whole(&at, left).await;
    match goes {
        true => assert!(is_gone(&sink, &old), "{:?}", keys_about(&sink, &old)),
        false => assert!(is_folded(&sink, &old), "after {calls} calls"),
    }
    lived
}

#[tokio::test]
async fn wherever_it_breaks_off_nothing_is_lost_and_the_next_one_finishes() {
    for goes in [false, true] {
        let mut calls = 0;
        while !one_death(calls, goes).await {
            calls += 1;
            assert!(calls < 1_000);
        }
        assert!(calls > 10, "it died at every call: {calls}");
    }
}

#[tokio::test]
async fn where_nothing_may_be_deleted_nothing_is_folded_and_that_is_no_failure() {
    let world = World::new();
    let (sink, spec) = paged("here");
    let at = [spec];
    let old = world.backup(&at).await;
    world.wait(8 * DAY_MS);
    let before = sink.keys();
    let refused = Fault::new(
        Operation::Delete,
        When::From(1),
        What::Fail(Class::Permanent),
    );
    let faulty = FaultSink::new(Arc::new(sink.clone()), FaultPlan::new(1).with(refused));
    let report = world.cleanup(&[place("here", faulty)], daily(100)).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    let mut now = sink.keys();
    now.retain(|key| !key.as_str().starts_with("runs/clock-"));
    assert_eq!(now, before);
    world.assert_listed_and_whole(&at, &[old]).await;
}

#[tokio::test]
async fn what_is_folded_outlives_a_sweep_that_was_wrong() {
    let world = World::new();
    let (sink, spec) = paged("here");
    let at = [spec];
    let old = world.backup(&at).await;
    world.wait(8 * DAY_MS);
    world.cleanup(&at, daily(100)).await;
    let entry = published_marker::entry_of(&in_catalog(&sink, &old)[0]).unwrap();
    // As a cleanup leaves it that took the run for dead, while its manifest was away, and died.
    let sweep = layout::sweep(&entry).unwrap();
    let withdrawal = Withdrawal {
        id: old.clone(),
        path: Some(old.to_string()),
        withdrawn_at: "2026-12-01T12:00:00.000Z".parse().unwrap(),
        reason: WithdrawalReason::DeadRun,
        by: None,
    };
    sink.put(&sweep, document::seal(&withdrawal)).await.unwrap();
    world.wait(2 * HOUR_MS);
    let report = world.cleanup(&at, daily(100)).await;
    assert_eq!(report.exit_code(), exit::DEGRADED, "{report:?}");
    assert!(!sink.keys().contains(&sweep));
    world.assert_listed_and_whole(&at, &[old]).await;
}

/// Who is at work at a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Cleanup,
    Repair,
    Delete,
}

impl Who {
    /// Works there, without an executor around.
    fn works(self, engine: &Engine, at: &[DestinationSpec], id: &BackupId) {
        match self {
            Who::Cleanup => {
                let policy = RetentionPolicy::new(daily(100));
                engine.cleanup_blocking(CleanupRequest::new(at.to_vec(), policy));
            }
            Who::Repair => {
                engine.repair_blocking(RepairRequest::heal(at.to_vec()));
            }
            Who::Delete => {
                let mut request = DeleteRequest::new(at.to_vec(), id.clone());
                request.retention.grace = Span::default();
                engine.delete_blocking(request);
            }
        }
    }
}

/// At the call of this number of one, at the first of two stores, another one works from its beginning to its end; whether it came to that.
async fn one_meeting(one: Who, other: Who, is_folded_before: bool, call: u64) -> bool {
    let about = format!("{other:?} at call {call} of {one:?}, folded before: {is_folded_before}");
    let world = World::new();
    let ((sink, here), (_, there)) = (paged("here"), paged("there"));
    let at = [here, there];
    let id = world.backup(&at).await;
    world.wait(8 * DAY_MS);
    if is_folded_before {
        world.cleanup(&at, daily(100)).await;
    }
    if [one, other].contains(&Who::Repair) {
        sink.overwrite(&key(&format!("{id}/manifest.json")), b"{}");
    }
    let (calls, has_met) = (AtomicU64::new(0), Arc::new(AtomicBool::new(false)));
    let meets = {
        let (at, id, has_met) = (at.clone(), id.clone(), Arc::clone(&has_met));
        move |_: Operation, _: Option<&ObjectKey>| {
            if calls.fetch_add(1, Ordering::Relaxed) == call {
                has_met.store(true, Ordering::Relaxed);
                let (at, id) = (at.clone(), id.clone());
                let works = move || {
                    let world = World::at("2026-12-01T12:00:00.000Z".parse().unwrap());
                    other.works(&world.engine, &at, &id);
                };
                std::thread::spawn(works).join().unwrap();
            }
            Ok(())
        }
    };
    let through = [watched(&sink, "here", meets), at[1].clone()];
    let (engine, meeting) = (world.engine.clone(), id.clone());
    let works = move || one.works(&engine, &through, &meeting);
    tokio::task::spawn_blocking(works).await.unwrap();
    if !has_met.load(Ordering::Relaxed) {
        return false;
    }

    let here = &at[..1];
    if [one, other].contains(&Who::Delete) {
        assert!(
            world.listed(here).await.is_empty(),
            "{about}: {:?}",
            keys_about(&sink, &id)
        );
        world.wait(2 * HOUR_MS);
        world.delete_at_once(here, &id).await;
        world.cleanup(here, daily(100)).await;
        assert!(is_gone(&sink, &id), "{about}: {:?}", keys_about(&sink, &id));
    } else {
        let listed = world.engine.list(here).await;
        assert_eq!(
            listed.backups.len(),
            1,
            "{about}: {:?}",
            in_catalog(&sink, &id)
        );
        let request = RepairRequest::heal(at.to_vec());
        let report = world.engine.repair(request).await;
        assert_eq!(report.exit_code(), exit::DONE, "{about}: {report:?}");
        world
            .assert_listed_and_whole(here, std::slice::from_ref(&id))
            .await;
        world.wait(8 * DAY_MS);
        world.cleanup(here, daily(100)).await;
        assert!(
            is_folded(&sink, &id),
            "{about}: {:?}",
            in_catalog(&sink, &id)
        );
        world.assert_listed_and_whole(here, &[id]).await;
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_meets_whom_there_a_backup_stays_and_what_is_deleted_goes() {
    for (one, other) in [
        (Who::Cleanup, Who::Cleanup),
        (Who::Cleanup, Who::Repair),
        (Who::Repair, Who::Cleanup),
        (Who::Cleanup, Who::Delete),
        (Who::Delete, Who::Cleanup),
    ] {
        for is_folded_before in [false, true] {
            let mut call = 0;
            while one_meeting(one, other, is_folded_before, call).await {
                call += 1;
            }
            assert!(call > 3, "{other:?} met {one:?} at every call: {call}");
        }
    }
}
