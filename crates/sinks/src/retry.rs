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
    Availability, BackupError, Capabilities, ObjectKey, ObjectMeta, Random, RetryPolicy, Sink,
    Thaw, Tries, UnfinishedUpload, Upload,
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

    async fn availability(&self, key: &ObjectKey) -> Result<Availability, BackupError> {
        self.repeat(|| self.inner.availability(key)).await
    }

    async fn thaw(&self, key: &ObjectKey, thaw: Thaw) -> Result<(), BackupError> {
        self.repeat(|| self.inner.thaw(key, thaw)).await
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
mod tests;
