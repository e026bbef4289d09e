//! How many calls of a run are under way at once, at all of its destinations together.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod common;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use common::{assert_idle, engine, place, records, request};
use futures::StreamExt;
use futures::stream::BoxStream;
use teeline::sinks::MemorySink;
use teeline::{BackupError, Executor, Sink};
use teeline_core::{Capabilities, ObjectKey, ObjectMeta, Upload};

/// Calls that are under way, and the most that ever were.
#[derive(Debug, Default)]
struct Calls {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Calls {
    /// A call that takes long enough for others to come.
    async fn during<T>(&self, call: impl Future<Output = T>) -> T {
        let now = self.now.fetch_add(1, Ordering::AcqRel) + 1;
        self.most.fetch_max(now, Ordering::AcqRel);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let done = call.await;
        self.now.fetch_sub(1, Ordering::AcqRel);
        done
    }
}

/// A store whose calls are counted together with those of others.
#[derive(Debug)]
struct CountedSink {
    inner: MemorySink,
    calls: Arc<Calls>,
}

impl fmt::Display for CountedSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

#[async_trait]
impl Sink for CountedSink {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn begin(&self, key: &ObjectKey, bytes: u64) -> Result<Box<dyn Upload>, BackupError> {
        self.calls.during(self.inner.begin(key, bytes)).await
    }
    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        self.calls.during(self.inner.put(key, bytes)).await
    }
    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        self.calls.during(self.inner.read(key, range)).await
    }
    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        self.calls.during(self.inner.head(key)).await
    }
    async fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.calls.during(self.inner.drop_cached(key)).await
    }
    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        self.inner.list(folder).boxed()
    }
    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.calls.during(self.inner.delete(key)).await
    }
}

#[tokio::test]
async fn no_more_calls_are_under_way_than_was_asked_for() {
    for (concurrency, most) in [(1, 1..=1), (2, 2..=2), (8, 3..=8)] {
        let calls = Arc::new(Calls::default());
        let destinations = ["a", "b", "c", "d"].map(|name| {
            let inner = MemorySink::new(name);
            let calls = Arc::clone(&calls);
            place(name, CountedSink { inner, calls })
        });
        let engine = engine(Executor::Threads(2));
        let mut asked = request(&records(2_000), &destinations);
        asked.concurrency = concurrency;
        let report = engine.backup(asked).await;
        assert_eq!(report.exit_code(), 0, "{report:?}");
        let reached = calls.most.load(Ordering::Acquire);
        assert!(
            most.contains(&reached),
            "{reached} at once of {concurrency}"
        );
        assert_idle(&engine);
    }
}
