//! A backup that somebody names goes, and nothing else.

use std::sync::Arc;

use teeline::{Class, RemovalStatus, Sink, Which, WithdrawalReason, exit};

use teeline::sinks::{Fault, FaultPlan, FaultSink, Operation, What, When};

use super::{DAY_MS, World, is_gone, key, keys_about, lose};
use crate::common::{objects, place, store};

#[tokio::test]
async fn what_is_named_is_withdrawn_and_then_removed() {
    let world = World::new();
    let ((near, here), (far, there)) = (store("here"), store("there"));
    let at = [here, there];
    let made = world.daily(2, &at).await;
    let statuses = |report: &teeline::DeleteReport| {
        let destinations = report.destinations.iter();
        destinations.map(|at| at.removal.status).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        let report = world.delete(&at, &made[1]).await;
        assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
        assert_eq!(
            statuses(&report),
            [RemovalStatus::Withdrawn; 2],
            "also the second time"
        );
        assert_eq!(
            report.destinations[0].removal.reason,
            Some(WithdrawalReason::Deleted)
        );
        world.assert_listed_and_whole(&at, &made[..1]).await;
        assert!(keys_about(&near, &made[1]).len() > 3);
    }
    world.wait(DAY_MS);
    let report = world.delete(&at, &made[1]).await;
    assert_eq!(statuses(&report), [RemovalStatus::Removed; 2], "{report:?}");
    assert!(report.destinations[0].removal.files > 3);
    assert!(is_gone(&near, &made[1]) && is_gone(&far, &made[1]));
    world.assert_listed_and_whole(&at, &made[..1]).await;
    let again = world.delete(&at, &made[1]).await;
    assert_eq!(statuses(&again), [RemovalStatus::Removed; 2]);
    assert_eq!(again.exit_code(), exit::DONE);
}

#[tokio::test]
async fn what_nobody_has_is_an_error() {
    let world = World::new();
    let (sink, spec) = store("here");
    let at = [spec];
    world.backup(&at).await;
    let before = objects(&sink).await;
    let unknown = "full-2026-01-01T00-00-00-aaaaaaaaaa".parse().unwrap();
    let report = world.delete(&at, &unknown).await;
    assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
    assert!(report.error.unwrap().message.contains(unknown.as_str()));
    assert_eq!(report.failure.unwrap().status_code, 404);
    assert!(objects(&sink).await == before);
}

#[tokio::test]
async fn a_destination_without_it_is_no_failure() {
    let world = World::new();
    let ((_, here), (empty, there)) = (store("here"), store("there"));
    let at = [here, there];
    let id = world.backup(&at[..1]).await;
    let report = world.delete_at_once(&at, &id).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert_eq!(report.destinations[1].removal.status, RemovalStatus::Absent);
    assert!(empty.keys().is_empty());
}

#[tokio::test]
async fn only_what_the_run_wrote_is_removed() {
    let world = World::new();
    let (sink, spec) = store("here");
    let at = [spec];
    let id = world.backup(&at).await;
    let foreign = [
        format!("{id}/notes.txt"),
        format!("{id}/deeper/events.jsonl.gz"),
        format!("restored/{id}/events.jsonl"),
        format!("restored/{id}/run.txt"),
    ];
    for name in &foreign {
        sink.put(&key(name), "x".into()).await.unwrap();
    }
    let report = world.delete_at_once(&at, &id).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    let mut left = keys_about(&sink, &id);
    left.retain(|key| !key.ends_with(".withdrawn"));
    let mut foreign = foreign.to_vec();
    foreign.sort();
    assert_eq!(left, foreign);
}

