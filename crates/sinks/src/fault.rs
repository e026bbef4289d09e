//! Failures on request, for tests of this project and of whoever embeds it.
//!
//! What goes wrong follows from the plan, its seed and the order of the calls, so a run that failed can be run again.

mod plan;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use teeline_core::{
    Availability, BackupError, Capabilities, Class, ObjectKey, ObjectMeta, Random, Sink, Thaw,
    UnfinishedUpload, Upload, read_in_steps,
};

pub use plan::{Fault, FaultPlan, Operation, What, When};

/// A store in which things go wrong by plan.
#[derive(Debug)]
pub struct FaultSink {
    inner: Arc<dyn Sink>,
    faults: Arc<Faults>,
}

struct Faults {
    rules: Vec<(Fault, AtomicU64)>,
    random: Random,
    hits: Arc<AtomicU64>,
    witness: Option<Witness>,
}

/// Is told of each thing that goes wrong.
type Witness = Box<dyn Fn(Operation, What) + Send + Sync>;

impl FaultSink {
    /// `inner`, in which things go wrong by `plan`.
    pub fn new(inner: Arc<dyn Sink>, plan: FaultPlan) -> Self {
        Self::with(inner, plan, None)
    }

    /// The same; `witness` is told of each thing that goes wrong.
    pub fn witnessed(
        inner: Arc<dyn Sink>,
        plan: FaultPlan,
        witness: impl Fn(Operation, What) + Send + Sync + 'static,
    ) -> Self {
        Self::with(inner, plan, Some(Box::new(witness)))
    }

    fn with(inner: Arc<dyn Sink>, plan: FaultPlan, witness: Option<Witness>) -> Self {
        let rules = plan.rules.into_iter();
        let faults = Faults {
            rules: rules.map(|fault| (fault, AtomicU64::new(0))).collect(),
            random: Random::new(plan.seed),
            hits: Arc::default(),
            witness,
        };
        FaultSink {
            inner,
            faults: Arc::new(faults),
        }
    }

