//! A manifest that was made again and is lost again is noticed, whatever the run's own record says.

use std::sync::Arc;

use teeline::sinks::{Fault, FaultPlan, FaultSink, Operation, What, When};
use teeline::{Class, DestinationStatus, RepairStatus, RunStatus, Verified, exit};
use teeline_core::{ObjectKey, RunRecord, document};

use crate::common::{self, assert_idle, whole};
use crate::{Made, made, reseal, statuses};

/// The records at the first destination beside `known`.
async fn records_beside(made: &Made, known: Option<&ObjectKey>) -> Vec<RunRecord> {
    let mut records = Vec::new();
    for key in made.sinks[0].keys() {
        if key.as_str().starts_with("runs/") && Some(&key) != known {
            let bytes = whole(&made.sinks[0], &key).await;
            records.push(document::open(key.as_str(), &bytes).unwrap());
        }
    }
    records
}

async fn assert_noticed_again(made: &Made) {
    made.lose_and_notice().await;
    let report = made.repair(&made.at[..1]).await;
    assert_eq!(statuses(&report), [RepairStatus::Reconstructed]);
    made.assert_whole(&made.at[..1]).await;
}

#[tokio::test]
async fn a_run_that_has_a_record_gets_no_second_one() {
    let made = made().await;
    let record = made.key("runs/");
    for _ in 0..2 {
        assert_noticed_again(&made).await;
        assert!(records_beside(&made, Some(&record)).await.is_empty());
    }
}

#[tokio::test]
async fn a_run_without_a_record_gets_one() {
    let made = made().await;
    made.lose(0, &[&made.file("manifest.json"), &made.key("runs/")])
        .await;
    let unnoticed = made.engine.list(&made.at[..1]).await;
    assert_eq!(unnoticed.exit_code(), exit::DONE, "{unnoticed:?}");
    let report = made.repair(&made.at[..1]).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");

    let records = records_beside(&made, None).await;
    let [record] = records.as_slice() else {
        panic!("{records:?}");
    };
    assert_eq!(
        (&record.id, record.status, record.checksum),
        (&made.id, RunStatus::Completed, Some(made.checksum))
    );
    let [at] = record.destinations.as_slice() else {
        panic!("{record:?}");
    };
    assert_eq!(
        (at.name.as_str(), at.status, at.verified),
        ("first", DestinationStatus::Committed, Verified::Read)
    );
    let status = made.engine.status(&made.at[..1], &made.id).await;
    assert_eq!(status.runs, records);
    assert_noticed_again(&made).await;
}

#[tokio::test]
async fn a_run_that_failed_there_gets_one_of_the_repair() {
    let made = made().await;
    let record = made.key("runs/");
    made.lose(0, &[&made.file("manifest.json")]).await;
    reseal(&made.sinks[0], &record, |record: &mut RunRecord| {
        record.status = RunStatus::Degraded;
        record.destinations[0].status = DestinationStatus::Failed;
    })
    .await;
    let report = made.repair(&made.at).await;
    assert_eq!(
        statuses(&report),
        [RepairStatus::Copied, RepairStatus::Whole]
    );
    assert_eq!(records_beside(&made, Some(&record)).await.len(), 1);
    assert_noticed_again(&made).await;
}

#[tokio::test]
async fn a_record_that_was_not_left_is_said_and_left_by_the_next_repair() {
    let made = made().await;
    made.lose(0, &[&made.file("manifest.json"), &made.key("runs/")])
        .await;
    let fault = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Permanent))
        .on_keys_with("runs/");
    let plan = FaultPlan::new(1).with(fault);
    let faulty = FaultSink::new(Arc::new(made.sinks[0].clone()), plan);
    let report = made.repair(&[common::place("first", faulty)]).await;
    assert_eq!(statuses(&report), [RepairStatus::Reconstructed]);
    assert_eq!(report.exit_code(), exit::FAILED);
    assert_eq!(report.errors[0].destination, "first");

    let report = made.repair_named(&made.at[..1]).await;
    assert_eq!(statuses(&report), [RepairStatus::Whole]);
    assert_eq!(report.exit_code(), exit::DONE);
    assert_noticed_again(&made).await;
    assert_idle(&made.engine);
}