#[tokio::test]
async fn what_is_damaged_can_be_deleted() {
    for lost in ["manifest.json", "run.json", "events.jsonl.gz"] {
        let world = World::new();
        let (sink, spec) = store("here");
        let at = [spec];
        let id = world.backup(&at).await;
        sink.overwrite(&key(&format!("{id}/{lost}")), b"{}");
        let report = world.delete_at_once(&at, &id).await;
        assert_eq!(report.exit_code(), exit::DONE, "{lost}: {report:?}");
        assert!(is_gone(&sink, &id), "{lost}: {:?}", sink.keys());
    }
    // Its entry, in the catalogue.
    let world = World::new();
    let (sink, spec) = store("here");
    let at = [spec];
    let id = world.backup(&at).await;
    let entry = sink
        .keys()
        .into_iter()
        .find(|key| key.as_str().starts_with("catalog/"));
    sink.overwrite(&entry.unwrap(), b"{}");
    let report = world.delete_at_once(&at, &id).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert!(is_gone(&sink, &id), "{:?}", sink.keys());
}

#[tokio::test]
async fn a_withdrawal_that_cannot_be_read_withdraws_all_the_same() {
    let world = World::new();
    let (sink, spec) = store("here");
    let at = [spec];
    let made = world.daily(2, &at).await;
    world.delete(&at, &made[1]).await;
    let withdrawal = sink
        .keys()
        .into_iter()
        .find(|key| key.as_str().ends_with(".withdrawn"));
    sink.overwrite(&withdrawal.unwrap(), b"nonsense");
    world.assert_listed_and_whole(&at, &made[..1]).await;
    let refused = world.restore(&at, Which::Id(made[1].clone())).await;
    assert!(refused.error.unwrap().message.contains("was withdrawn"));
    // Nobody knows since when, so nothing is removed by the time; at once it is.
    world.wait(9 * DAY_MS);
    let report = world.delete(&at, &made[1]).await;
    assert_eq!(report.exit_code(), exit::FAILED, "{report:?}");
    let report = world.delete_at_once(&at, &made[1]).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    assert!(is_gone(&sink, &made[1]));
}

#[tokio::test]
async fn what_is_gone_already_is_not_said_to_stay_for_a_grace() {
    let world = World::new();
    let (sink, spec) = store("here");
    let at = [spec];
    let id = world.backup(&at).await;
    world.delete_at_once(&at, &id).await;
    assert!(is_gone(&sink, &id));
    let again = world.delete(&at, &id).await;
    assert_eq!(again.exit_code(), exit::DONE, "{again:?}");
    let removal = &again.destinations[0].removal;
    assert_eq!((removal.status, removal.files), (RemovalStatus::Removed, 0));
    assert_eq!(removal.removable_from, None);
}

/// A 404 to a HEAD may be a page of somebody in between, as no answer to it has words.
#[tokio::test]
async fn a_proxy_that_knows_of_no_claim_makes_nothing_gone() {
    let world = World::new();
    let (sink, spec) = store("here");
    let id = world.backup(std::slice::from_ref(&spec)).await;
    world.delete(std::slice::from_ref(&spec), &id).await;
    // Whoever had begun to remove it has died once its entry was gone.
    let keys = sink.keys().into_iter();
    let entries = keys.filter(|key| key.as_str().starts_with("catalog/"));
    for entry in entries.filter(|key| !key.as_str().ends_with(".withdrawn")) {
        sink.delete(&entry).await.unwrap();
    }
    lose(&sink, &["manifest.json"]).await;
    let left = keys_about(&sink, &id);
    let page = Fault::new(Operation::Head, When::Nth(1), What::Fail(Class::NotFound));
    let plan = FaultPlan::new(1).with(page.on_keys_with("run.json"));
    let proxied = place("here", FaultSink::new(Arc::new(sink.clone()), plan));
    let report = world.delete(&[proxied], &id).await;
    let removal = &report.destinations[0].removal;
    assert_eq!(removal.status, RemovalStatus::Withdrawn, "{report:?}");
    assert_eq!(keys_about(&sink, &id), left);
    world.delete_at_once(&[spec], &id).await;
    assert!(is_gone(&sink, &id), "{:?}", keys_about(&sink, &id));
}
