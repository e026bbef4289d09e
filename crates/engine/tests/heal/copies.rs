//! What the copies of a backup come to together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use teeline::sinks::{Fault, FaultPlan, FaultSink, MemorySink, Operation, What, When};
use teeline::{
    BackupError, BackupId, Class, DeleteRequest, RepairRequest, RepairStatus, Sink, Span,
    SyncRequest, exit,
};
use teeline_core::{
    DestinationStatus, Digest, Manifest, ObjectKey, RunRecord, RunStatus, SealedManifest, document,
    layout,
};

use crate::common::watched::watched;
use crate::common::{place, records, request, unmark, whole};
use crate::world::{Harm, World, copy_of, statuses};

/// In the first chunk.
const FIRST_BYTE: usize = 30;

async fn flip(world: &World, destination: usize, key: &ObjectKey, at: usize) {
    let mut bytes = whole(&world.sinks[destination], key).await.to_vec();
    bytes[at] ^= 1;
    world.sinks[destination].overwrite(key, &bytes);
}

#[tokio::test]
async fn each_heals_from_the_other_where_different_chunks_are_damaged() {
    let world = World::new();
    let id = world.backed_up(|_| ()).await;
    let right = [world.contents(0).await, world.contents(1).await];
    let data = world.file(&id, "events.jsonl.gz");
    let last = whole(&world.sinks[0], &data).await.len() - 30;
    flip(&world, 0, &data, FIRST_BYTE).await;
    flip(&world, 1, &data, last).await;
    let report = world.heal(&id).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert_eq!(statuses(&report), [RepairStatus::Healed; 2]);
    assert!([world.contents(0).await, world.contents(1).await] == right);
    world.assert_whole(&id, "both").await;
}

#[tokio::test]
async fn what_only_a_record_says_was_there_is_missed() {
    let world = World::new();
    let id = world.backed_up(|_| ()).await;
    let right = [world.contents(0).await, world.contents(1).await];
    for key in world.files_of(&id, 0) {
        // Its entry, with its marker, and what tells whose files the others are.
        if key.as_str().starts_with("catalog/") || key.as_str().ends_with(".json") {
            world.harm(0, &key, Harm::Lost).await;
        }
    }
    let report = world.engine.repair(RepairRequest::heal(world.at.to_vec()));
    let report = report.await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    let became = [RepairStatus::Healed, RepairStatus::Whole];
    assert_eq!(statuses(&report), became, "{report:?}");
    assert!([world.contents(0).await, world.contents(1).await] == right);
    world.assert_whole(&id, "both").await;
}

#[tokio::test]
async fn a_manifest_that_is_made_again_at_one_heals_the_other() {
    let world = World::new();
    let id = world.backed_up(|_| ()).await;
    let right = [world.contents(0).await, world.contents(1).await];
    let manifest = world.file(&id, "manifest.json");
    world.harm(0, &manifest, Harm::Flipped).await;
    world.harm(1, &manifest, Harm::Lost).await;
    let report = world.heal(&id).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    let became = [RepairStatus::Healed, RepairStatus::Reconstructed];
    assert_eq!(statuses(&report), became);
    assert!([world.contents(0).await, world.contents(1).await] == right);
    world.assert_whole(&id, "both").await;
}

#[tokio::test]
async fn a_manifest_that_is_made_again_at_one_leads_to_a_copy_at_the_other() {
    let world = World::new();
    let id = world.backed_up(|_| ()).await;
    for key in world.sinks[1].keys() {
        world.harm(1, &key, Harm::Lost).await;
    }
    let manifest = world.file(&id, "manifest.json");
    world.harm(0, &manifest, Harm::Lost).await;
    let mut request = RepairRequest::everything(world.at.to_vec());
    request.id = Some(id.clone());
    let report = world.engine.repair(request).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    let became = [RepairStatus::Reconstructed, RepairStatus::Copied];
    assert_eq!(statuses(&report), became);
    world.assert_whole(&id, "both").await;
}

