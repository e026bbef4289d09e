//! A destination that has a rate, as the engine opens it.

mod common;

use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;
use common::store;
use teeline::Engine;
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
