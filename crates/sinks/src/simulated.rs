//! A store as slow, far away or unreliable as one is told, for measuring what that does to a backup.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use teeline_core::{
    Availability, BackupError, Capabilities, Class, ObjectKey, ObjectMeta, Random, Sink, Thaw,
    UnfinishedUpload, Upload,
};
use tokio::time::{Instant, sleep, sleep_until};

/// How late timers may be. What passes is made up for that, or a rate would never be reached.
const TIMER_SLACK: Duration = Duration::from_millis(2);

/// How a store behaves.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Behaviour {
    /// Bytes that pass in a second, those read and those written together. None: as many as the store takes.
    pub bytes_per_second: Option<u64>,
    /// How much longer each call takes.
    pub latency: Duration,
    /// Once so many bytes have been written, the next write takes so much longer; once.
    pub stall: Option<(u64, Duration)>,
    /// The part of calls that fail for a while, from 0 to 1.
    pub errors: f64,
    /// Which of them.
    pub seed: u64,
}

/// A store that behaves so, over another one that keeps what is written.
#[derive(Debug)]
pub struct SimulatedSink {
    inner: Arc<dyn Sink>,
    road: Arc<Road>,
}

/// What every call has to pass.
#[derive(Debug)]
struct Road {
    behaviour: Behaviour,
    random: Random,
    /// When what was let through so far has passed.
    free_at: Mutex<Option<Instant>>,
    written: AtomicU64,
    has_stalled: AtomicBool,
}

impl SimulatedSink {
    /// `inner`, made to behave.
    pub fn new(inner: Arc<dyn Sink>, behaviour: Behaviour) -> Self {
        SimulatedSink {
            inner,
            road: Arc::new(Road {
                behaviour,
                random: Random::new(behaviour.seed),
                free_at: Mutex::new(None),
                written: AtomicU64::new(0),
                has_stalled: AtomicBool::new(false),
            }),
        }
    }
}

impl Road {
    /// A call without bytes.
    async fn call(&self, subject: &impl fmt::Display) -> Result<(), BackupError> {
        // A timer without time would still take a millisecond.
        if !self.behaviour.latency.is_zero() {
            sleep(self.behaviour.latency).await;
        }
        if self.random.happens(self.behaviour.errors) {
            let message = "simulated failure";
            return Err(BackupError::new(Class::Transient, "call", subject, message));
        }
        Ok(())
    }

    /// The way of so many bytes.
    async fn carry(&self, bytes: u64) {
        let Some(rate) = self.behaviour.bytes_per_second else {
            return;
        };
        let takes = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        let due = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let earliest = now.checked_sub(TIMER_SLACK).unwrap_or(now);
            let due = free_at.map_or(now, |free_at| free_at.max(earliest)) + takes;
            *free_at = Some(due);
            due
        };
        sleep_until(due).await;
    }

    async fn write(&self, bytes: u64) {
        let written = self.written.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if let Some((after, time)) = self.behaviour.stall
            && written >= after
            && !self.has_stalled.swap(true, Ordering::Relaxed)
        {
            sleep(time).await;
        }
        self.carry(bytes).await;
    }
}

impl fmt::Display for SimulatedSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "simulated {}", self.inner)
    }
}

