//! What is read again, and restored, to see whether it still can be.

use std::sync::Arc;

use teeline::sinks::Operation;
use teeline::{
    BackupId, DeleteRequest, Depth, DestinationWarning, DrillRequest, RepairRequest, ScrubRequest,
    Span, SyncRequest, Timestamp, Which, exit,
};
use teeline_core::{ObjectKey, layout};

use crate::common::store;
use crate::common::watched::watched;
use crate::world::{World, data_file, entries, flip, verify};

#[tokio::test]
async fn scrubs_give_each_copy_its_turn_within_the_budget() {
    let world = World::new();
    let ((a_sink, a), (_, b)) = (store("a"), store("b"));
    let both = [a.clone(), b];
    // The largest is the oldest, and larger than the budget.
    let mut ids = Vec::new();
    for count in [3_000, 100, 100, 2_000, 100] {
        ids.push(world.backed_up(count, &both).await);
        world.after_days(1);
    }
    world.after_days(1);
    let listed = world.engine.list(&both[..]).await;
    let size = |id: &BackupId| {
        let mut backups = listed.backups.iter();
        backups.find(|backup| backup.id == *id).unwrap().size
    };
    let budget = 3 * size(&ids[1]);
    assert!(size(&ids[0]) > budget && size(&ids[3]) > budget);
    let mut read = Vec::new();
    for _ in 0..20 {
        let report = world.scrubbed(budget, &both).await;
        assert_eq!(report.exit_code(), 0, "{report:?}");
        if report.copies.is_empty() {
            break;
        }
        assert!(
            report.bytes <= budget || report.copies.len() == 1,
            "{report:?}"
        );
        let looks: Vec<Timestamp> = report.copies.iter().map(|copy| copy.last_look).collect();
        assert!(looks.is_sorted(), "{looks:?}");
        let done = report.copies.iter();
        read.extend(done.map(|copy| (copy.id.clone(), copy.found.name.clone())));
    }
    let expected: Vec<(BackupId, String)> = ids
        .iter()
        .flat_map(|id| ["a", "b"].map(|name| (id.clone(), name.to_owned())))
        .collect();
    assert_eq!(read, expected, "each once, the oldest first");

    world.after_days(2);
    flip(&a_sink, &data_file(&a_sink, &ids[1])).await;
    let mut all = ScrubRequest::new(vec![a]);
    all.max_age = Some(Span::from_days(1));
    let report = world.engine.scrub(all).await;
    assert_eq!(report.exit_code(), exit::DAMAGED);
    let mut damaged = report
        .copies
        .iter()
        .filter_map(|copy| copy.repair.as_deref());
    assert_eq!(damaged.next(), Some(&*format!("teeline repair {}", ids[1])));
    assert_eq!((damaged.next(), report.left), (None, 0));
}

#[tokio::test]
async fn damage_that_is_known_is_told_of_by_each_scrub_until_it_is_gone() {
    let world = World::new();
    let (sink, at) = store("a");
    let at = [at];
    let (id, other) = (
        world.backed_up(500, &at).await,
        world.backed_up(500, &at).await,
    );
    world.after_days(2);
    let file = data_file(&sink, &id);
    flip(&sink, &file).await;
    let mut deep = verify(&id, &at);
    deep.deep = true;
    assert_eq!(
        world.engine.verify(deep.clone()).await.exit_code(),
        exit::DAMAGED
    );
    let known = async |read: usize| {
        let report = world.scrubbed(1, &at).await;
        assert_eq!(report.copies.len(), read, "{report:?}");
        let known = report.known.iter().map(|known| known.id.clone());
        (report.exit_code(), known.collect::<Vec<_>>())
    };
    // The other one is read, and nothing fits beside it; then none is due.
    assert_eq!(known(1).await, (exit::DAMAGED, vec![id.clone()]));
    assert_eq!(known(0).await, (exit::DAMAGED, vec![id.clone()]));
    // What is read again and is still damaged is told of once.
    world.after_days(2);
    let report = world.scrubbed(u64::MAX, &at).await;
    let damaged = report.copies.iter().filter(|copy| copy.repair.is_some());
    assert_eq!((damaged.count(), report.known.len()), (1, 0), "{report:?}");
    assert_eq!(report.exit_code(), exit::DAMAGED);

    // Whoever finds it right looks as closely.
    flip(&sink, &file).await;
    assert_eq!(known(0).await, (exit::DAMAGED, vec![id.clone()]));
    world.after_days(2);
    assert_eq!(world.scrubbed(u64::MAX, &at).await.exit_code(), exit::DONE);
    assert_eq!(known(0).await, (exit::DONE, Vec::new()));

    flip(&sink, &file).await;
    assert_eq!(world.verified(&id, &at).await, exit::DAMAGED);
    assert_eq!(known(0).await.0, exit::DAMAGED);
    let deleted = world
        .engine
        .delete(DeleteRequest::new(at.to_vec(), id))
        .await;
    assert_eq!(deleted.exit_code(), exit::DONE, "{deleted:?}");
    assert_eq!(known(0).await, (exit::DONE, Vec::new()));
    assert_eq!(world.verified(&other, &at).await, exit::DONE);
}

