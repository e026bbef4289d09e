//! What the rules let go is withdrawn first, and isn't there any more for anybody; its files go after the grace.

use teeline::sinks::{Fault, Operation as Call, What, When};
use teeline::{
    BackupRequest, BackupState, Class, CleanupRequest, CleanupStatus, CopyState, Operation,
    RemovalStatus, RepairRequest, RetentionPolicy, Rule, Span, SyncRequest, SyncStatus,
    Verification, Which, exit,
};

use teeline_core::published_marker;

use super::{DAY_MS, HOUR_MS, World, count, daily, is_gone, key, keys_about, removals};
use crate::common::{failing, request, store};

#[tokio::test]
async fn what_no_rule_keeps_goes_in_two_steps() {
    let world = World::new();
    let (sink, spec) = store("here");
    let at = [spec];
    let made = world.daily(5, &at).await;
    let kept = [made[4].clone(), made[3].clone()];
    let before = sink.keys();

    let mut dry = CleanupRequest::new(at.to_vec(), RetentionPolicy::new(daily(2)));
    dry.dry_run = true;
    let said = world.engine.cleanup(dry).await;
    assert_eq!(said.exit_code(), exit::DONE, "{said:?}");
    assert_eq!(sink.keys(), before, "nothing is done");
    assert!(said.dry_run);
    let newest = &said.destinations[0].backups[0];
    let rules: Vec<Rule> = newest.kept_by.iter().map(|kept| kept.rule).collect();
    assert_eq!(rules, [Rule::Daily, Rule::LastVerified]);
    assert_eq!(newest.kept_by[0].of.as_deref(), Some("2026-11-27"));

    let report = world.cleanup(&at, daily(2)).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert_eq!((report.count, &report.kept[..]), (3, &kept[..]));
    assert_eq!(
        report.deleted,
        [made[2].clone(), made[1].clone(), made[0].clone()]
    );
    assert_eq!((&said.kept, &said.deleted), (&report.kept, &report.deleted));
    world.assert_listed_and_whole(&at, &kept).await;
    assert!(
        before
            .iter()
            .filter(|key| published_marker::entry_of(key).is_none())
            .all(|key| sink.keys().contains(key)),
        "files stay for the grace"
    );

    world.wait(23 * HOUR_MS);
    let early = world.cleanup(&at, daily(2)).await;
    assert_eq!((early.count, early.exit_code()), (0, exit::DONE));
    assert!(
        removals(&early)
            .iter()
            .all(|it| it.status == RemovalStatus::Withdrawn)
    );
    assert_eq!(removals(&early).len(), 3);

    world.wait(HOUR_MS);
    let late = world.cleanup(&at, daily(2)).await;
    assert_eq!(late.exit_code(), exit::DONE, "{late:?}");
    for removal in removals(&late) {
        assert_eq!(removal.status, RemovalStatus::Removed);
        assert!(removal.files > 3 && removal.bytes > 0, "{removal:?}");
    }
    assert!(made[..3].iter().all(|id| is_gone(&sink, id)));
    world.assert_listed_and_whole(&at, &kept).await;

    let again = world.cleanup(&at, daily(2)).await;
    assert!(removals(&again).is_empty(), "{again:?}");
}

#[tokio::test]
async fn where_too_many_would_go_at_once_none_does() {
    let world = World::new();
    let (sink, spec) = store("here");
    let at = [spec];
    let mut made = world.daily(4, &at).await;
    made.reverse();
    let before = sink.keys();
    let clean = async |percent_max, dry_run| {
        let mut policy = RetentionPolicy::new(count(1));
        policy.withdraw_percent_max = percent_max;
        let mut request = CleanupRequest::new(at.to_vec(), policy);
        request.dry_run = dry_run;
        world.engine.cleanup(request).await
    };

    let said = clean(74, true).await;
    assert_eq!(said.deleted, made[1..], "it says which");
    let refused = clean(74, false).await;
    let codes = [said.exit_code(), refused.exit_code()];
    assert_eq!(codes, [exit::DEGRADED, exit::FAILED]);
    for report in [said, refused] {
        let message = &report.destinations[0].errors[0].message;
        let expected = "3 of 4 backups would be withdrawn, and at most 74 % may be at once; nothing was changed";
        assert!(message.ends_with(expected), "{message}");
        assert_eq!(sink.keys(), before);
    }
    world.assert_listed_and_whole(&at, &made).await;

    let report = clean(75, false).await;
    assert_eq!((report.count, report.exit_code()), (3, exit::DONE));
    world.assert_listed_and_whole(&at, &made[..1]).await;
}

