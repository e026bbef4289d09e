//! How fast bytes go.
//!
//! A call begins when those before it have had the time that their bytes take at the rate; then its own bytes have theirs.
//! So the first one never waits, and over any time as many bytes went as the rate has it, and one call. A stream is one
//! call after the other. What is written and
//! what is read have the rate each for itself, since a line has two directions.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use teeline_core::{
    Availability, BackupError, Capabilities, ObjectKey, ObjectMeta, Sink, Thaw, UnfinishedUpload,
    Upload, read_in_steps,
};
use tokio::time::{Instant, sleep_until};

/// A store that is given, and gives, so many bytes a second at the most.
#[derive(Debug)]
pub struct RateSink {
    inner: Arc<dyn Sink>,
    written: Arc<Pace>,
    read: Arc<Pace>,
}

/// When the next call may begin.
#[derive(Debug)]
struct Pace {
    bytes_per_second: NonZeroU64,
    free_at: Mutex<Option<Instant>>,
}

impl RateSink {
    /// `inner`, at this rate in each direction.
    pub fn new(inner: Arc<dyn Sink>, bytes_per_second: NonZeroU64) -> Self {
        let pace = || {
            Arc::new(Pace {
                bytes_per_second,
                free_at: Mutex::new(None),
            })
        };
        RateSink {
            inner,
            written: pace(),
            read: pace(),
        }
    }
}

impl Pace {
    async fn wait_for(&self, bytes: u64) {
        let begin = self.reserve(bytes);
        sleep_until(begin).await;
    }

    /// When a call with so many bytes may begin.
    fn reserve(&self, bytes: u64) -> Instant {
        let nanoseconds =
            u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second.get());
        let time = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let begin = free_at.map_or(now, |free_at| free_at.max(now));
        *free_at = begin.checked_add(time).or(*free_at);
        begin
    }
}

impl fmt::Display for RateSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Sink for RateSink {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn begin(
        &self,
        key: &ObjectKey,
        expected_bytes: u64,
    ) -> Result<Box<dyn Upload>, BackupError> {
        let inner = self.inner.begin(key, expected_bytes).await?;
        Ok(Box::new(RateUpload {
            inner,
            written: Arc::clone(&self.written),
        }))
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        self.written.wait_for(bytes.len() as u64).await;
        self.inner.put(key, bytes).await
    }

    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        let bytes = range.end.saturating_sub(range.start);
        self.read.wait_for(bytes).await;
        self.inner.read(key, range).await
    }

    fn stream(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> BoxStream<'_, Result<Bytes, BackupError>> {
        // An answer that is taken slowly is one that the other side breaks off.
        read_in_steps(self, key, range)
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        self.inner.head(key).await
    }

    async fn availability(&self, key: &ObjectKey) -> Result<Availability, BackupError> {
        self.inner.availability(key).await
    }

    async fn thaw(&self, key: &ObjectKey, thaw: Thaw) -> Result<(), BackupError> {
        self.inner.thaw(key, thaw).await
    }

    async fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.inner.drop_cached(key).await
    }

    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        self.inner.list(folder)
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.inner.delete(key).await
    }

    fn unfinished(
        &self,
        folder: Option<&ObjectKey>,
    ) -> BoxStream<'_, Result<UnfinishedUpload, BackupError>> {
        self.inner.unfinished(folder)
    }

    async fn discard(&self, upload: &UnfinishedUpload) -> Result<(), BackupError> {
        self.inner.discard(upload).await
    }
}

struct RateUpload {
    inner: Box<dyn Upload>,
    written: Arc<Pace>,
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Upload for RateUpload {
    async fn go_on_with(&mut self, begun: &UnfinishedUpload) -> Result<(), BackupError> {
        self.inner.go_on_with(begun).await
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        self.written.wait_for(bytes.len() as u64).await;
        self.inner.write(bytes).await
    }

    async fn commit(&mut self) -> Result<(), BackupError> {
        self.inner.commit().await
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;
    use crate::MemorySink;

    const SECOND: Duration = Duration::from_secs(1);

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new(name).unwrap()
    }

    fn limited(bytes_per_second: u64) -> RateSink {
        let rate = NonZeroU64::new(bytes_per_second).unwrap();
        RateSink::new(Arc::new(MemorySink::new("m")), rate)
    }

    fn bytes(count: usize) -> Bytes {
        Bytes::from(vec![0; count])
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_written_has_its_time_whoever_writes_it() {
        let sink = limited(100);
        let begun = Instant::now();
        let mut upload = sink.begin(&key("data"), 500).await.unwrap();
        upload.write(bytes(200)).await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        upload.write(bytes(300)).await.unwrap();
        assert_eq!(begun.elapsed(), 2 * SECOND);
        upload.commit().await.unwrap();
        let keys = [key("one"), key("two")];
        let puts = keys.iter().map(|key| sink.put(key, bytes(100)));
        futures::future::try_join_all(puts).await.unwrap();
        assert_eq!(begun.elapsed(), 6 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn reading_waits_for_reading_only() {
        let sink = limited(1_000);
        let begun = Instant::now();
        sink.put(&key("data"), bytes(4_000)).await.unwrap();
        for _ in 0..3 {
            sink.read(&key("data"), 0..2_000).await.unwrap();
        }
        assert_eq!(begun.elapsed(), 4 * SECOND);
        // What moves no bytes waits for nobody.
        sink.head(&key("data")).await.unwrap();
        sink.delete(&key("data")).await.unwrap();
        assert_eq!(begun.elapsed(), 4 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_as_slow_as_its_pieces() {
        let sink = limited(1 << 20);
        sink.put(&key("data"), bytes(4 << 20)).await.unwrap();
        let begun = Instant::now();
        for turn in 0..2 {
            let pieces: Vec<_> = sink
                .stream(&key("data"), 0..4 << 20)
                .try_collect()
                .await
                .unwrap();
            assert_eq!(pieces.len(), 4);
            // The first of all waits for none.
            assert_eq!(begun.elapsed(), (3 + 4 * turn) * SECOND);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_nobody_used_is_not_saved_up() {
        let sink = limited(100);
        sink.put(&key("one"), bytes(100)).await.unwrap();
        tokio::time::sleep(1_000 * SECOND).await;
        let begun = Instant::now();
        sink.put(&key("two"), bytes(100)).await.unwrap();
        sink.put(&key("three"), bytes(100)).await.unwrap();
        assert_eq!(begun.elapsed(), SECOND);
    }
}