#[tokio::test]
async fn where_nothing_is_listed_is_said() {
    let world = World::new();
    let ((_, a), (_, b)) = (store("a"), store("b"));
    let both = [a, b];
    let names = |warnings: &[DestinationWarning]| {
        let names = warnings.iter().map(|warning| warning.destination.clone());
        names.collect::<Vec<_>>()
    };
    let synced = async || world.engine.sync(SyncRequest::new(both.to_vec())).await;
    let repaired = async || {
        let request = RepairRequest::everything(both.to_vec());
        world.engine.repair(request).await
    };
    let scrubbed = world.scrubbed(u64::MAX, &both).await;
    assert_eq!(scrubbed.exit_code(), exit::FAILED, "{scrubbed:?}");
    let all = [
        names(&scrubbed.warnings),
        names(&synced().await.warnings),
        names(&repaired().await.warnings),
    ];
    assert!(all.iter().all(|names| names == &["a", "b"]), "{all:?}");

    world.backed_up(100, &both[..1]).await;
    let scrubbed = world.scrubbed(u64::MAX, &both).await;
    assert_eq!(scrubbed.exit_code(), exit::DONE, "{scrubbed:?}");
    assert_eq!(names(&scrubbed.warnings), ["b"]);
    let synced = synced().await;
    assert!(synced.warnings.is_empty(), "it is filled: {synced:?}");
    assert!(repaired().await.warnings.is_empty());
    let scrubbed = world.scrubbed(u64::MAX, &both).await;
    assert!(scrubbed.warnings.is_empty(), "{scrubbed:?}");
}

#[tokio::test]
async fn a_drill_restores_from_one_destination_alone_and_leaves_nothing_but_word_of_it() {
    let world = World::new();
    let ((sink, a), (other, b)) = (store("a"), store("b"));
    let both = [a, b];
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(world.backed_up(300, &both).await);
        world.after_days(1);
    }
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..12 {
        let mut request = DrillRequest::new(both.to_vec());
        request.from = Some("a".to_owned());
        let report = world.engine.drill(request).await;
        assert_eq!(report.exit_code(), 0, "{report:?}");
        assert_eq!(
            (report.candidates, report.destination.as_deref()),
            (4, Some("a"))
        );
        seen.insert(report.backup.unwrap().backup_id);
        world.after_days(1);
    }
    assert!(seen.len() > 1, "{seen:?}");
    let left = std::fs::read_dir(world.scratch.path()).unwrap().count();
    assert_eq!(left, 0, "nothing stays behind");
    assert!(entries(&other).is_empty());
    let noted: Vec<_> = entries(&sink)
        .iter()
        .filter_map(layout::verification_of)
        .collect();
    assert_eq!(noted.len(), 12);
    assert!(noted.iter().all(|check| check.how == Depth::Restored));

    // The other destination would have it whole; that isn't what is asked.
    let file = data_file(&sink, &ids[2]);
    flip(&sink, &file).await;
    let mut request = DrillRequest::new(both.to_vec());
    request.from = Some("a".to_owned());
    request.which = Some(Which::Id(ids[2].clone()));
    let report = world.engine.drill(request).await;
    assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");
    let mut elsewhere = DrillRequest::new(both.to_vec());
    elsewhere.from = Some("c".to_owned());
    let report = world.engine.drill(elsewhere).await;
    assert_eq!(report.exit_code(), exit::USAGE, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_while_a_drill_restores_it_is_not_called_damaged() {
    let world = Arc::new(World::new());
    let (sink, a) = store("a");
    let id = world.backed_up(300, std::slice::from_ref(&a)).await;
    let file = data_file(&sink, &id);
    let deletes = {
        let world = Arc::clone(&world);
        move |operation: Operation, key: Option<&ObjectKey>| {
            let mut scratch = std::fs::read_dir(world.scratch.path()).unwrap();
            let is_restoring = scratch.next().is_some() && operation == Operation::Read;
            if is_restoring && key == Some(&file) {
                let mut request = DeleteRequest::new(vec![a.clone()], id.clone());
                request.retention.grace = Span::default();
                let deletes = || world.another_engine().delete_blocking(request);
                let deleted = std::thread::scope(|scope| scope.spawn(deletes).join().unwrap());
                assert_eq!(deleted.exit_code(), 0, "{deleted:?}");
            }
            Ok(())
        }
    };
    let at = vec![watched(&sink, "a", deletes)];
    let report = world.engine.drill(DrillRequest::new(at)).await;
    assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
    let backup = report.backup.unwrap();
    let error = backup.error.unwrap();
    assert!(error.message.contains("was withdrawn"), "{error:?}");
    assert!(backup.damage.is_empty() && entries(&sink).is_empty());
}
