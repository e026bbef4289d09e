//! No call takes for ever.
//!
//! A call gets a fixed time and, on top, what its bytes take at the slowest rate that is put up with. Until a store has
//! answered anything the fixed time is short: one that takes connections and never says a word is found out in seconds. A
//! call that is late is dropped. Whether a write took effect is unknown then, so the error is [`Class::Transient`]: every
//! call may be repeated. A list has no whole-call deadline, since it may be of any length: each of its items has one. Of a stream, what is waited for its
//! pieces counts, and not what whoever takes them does meanwhile; and each of them comes as soon as one read would, however much is still to come.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use teeline_core::{
    Availability, BackupError, Capabilities, Class, ObjectKey, ObjectMeta, Sink, Thaw,
    UnfinishedUpload, Upload,
};
use tokio::time::Instant;

/// What a store may hold back of what was written to it: two parts of an object store, and some. A call that finds the
/// buffers full waits for those bytes, not only for its own.
const HELD_BACK_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How long a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For a call without bytes, and the start of any other.
    pub call_base_ms: u64,
    /// The same, until the store has answered a call.
    pub first_call_base_ms: u64,
    /// The slowest rate at which bytes may go.
    pub bytes_per_second_min: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        Deadlines {
            call_base_ms: 30_000,
            first_call_base_ms: 5_000,
            bytes_per_second_min: 262_144,
        }
    }
}

/// A kind of call.
#[derive(Debug, Clone, Copy)]
struct Call {
    operation: &'static str,
    /// Whether its end is the store's answer. What a store may do without asking anybody says nothing.
    is_answered: bool,
}

impl Call {
    const BEGIN: Call = Call::local("begin");
    const PUT: Call = Call::remote("write");
    const WRITE: Call = Call::local("write");
    const COMMIT: Call = Call::remote("commit");
    const ABORT: Call = Call::local("abort");
    const DELETE: Call = Call::remote("delete");
    const DISCARD: Call = Call::remote("discard");
    const READ: Call = Call::remote("read");
    const HEAD: Call = Call::remote("look at");
    const THAW: Call = Call::remote("thaw");
    const LIST: Call = Call::remote("list");
    const DROP_CACHED: Call = Call::local("drop from the cache");

    const fn remote(operation: &'static str) -> Self {
        Call {
            operation,
            is_answered: true,
        }
    }

    const fn local(operation: &'static str) -> Self {
        Call {
            operation,
            is_answered: false,
        }
    }
}

/// What is to be added where no answer came to an operation: what only reads has no effect.
pub(crate) fn effect_unknown(operation: &str) -> &'static str {
    match operation {
        "read" | "look at" | "list" | "drop from the cache" => "",
        _ => "; whether it took effect is unknown",
    }
}

/// What is waited for, by a store and its uploads alike.
#[derive(Debug, Clone)]
struct Patience {
    deadlines: Deadlines,
    answered: Arc<AtomicBool>,
}

impl Patience {
    fn limit(&self, bytes: u64) -> Duration {
        let base_ms = match self.answered.load(Ordering::Relaxed) {
            true => self.deadlines.call_base_ms,
            false => self.deadlines.first_call_base_ms,
        };
        let rate = self.deadlines.bytes_per_second_min.max(1);
        let transfer_ms = u128::from(bytes) * 1_000 / u128::from(rate);
        let transfer_ms = u64::try_from(transfer_ms).unwrap_or(u64::MAX);
        Duration::from_millis(base_ms.saturating_add(transfer_ms))
    }

    /// Waits for a call that moves so many bytes.
    async fn wait<T>(
        &self,
        call: Call,
        bytes: u64,
        subject: &str,
        future: impl Future<Output = Result<T, BackupError>>,
    ) -> Result<T, BackupError> {
        let limit = self.limit(bytes);
        self.wait_for_rest(call, [limit, limit], subject, future)
            .await
    }

    /// Waits for the rest of a call: for so long, of its whole time.
    async fn wait_for_rest<T>(
        &self,
        call: Call,
        [rest, limit]: [Duration; 2],
        subject: &str,
        future: impl Future<Output = Result<T, BackupError>>,
    ) -> Result<T, BackupError> {
        let Ok(result) = tokio::time::timeout(rest, future).await else {
            let operation = call.operation;
            let message = format!(
                "timed out after {} ms{}",
                limit.as_millis(),
                effect_unknown(operation)
            );
            return Err(BackupError::new(
                Class::Transient,
                operation,
                subject,
                message,
            ));
        };
        // A transient failure may be one of the way to the store; any other is the store's word.
        let failed_transiently = result
            .as_ref()
            .is_err_and(|error| error.class() == Class::Transient);
        if call.is_answered && !failed_transiently {
            self.answered.store(true, Ordering::Relaxed);
        }
        result
    }
}

/// A store whose calls end in time.
#[derive(Debug)]
pub struct DeadlineSink {
    inner: Arc<dyn Sink>,
    patience: Patience,
}

impl DeadlineSink {
    /// `inner`, held to `deadlines`.
    pub fn new(inner: Arc<dyn Sink>, deadlines: Deadlines) -> Self {
        let patience = Patience {
            deadlines,
            answered: Arc::default(),
        };
        DeadlineSink { inner, patience }
    }

