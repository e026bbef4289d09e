//! The only place that repeats: stores and their clients don't. When it does is the rule of [`RetryPolicy`].

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use teeline_core::{
    BackupError, Capabilities, ObjectKey, ObjectMeta, Random, RetryPolicy, Sink, Tries,
    UnfinishedUpload, Upload,
};
use tokio::time::Instant;

/// A store whose calls are repeated while that gives hope.
#[derive(Debug)]
pub struct RetrySink {
    inner: Arc<dyn Sink>,
    retrier: Arc<Retrier>,
}

/// What a store and its uploads share.
#[derive(Debug)]
struct Retrier {
    policy: RetryPolicy,
    random: Random,
    retries: Arc<AtomicU64>,
}

impl RetrySink {
    /// `inner`, repeated by `policy`; `seed` decides the jitter.
    pub fn new(inner: Arc<dyn Sink>, policy: RetryPolicy, seed: u64) -> Self {
        let retrier = Retrier {
            policy,
            random: Random::new(seed),
            retries: Arc::default(),
        };
        RetrySink {
            inner,
            retrier: Arc::new(retrier),
        }
    }

    /// How many calls have been repeated so far, as a counter that goes on counting.
    pub fn retries(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.retrier.retries)
    }

    fn each<'a, T: Send + 'a>(
        &'a self,
        start: Start<'a, T>,
        fingerprint: fn(&T) -> Fingerprint,
    ) -> BoxStream<'a, Result<T, BackupError>> {
        let listing = Listing {
            retrier: &self.retrier,
            items: Some(start()),
            start,
            tries: Call::new(&self.retrier),
            fingerprint,
            given: HashSet::new(),
        };
        stream::unfold(listing, |mut listing| async move {
            let item = listing.next().await?;
            Some((item, listing))
        })
        .boxed()
    }

    async fn repeat<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, BackupError>
    where
        F: Future<Output = Result<T, BackupError>>,
    {
        let mut tried = Call::new(&self.retrier);
        loop {
            match call().await {
                Ok(value) => return Ok(value),
                Err(error) => tried.pause_after(error).await?,
            }
        }
    }
}

/// The tries of one call, on this machine's clock.
struct Call<'a> {
    retrier: &'a Retrier,
    tries: Tries,
    since: Instant,
}

impl<'a> Call<'a> {
    fn new(retrier: &'a Retrier) -> Self {
        Call {
            retrier,
            tries: Tries::new(retrier.policy),
            since: Instant::now(),
        }
    }

    /// Waits until the next try is due, or gives the error back where there is none.
    async fn pause_after(&mut self, error: BackupError) -> Result<(), BackupError> {
        let now_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let random = &self.retrier.random;
        let Some(pause_ms) = self.tries.failed(error.class(), now_ms, random) else {
            return Err(error);
        };
        tracing::debug!(%error, pause_ms, failures = self.tries.failures(), "repeating");
        self.retrier.retries.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        Ok(())
    }
}

impl fmt::Display for RetrySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Sink for RetrySink {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn begin(
        &self,
        key: &ObjectKey,
        expected_bytes: u64,
    ) -> Result<Box<dyn Upload>, BackupError> {
        let inner = self
            .repeat(|| self.inner.begin(key, expected_bytes))
            .await?;
        Ok(Box::new(RetryUpload {
            inner,
            retrier: Arc::clone(&self.retrier),
        }))
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        self.repeat(|| self.inner.put(key, bytes.clone())).await
    }

    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        self.repeat(|| self.inner.read(key, range.clone())).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        self.repeat(|| self.inner.head(key)).await
    }

    async fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.repeat(|| self.inner.drop_cached(key)).await
    }

    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        let folder = folder.cloned();
        let start = move || self.inner.list(folder.as_ref());
        self.each(Box::new(start), |item| fingerprint(&item.key))
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.repeat(|| self.inner.delete(key)).await
    }

    fn unfinished(
        &self,
        folder: Option<&ObjectKey>,
    ) -> BoxStream<'_, Result<UnfinishedUpload, BackupError>> {
        let folder = folder.cloned();
        let start = move || self.inner.unfinished(folder.as_ref());
        self.each(Box::new(start), |item| {
            fingerprint(&(&item.key, &item.name))
        })
    }

    async fn discard(&self, upload: &UnfinishedUpload) -> Result<(), BackupError> {
        self.repeat(|| self.inner.discard(upload)).await
    }
}

/// A list that starts over where it fails, without what it has given already.
struct Listing<'a, T> {
    retrier: &'a Retrier,
    start: Start<'a, T>,
    items: Option<BoxStream<'a, Result<T, BackupError>>>,
    tries: Call<'a>,
    fingerprint: fn(&T) -> Fingerprint,
    given: HashSet<Fingerprint>,
}

/// Starts a list.
type Start<'a, T> = Box<dyn Fn() -> BoxStream<'a, Result<T, BackupError>> + Send + 'a>;

/// Of each item that was given 16 bytes: a million of them fit, and no two will be taken for the same.
type Fingerprint = (u64, u64);

impl<T> Listing<'_, T> {
    async fn next(&mut self) -> Option<Result<T, BackupError>> {
        loop {
            match self.items.as_mut()?.next().await {
                Some(Ok(item)) => {
                    // It got on, so the next failure is a first one.
                    if self.given.insert((self.fingerprint)(&item)) {
                        self.tries = Call::new(self.retrier);
                        return Some(Ok(item));
                    }
                }
                Some(Err(error)) => match self.tries.pause_after(error).await {
                    Ok(()) => self.items = Some((self.start)()),
                    Err(error) => {
                        self.items = None;
                        return Some(Err(error));
                    }
                },
                None => {
                    self.items = None;
                    return None;
                }
            }
        }
    }
}

