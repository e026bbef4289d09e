//! Stores that somebody looks at before each call, or stops.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::stream::BoxStream;
use teeline::sinks::{MemorySink, Operation};
use teeline::{BackupError, Class, DestinationSpec, Sink};
use teeline_core::{Capabilities, ObjectKey, ObjectMeta, Upload};

use super::place;

/// Is asked before each call, with its key; may refuse it.
type Before = Arc<dyn Fn(Operation, Option<&ObjectKey>) -> Result<(), BackupError> + Send + Sync>;

/// A store that somebody looks at, or stops.
struct WatchedSink {
    inner: MemorySink,
    before: Before,
}

/// A store that dies after so many calls.
pub(crate) fn mortal(inner: &MemorySink, name: &str, calls: u64) -> DestinationSpec {
    let calls_left = AtomicU64::new(calls);
    let before = move |_: Operation, _: Option<&ObjectKey>| {
        let left = |left: u64| left.checked_sub(1);
        let call = calls_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
        call.map(drop)
            .map_err(|_| BackupError::new(Class::Permanent, "use", "the store", "it has died"))
    };
    watched(inner, name, before)
}

/// A store of which `before` is asked before each call.
pub(crate) fn watched(
    inner: &MemorySink,
    name: &str,
    before: impl Fn(Operation, Option<&ObjectKey>) -> Result<(), BackupError> + Send + Sync + 'static,
) -> DestinationSpec {
    let sink = WatchedSink {
        inner: inner.clone(),
        before: Arc::new(before),
    };
    place(name, sink)
}

impl fmt::Debug for WatchedSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.inner, f)
    }
}

impl fmt::Display for WatchedSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

#[async_trait::async_trait]
impl Sink for WatchedSink {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn begin(&self, key: &ObjectKey, bytes: u64) -> Result<Box<dyn Upload>, BackupError> {
        (self.before)(Operation::Begin, Some(key))?;
        Ok(Box::new(WatchedUpload {
            inner: self.inner.begin(key, bytes).await?,
            key: key.clone(),
            before: Arc::clone(&self.before),
        }))
    }
    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        (self.before)(Operation::Put, Some(key))?;
        self.inner.put(key, bytes).await
    }
    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        (self.before)(Operation::Read, Some(key))?;
        self.inner.read(key, range).await
    }
    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        (self.before)(Operation::Head, Some(key))?;
        self.inner.head(key).await
    }
    async fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError> {
        (self.before)(Operation::DropCached, Some(key))?;
        self.inner.drop_cached(key).await
    }
    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        match (self.before)(Operation::List, folder) {
            Ok(()) => self.inner.list(folder),
            Err(error) => Box::pin(futures::stream::iter([Err(error)])),
        }
    }
    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        (self.before)(Operation::Delete, Some(key))?;
        self.inner.delete(key).await
    }
}

struct WatchedUpload {
    inner: Box<dyn Upload>,
    key: ObjectKey,
    before: Before,
}

#[async_trait::async_trait]
impl Upload for WatchedUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        (self.before)(Operation::Write, Some(&self.key))?;
        self.inner.write(bytes).await
    }
    async fn commit(&mut self) -> Result<(), BackupError> {
        (self.before)(Operation::Commit, Some(&self.key))?;
        self.inner.commit().await
    }
    async fn abort(&mut self) -> Result<(), BackupError> {
        self.inner.abort().await
    }
}
