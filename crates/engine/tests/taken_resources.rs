//! Destinations that take some resources only.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::{assert_idle, store, unmark, whole};
use teeline::sinks::MemorySink;
use teeline::{
    BackupId, BackupReport, BackupRequest, Class, CleanupRequest, CopyState, DestinationSpec,
    Engine, JsonlSource, RepairRequest, RepairStatus, ResourceGlobs, Retention, RetentionPolicy,
    Sink, StrategyKind, SyncRequest, SyncStatus, Timestamp, VerifyRequest, Which, WhichBackups,
    exit,
};
use teeline_core::{CatalogEntry, ObjectKey, document, layout};

/// A database of users and events, which goes to a destination each, and one for everything.
struct World {
    engine: Engine,
    folder: tempfile::TempDir,
    sinks: Vec<MemorySink>,
    at: Vec<DestinationSpec>,
}

/// One whose clock goes on whenever it is looked at.
fn engine() -> Engine {
    let begin: Timestamp = "2026-11-23T02:00:00.000Z".parse().unwrap();
    let now = AtomicI64::new(begin.unix_ms());
    let clock = move || Timestamp::from_unix_ms(now.fetch_add(1_000, Ordering::Relaxed));
    let builder = Engine::builder().workers(1).clock(Arc::new(clock));
    builder.build().unwrap()
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, count) in [("users", 3), ("events_eu", 5), ("events_us", 7)] {
            let path = folder.path().join(format!("{name}.jsonl"));
            std::fs::write(path, "{\"a\":1}\n".repeat(count)).unwrap();
        }
        let (sinks, mut at): (Vec<_>, Vec<_>) =
            ["users", "events", "all"].map(store).into_iter().unzip();
        at[0].resources = Some(ResourceGlobs::new(["users"]).unwrap());
        at[1].resources = Some(ResourceGlobs::new(["events_*"]).unwrap());
        World {
            engine: engine(),
            folder,
            sinks,
            at,
        }
    }

    fn request(&self, at: &[DestinationSpec], resources: &[&str]) -> BackupRequest {
        let source = JsonlSource::path(self.folder.path());
        let mut request = BackupRequest::new(source, at.to_vec());
        let names: Vec<String> = resources.iter().map(ToString::to_string).collect();
        request.resources = Some(names).filter(|names| !names.is_empty());
        request
    }

    async fn backup(&self, resources: &[&str]) -> BackupReport {
        let report = self.engine.backup(self.request(&self.at, resources)).await;
        assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
        report
    }

    fn has(&self, destination: usize, id: &BackupId) -> bool {
        let mut keys = self.sinks[destination].keys().into_iter();
        keys.any(|key| key.as_str().starts_with(id.as_str()))
    }
}

fn names(report: &BackupReport) -> Vec<&str> {
    let destinations = report.destinations.iter();
    destinations.map(|at| at.name.as_str()).collect()
}

#[tokio::test]
async fn a_backup_goes_to_the_destinations_that_take_all_of_it() {
    let world = World::new();
    let users = world.backup(&["users"]).await;
    assert_eq!(names(&users), ["users", "all"]);
    assert_eq!(users.left_out, ["events"]);
    assert_eq!(users.record_count, 3);
    let events = world.backup(&["events_eu", "events_us"]).await;
    assert_eq!(names(&events), ["events", "all"]);
    assert_eq!(events.left_out, ["users"]);
    let everything = world.backup(&[]).await;
    assert_eq!(names(&everything), ["all"]);
    assert_eq!(everything.left_out, ["users", "events"]);
    assert_eq!(everything.record_count, 15);
    for (report, there) in [
        (users, [true, false, true]),
        (events, [false, true, true]),
        (everything, [false, false, true]),
    ] {
        let id = report.id.unwrap();
        assert_eq!([0, 1, 2].map(|at| world.has(at, &id)), there, "{id}");
    }
    assert_idle(&world.engine);
}

#[tokio::test]
async fn what_no_destination_takes_all_of_is_refused_before_anything_is_written() {
    let world = World::new();
    let split = &world.at[..2];
    for resources in [&["users", "events_eu"][..], &["orders"], &[]] {
        let request = world.request(split, resources);
        let refused = world.engine.check(&request).unwrap_err();
        assert_eq!(refused.class(), Class::Usage);
        let report = world.engine.backup(request.clone()).await;
        let error = report.error.unwrap();
        assert_eq!(error.class, Class::Usage);
        for part in ["users takes users", "events takes events_*"] {
            assert!(error.message.contains(part), "{}", error.message);
        }
        let dry = world.engine.dry_run(request).await;
        assert_eq!(dry.error.unwrap().class, Class::Usage);
    }
    assert!(world.sinks.iter().all(|sink| sink.keys().is_empty()));
}