    fn subject(&self, key: &ObjectKey) -> String {
        format!("{}/{key}", self.inner)
    }

    /// Holds each item of a list to its deadline.
    fn each<'a, T: Send + 'a>(
        &'a self,
        folder: Option<&ObjectKey>,
        items: BoxStream<'a, Result<T, BackupError>>,
    ) -> BoxStream<'a, Result<T, BackupError>> {
        let subject = folder.map_or_else(|| self.inner.to_string(), |folder| self.subject(folder));
        stream::unfold(Some((items, subject)), move |state| async move {
            let (mut items, subject) = state?;
            let next = async { items.next().await.transpose() };
            match self.patience.wait(Call::LIST, 0, &subject, next).await {
                Ok(item) => Some((Ok(item?), Some((items, subject)))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    async fn wait<T>(
        &self,
        call: Call,
        bytes: u64,
        key: &ObjectKey,
        future: impl Future<Output = Result<T, BackupError>>,
    ) -> Result<T, BackupError> {
        let subject = self.subject(key);
        self.patience.wait(call, bytes, &subject, future).await
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
        let call = self.inner.begin(key, expected_bytes);
        let inner = self.wait(Call::BEGIN, 0, key, call).await?;
        Ok(Box::new(DeadlineUpload {
            inner,
            patience: self.patience.clone(),
            subject: self.subject(key),
            written: 0,
        }))
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        let length = bytes.len() as u64;
        let call = self.inner.put(key, bytes);
        self.wait(Call::PUT, length, key, call).await
    }

    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        let length = range.end.saturating_sub(range.start);
        let call = self.inner.read(key, range);
        self.wait(Call::READ, length, key, call).await
    }

    fn stream(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> BoxStream<'_, Result<Bytes, BackupError>> {
        let whole = self.patience.limit(range.end.saturating_sub(range.start));
        let piece_bytes = self.capabilities().reading.bytes;
        let pieces = self.inner.stream(key, range);
        let subject = Arc::new(self.subject(key));
        stream::try_unfold((pieces, whole), move |(mut pieces, rest)| {
            let subject = Arc::clone(&subject);
            async move {
                let begun = Instant::now();
                let next = pieces.try_next();
                let of_piece = self.patience.limit(piece_bytes);
                let limits = match of_piece < rest {
                    true => [of_piece, of_piece],
                    false => [rest, whole],
                };
                let waiting = (self.patience).wait_for_rest(Call::READ, limits, &subject, next);
                let piece = waiting.await?;
                let rest = rest.saturating_sub(begun.elapsed());
                Ok(piece.map(|piece| (piece, (pieces, rest))))
            }
        })
        .boxed()
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        self.wait(Call::HEAD, 0, key, self.inner.head(key)).await
    }

    async fn availability(&self, key: &ObjectKey) -> Result<Availability, BackupError> {
        let call = self.inner.availability(key);
        self.wait(Call::HEAD, 0, key, call).await
    }

    async fn thaw(&self, key: &ObjectKey, thaw: Thaw) -> Result<(), BackupError> {
        let call = self.inner.thaw(key, thaw);
        self.wait(Call::THAW, 0, key, call).await
    }

    async fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError> {
        let call = self.inner.drop_cached(key);
        self.wait(Call::DROP_CACHED, 0, key, call).await
    }

    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        self.each(folder, self.inner.list(folder))
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        let call = self.inner.delete(key);
        self.wait(Call::DELETE, 0, key, call).await
    }

    fn unfinished(
        &self,
        folder: Option<&ObjectKey>,
    ) -> BoxStream<'_, Result<UnfinishedUpload, BackupError>> {
        self.each(folder, self.inner.unfinished(folder))
    }

    async fn discard(&self, upload: &UnfinishedUpload) -> Result<(), BackupError> {
        let call = self.inner.discard(upload);
        self.wait(Call::DISCARD, 0, &upload.key, call).await
    }
}

struct DeadlineUpload {
    inner: Box<dyn Upload>,
    patience: Patience,
    subject: String,
    written: u64,
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Upload for DeadlineUpload {
    async fn go_on_with(&mut self, begun: &UnfinishedUpload) -> Result<(), BackupError> {
        let call = self.inner.go_on_with(begun);
        self.patience
            .wait(Call::BEGIN, 0, &self.subject, call)
            .await
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        let length = bytes.len() as u64;
        let waited_for = self.written.min(HELD_BACK_BYTES_MAX) + length;
        let call = self.inner.write(bytes);
        self.patience
            .wait(Call::WRITE, waited_for, &self.subject, call)
            .await?;
        self.written += length;
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), BackupError> {
        // All of it may still be in a cache (a disk's) or be read back (after a lost reply).
        let call = self.inner.commit();
        self.patience
            .wait(Call::COMMIT, self.written, &self.subject, call)
            .await
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        let call = self.inner.abort();
        self.patience
            .wait(Call::ABORT, 0, &self.subject, call)
            .await
    }
}

#[cfg(test)]
mod tests;
