//! A run that isn't done in time is ended, and says so.

mod common;

use std::time::Duration;

use common::{assert_idle, engine, failing, records, request, store};
use teeline::sinks::{Fault, Operation, What, When};
use teeline::{Cancel, Class, DestinationStatus, Executor};

#[tokio::test]
async fn a_run_ends_by_its_deadline_and_lists_nothing() {
    for executor in [Executor::Threads(2), Executor::Inline] {
        let engine = engine(executor);
        let stall = Fault::new(Operation::Begin, When::From(1), What::Stall);
        let (_, stuck) = failing("stuck", stall);
        let (_, good) = store("good");
        let mut asked = request(&records(300), &[good.clone(), stuck]);
        asked.deadline = Some(Duration::from_millis(300));
        let report = engine.backup(asked).await;
        assert_eq!(report.exit_code(), 1, "{report:?}");
        let error = report.error.as_ref().unwrap();
        assert!(error.message.contains("deadline"), "{error:?}");
        assert_eq!(error.class, Class::Transient);
        for destination in &report.destinations {
            assert_eq!(destination.status, DestinationStatus::Failed);
        }
        let listed = engine.list(std::slice::from_ref(&good)).await;
        assert!(listed.backups.is_empty(), "{listed:?}");
        assert_idle(&engine);

        let mut asked = request(&records(300), &[store("fresh").1]);
        asked.deadline = Some(Duration::from_secs(3_600));
        assert_eq!(engine.backup(asked).await.exit_code(), 0);
    }
}

#[tokio::test]
async fn whoever_interrupts_a_run_is_told_so_whatever_its_deadline() {
    let engine = engine(Executor::Threads(2));
    let stall = Fault::new(Operation::Begin, When::From(1), What::Stall);
    let (_, stuck) = failing("stuck", stall);
    let mut asked = request(&records(300), &[stuck]);
    asked.deadline = Some(Duration::from_secs(3_600));
    asked.cancel = Cancel::new();
    let cancel = asked.cancel.clone();
    let running = engine.backup(asked);
    cancel.cancel();
    assert_eq!(running.await.exit_code(), 130);
}

#[tokio::test]
async fn no_time_at_all_is_refused() {
    let engine = engine(Executor::Threads(2));
    let mut asked = request(&records(1), &[store("good").1]);
    asked.deadline = Some(Duration::ZERO);
    assert_eq!(engine.backup(asked).await.exit_code(), 2);
}