    /// How often something went wrong so far, as a counter that goes on counting.
    pub fn hits(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.faults.hits)
    }

    fn subject(&self, key: &ObjectKey) -> String {
        format!("{}/{key}", self.inner)
    }

    /// Lets each item of a list go wrong.
    fn each<'a, T: Send + 'a>(
        &'a self,
        operation: Operation,
        folder: Option<&ObjectKey>,
        items: BoxStream<'a, Result<T, BackupError>>,
    ) -> BoxStream<'a, Result<T, BackupError>> {
        let key = folder.map_or(String::new(), ToString::to_string);
        let subject = format!("{}/{key}", self.inner);
        stream::unfold(Some((items, key, subject)), move |state| async move {
            let (mut items, key, subject) = state?;
            let before = self.faults.before(operation, &key, &subject).await;
            match before.and_then(|after| after.reply((), &subject)) {
                Ok(()) => Some((items.next().await?, Some((items, key, subject)))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    async fn before(&self, operation: Operation, key: &ObjectKey) -> Result<After, BackupError> {
        let subject = self.subject(key);
        self.faults.before(operation, key.as_str(), &subject).await
    }
}

/// What is left to go wrong once a call has been made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Nothing,
    FlipBit,
    LoseByte,
    LoseReply,
    Repeat,
}

impl After {
    fn reply<T>(self, value: T, subject: &str) -> Result<T, BackupError> {
        match self {
            After::LoseReply => Err(injected(Class::Transient, subject, "the reply was lost")),
            After::Nothing | After::FlipBit | After::LoseByte | After::Repeat => Ok(value),
        }
    }
}

fn injected(class: Class, subject: &str, message: &str) -> BackupError {
    BackupError::new(class, "use", subject, format!("injected fault: {message}"))
}

impl Faults {
    async fn before(
        &self,
        operation: Operation,
        key: &str,
        subject: &str,
    ) -> Result<After, BackupError> {
        match self.draw(operation, key) {
            None => Ok(After::Nothing),
            Some(What::FlipBit) => Ok(After::FlipBit),
            Some(What::LoseByte) => Ok(After::LoseByte),
            Some(What::LoseReply) => Ok(After::LoseReply),
            Some(What::Duplicate) => Ok(After::Repeat),
            Some(What::Fail(class)) => Err(injected(class, subject, "the call was not made")),
            Some(What::Stall) => futures::future::pending().await,
            Some(What::Panic) => panic!("injected fault in {operation:?} of {subject}"),
        }
    }

    fn draw(&self, operation: Operation, key: &str) -> Option<What> {
        let mut drawn = None;
        for (fault, calls) in &self.rules {
            let key_fits = match &fault.key_part {
                Some(part) => key.contains(part.as_str()),
                None => true,
            };
            if fault.operation != operation || !key_fits {
                continue;
            }
            // Every rule counts and draws, so that what one does depends on no other.
            let call = calls.fetch_add(1, Ordering::Relaxed) + 1;
            let applies = match fault.when {
                When::Nth(n) => call == n,
                When::From(n) => call >= n,
                When::Probability(probability) => self.random.happens(probability),
            };
            if applies && fault.what.has_effect_in(operation) {
                drawn = drawn.or(Some(fault.what));
            }
        }
        if let Some(what) = drawn {
            self.hits.fetch_add(1, Ordering::Relaxed);
            if let Some(witness) = &self.witness {
                witness(operation, what);
            }
        }
        drawn
    }

    fn spoil(&self, after: After, bytes: Bytes) -> Bytes {
        match after {
            After::FlipBit if !bytes.is_empty() => self.flip_one_bit(&bytes),
            After::LoseByte => bytes.slice(..bytes.len().saturating_sub(1)),
            After::Nothing | After::FlipBit | After::LoseReply | After::Repeat => bytes,
        }
    }

    fn flip_one_bit(&self, bytes: &[u8]) -> Bytes {
        let bit = self.random.below(bytes.len() as u64 * 8);
        let mut changed = BytesMut::from(bytes);
        if let Ok(at) = usize::try_from(bit / 8) {
            changed[at] ^= 1 << (bit % 8);
        }
        changed.freeze()
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.rules).finish()
    }
}

impl fmt::Display for FaultSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Sink for FaultSink {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn begin(
        &self,
        key: &ObjectKey,
        expected_bytes: u64,
    ) -> Result<Box<dyn Upload>, BackupError> {
        let after = self.before(Operation::Begin, key).await?;
        let inner = self.inner.begin(key, expected_bytes).await?;
        let upload = FaultUpload {
            inner,
            faults: Arc::clone(&self.faults),
            key: key.to_string(),
            subject: self.subject(key),
            reply_lost: false,
        };
        after.reply(Box::new(upload), &self.subject(key))
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        let after = self.before(Operation::Put, key).await?;
        let bytes = self.faults.spoil(after, bytes);
        if after == After::Repeat {
            self.inner.put(key, bytes.clone()).await?;
        }
        self.inner.put(key, bytes).await?;
        after.reply((), &self.subject(key))
    }

    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        let after = self.before(Operation::Read, key).await?;
        let bytes = self.inner.read(key, range).await?;
        let bytes = self.faults.spoil(after, bytes);
        after.reply(bytes, &self.subject(key))
    }

    /// Each of its reads has its faults.
    fn stream(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> BoxStream<'_, Result<Bytes, BackupError>> {
        read_in_steps(self, key, range)
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        let after = self.before(Operation::Head, key).await?;
        let meta = self.inner.head(key).await?;
        after.reply(meta, &self.subject(key))
    }

    async fn availability(&self, key: &ObjectKey) -> Result<Availability, BackupError> {
        let after = self.before(Operation::Head, key).await?;
        let availability = self.inner.availability(key).await?;
        after.reply(availability, &self.subject(key))
    }

    async fn thaw(&self, key: &ObjectKey, thaw: Thaw) -> Result<(), BackupError> {
        let after = self.before(Operation::Thaw, key).await?;
        self.inner.thaw(key, thaw).await?;
        after.reply((), &self.subject(key))
    }

    async fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError> {
        let after = self.before(Operation::DropCached, key).await?;
        self.inner.drop_cached(key).await?;
        after.reply((), &self.subject(key))
    }

    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        self.each(Operation::List, folder, self.inner.list(folder))
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        let after = self.before(Operation::Delete, key).await?;
        if after == After::Repeat {
            self.inner.delete(key).await?;
        }
        self.inner.delete(key).await?;
        after.reply((), &self.subject(key))
    }

    fn unfinished(
        &self,
        folder: Option<&ObjectKey>,
    ) -> BoxStream<'_, Result<UnfinishedUpload, BackupError>> {
        self.each(Operation::Unfinished, folder, self.inner.unfinished(folder))
    }

    async fn discard(&self, upload: &UnfinishedUpload) -> Result<(), BackupError> {
        let after = self.before(Operation::Discard, &upload.key).await?;
        self.inner.discard(upload).await?;
        after.reply((), &self.subject(&upload.key))
    }
}

struct FaultUpload {
    inner: Box<dyn Upload>,
    faults: Arc<Faults>,
    key: String,
    subject: String,
    /// The inner upload has the bytes of the last write already, and the caller doesn't know.
    reply_lost: bool,
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Upload for FaultUpload {
    async fn go_on_with(&mut self, begun: &UnfinishedUpload) -> Result<(), BackupError> {
        self.inner.go_on_with(begun).await
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        if std::mem::take(&mut self.reply_lost) {
            return Ok(());
        }
        let faults = &self.faults;
        let after = faults
            .before(Operation::Write, &self.key, &self.subject)
            .await?;
        let bytes = self.faults.spoil(after, bytes);
        self.inner.write(bytes).await?;
        self.reply_lost = after == After::LoseReply;
        after.reply((), &self.subject)
    }

    async fn commit(&mut self) -> Result<(), BackupError> {
        let faults = &self.faults;
        let after = faults
            .before(Operation::Commit, &self.key, &self.subject)
            .await?;
        if after == After::Repeat {
            self.inner.commit().await?;
        }
        self.inner.commit().await?;
        after.reply((), &self.subject)
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests;
