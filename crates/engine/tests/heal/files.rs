//! Each file of a backup, in each way.

use teeline::sinks::Operation;
use teeline::{BackupError, Class, DrillRequest, RepairStatus, WasWrong, exit};
use teeline_core::ObjectKey;

use crate::common::watched::watched;
use crate::world::{HARMS, Harm, World, copy_of, statuses};

/// Harms one file after the other at the first destination, in each way, and heals it.
async fn each_file(is_sealed: bool) {
    let world = World::new();
    let id = match is_sealed {
        true => world.sealed().await,
        false => world.backed_up(|_| ()).await,
    };
    let files = world.files_of(&id, 0);
    let has = |part: &str| files.iter().any(|key| key.as_str().contains(part));
    let expected = [
        "catalog/",
        "run.json",
        "manifest.json",
        ".index",
        "events.jsonl",
    ];
    assert!(expected.iter().all(|part| has(part)), "{files:?}");
    assert_eq!(has("/keys/"), is_sealed);
    let marker = ObjectKey::new("teeline.json").unwrap();
    for key in files.iter().chain([&marker]) {
        for harm in HARMS {
            heal_one(&world, &id, key, harm).await;
        }
    }
}

async fn heal_one(world: &World, id: &teeline::BackupId, key: &ObjectKey, harm: Harm) {
    let about = format!("{key} {harm:?}");
    let right = [world.contents(0).await, world.contents(1).await];
    let moved = world.moved(0).await;
    let harmed = world.harm(0, key, harm).await;
    // It is noted as damaged, wherever there is something to note it of.
    world.verified(id).await;
    let report = world.heal(id).await;
    assert_eq!(report.exit_code(), exit::DONE, "{about}: {report:?}");
    assert_eq!(
        statuses(&report),
        [RepairStatus::Healed, RepairStatus::Whole],
        "{about}"
    );
    assert!(world.contents(0).await == right[0], "{about}");
    assert!(world.contents(1).await == right[1], "{about}");
    let now_moved = world.moved(0).await;
    let files = &copy_of(&report, 0).files;
    assert_eq!(files.len(), 1, "{about}: {files:?}");
    match harm {
        Harm::Lost => {
            assert_eq!(files[0].was, WasWrong::Missing, "{about}");
            assert_eq!(now_moved, moved, "{about}");
        }
        Harm::Flipped | Harm::CutShort => {
            assert_eq!(files[0].was, WasWrong::Damaged, "{about}");
            assert_eq!(files[0].file, key.as_str());
            let kept = files[0].moved_to.as_ref().unwrap();
            let mut kept = now_moved.iter().filter(|(key, _)| key.as_str() == kept);
            assert_eq!(
                kept.next().map(|(_, bytes)| bytes),
                Some(&harmed),
                "{about}"
            );
        }
    }
    world.assert_whole(id, &about).await;
}

#[tokio::test]
async fn each_file_of_a_plain_backup_heals() {
    Box::pin(each_file(false)).await;
}

#[tokio::test]
async fn each_file_of_a_sealed_one_heals_without_its_key() {
    Box::pin(each_file(true)).await;
}

#[tokio::test]
async fn a_record_that_is_damaged_is_moved_and_another_one_left() {
    let world = World::new();
    let id = world.backed_up(|_| ()).await;
    let keys = world.sinks[0].keys();
    let record = keys.iter().find(|key| key.as_str().starts_with("runs/"));
    let harmed = world.harm(0, record.unwrap(), Harm::Flipped).await;
    assert_eq!(world.verified(&id).await, exit::DAMAGED);
    let report = world.heal(&id).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    let moved = world.moved(0).await;
    assert_eq!(moved.len(), 1);
    assert_eq!(moved[0].1, harmed);
    let runs = world.sinks[0].keys();
    let runs = runs.iter().filter(|key| key.as_str().starts_with("runs/"));
    assert_eq!(runs.count(), 1, "another one says that it is there");
    world.assert_whole(&id, "the record").await;
}

#[tokio::test]
async fn a_key_object_that_is_missing_beside_others_may_have_been_taken_away() {
    let world = World::new();
    let id = world.sealed().await;
    let before = world.contents(0).await;
    let report = world.heal(&id).await;
    assert_eq!(
        statuses(&report),
        [RepairStatus::Whole, RepairStatus::Whole]
    );
    // At the other destination there is one more, as where a change of keys broke off.
    let keys = world.files_of(&id, 1);
    let key = keys.iter().find(|key| key.as_str().contains("/keys/"));
    let more = ObjectKey::new(format!("{id}/keys/raw-aaaaaaaaaa")).unwrap();
    let bytes = crate::common::whole(&world.sinks[1], key.unwrap()).await;
    world.sinks[1].overwrite(&more, &bytes);
    world.heal(&id).await;
    assert!(world.contents(0).await == before, "nobody is let in again");
}

#[tokio::test]
async fn without_the_right_to_delete_nothing_changes_and_that_is_said() {
    let world = World::new();
    let id = world.backed_up(|_| ()).await;
    let data = world.file(&id, "events.jsonl.gz");
    for key in [&data, &world.file(&id, "run.json")] {
        world.harm(0, key, Harm::Flipped).await;
    }
    let before = world.contents(0).await;
    let refused = watched(&world.sinks[0], "here", |operation, _| match operation {
        Operation::Delete => Err(BackupError::new(
            Class::Permanent,
            "delete",
            "it",
            "the server answered 403",
        )),
        _ => Ok(()),
    });
    let report = world.heal_at(&[refused, world.at[1].clone()], &id).await;
    assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
    let error = copy_of(&report, 0).error.as_ref().unwrap();
    let suggestion = error.suggestion.as_ref().unwrap();
    assert!(suggestion.contains("the right to delete"), "{suggestion}");
    assert!(world.contents(0).await == before);
}

#[tokio::test]
async fn a_destination_that_may_only_be_read_gives_what_it_has() {
    let world = World::new();
    let id = world.backed_up(|_| ()).await;
    let right = world.contents(0).await;
    world
        .harm(0, &world.file(&id, "events.index"), Harm::Lost)
        .await;
    let readable = watched(&world.sinks[1], "there", |operation, _| match operation {
        Operation::Put | Operation::Begin | Operation::Delete => Err(BackupError::new(
            Class::Permanent,
            "write",
            "it",
            "read only",
        )),
        _ => Ok(()),
    });
    let report = world.heal_at(&[world.at[0].clone(), readable], &id).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert!(copy_of(&report, 1).unrecorded.is_some());
    assert!(world.contents(0).await == right);
}

#[tokio::test]
async fn what_a_restore_found_damaged_is_restored_again_before_it_counts() {
    let world = World::new();
    let id = world.backed_up(|_| ()).await;
    let data = world.file(&id, "events.jsonl.gz");
    world.harm(0, &data, Harm::Flipped).await;
    let mut drill = DrillRequest::new(world.at.to_vec());
    drill.from = Some("here".to_owned());
    let drilled = world.engine.drill(drill).await;
    assert_eq!(drilled.exit_code(), exit::DAMAGED, "{drilled:?}");
    let report = world.heal(&id).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    world.assert_whole(&id, "drilled").await;
}
