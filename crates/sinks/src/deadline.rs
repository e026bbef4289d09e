//! No call takes for ever.
//!
//! A call gets a fixed time and, on top, what its bytes take at the slowest rate that is put up with. A call that is late
//! is dropped. Whether it took effect is unknown then, so the error is [`Class::Transient`]: every call may be repeated.
//! A list has no whole-call deadline, since it may be of any length: each of its items has one.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use teeline_core::{BackupError, Capabilities, Class, ObjectKey, ObjectMeta, Sink, Upload};

/// What a store may hold back of what was written to it: two parts of an object store, and some. A call that finds the
/// buffers full waits for those bytes, not only for its own.
const HELD_BACK_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How long a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For a call without bytes, and the start of any other.
    pub call_base_ms: u64,
    /// The slowest rate at which bytes may go.
    pub bytes_per_second_min: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        Deadlines {
            call_base_ms: 30_000,
            bytes_per_second_min: 262_144,
        }
    }
}

impl Deadlines {
    fn for_bytes(self, bytes: u64) -> Duration {
        let rate = self.bytes_per_second_min.max(1);
        let transfer_ms = u128::from(bytes) * 1_000 / u128::from(rate);
        let transfer_ms = u64::try_from(transfer_ms).unwrap_or(u64::MAX);
        Duration::from_millis(self.call_base_ms.saturating_add(transfer_ms))
    }
}

/// A store whose calls end in time.
#[derive(Debug)]
pub struct DeadlineSink {
    inner: Arc<dyn Sink>,
    deadlines: Deadlines,
}

impl DeadlineSink {
    /// `inner`, held to `deadlines`.
    pub fn new(inner: Arc<dyn Sink>, deadlines: Deadlines) -> Self {
        DeadlineSink { inner, deadlines }
    }

    fn subject(&self, key: &ObjectKey) -> String {
        format!("{}/{key}", self.inner)
    }
}

async fn within<T>(
    limit: Duration,
    operation: &'static str,
    subject: &str,
    call: impl Future<Output = Result<T, BackupError>>,
) -> Result<T, BackupError> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result,
        Err(_) => Err(BackupError::new(
            Class::Transient,
            operation,
            subject,
            format!(
                "timed out after {} ms; whether it took effect is unknown",
                limit.as_millis()
            ),
        )),
    }
}

impl fmt::Display for DeadlineSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Sink for DeadlineSink {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn begin(
        &self,
        key: &ObjectKey,
        expected_bytes: u64,
    ) -> Result<Box<dyn Upload>, BackupError> {
        let subject = self.subject(key);
        let call = self.inner.begin(key, expected_bytes);
        let inner = within(self.deadlines.for_bytes(0), "begin", &subject, call).await?;
        Ok(Box::new(DeadlineUpload {
            inner,
            deadlines: self.deadlines,
            subject,
            written: 0,
        }))
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        let limit = self.deadlines.for_bytes(bytes.len() as u64);
        let call = self.inner.put(key, bytes);
        within(limit, "write", &self.subject(key), call).await
    }

    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        let limit = self
            .deadlines
            .for_bytes(range.end.saturating_sub(range.start));
        let call = self.inner.read(key, range);
        within(limit, "read", &self.subject(key), call).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        let limit = self.deadlines.for_bytes(0);
        within(limit, "look at", &self.subject(key), self.inner.head(key)).await
    }

    async fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError> {
        let limit = self.deadlines.for_bytes(0);
        let call = self.inner.drop_cached(key);
        within(limit, "drop from the cache", &self.subject(key), call).await
    }

    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        let limit = self.deadlines.for_bytes(0);
        let subject = folder.map_or_else(|| self.inner.to_string(), |folder| self.subject(folder));
        let state = Some((self.inner.list(folder), subject));
        stream::unfold(state, move |state| async move {
            let (mut items, subject) = state?;
            let next = async { Ok(items.next().await) };
            match within(limit, "list", &subject, next).await {
                Ok(item) => Some((item?, Some((items, subject)))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        let limit = self.deadlines.for_bytes(0);
        within(limit, "delete", &self.subject(key), self.inner.delete(key)).await
    }
}

struct DeadlineUpload {
    inner: Box<dyn Upload>,
    deadlines: Deadlines,
    subject: String,
    written: u64,
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Upload for DeadlineUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        let length = bytes.len() as u64;
        let waited_for = self.written.min(HELD_BACK_BYTES_MAX) + length;
        let limit = self.deadlines.for_bytes(waited_for);
        within(limit, "write", &self.subject, self.inner.write(bytes)).await?;
        self.written += length;
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), BackupError> {
        // All of it may still be in a cache (a disk's) or be read back (after a lost reply).
        let limit = self.deadlines.for_bytes(self.written);
        within(limit, "commit", &self.subject, self.inner.commit()).await
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        let limit = self.deadlines.for_bytes(0);
        within(limit, "abort", &self.subject, self.inner.abort()).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::{Fault, FaultPlan, FaultSink, MemorySink, Operation, What, When};

    const DEADLINES: Deadlines = Deadlines {
        call_base_ms: 1_000,
        bytes_per_second_min: 1_000,
    };

    fn stalling(operation: Operation, when: When) -> DeadlineSink {
        let plan = FaultPlan::new(1).with(Fault::new(operation, when, What::Stall));
        let inner = FaultSink::new(Arc::new(MemorySink::new("m")), plan);
        DeadlineSink::new(Arc::new(inner), DEADLINES)
    }

    fn key() -> ObjectKey {
        ObjectKey::new("a/b").unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_by_its_size() {
        let sink = stalling(Operation::Put, When::Nth(1));
        let start = Instant::now();
        let error = sink
            .put(&key(), Bytes::from(vec![0; 5_000]))
            .await
            .unwrap_err();
        assert_eq!(start.elapsed().as_millis(), 6_000);
        assert_eq!(error.class(), Class::Transient);
        assert_eq!(
            error.to_string(),
            "write memory://m/a/b: timed out after 6000 ms; whether it took effect is unknown"
        );
        sink.put(&key(), Bytes::new()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_may_be_long_but_not_stuck() {
        let sink = stalling(Operation::List, When::Nth(3));
        for name in ["a", "b", "c", "d"] {
            let key = ObjectKey::new(name).unwrap();
            sink.put(&key, Bytes::new()).await.unwrap();
        }
        let start = Instant::now();
        let items: Vec<_> = sink.list(None).collect().await;
        assert_eq!(items.len(), 3);
        assert!(items[0].is_ok() && items[1].is_ok());
        assert_eq!(items[2].as_ref().unwrap_err().class(), Class::Transient);
        assert_eq!(start.elapsed().as_millis(), 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_goes_on_after_a_late_write() {
        let sink = stalling(Operation::Write, When::Nth(2));
        let mut upload = sink.begin(&key(), 10).await.unwrap();
        upload.write(Bytes::from_static(b"one")).await.unwrap();
        let late = upload.write(Bytes::from_static(b"two")).await.unwrap_err();
        assert_eq!(late.class(), Class::Transient);
        upload.write(Bytes::from_static(b"two")).await.unwrap();
        upload.commit().await.unwrap();
        assert_eq!(sink.read(&key(), 0..6).await.unwrap(), "onetwo");
    }
}