#[async_trait]
impl Sink for SimulatedSink {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn begin(
        &self,
        key: &ObjectKey,
        expected_bytes: u64,
    ) -> Result<Box<dyn Upload>, BackupError> {
        self.road.call(self).await?;
        Ok(Box::new(SimulatedUpload {
            inner: self.inner.begin(key, expected_bytes).await?,
            road: Arc::clone(&self.road),
            subject: format!("{self}/{key}"),
        }))
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        self.road.call(self).await?;
        self.road.write(bytes.len() as u64).await;
        self.inner.put(key, bytes).await
    }

    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        self.road.call(self).await?;
        let bytes = self.inner.read(key, range).await?;
        self.road.carry(bytes.len() as u64).await;
        Ok(bytes)
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        self.road.call(self).await?;
        self.inner.head(key).await
    }

    async fn availability(&self, key: &ObjectKey) -> Result<Availability, BackupError> {
        self.road.call(self).await?;
        self.inner.availability(key).await
    }

    async fn thaw(&self, key: &ObjectKey, thaw: Thaw) -> Result<(), BackupError> {
        self.road.call(self).await?;
        self.inner.thaw(key, thaw).await
    }

    async fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.inner.drop_cached(key).await
    }

    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        self.inner.list(folder)
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.road.call(self).await?;
        self.inner.delete(key).await
    }

    fn unfinished(
        &self,
        folder: Option<&ObjectKey>,
    ) -> BoxStream<'_, Result<UnfinishedUpload, BackupError>> {
        self.inner.unfinished(folder)
    }

    async fn discard(&self, upload: &UnfinishedUpload) -> Result<(), BackupError> {
        self.road.call(self).await?;
        self.inner.discard(upload).await
    }
}

struct SimulatedUpload {
    inner: Box<dyn Upload>,
    road: Arc<Road>,
    subject: String,
}

#[async_trait]
impl Upload for SimulatedUpload {
    async fn go_on_with(&mut self, begun: &UnfinishedUpload) -> Result<(), BackupError> {
        self.road.call(&self.subject).await?;
        self.inner.go_on_with(begun).await
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        self.road.call(&self.subject).await?;
        self.road.write(bytes.len() as u64).await;
        self.inner.write(bytes).await
    }

    async fn commit(&mut self) -> Result<(), BackupError> {
        self.road.call(&self.subject).await?;
        self.inner.commit().await
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemorySink;

    fn simulated(behaviour: Behaviour) -> SimulatedSink {
        SimulatedSink::new(Arc::new(MemorySink::new("one")), behaviour)
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_take_their_time_and_calls_theirs() {
        let sink = simulated(Behaviour {
            bytes_per_second: Some(1_000),
            latency: Duration::from_millis(20),
            stall: Some((2_000, Duration::from_secs(5))),
            ..Behaviour::default()
        });
        let began = Instant::now();
        let key = ObjectKey::new("a").unwrap();
        let mut upload = sink.begin(&key, 0).await.unwrap();
        for _ in 0..3 {
            upload.write(Bytes::from(vec![1; 1_000])).await.unwrap();
        }
        upload.commit().await.unwrap();
        assert_eq!(sink.read(&key, 0..3_000).await.unwrap().len(), 3_000);
        let took = began.elapsed();
        let calls = Duration::from_millis(6 * 20);
        let expected = calls + Duration::from_secs(3 + 5 + 3);
        // Timers count in milliseconds.
        assert!(
            took >= expected - calls && took < expected + Duration::from_millis(50),
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_reached_in_pieces_that_no_timer_can_measure() {
        let sink = simulated(Behaviour {
            bytes_per_second: Some(1_000_000),
            ..Behaviour::default()
        });
        let began = Instant::now();
        let mut upload = sink.begin(&ObjectKey::new("a").unwrap(), 0).await.unwrap();
        for _ in 0..10_000 {
            // 0.1 ms each.
            upload.write(Bytes::from_static(&[1; 100])).await.unwrap();
        }
        let took = began.elapsed();
        let expected = Duration::from_secs(1);
        assert!(
            took + TIMER_SLACK >= expected && took < expected + Duration::from_millis(50),
            "{took:?}"
        );
    }

    #[tokio::test]
    async fn failures_are_of_a_kind_that_is_repeated_and_without_effect() {
        let sink = simulated(Behaviour {
            errors: 0.5,
            seed: 7,
            ..Behaviour::default()
        });
        let key = ObjectKey::new("a").unwrap();
        let mut failures = 0;
        while let Err(error) = sink.put(&key, Bytes::from_static(b"x")).await {
            assert_eq!(error.class(), Class::Transient);
            failures += 1;
        }
        for _ in 0..100 {
            failures += usize::from(sink.head(&key).await.is_err());
        }
        assert!((20..80).contains(&failures), "{failures}");
    }
}