#[tokio::test]
async fn what_is_withdrawn_is_there_for_nobody() {
    let world = World::new();
    let ((_, here), (far, there)) = (store("here"), store("there"));
    let at = [here, there];
    let made = world.daily(2, &at).await;
    let report = world.cleanup(&at[..1], count(1)).await;
    assert_eq!(report.deleted, made[..1]);

    let refused = world.restore(&at[..1], Which::Id(made[0].clone())).await;
    assert_eq!(refused.exit_code(), exit::FAILED);
    let error = refused.error.unwrap();
    let said = format!(
        "{} was withdrawn from destination here at 2026-11-25T12:00:00.000Z",
        made[0]
    );
    assert!(error.message.contains(&said), "{error:?}");
    assert!(error.suggestion.unwrap().contains(".withdrawn"));
    let elsewhere = world.restore(&at, Which::Id(made[0].clone())).await;
    assert_eq!(elsewhere.exit_code(), exit::DONE, "{elsewhere:?}");

    let status = world.engine.status(&at, &made[0]).await;
    assert_eq!(
        (status.status, status.exit_code()),
        (BackupState::Completed, exit::DONE)
    );
    assert_eq!(status.destinations[0].status, CopyState::Withdrawn);
    assert!(status.destinations[0].withdrawn_at.is_some());
    let status = world.engine.status(&at[..1], &made[0]).await;
    assert_eq!(
        (status.status, status.exit_code()),
        (BackupState::Withdrawn, exit::DONE)
    );

    // Where it is kept, it goes on; it isn't brought back.
    world.wait(2 * DAY_MS);
    world.cleanup(&at[..1], count(1)).await;
    let synced = world.engine.sync(SyncRequest::new(at.to_vec())).await;
    assert_eq!(synced.exit_code(), exit::DONE, "{synced:?}");
    assert!(synced.backups.is_empty(), "{synced:?}");
    let mut named = SyncRequest::new(at.to_vec());
    named.id = Some(made[0].clone());
    named.destinations.push(store("new").1);
    let synced = world.engine.sync(named).await;
    let statuses: Vec<SyncStatus> = synced.backups[0]
        .destinations
        .iter()
        .map(|at| at.status)
        .collect();
    assert_eq!(
        statuses,
        [SyncStatus::Withdrawn, SyncStatus::Whole, SyncStatus::Copied]
    );
    world.assert_listed_and_whole(&at[..1], &made[1..]).await;
    let both = [made[1].clone(), made[0].clone()];
    world.assert_listed_and_whole(&at[1..], &both).await;
    world.assert_listed_and_whole(&at, &both).await;
    assert!(keys_about(&far, &made[0]).len() > 1);
}

#[tokio::test]
async fn no_repair_brings_it_back() {
    let world = World::new();
    let (sink, spec) = store("here");
    let at = [spec];
    let made = world.daily(2, &at).await;
    world.cleanup(&at, count(1)).await;
    let manifest = key(&format!("{}/manifest.json", made[0]));
    teeline::Sink::delete(&sink, &manifest).await.unwrap();
    let repaired = world
        .engine
        .repair(RepairRequest::rebuild_manifests(at.to_vec()))
        .await;
    assert!(repaired.runs.is_empty(), "{repaired:?}");
    let mut named = RepairRequest::rebuild_manifests(at.to_vec());
    named.id = Some(made[0].clone());
    let repaired = world.engine.repair(named).await;
    assert_eq!(
        repaired.runs[0].destinations[0].status,
        teeline::RepairStatus::Withdrawn
    );
    world.assert_listed_and_whole(&at, &made[1..]).await;
}

#[tokio::test]
async fn each_destination_may_have_rules_of_its_own() {
    let world = World::new();
    let ((_, mut here), (_, there)) = (store("here"), store("there"));
    here.retention = Some(RetentionPolicy {
        grace: Span::default(),
        ..RetentionPolicy::new(count(1))
    });
    let at = [here, there];
    let made = world.daily(3, &at).await;
    let report = world.cleanup(&at, daily(2)).await;
    assert_eq!((report.count, &report.kept[..]), (2, &made[2..]));
    world.assert_listed_and_whole(&at[..1], &made[2..]).await;
    assert_eq!(
        world.listed(&at[1..]).await,
        [made[2].clone(), made[1].clone()]
    );
    let of_here: Vec<RemovalStatus> = report.destinations[0]
        .removals
        .iter()
        .map(|it| it.status)
        .collect();
    assert_eq!(of_here, [RemovalStatus::Removed; 2], "no grace there");
    assert_eq!(
        report.destinations[1].removals[0].status,
        RemovalStatus::Withdrawn
    );
}

