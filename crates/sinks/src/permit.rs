//! How many calls are made at once.
//!
//! One permit covers one call and is held for nothing else: not while an upload waits for its next bytes, and not
//! between the items of a list. A stream has one for as many bytes as are read in one call, so whoever takes its pieces waits for
//! no other call in between. So however few there are, a destination that has data comes to its turn. Where there are as many as
//! stores, each has one of its own: calls to a slow one, which hold theirs for long, are in nobody else's way.

use std::fmt;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::select;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use teeline_core::{
    Availability, BackupError, Capabilities, Class, ObjectKey, ObjectMeta, Sink, Thaw,
    UnfinishedUpload, Upload,
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// How many calls a store may make at once.
#[derive(Debug, Clone)]
pub struct Permits {
    /// At most one, which no other store takes.
    own: Arc<Semaphore>,
    shared: Arc<Semaphore>,
}

impl Permits {
    /// For so many `stores`, which make `calls_max` calls at once in all; 0 is as good as 1.
    pub fn among(stores: usize, calls_max: usize) -> Vec<Self> {
        let calls_max = calls_max.clamp(1, Semaphore::MAX_PERMITS);
        let has_own = stores <= calls_max;
        let shared = calls_max - if has_own { stores } else { 0 };
        let shared = Arc::new(Semaphore::new(shared));
        let of_one = |_| Permits {
            own: Arc::new(Semaphore::new(usize::from(has_own))),
            shared: Arc::clone(&shared),
        };
        (0..stores).map(of_one).collect()
    }

    /// For a store that makes as many calls at once as it likes.
    pub fn unbounded() -> Self {
        Permits {
            own: Arc::new(Semaphore::new(0)),
            shared: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }

    async fn acquire(
        &self,
        place: &(dyn fmt::Display + Sync),
    ) -> Result<SemaphorePermit<'_>, BackupError> {
        let at_once = self.own.try_acquire();
        if let Ok(permit) = at_once.or_else(|_| self.shared.try_acquire()) {
            return Ok(permit);
        }
        let (own, shared) = (pin!(self.own.acquire()), pin!(self.shared.acquire()));
        let (permit, _) = select(own, shared).await.factor_first();
        // Nobody closes them; should somebody, it ends all calls.
        permit.map_err(|_| {
            BackupError::new(Class::Cancelled, "use", place, "no more calls are let in")
        })
    }
}

/// A store whose calls each take a permit first, in the order in which they come.
#[derive(Debug)]
pub struct PermitSink {
    inner: Arc<dyn Sink>,
    permits: Permits,
}

impl PermitSink {
    /// `inner`, with at most as many calls at once as there are permits.
    pub fn new(inner: Arc<dyn Sink>, permits: Permits) -> Self {
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
        self.permits.acquire(&self.inner).await
    }
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
            permits: self.permits.clone(),
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
    permits: Permits,
    place: String,
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Upload for PermitUpload {
    async fn go_on_with(&mut self, begun: &UnfinishedUpload) -> Result<(), BackupError> {
        let _permit = self.permits.acquire(&self.place).await?;
        self.inner.go_on_with(begun).await
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        let _permit = self.permits.acquire(&self.place).await?;
        self.inner.write(bytes).await
    }

    async fn commit(&mut self) -> Result<(), BackupError> {
        let _permit = self.permits.acquire(&self.place).await?;
        self.inner.commit().await
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        let _permit = self.permits.acquire(&self.place).await?;
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

    fn one() -> Permits {
        Permits::among(1, 1).remove(0)
    }

    fn free(permits: &Permits) -> usize {
        permits.own.available_permits() + permits.shared.available_permits()
    }

    #[tokio::test]
    async fn calls_that_never_end_are_in_nobody_elses_way() {
        let key = key("one");
        let plan = FaultPlan::new(1).with(Fault::new(Operation::Head, When::From(1), What::Stall));
        let stuck = FaultSink::new(Arc::new(MemorySink::new("stuck")), plan);
        let [of_stuck, of_other] = Permits::among(2, 4).try_into().unwrap();
        let stuck = PermitSink::new(Arc::new(stuck), of_stuck.clone());
        let other = PermitSink::new(Arc::new(MemorySink::new("other")), of_other);
        let mut calls: Vec<_> = (0..5).map(|_| stuck.head(&key)).collect();
        for call in &mut calls {
            assert!(futures::poll!(call).is_pending());
        }
        assert_eq!(free(&of_stuck), 0);
        for _ in 0..3 {
            assert_eq!(other.head(&key).await.unwrap_err().class(), Class::NotFound);
        }
        drop(calls);
        assert_eq!(free(&of_stuck), 3);
    }

    #[test]
    fn together_they_make_no_more_calls_than_are_allowed() {
        for (stores, calls_max) in [(0, 4), (1, 1), (1, 4), (2, 4), (4, 4), (5, 4), (3, 0)] {
            let all = Permits::among(stores, calls_max);
            assert_eq!(all.len(), stores);
            let own: usize = all.iter().map(|one| one.own.available_permits()).sum();
            let shared = all.first().map_or(0, |one| one.shared.available_permits());
            if stores > 0 {
                assert_eq!(own + shared, calls_max.max(1), "{stores} {calls_max}");
            }
        }
    }

    #[tokio::test]
    async fn an_upload_that_waits_for_data_holds_none() {
        let permits = one();
        let sink = PermitSink::new(Arc::new(MemorySink::new("m")), permits.clone());
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
        assert_eq!(free(&permits), 1);
    }

    #[tokio::test]
    async fn a_call_holds_one_until_it_ends_or_is_dropped() {
        let permits = one();
        let plan = FaultPlan::new(1).with(Fault::new(Operation::Head, When::Nth(1), What::Stall));
        let stuck = FaultSink::new(Arc::new(MemorySink::new("m")), plan);
        let sink = PermitSink::new(Arc::new(stuck), permits.clone());
        let key = key("one");
        let mut first = sink.head(&key);
        assert!(futures::poll!(&mut first).is_pending());
        assert!(futures::poll!(sink.head(&key)).is_pending());
        assert_eq!(free(&permits), 0);
        drop(first);
        assert_eq!(sink.head(&key).await.unwrap_err().class(), Class::NotFound);
        assert_eq!(free(&permits), 1);
    }

    #[tokio::test]
    async fn a_stream_holds_one_for_what_a_call_reads() {
        let permits = one();
        let sink = PermitSink::new(Arc::new(MemorySink::new("m")), permits.clone());
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
        assert_eq!(free(&permits), 1);
    }

    #[tokio::test]
    async fn closed_permits_cancel() {
        let permits = one();
        let sink = PermitSink::new(Arc::new(MemorySink::new("m")), permits.clone());
        permits.own.close();
        permits.shared.close();
        let error = sink.put(&key("one"), Bytes::new()).await.unwrap_err();
        assert_eq!(error.class(), Class::Cancelled);
    }
}
