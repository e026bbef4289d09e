//! A destination that has a rate, as the engine opens it.

mod common;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{engine, records, request, store};
use teeline::{Class, Compression, Engine, Executor, ProgressEvent};
use teeline_core::ObjectKey;
use tokio::time::Instant;

const RATE: usize = 16 << 10;

#[tokio::test(start_paused = true)]
async fn what_is_written_waits_for_what_was_written_before() {
    let (_, mut spec) = store("paced");
    spec.bytes_per_second_max = NonZeroU64::new(RATE as u64);
    let engine = Engine::new().expect("an engine");
    let sink = engine.open(&spec).await.expect("a store");
    let begun = Instant::now();
    for name in ["one", "two", "three"] {
        let key = ObjectKey::new(name).expect("a key");
        sink.put(&key, Bytes::from(vec![0; RATE]))
            .await
            .expect("written");
    }
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    spec.bytes_per_second_max = None;
    let sink = engine.open(&spec).await.expect("a store");
    let begun = Instant::now();
    for name in ["four", "five"] {
        let key = ObjectKey::new(name).expect("a key");
        sink.put(&key, Bytes::from(vec![0; RATE]))
            .await
            .expect("written");
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_run_that_is_ended_leaves_its_record_beside_the_rate() {
    let (sink, mut spec) = store("paced");
    // The first block takes the line for longer than anybody waits for a record.
    spec.bytes_per_second_max = NonZeroU64::new(RATE as u64);
    let mut request = request(&records(30_000), &[spec]);
    request.compression = Compression::None;
    request.block_bytes = Some(1 << 20);
    let cancel = request.cancel.clone();
    request.observer = Some(Arc::new(move |event| {
        if matches!(event, ProgressEvent::Acked { bytes, .. } if bytes >= 1 << 19) {
            cancel.cancel();
        }
    }));
    let report = engine(Executor::Threads(2)).backup(request).await;
    let error = report.error.as_ref().expect("it was ended");
    assert_eq!(error.class, Class::Cancelled, "{error:?}");
    let is_record = |key: &ObjectKey| key.as_str().starts_with("runs/");
    assert!(sink.keys().iter().any(is_record), "{report:?}");
}