fn fingerprint(item: &impl Hash) -> Fingerprint {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, item).hash(&mut hasher);
        hasher.finish()
    };
    (half(0), half(1))
}

struct RetryUpload {
    inner: Box<dyn Upload>,
    retrier: Arc<Retrier>,
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Upload for RetryUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        let mut call = Call::new(&self.retrier);
        while let Err(error) = self.inner.write(bytes.clone()).await {
            call.pause_after(error).await?;
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), BackupError> {
        let mut call = Call::new(&self.retrier);
        while let Err(error) = self.inner.commit().await {
            call.pause_after(error).await?;
        }
        Ok(())
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        let mut call = Call::new(&self.retrier);
        while let Err(error) = self.inner.abort().await {
            call.pause_after(error).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use teeline_core::Class;

    use super::*;
    use crate::{DeadlineSink, Deadlines, Fault, FaultPlan, FaultSink, MemorySink};
    use crate::{Operation, What, When};

    fn sink(rules: Vec<Fault>, policy: RetryPolicy) -> (MemorySink, RetrySink) {
        let memory = MemorySink::new("m");
        let faulty = FaultSink::new(Arc::new(memory.clone()), FaultPlan { seed: 1, rules });
        (memory, RetrySink::new(Arc::new(faulty), policy, 1))
    }

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new(name).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn repeats_what_may_succeed_and_gives_up_in_bounds() {
        let always = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Transient));
        let (_, sink) = sink(vec![always], RetryPolicy::default());
        let start = Instant::now();
        let error = sink.put(&key("a"), Bytes::new()).await.unwrap_err();
        assert_eq!(error.class(), Class::Transient);
        assert_eq!(sink.retries().load(Ordering::Relaxed), 3);
        // At most 100 + 200 + 400 ms of pauses.
        assert!(start.elapsed() <= Duration::from_millis(700));
    }

    #[tokio::test(start_paused = true)]
    async fn never_repeats_what_will_fail_again() {
        for class in [
            Class::Permanent,
            Class::Conflict,
            Class::Corrupt,
            Class::NotFound,
        ] {
            let once = Fault::new(Operation::Put, When::Nth(1), What::Fail(class));
            let (_, sink) = sink(vec![once], RetryPolicy::default());
            let error = sink.put(&key("a"), Bytes::new()).await.unwrap_err();
            assert_eq!(error.class(), class);
            assert_eq!(sink.retries().load(Ordering::Relaxed), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn throttled_waits_at_least_half_of_the_bound() {
        let once = Fault::new(Operation::Put, When::Nth(1), What::Fail(Class::Throttled));
        let (_, sink) = sink(vec![once], RetryPolicy::default());
        let start = Instant::now();
        sink.put(&key("a"), Bytes::new()).await.unwrap();
        assert!((50..=100).contains(&start.elapsed().as_millis()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_ended_by_its_deadline_is_repeated() {
        let stall = Fault::new(Operation::Put, When::Nth(1), What::Stall);
        let memory = MemorySink::new("m");
        let plan = FaultPlan::new(1).with(stall);
        let stuck = FaultSink::new(Arc::new(memory), plan);
        let timed = DeadlineSink::new(Arc::new(stuck), Deadlines::default());
        let sink = RetrySink::new(Arc::new(timed), RetryPolicy::default(), 1);
        sink.put(&key("a"), Bytes::new()).await.unwrap();
        assert_eq!(sink.retries().load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn no_try_starts_too_late() {
        let always = Fault::new(Operation::Put, When::From(1), What::Fail(Class::Transient));
        let policy = RetryPolicy {
            attempts: u32::MAX,
            elapsed_max_ms: 10_000,
            ..RetryPolicy::default()
        };
        let (_, sink) = sink(vec![always], policy);
        let start = Instant::now();
        sink.put(&key("a"), Bytes::new()).await.unwrap_err();
        assert!(start.elapsed() <= Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_reply_is_no_conflict() {
        let lost = |operation| Fault::new(operation, When::Nth(1), What::LoseReply);
        let rules = vec![
            lost(Operation::Put),
            lost(Operation::Write),
            lost(Operation::Commit),
            lost(Operation::Delete),
        ];
        let (memory, sink) = sink(rules, RetryPolicy::default());
        sink.put(&key("put"), Bytes::from_static(b"1"))
            .await
            .unwrap();
        let mut upload = sink.begin(&key("upload"), 6).await.unwrap();
        upload.write(Bytes::from_static(b"abc")).await.unwrap();
        upload.write(Bytes::from_static(b"def")).await.unwrap();
        upload.commit().await.unwrap();
        assert_eq!(memory.read(&key("upload"), 0..6).await.unwrap(), "abcdef");
        sink.delete(&key("put")).await.unwrap();
        assert_eq!(memory.keys(), [key("upload")]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_goes_on_without_giving_anything_twice() {
        let sometimes = Fault::new(
            Operation::List,
            When::Probability(0.3),
            What::Fail(Class::Transient),
        );
        let policy = RetryPolicy {
            attempts: u32::MAX,
            elapsed_max_ms: u64::MAX,
            ..RetryPolicy::default()
        };
        let (memory, sink) = sink(vec![sometimes], policy);
        for n in 0..20 {
            memory.overwrite(&key(&format!("{n:02}")), b"x");
        }
        let items: Vec<_> = sink.list(None).try_collect().await.unwrap();
        let keys: Vec<_> = items.into_iter().map(|item| item.key).collect();
        assert_eq!(keys, memory.keys());
        assert!(sink.retries().load(Ordering::Relaxed) > 0);
    }
}