#[tokio::test]
async fn what_a_run_says_that_published_nothing_contradicts_nothing() {
    let world = World::new();
    let id = world.backed_up(|_| ()).await;
    let records = world.sinks[0].keys().into_iter();
    let is_record = |key: &ObjectKey| key.as_str().starts_with("runs/");
    let key = records.clone().find(is_record).unwrap();
    let bytes = whole(&world.sinks[0], &key).await;
    let mut record: RunRecord = document::open("it", &bytes).unwrap();
    record.status = RunStatus::Failed;
    record.checksum = Some(Digest::of(b"another"));
    for at in &mut record.destinations {
        at.status = DestinationStatus::Failed;
    }
    let before = layout::run_record(&id, "2026-11-23T01:00:00.000Z".parse().unwrap()).unwrap();
    world.sinks[0]
        .put(&before, document::seal(&record))
        .await
        .unwrap();
    world
        .harm(1, &world.file(&id, "events.jsonl.gz"), Harm::Flipped)
        .await;
    let report = world.heal(&id).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert_eq!(
        statuses(&report),
        [RepairStatus::Whole, RepairStatus::Healed]
    );
}

#[tokio::test]
async fn what_nobody_has_right_is_named_and_left() {
    let world = World::new();
    let id = world.backed_up(|_| ()).await;
    let data = world.file(&id, "events.jsonl.gz");
    for destination in [0, 1] {
        flip(&world, destination, &data, FIRST_BYTE).await;
    }
    let before = [world.contents(0).await, world.contents(1).await];
    let report = world.heal(&id).await;
    assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");
    for destination in [0, 1] {
        let copy = copy_of(&report, destination);
        assert_eq!(copy.status, RepairStatus::Refused);
        assert_eq!(copy.damage.len(), 1, "{copy:?}");
        assert_eq!(copy.damage[0].file, data.as_str());
        assert_eq!(copy.damage[0].chunk, Some(0));
        assert!(copy.files.is_empty(), "{copy:?}");
        assert!(world.moved(destination).await.is_empty());
    }
    assert!([world.contents(0).await, world.contents(1).await] == before);
}

#[tokio::test]
async fn what_has_no_claim_is_not_begun_anywhere_else() {
    let world = World::new();
    let id = world.backed_up(|_| ()).await;
    for key in world.files_of(&id, 1) {
        world.harm(1, &key, Harm::Lost).await;
    }
    let claim = world.file(&id, "run.json");
    world.harm(0, &claim, Harm::Flipped).await;
    let before = world.contents(1).await;
    let request = RepairRequest::everything(world.at.to_vec());
    let report = world.engine.repair(request).await;
    assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");
    assert_eq!(copy_of(&report, 1).status, RepairStatus::Refused);
    assert_eq!(copy_of(&report, 1).damage[0].file, claim.as_str());
    // Nobody could tell whose they are, nor remove them.
    assert!(world.contents(1).await == before, "files are left there");
}

#[tokio::test]
async fn where_two_destinations_have_different_backups_of_an_id_nothing_is_changed() {
    let world = World::new();
    let id = world.backed_up(|_| ()).await;
    let sink = &world.sinks[1];
    let key = world.file(&id, "manifest.json");
    let mut manifest: Manifest = document::open("it", &whole(sink, &key).await).unwrap();
    manifest.written_by = "somebody else".to_owned();
    let other = SealedManifest::new(manifest).unwrap();
    sink.overwrite(&key, &other.bytes);
    let files = world.files_of(&id, 1);
    let entry = files
        .iter()
        .find(|key| key.as_str().starts_with("catalog/"));
    sink.overwrite(entry.unwrap(), &document::seal(&other.entry(id.as_str())));
    let before = [world.contents(0).await, world.contents(1).await];
    let report = world.heal(&id).await;
    assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");
    assert_eq!(statuses(&report), [RepairStatus::Refused; 2]);
    assert!([world.contents(0).await, world.contents(1).await] == before);
    assert!(world.moved(1).await.is_empty());
}

/// A full backup and a link.
async fn chain(world: &World) -> [BackupId; 2] {
    let full = world.backed_up(|_| ()).await;
    let mut asked = request(&records(700), &world.at);
    asked.backup_type = "incremental".parse().unwrap();
    let link = world.engine.backup(asked).await;
    assert_eq!(link.exit_code(), exit::DONE, "{link:?}");
    assert!(link.parent.is_some(), "{link:?}");
    [full, link.id.unwrap()]
}

