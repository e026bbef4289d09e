//! How many calls are made at once.
//!
//! One permit covers one call and is held for nothing else: not while an upload waits for its next bytes, and not
//! between the items of a list. A stream has one for as many bytes as are read in one call, so whoever takes its pieces waits for
//! no other call in between. So however few there are, a destination that has data comes to its turn.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use teeline_core::{
    Availability, BackupError, Capabilities, Class, ObjectKey, ObjectMeta, Sink, Thaw,
    UnfinishedUpload, Upload,
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// A store whose calls each take a permit first, in the order in which they come.
#[derive(Debug)]
pub struct PermitSink {
    inner: Arc<dyn Sink>,
    permits: Arc<Semaphore>,
}

impl PermitSink {
    /// `inner`, with at most as many calls at once as `permits` holds; it may be shared between stores.
    pub fn new(inner: Arc<dyn Sink>, permits: Arc<Semaphore>) -> Self {
        PermitSink { inner, permits }
    }

    /// Takes a permit for each item.
    fn each<'a, T: Send + 'a>(
        &'a self,
        items: BoxStream<'a, Result<T, BackupError>>,
    ) -> BoxStream<'a, Result<T, BackupError>> {
        stream::unfold(Some(items), move |items| async move {
            let mut items = items?;
            match self.permit().await {
                Ok(_permit) => Some((items.next().await?, Some(items))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>, BackupError> {
        acquire(&self.permits, &self.inner).await
    }
}

async fn acquire<'a>(
    permits: &'a Semaphore,
    place: &(dyn fmt::Display + Sync),
) -> Result<SemaphorePermit<'a>, BackupError> {
    // Closing the semaphore is how a host ends all calls.
    permits
        .acquire()
        .await
        .map_err(|_| BackupError::new(Class::Cancelled, "use", place, "no more calls are let in"))
}

impl fmt::Display for PermitSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Sink for PermitSink {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn begin(
        &self,
        key: &ObjectKey,
        expected_bytes: u64,
    ) -> Result<Box<dyn Upload>, BackupError> {
        let _permit = self.permit().await?;
        let inner = self.inner.begin(key, expected_bytes).await?;
        Ok(Box::new(PermitUpload {
            inner,
            permits: Arc::clone(&self.permits),
            place: format!("{}/{key}", self.inner),
        }))
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        let _permit = self.permit().await?;
        self.inner.put(key, bytes).await
    }

    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        let _permit = self.permit().await?;
        self.inner.read(key, range).await
    }

    fn stream(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> BoxStream<'_, Result<Bytes, BackupError>> {
        let permitted = Permitted {
            sink: self,
            pieces: self.inner.stream(key, range),
            permit: None,
            left: 0,
        };
        stream::try_unfold(permitted, |mut permitted| async move {
            let piece = permitted.next().await?;
            Ok(piece.map(|piece| (piece, permitted)))
        })
        .boxed()
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        let _permit = self.permit().await?;
        self.inner.head(key).await
    }

    async fn availability(&self, key: &ObjectKey) -> Result<Availability, BackupError> {
        let _permit = self.permit().await?;
        self.inner.availability(key).await
    }

    async fn thaw(&self, key: &ObjectKey, thaw: Thaw) -> Result<(), BackupError> {
        let _permit = self.permit().await?;
        self.inner.thaw(key, thaw).await
    }

    async fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError> {
        let _permit = self.permit().await?;
        self.inner.drop_cached(key).await
    }

    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        self.each(self.inner.list(folder))
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        let _permit = self.permit().await?;
        self.inner.delete(key).await
    }

    fn unfinished(
        &self,
        folder: Option<&ObjectKey>,
    ) -> BoxStream<'_, Result<UnfinishedUpload, BackupError>> {
        self.each(self.inner.unfinished(folder))
    }

    async fn discard(&self, upload: &UnfinishedUpload) -> Result<(), BackupError> {
        let _permit = self.permit().await?;
        self.inner.discard(upload).await
    }
}

/// A stream that takes a permit for as many bytes as are read in one call.
struct Permitted<'a> {
    sink: &'a PermitSink,
    pieces: BoxStream<'a, Result<Bytes, BackupError>>,
    permit: Option<SemaphorePermit<'a>>,
    /// How many bytes more it is good for.
    left: u64,
}