#[test]
fn a_quorum_that_is_out_of_reach_says_who_is_not_counted() {
    let world = World::new();
    let mut request = world.request(&world.at, &["users"]);
    request.strategy = StrategyKind::Quorum(3);
    let refused = world.engine.check(&request).unwrap_err();
    let message = refused.message();
    assert_eq!(message, "quorum:3 of 2 destinations can't be reached");
    let suggestion = refused.suggestion().unwrap();
    assert!(
        suggestion.ends_with("what is asked for: events"),
        "{suggestion}"
    );
}

#[tokio::test]
async fn what_names_nothing_is_of_what_all_of_its_destinations_take() {
    let world = World::new();
    let report = world
        .engine
        .backup(world.request(&world.at[1..2], &[]))
        .await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert_eq!(report.resources, ["events_eu", "events_us"]);
    let dry = world
        .engine
        .dry_run(world.request(&world.at[1..2], &[]))
        .await;
    assert_eq!(dry.record_count, 12, "{dry:?}");
}

#[tokio::test]
async fn nothing_is_copied_to_where_it_is_not_taken_nor_missed_there() {
    let world = World::new();
    let split = world.at[..2].to_vec();
    let request = world.request(&split, &["users"]);
    let id = world.engine.backup(request).await.id.unwrap();
    let sync = world.engine.sync(SyncRequest::new(split.clone())).await;
    assert_eq!(sync.exit_code(), exit::DONE, "{sync:?}");
    assert!(sync.backups.is_empty(), "{sync:?}");
    let sync = world.engine.sync(SyncRequest::new(world.at.clone())).await;
    let copies = sync.backups[0].destinations.iter();
    let statuses: Vec<_> = copies.map(|copy| copy.status).collect();
    assert_eq!(
        statuses,
        [SyncStatus::Whole, SyncStatus::NotTaken, SyncStatus::Copied]
    );
    let mut named = RepairRequest::rebuild_manifests(split.clone());
    named.id = Some(id.clone());
    for request in [RepairRequest::everything(split.clone()), named] {
        let repaired = world.engine.repair(request).await;
        assert_eq!(repaired.exit_code(), exit::DONE, "{repaired:?}");
        let copies = repaired.runs[0].destinations.iter();
        let statuses: Vec<_> = copies.map(|copy| copy.status).collect();
        assert_eq!(statuses, [RepairStatus::Whole, RepairStatus::NotTaken]);
    }
    assert!(!world.has(1, &id));
    let manifest = world.sinks[0].keys().into_iter();
    let mut manifest = manifest.filter(|key| key.file_name() == "manifest.json");
    world.sinks[0]
        .delete(&manifest.next().unwrap())
        .await
        .unwrap();
    let mut named = RepairRequest::rebuild_manifests(split.clone());
    named.id = Some(id.clone());
    let repaired = world.engine.repair(named).await;
    assert_eq!(repaired.exit_code(), exit::DONE, "{repaired:?}");
    let copies = repaired.runs[0].destinations.iter();
    let statuses: Vec<_> = copies.map(|copy| copy.status).collect();
    assert_eq!(
        statuses,
        [RepairStatus::Reconstructed, RepairStatus::NotTaken]
    );

    let mut verifying = VerifyRequest::new(split.clone());
    verifying.which = WhichBackups::One(Which::Id(id.clone()));
    let verified = world.engine.verify(verifying).await;
    assert_eq!(verified.exit_code(), exit::DONE, "{verified:?}");
    let copy = &verified.backups[0].destinations[1];
    assert_eq!(copy.status, CopyState::NotTaken);
    let status = world.engine.status(&split, &id).await;
    assert_eq!(status.destinations[1].status, CopyState::NotTaken);
    assert_eq!(status.status, teeline::BackupState::Completed);
    let listed = world.engine.list(&split).await;
    let copies = listed.backups[0].copies.iter();
    let statuses: Vec<_> = copies.map(|copy| copy.status).collect();
    assert_eq!(statuses, [CopyState::Ok, CopyState::NotTaken]);

    // One that it takes is missed there.
    for key in world.sinks[0].keys() {
        world.sinks[0].delete(&key).await.unwrap();
    }
    let listed = world.engine.list(&world.at).await;
    assert_eq!(listed.backups[0].include, ["users"]);
    let copies = listed.backups[0].copies.iter();
    let statuses: Vec<_> = copies.map(|copy| copy.status).collect();
    assert_eq!(
        statuses,
        [CopyState::Absent, CopyState::NotTaken, CopyState::Ok]
    );
    assert_idle(&world.engine);
}