#[tokio::test]
async fn a_destination_that_lacks_a_chain_gets_all_of_it_where_that_is_asked_for() {
    let world = World::new();
    let [full, link] = chain(&world).await;
    let right = world.contents(1).await;
    for key in world.sinks[1].keys() {
        world.sinks[1].delete(&key).await.unwrap();
    }
    let report = world.heal(&link).await;
    assert_eq!(report.exit_code(), exit::DEGRADED, "{report:?}");
    assert!(
        world.sinks[1].keys().is_empty(),
        "it had no copy to be healed"
    );

    let everything = RepairRequest::everything(world.at.to_vec());
    let report = world.engine.repair(everything.clone()).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    let ids: Vec<&BackupId> = report.runs.iter().map(|run| &run.id).collect();
    assert_eq!(ids, [&full, &link], "what others need comes before them");
    assert_eq!(
        statuses(&report),
        [RepairStatus::Whole, RepairStatus::Copied].repeat(2)
    );
    assert!(world.contents(1).await == right);
    for id in [&full, &link] {
        world.assert_whole(id, "copied").await;
    }
    let again = world.engine.repair(everything).await;
    assert_eq!(statuses(&again), [RepairStatus::Whole; 4]);
}

#[tokio::test]
async fn a_link_heals_with_the_parent_that_it_needs() {
    let world = World::new();
    let [full, link] = chain(&world).await;
    let right = world.contents(1).await;
    for key in world.files_of(&full, 1) {
        world.harm(1, &key, Harm::Lost).await;
    }
    assert_eq!(world.verified(&link).await, exit::DAMAGED);
    let report = world.heal(&link).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert!(world.contents(1).await == right);
    for id in [&full, &link] {
        world.assert_whole(id, "the chain").await;
    }
}

#[tokio::test]
async fn what_one_publish_failed_of_is_completed() {
    let world = World::new();
    let at = [
        world.at[0].clone(),
        watched(&world.sinks[1], "there", |operation, key| {
            match (operation, key.map(ObjectKey::file_name)) {
                (Operation::Put, Some("manifest.json")) => {
                    Err(BackupError::new(Class::Permanent, "put", "it", "no space"))
                }
                _ => Ok(()),
            }
        }),
    ];
    let report = world.engine.backup(request(&records(500), &at)).await;
    assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
    let id = report.id.unwrap();
    let healed = world
        .engine
        .repair(RepairRequest::heal(world.at.to_vec()))
        .await;
    assert_eq!(
        statuses(&healed),
        [RepairStatus::Whole, RepairStatus::Absent],
        "the verdict stands until somebody asks for more"
    );
    let everything = RepairRequest::everything(world.at.to_vec());
    let report = world.engine.repair(everything).await;
    assert_eq!(
        statuses(&report),
        [RepairStatus::Whole, RepairStatus::Copied],
        "{report:?}"
    );
    assert!(world.contents(0).await == world.contents(1).await);
    world.assert_whole(&id, "half published").await;
}

#[tokio::test]
async fn what_is_withdrawn_stays_so() {
    let world = World::new();
    let id = world.backed_up(|_| ()).await;
    let deleted = world
        .engine
        .delete(DeleteRequest::new(world.at[1..].to_vec(), id.clone()))
        .await;
    assert_eq!(deleted.exit_code(), exit::DONE, "{deleted:?}");
    let before = world.contents(1).await;
    let everything = RepairRequest::everything(world.at.to_vec());
    let report = world.engine.repair(everything).await;
    assert_eq!(
        statuses(&report),
        [RepairStatus::Whole, RepairStatus::Withdrawn]
    );
    assert!(world.contents(1).await == before);
}

#[tokio::test]
async fn what_is_withdrawn_comes_to_no_other_place_where_a_run_had_begun_it() {
    let world = World::new();
    let report = world
        .engine
        .backup(request(&records(500), &world.at[..1]))
        .await;
    let id = report.id.unwrap();
    let claim = world.file(&id, "run.json");
    let right = whole(&world.sinks[0], &claim).await;
    world.sinks[1].put(&claim, right).await.unwrap();
    let deleted = DeleteRequest::new(world.at[..1].to_vec(), id.clone());
    assert_eq!(world.engine.delete(deleted).await.exit_code(), exit::DONE);
    let mut named = RepairRequest::everything(world.at.to_vec());
    named.id = Some(id);
    for repair in [RepairRequest::everything(world.at.to_vec()), named] {
        let report = world.engine.repair(repair).await;
        assert_eq!(statuses(&report)[0], RepairStatus::Withdrawn, "{report:?}");
        let listed = world.engine.list(&world.at[..]).await;
        assert!(listed.backups.is_empty(), "{listed:?}");
        assert_eq!(world.sinks[1].keys(), std::slice::from_ref(&claim));
    }
}