#[tokio::test]
async fn without_rules_nothing_goes() {
    let world = World::new();
    let at = [store("here").1];
    let mut made = world.daily(3, &at).await;
    let report = world.cleanup(&at, teeline::Retention::default()).await;
    assert_eq!((report.count, report.exit_code()), (0, exit::DONE));
    made.reverse();
    assert_eq!(report.kept, made);
    world.assert_listed_and_whole(&at, &made).await;
}

#[tokio::test]
async fn the_last_one_that_was_read_back_stays() {
    let world = World::new();
    let at = [store("here").1];
    let read = world.daily(2, &at).await;
    let mut attested = Vec::new();
    for _ in 0..2 {
        let mut request: BackupRequest = request(&world.lines, &at);
        request.verification = Verification::Attested;
        attested.push(world.engine.backup(request).await.id.unwrap());
        world.wait(DAY_MS);
    }
    let report = world.cleanup(&at, count(1)).await;
    assert_eq!(report.kept, [attested[1].clone(), read[1].clone()]);
    let of_read = report.destinations[0]
        .backups
        .iter()
        .find(|it| it.id == read[1])
        .unwrap();
    assert_eq!(of_read.kept_by[0].rule, Rule::LastVerified);
    assert_eq!(of_read.kept_by.len(), 1);
}

#[tokio::test]
async fn a_backup_of_the_future_is_left_alone_and_counts_for_nothing() {
    let world = World::new();
    let at = [store("here").1];
    let made = world.daily(2, &at).await;
    world.wait(400 * DAY_MS);
    let future = world.backup(&at).await;
    world.wait(-400 * DAY_MS);
    let report = world.cleanup(&at, count(1)).await;
    assert_eq!(report.kept, [future.clone(), made[1].clone()]);
    assert_eq!(report.deleted, made[..1]);
    let backups = &report.destinations[0].backups;
    assert_eq!(backups[0].kept_by[0].rule, Rule::ImplausibleTime);
    assert_eq!(backups[2].status, CleanupStatus::Withdrawn);
}

#[tokio::test]
async fn a_destination_that_cannot_be_asked_costs_the_others_nothing() {
    let world = World::new();
    let (_, here) = store("here");
    let made = world.daily(2, std::slice::from_ref(&here)).await;
    let dead =
        teeline::DestinationSpec::parse("dead=http://key:hidden@127.0.0.1:1/bucket").unwrap();
    let report = world.cleanup(&[here.clone(), dead.clone()], count(1)).await;
    assert_eq!(report.deleted, made[..1]);
    assert_eq!(report.exit_code(), exit::DEGRADED, "{report:?}");
    let report = world.cleanup(&[dead], count(1)).await;
    assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
}

#[tokio::test]
async fn what_can_be_neither_withdrawn_nor_removed_is_a_failure() {
    for (call, keys, grace_ms) in [
        (Call::Put, ".withdrawn", 0),
        (Call::Delete, "events.jsonl", DAY_MS),
    ] {
        let world = World::new();
        let denied = Fault::new(call, When::From(1), What::Fail(Class::Permanent));
        let (_, spec) = failing("here", denied.on_keys_with(keys));
        let at = [spec];
        let made = world.daily(2, &at).await;
        world.cleanup(&at, count(1)).await;
        world.wait(grace_ms);
        let cleaned = world.cleanup(&at, count(1)).await;
        assert_eq!(cleaned.exit_code(), exit::DEGRADED, "{call:?}: {cleaned:?}");
        let failure = cleaned.failure.unwrap();
        assert_eq!(
            (failure.operation, failure.status_code, failure.retriable),
            (Operation::Cleanup, 500, true)
        );
        let deleted = world.delete_at_once(&at, &made[1]).await;
        assert_eq!(deleted.exit_code(), exit::FAILED, "{call:?}: {deleted:?}");
        let failure = deleted.failure.unwrap();
        assert_eq!(
            (failure.operation, failure.status_code, failure.retriable),
            (Operation::Delete, 500, true)
        );
        assert_eq!(failure.backup_id.as_ref(), Some(&made[1]));
        assert!(failure.suggestion.contains("permissions"), "{failure:?}");
    }
}