impl Permitted<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, BackupError> {
        if self.left == 0 {
            self.permit = None;
            self.permit = Some(self.sink.permit().await?);
            self.left = self.sink.capabilities().reading.bytes;
        }
        let piece = self.pieces.try_next().await?;
        let bytes = piece.as_ref().map_or(0, |piece| piece.len() as u64);
        self.left = self.left.saturating_sub(bytes);
        Ok(piece)
    }
}

struct PermitUpload {
    inner: Box<dyn Upload>,
    permits: Arc<Semaphore>,
    place: String,
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Upload for PermitUpload {
    async fn go_on_with(&mut self, begun: &UnfinishedUpload) -> Result<(), BackupError> {
        let _permit = acquire(&self.permits, &self.place).await?;
        self.inner.go_on_with(begun).await
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        let _permit = acquire(&self.permits, &self.place).await?;
        self.inner.write(bytes).await
    }

    async fn commit(&mut self) -> Result<(), BackupError> {
        let _permit = acquire(&self.permits, &self.place).await?;
        self.inner.commit().await
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        let _permit = acquire(&self.permits, &self.place).await?;
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fault, FaultPlan, FaultSink, MemorySink, Operation, What, When};

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new(name).unwrap()
    }

    #[tokio::test]
    async fn an_upload_that_waits_for_data_holds_none() {
        let permits = Arc::new(Semaphore::new(1));
        let sink = PermitSink::new(Arc::new(MemorySink::new("m")), Arc::clone(&permits));
        let mut one = sink.begin(&key("one"), 1).await.unwrap();
        let mut two = sink.begin(&key("two"), 1).await.unwrap();
        one.write(Bytes::from_static(b"1")).await.unwrap();
        two.write(Bytes::from_static(b"2")).await.unwrap();
        one.commit().await.unwrap();
        two.commit().await.unwrap();
        let mut items = sink.list(None);
        items.next().await.unwrap().unwrap();
        sink.head(&key("one")).await.unwrap();
        items.next().await.unwrap().unwrap();
        assert!(items.next().await.is_none());
        assert_eq!(permits.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_call_holds_one_until_it_ends_or_is_dropped() {
        let permits = Arc::new(Semaphore::new(1));
        let plan = FaultPlan::new(1).with(Fault::new(Operation::Head, When::Nth(1), What::Stall));
        let stuck = FaultSink::new(Arc::new(MemorySink::new("m")), plan);
        let sink = PermitSink::new(Arc::new(stuck), Arc::clone(&permits));
        let key = key("one");
        let mut first = sink.head(&key);
        assert!(futures::poll!(&mut first).is_pending());
        assert!(futures::poll!(sink.head(&key)).is_pending());
        assert_eq!(permits.available_permits(), 0);
        drop(first);
        assert_eq!(sink.head(&key).await.unwrap_err().class(), Class::NotFound);
        assert_eq!(permits.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_stream_holds_one_for_what_a_call_reads() {
        let permits = Arc::new(Semaphore::new(1));
        let sink = PermitSink::new(Arc::new(MemorySink::new("m")), Arc::clone(&permits));
        let key = key("one");
        sink.put(&key, vec![0; 3 << 20].into()).await.unwrap();
        let mut pieces = sink.stream(&key, 0..3 << 20);
        for _ in 0..3 {
            assert_eq!(pieces.next().await.unwrap().unwrap().len(), 1 << 20);
            let mut other = sink.head(&key);
            assert!(futures::poll!(&mut other).is_pending());
            // It comes first, and the stream after it.
            let mut next = pieces.next();
            assert!(futures::poll!(&mut next).is_pending());
            other.await.unwrap();
            drop(next);
        }
        assert!(pieces.next().await.is_none());
        drop(pieces);
        assert_eq!(permits.available_permits(), 1);
    }

    #[tokio::test]
    async fn closed_permits_cancel() {
        let permits = Arc::new(Semaphore::new(1));
        let sink = PermitSink::new(Arc::new(MemorySink::new("m")), Arc::clone(&permits));
        permits.close();
        let error = sink.put(&key("one"), Bytes::new()).await.unwrap_err();
        assert_eq!(error.class(), Class::Cancelled);
    }
}