#[tokio::test]
async fn what_was_moved_aside_goes_with_its_backup() {
    let world = World::new();
    let id = world.backed_up(|_| ()).await;
    for key in world.files_of(&id, 0) {
        world.harm(0, &key, Harm::Flipped).await;
    }
    let healed = world.heal(&id).await;
    assert_eq!(healed.exit_code(), exit::DONE, "{healed:?}");
    assert!(!world.moved(0).await.is_empty());
    let mut request = DeleteRequest::new(world.at.to_vec(), id);
    request.retention.grace = Span::default();
    let deleted = world.engine.delete(request).await;
    assert_eq!(deleted.exit_code(), exit::DONE, "{deleted:?}");
    assert!(world.moved(0).await.is_empty());
}

/// Who published it has died before he had read it back: nothing marks it as published, and the store had damaged it.
#[tokio::test]
async fn a_manifest_that_nobody_has_read_back_is_looked_at_before_it_is_listed() {
    for harm in [Harm::Flipped, Harm::CutShort] {
        let world = World::new();
        let id = world.backed_up(|_| ()).await;
        let right = world.contents(0).await;
        unmark(&world.sinks[0]).await;
        let manifest = world.file(&id, "manifest.json");
        world.harm(0, &manifest, harm).await;
        let listed = world.engine.list(&world.at[..1]).await;
        assert_eq!(listed.backups.len(), 0, "{listed:?}");
        let errors: Vec<Class> = listed.errors.iter().map(|at| at.error.class).collect();
        assert_eq!(errors, [Class::Corrupt], "{listed:?}");

        let report = world.heal(&id).await;
        assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
        let statuses = statuses(&report);
        assert_eq!(statuses, [RepairStatus::Healed, RepairStatus::Whole]);
        assert!(world.contents(0).await == right);
        world.assert_whole(&id, "healed").await;
    }
}

#[tokio::test]
async fn what_is_damaged_on_its_way_once_stays_where_it_is() {
    let world = World::new();
    let id = world.backed_up(|_| ()).await;
    let before = world.contents(0).await;
    for nth in 1.. {
        let flip = Fault::new(Operation::Read, When::Nth(nth), What::FlipBit);
        let plan = FaultPlan::new(nth).with(flip);
        let sink = FaultSink::new(Arc::new(world.sinks[0].clone()), plan);
        let hits = sink.hits();
        let at = [place("here", sink), world.at[1].clone()];
        let report = world.heal_at(&at, &id).await;
        assert!(world.moved(0).await.is_empty(), "{nth}: {report:?}");
        assert!(world.contents(0).await == before, "{nth}");
        if hits.load(Ordering::Relaxed) == 0 {
            assert!(nth > 5, "each file is read");
            break;
        }
    }
}

/// Whoever completes a copy takes back a claim that the store has damaged; not one that stands there and loses a byte each time that it
/// is read: files without a claim are nobody's.
#[tokio::test]
async fn a_claim_that_is_damaged_on_its_way_stays() {
    let world = World::new();
    let id = world.backed_up(|_| ()).await;
    let claim = world.file(&id, layout::RUN_CLAIM);
    for key in world.sinks[1].keys() {
        if key != claim {
            world.sinks[1].delete(&key).await.unwrap();
        }
    }
    let shorter = Fault::new(Operation::Read, When::From(1), What::LoseByte);
    let plan = FaultPlan::new(1).with(shorter.on_keys_with(layout::RUN_CLAIM));
    let there = place(
        "there",
        FaultSink::new(Arc::new(world.sinks[1].clone()), plan),
    );
    let request = SyncRequest::new(vec![world.at[0].clone(), there]);
    let report = world.engine.sync(request).await;
    assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");
    assert!(world.sinks[1].head(&claim).await.is_ok());
}

/// Makes a sealed copy, and hands the `nth` of its files over to `meanwhile` just before it is written, with the claim and the entry that the
/// copy has; gives whether there was one, and what is left of the copy.
async fn copied(
    by_sync: bool,
    nth: usize,
    meanwhile: fn(&MemorySink, claim: &ObjectKey, entry: &ObjectKey) -> Result<(), BackupError>,
) -> (bool, Vec<ObjectKey>) {
    let world = World::new();
    let id = world.sealed().await;
    let entry = world.sinks[0].keys().into_iter();
    let mut entry = entry.filter(|key| layout::catalog_entry_id(key).as_ref() == Some(&id));
    let entry = entry.next().expect("it is listed");
    for key in world.sinks[1].keys() {
        world.sinks[1].delete(&key).await.unwrap();
    }
    let (claim, sink) = (world.file(&id, "run.json"), world.sinks[1].clone());
    let folder = format!("{id}/");
    let count = Arc::new(AtomicUsize::new(0));
    let written = Arc::clone(&count);
    let there = watched(&world.sinks[1], "there", move |operation, key| {
        let writes = matches!(operation, Operation::Put | Operation::Commit);
        let is_of_copy = |key: &ObjectKey| key.as_str().starts_with(&folder) && *key != claim;
        if writes
            && key.is_some_and(is_of_copy)
            && written.fetch_add(1, Ordering::Relaxed) + 1 == nth
        {
            meanwhile(&sink, &claim, &entry)?;
        }
        Ok(())
    });
    let at = vec![world.at[0].clone(), there];
    match by_sync {
        true => drop(world.engine.sync(SyncRequest::new(at)).await),
        false => drop(world.engine.repair(RepairRequest::everything(at)).await),
    }
    let left = world.sinks[1].keys().into_iter();
    let left = left.filter(|key| key.as_str().starts_with(id.as_str()));
    (count.load(Ordering::Relaxed) >= nth, left.collect())
}

