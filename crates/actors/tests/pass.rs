//! What becomes of a pass in which something is not as it should be: it ends, it says why, and nothing of it is left.

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::{Records, pass};
use teeline_actors::{Budget, Executor, Host, PassEnd};
use teeline_core::{Outcome, document};
use teeline_sinks::MemorySink;

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
