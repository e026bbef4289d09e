//! Runs that a repair leaves alone, or leaves off in the middle.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use teeline::sinks::{Fault, FaultPlan, FaultSink, Operation, What, When};
use teeline::{
    DestinationSpec, DestinationStatus, Engine, RepairRequest, RepairStatus, RunStatus, Timestamp,
    exit,
};
use teeline_core::{ObjectKey, RunRecord};

use crate::common::{self, assert_idle, records, request, unmark};
use crate::{made, reseal, statuses};

#[tokio::test]
async fn a_run_that_failed_is_published_only_where_it_is_named() {
    let made = made().await;
    made.lose(0, &[&made.file("manifest.json"), &made.key("catalog/")])
        .await;
    let record = made.key("runs/");
    reseal(&made.sinks[0], &record, |record: &mut RunRecord| {
        record.status = RunStatus::Failed;
        for destination in &mut record.destinations {
            destination.status = DestinationStatus::Failed;
        }
    })
    .await;
    let report = made.repair(&made.at[..1]).await;
    assert_eq!(statuses(&report), [RepairStatus::Skipped]);
    assert_eq!(report.exit_code(), exit::DEGRADED);
    assert!(made.engine.list(&made.at[..1]).await.backups.is_empty());
    let report = made.repair_named(&made.at[..1]).await;
    assert_eq!(statuses(&report), [RepairStatus::Reconstructed]);

    // Where it got as far as publishing at one of its destinations, the manifest was lost.
    let left = made.sinks[0].keys();
    let of_repair = |key: &&ObjectKey| key.as_str().starts_with("runs/") && **key != record;
    let of_repair = left.iter().find(of_repair).unwrap();
    made.lose(0, &[&made.file("manifest.json"), of_repair])
        .await;
    reseal(&made.sinks[0], &record, |record: &mut RunRecord| {
        record.destinations[1].status = DestinationStatus::Committed;
    })
    .await;
    let report = made.repair(&made.at[..1]).await;
    assert_eq!(statuses(&report), [RepairStatus::Reconstructed]);
}

#[tokio::test]
async fn a_run_that_may_be_going_on_is_left_alone_unless_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("copy").display().to_string();
    let to = [DestinationSpec::parse(&at).unwrap()];
    let made = Engine::new()
        .unwrap()
        .backup(request(&records(10), &to))
        .await;
    assert_eq!(made.exit_code(), exit::DONE, "{made:?}");
    let manifest = folder
        .path()
        .join("copy")
        .join(made.folder.unwrap())
        .join("manifest.json");
    let after = |minutes: i64| {
        let now = made.started_at.unix_ms() + minutes * 60_000;
        Engine::builder()
            .clock(Arc::new(move || Timestamp::from_unix_ms(now)))
            .build()
            .unwrap()
    };
    let request = || RepairRequest::rebuild_manifests(to.to_vec());
    let mut named = request();
    named.id = made.id.clone();

    std::fs::remove_file(&manifest).unwrap();
    let report = after(30).repair(request()).await;
    assert_eq!(statuses(&report), [RepairStatus::Skipped]);
    assert_eq!(report.exit_code(), exit::DEGRADED);
    let error = report.runs[0].destinations[0].error.clone().unwrap();
    assert!(error.message.contains("minutes ago"), "{error:?}");
    let report = after(30).repair(named).await;
    assert_eq!(
        statuses(&report),
        [RepairStatus::Reconstructed],
        "{report:?}"
    );

    std::fs::remove_file(&manifest).unwrap();
    let report = after(90).repair(request()).await;
    assert_eq!(
        statuses(&report),
        [RepairStatus::Reconstructed],
        "{report:?}"
    );
}

#[tokio::test]
async fn a_cancelled_repair_publishes_nothing() {
    let made = made().await;
    made.lose(0, &[&made.file("manifest.json")]).await;
    unmark(&made.sinks[0]).await;
    let stall = Fault::new(Operation::Read, When::From(1), What::Stall).on_keys_with("~0002.jsonl");
    let faulty = FaultSink::new(
        Arc::new(made.sinks[0].clone()),
        FaultPlan::new(1).with(stall),
    );
    let hits = faulty.hits();
    let request = RepairRequest::rebuild_manifests(vec![common::place("first", faulty)]);
    let cancel = request.cancel.clone();
    let stalled = async {
        while hits.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let (report, ()) = tokio::join!(made.engine.repair(request), stalled);
    assert_eq!(report.exit_code(), exit::INTERRUPTED, "{report:?}");
    assert!(made.engine.list(&made.at[..1]).await.backups.is_empty());
    assert_idle(&made.engine);
}