/// Somebody removes a copy while it is being made, or is about to, and then the store fails.
#[tokio::test]
async fn nothing_is_left_of_a_sealed_copy_that_is_removed_while_it_is_made() {
    for by_sync in [false, true] {
        let mut nth = 1;
        loop {
            let (was_removed, left) = copied(by_sync, nth, |sink, claim, _| {
                futures::executor::block_on(sink.delete(claim))
            })
            .await;
            if !was_removed {
                break;
            }
            let published = left.iter().any(|key| key.file_name() == layout::MANIFEST);
            assert!(left.is_empty() || published, "{by_sync} {nth}: {left:?}");
            let (_, left) = copied(by_sync, nth, |sink, _, entry| {
                let sweep = layout::sweep(entry)?;
                futures::executor::block_on(sink.put(&sweep, Bytes::new()))?;
                Err(BackupError::new(
                    Class::Permanent,
                    "write",
                    "there",
                    "it fails",
                ))
            })
            .await;
            let left: Vec<_> = left.iter().map(ObjectKey::file_name).collect();
            assert_eq!(left, [layout::RUN_CLAIM], "{by_sync} {nth}");
            nth += 1;
        }
        assert!(nth > 4, "each file is written");
    }
}

#[tokio::test]
async fn what_only_the_way_there_damages_stays_where_it_is() {
    for (file, reads) in [("catalog/", 3), ("manifest.json", 3), (".jsonl.gz", 2)] {
        let world = World::new();
        let id = world.backed_up(|_| ()).await;
        let before = world.contents(1).await;
        let mut plan = FaultPlan::new(1);
        for read in 1..=reads {
            let flips = Fault::new(Operation::Read, When::Nth(read), What::FlipBit);
            plan = plan.with(flips.on_keys_with(file));
        }
        let sink = world.sinks[1].clone();
        let far = place("far", FaultSink::new(Arc::new(sink), plan));
        let report = world.heal_at(&[world.at[0].clone(), far], &id).await;
        assert_ne!(report.exit_code(), exit::DONE, "{file}: {report:?}");
        let error = copy_of(&report, 1).error.as_ref().unwrap();
        assert!(
            error.message.contains("what stands there is right"),
            "{file}: {error:?}"
        );
        assert!(world.contents(1).await == before, "{file}");
    }
}

#[tokio::test]
async fn what_a_sync_may_not_read_is_no_damage() {
    let world = World::new();
    let id = world.backed_up(|_| ()).await;
    let refusing = |destination: usize, keys: &str| {
        let refused = Fault::new(Operation::Read, When::From(1), What::Fail(Class::Permanent));
        let plan = FaultPlan::new(1).with(refused.on_keys_with(keys));
        let sink = Arc::new(world.sinks[destination].clone());
        place("refusing", FaultSink::new(sink, plan))
    };
    let entry = world.files_of(&id, 1);
    let entry = entry
        .iter()
        .find(|key| key.as_str().starts_with("catalog/"));
    let new = place("new", MemorySink::new("new"));
    for at in [
        vec![world.at[0].clone(), refusing(1, entry.unwrap().as_str())],
        vec![refusing(0, "manifest.json"), new],
    ] {
        let report = world.engine.sync(SyncRequest::new(at)).await;
        assert_eq!(report.exit_code(), exit::DEGRADED, "{report:?}");
        let error = report.backups[0].destinations[1].error.as_ref().unwrap();
        assert_eq!(error.class, Class::Permanent, "{error:?}");
        let help = error.suggestion.as_deref().unwrap_or_default();
        assert!(!help.contains("repair"), "{error:?}");
    }
}
