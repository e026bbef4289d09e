//! The only place that repeats: stores and their clients don't. When it does is the rule of [`RetryPolicy`]; one store, opened
//! once, has one budget of repeats and one circuit breaker for all its calls.

mod retrier;

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use teeline_core::{
    Availability, BackupError, Capabilities, ObjectKey, ObjectMeta, RetryPolicy, Sink, Thaw,
    UnfinishedUpload, Upload,
};

use retrier::{Call, Retrier, Success};

/// A store whose calls are repeated while that gives hope.
#[derive(Debug)]
pub struct RetrySink {
    inner: Arc<dyn Sink>,
    retrier: Arc<Retrier>,
}

impl RetrySink {
    /// `inner`, repeated by `policy`; `seed` decides the jitter.
    pub fn new(inner: Arc<dyn Sink>, policy: RetryPolicy, seed: u64) -> Self {
        let retrier = Retrier::new(inner.to_string(), policy, seed);
        RetrySink {
            inner,
            retrier: Arc::new(retrier),
        }
    }

    /// How many calls have been repeated so far, as a counter that goes on counting.
    pub fn retries(&self) -> Arc<AtomicU64> {
        self.retrier.retries()
    }

    fn each<'a, T: Send + 'a>(
        &'a self,
        start: Start<'a, T>,
        fingerprint: fn(&T) -> Fingerprint,
    ) -> BoxStream<'a, Result<T, BackupError>> {
        let listing = Listing {
            retrier: &self.retrier,
            state: State::Begun,
            start,
            fingerprint,
            given: HashSet::new(),
        };
        stream::unfold(listing, |mut listing| async move {
            let item = listing.next().await?;
            Some((item, listing))
        })
        .boxed()
    }

    async fn repeat<T, F>(
        &self,
        success: Success,
        mut call: impl FnMut() -> F,
    ) -> Result<T, BackupError>
    where
        F: Future<Output = Result<T, BackupError>>,
    {
        let mut tries = self.retrier.begin(success)?;
        loop {
            match call().await {
                Ok(value) => {
                    tries.succeeded();
                    return Ok(value);
                }
                Err(error) => tries.pause_after(error).await?,
            }
        }
    }

    /// A call that the store has to answer.
    async fn ask<T, F>(&self, call: impl FnMut() -> F) -> Result<T, BackupError>
    where
        F: Future<Output = Result<T, BackupError>>,
    {
        self.repeat(Success::Answer, call).await
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
        let begin = || self.inner.begin(key, expected_bytes);
        let inner = self.repeat(Success::Silence, begin).await?;
        Ok(Box::new(RetryUpload {
            inner,
            retrier: Arc::clone(&self.retrier),
        }))
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        self.ask(|| self.inner.put(key, bytes.clone())).await
    }

    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        self.ask(|| self.inner.read(key, range.clone())).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        self.ask(|| self.inner.head(key)).await
    }

    async fn availability(&self, key: &ObjectKey) -> Result<Availability, BackupError> {
        self.ask(|| self.inner.availability(key)).await
    }

    async fn thaw(&self, key: &ObjectKey, thaw: Thaw) -> Result<(), BackupError> {
        self.ask(|| self.inner.thaw(key, thaw)).await
    }

    async fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError> {
        let drop_cached = || self.inner.drop_cached(key);
        self.repeat(Success::Silence, drop_cached).await
    }

    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        let folder = folder.cloned();
        let start = move || self.inner.list(folder.as_ref());
        self.each(Box::new(start), |item| fingerprint(&item.key))
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.ask(|| self.inner.delete(key)).await
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
        self.ask(|| self.inner.discard(upload)).await
    }
}

/// A list that starts over where it fails, without what it has given already.
struct Listing<'a, T> {
    retrier: &'a Retrier,
    start: Start<'a, T>,
    state: State<'a, T>,
    fingerprint: fn(&T) -> Fingerprint,
    given: HashSet<Fingerprint>,
}

enum State<'a, T> {
    Begun,
    Going {
        items: BoxStream<'a, Result<T, BackupError>>,
        tries: Call<'a>,
    },
    Ended,
}

/// Starts a list.
type Start<'a, T> = Box<dyn Fn() -> BoxStream<'a, Result<T, BackupError>> + Send + 'a>;

/// Of each item that was given 16 bytes: a million of them fit, and no two will be taken for the same.
type Fingerprint = (u64, u64);

impl<T> Listing<'_, T> {
    async fn next(&mut self) -> Option<Result<T, BackupError>> {
        let item = self.new_item().await.transpose();
        if !matches!(item, Some(Ok(_))) {
            self.state = State::Ended;
        }
        item
    }

    /// The next one that wasn't given.
    async fn new_item(&mut self) -> Result<Option<T>, BackupError> {
        loop {
            match &mut self.state {
                State::Ended => return Ok(None),
                State::Begun => {
                    self.state = State::Going {
                        tries: self.retrier.begin(Success::Answer)?,
                        items: (self.start)(),
                    };
                }
                State::Going { items, tries } => match items.next().await {
                    Some(Ok(item)) if self.given.insert((self.fingerprint)(&item)) => {
                        // It got on, so the next failure is a first one.
                        tries.succeeded();
                        return Ok(Some(item));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        tries.pause_after(error).await?;
                        *items = (self.start)();
                    }
                    None => {
                        tries.succeeded();
                        return Ok(None);
                    }
                },
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
    async fn go_on_with(&mut self, begun: &UnfinishedUpload) -> Result<(), BackupError> {
        let mut call = self.retrier.begin(Success::Answer)?;
        while let Err(error) = self.inner.go_on_with(begun).await {
            call.pause_after(error).await?;
        }
        call.succeeded();
        Ok(())
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        let mut call = self.retrier.begin(Success::Silence)?;
        while let Err(error) = self.inner.write(bytes.clone()).await {
            call.pause_after(error).await?;
        }
        call.succeeded();
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), BackupError> {
        let mut call = self.retrier.begin(Success::Answer)?;
        while let Err(error) = self.inner.commit().await {
            call.pause_after(error).await?;
        }
        call.succeeded();
        Ok(())
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        let mut call = self.retrier.begin(Success::Silence)?;
        while let Err(error) = self.inner.abort().await {
            call.pause_after(error).await?;
        }
        call.succeeded();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
