//! What becomes of a pass in which something is not as it should be: it ends, it says why, and nothing of it is left.

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::{Records, pass};
use teeline_actors::{Budget, Executor, Host, PassEnd, Verification};
use teeline_core::{Class, DestinationStatus, Outcome, Verified, document};
use teeline_sinks::{Fault, FaultPlan, FaultSink, MemorySink, Operation, What, When};

fn host() -> Host {
    Host::start(Executor::Threads(2)).expect("threads")
}

#[tokio::test]
async fn a_file_that_no_reader_takes_is_not_published() {
    let (budget, sink) = (Budget::new(8 << 20), MemorySink::new("one"));
    let mut source = Records::of(10, 100);
    let bytes = usize::try_from(document::BYTES_MAX).unwrap() + 1;
    source.attachments = vec![("large.json".to_owned(), Bytes::from(vec![0; bytes]))];
    let report = host()
        .run(pass(source, &budget, vec![Arc::new(sink.clone())]))
        .await
        .unwrap();
    assert_eq!(report.end, PassEnd::Finished(Outcome::Failed));
    let error = report.error.unwrap().to_string();
    assert!(error.starts_with("write large.json: "), "{error}");
    let published = |key: &teeline_core::ObjectKey| key.as_str().contains("large.json");
    assert!(!sink.keys().iter().any(published));
    assert!(budget.is_whole());
}

#[tokio::test]
async fn what_is_attested_has_the_size_that_was_sent() {
    let lose = |operation, file: &str| {
        Fault::new(operation, When::Nth(1), What::LoseByte).on_keys_with(file)
    };
    for fault in [
        None,
        Some(lose(Operation::Write, "events.jsonl")),
        Some(lose(Operation::Put, "events.index")),
        Some(lose(Operation::Put, "run.json")),
        Some(lose(Operation::Put, "catalog/")),
        Some(lose(Operation::Put, "manifest.json")),
    ] {
        let budget = Budget::new(8 << 20);
        let rules = fault.clone().into_iter().collect();
        let plan = FaultPlan { seed: 1, rules };
        let sink = FaultSink::new(Arc::new(MemorySink::new("one")), plan);
        let mut pass = pass(Records::of(10, 100), &budget, vec![Arc::new(sink)]);
        pass.verification = Verification::Attested;
        let report = host().run(pass).await.unwrap();
        let (_, destination) = &report.destinations[0];
        let error = destination.error.as_ref().map(|error| error.class);
        match fault {
            None => assert_eq!(
                (destination.status, destination.verified, error),
                (DestinationStatus::Committed, Verified::Attested, None)
            ),
            Some(_) => assert_eq!(error, Some(Class::Corrupt), "{fault:?}: {destination:?}"),
        }
        assert!(budget.is_whole());
    }
}