#[tokio::test]
async fn a_backup_of_some_resources_displaces_none_of_more_or_of_others() {
    let world = World::new();
    let old_users = world.backup(&["users"]).await.id.unwrap();
    let everything = world.backup(&[]).await.id.unwrap();
    let both = world.backup(&["events_eu", "events_us"]).await.id.unwrap();
    let one = world.backup(&["events_us"]).await.id.unwrap();
    let users = world.backup(&["users"]).await.id.unwrap();
    let rules = Retention {
        count: 1,
        ..Retention::default()
    };
    let cleanup = CleanupRequest::new(world.at.clone(), RetentionPolicy::new(rules));
    let report = world.engine.cleanup(cleanup).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    let all = &report.destinations[2].backups;
    let is_kept = |id: &BackupId| {
        let backup = all.iter().find(|backup| backup.id == *id).unwrap();
        !backup.kept_by.is_empty()
    };
    for kept in [&everything, &both, &one, &users] {
        assert!(is_kept(kept), "{report:?}");
    }
    assert!(
        !is_kept(&old_users),
        "there is a newer one with all that it has"
    );
}

#[tokio::test]
async fn an_entry_of_an_earlier_version_is_as_good() {
    let world = World::new();
    let (sink, at) = (&world.sinks[2], &world.at[2..]);
    let request = world.request(at, &["users"]);
    let id = world.engine.backup(request).await.id.unwrap();
    let is_entry = |key: &ObjectKey| layout::catalog_entry_id(key).as_ref() == Some(&id);
    let key = sink.keys().into_iter().find(is_entry).unwrap();
    let written = whole(sink, &key).await;
    let mut entry: CatalogEntry = document::open("entry", &written).unwrap();
    entry.asked_for = None;
    unmark(sink).await;
    sink.delete(&key).await.unwrap();
    let before = document::seal(&entry);
    sink.put(&key, before.clone()).await.unwrap();

    let verified = world.engine.verify(VerifyRequest::new(at.to_vec())).await;
    assert_eq!(verified.exit_code(), exit::DONE, "{verified:?}");
    let repaired = world
        .engine
        .repair(RepairRequest::everything(at.to_vec()))
        .await;
    assert_eq!(repaired.exit_code(), exit::DONE, "{repaired:?}");
    let copy = &repaired.runs[0].destinations[0];
    assert_eq!(copy.status, RepairStatus::Whole, "{copy:?}");
    let manifest = ObjectKey::new(format!("{id}/manifest.json")).unwrap();
    sink.delete(&manifest).await.unwrap();
    let mut named = RepairRequest::rebuild_manifests(at.to_vec());
    named.id = Some(id.clone());
    let repaired = world.engine.repair(named).await;
    let copy = &repaired.runs[0].destinations[0];
    assert_eq!(copy.status, RepairStatus::Reconstructed, "{copy:?}");
    assert!(whole(sink, &key).await == before, "it stands as it did");

    // What it was asked for isn't known: it goes to whoever may take it, and displaces nothing.
    let sync = world.engine.sync(SyncRequest::new(world.at.clone())).await;
    let copies = sync.backups[0].destinations.iter();
    let statuses: Vec<_> = copies.map(|copy| copy.status).collect();
    assert_eq!(
        statuses,
        [SyncStatus::Copied, SyncStatus::NotTaken, SyncStatus::Whole]
    );
}

#[tokio::test]
async fn a_glob_of_a_destination_need_not_match_anything() {
    let mut world = World::new();
    let globs = ResourceGlobs::new(["users", "orders_*"]).unwrap();
    world.at[0].resources = Some(globs);
    let request = world.request(&world.at[..1], &[]);
    let report = world.engine.backup(request).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert_eq!(report.resources, ["users"]);
}

#[test]
fn globs_take_what_is_written_like_them_and_names_that_they_match() {
    let globs = ResourceGlobs::new(["users", "events_*", "a[*]b"]).unwrap();
    for taken in ["users", "events_eu", "events_*", "a[*]b"] {
        assert!(globs.take_all_of(&[taken]), "{taken}");
    }
    for other in ["user", "events_?", "*", "events_{eu,us}"] {
        assert!(!globs.take_all_of(&["users", other]), "{other}");
    }
    assert!(!globs.take_all_of::<&str>(&[]));
    assert!(ResourceGlobs::new(Vec::<String>::new()).is_err());
    let error = ResourceGlobs::new(["s3://key:secret@bucket"]).unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
}
