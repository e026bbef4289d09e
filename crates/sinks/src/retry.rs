//! The only place that repeats: stores and their clients don't. When it does is the rule of [`RetryPolicy`]; one store, opened
//! once, has one budget of repeats and one circuit breaker for all its calls.

mod resumed;
mod retrier;

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use teeline_core::{
    Availability, BackupError, Capabilities, ObjectKey, ObjectMeta, RetryPolicy, Sink, Thaw,
    UnfinishedUpload, Upload,
};

use resumed::{Listing, Reading, fingerprint, resumed};
use retrier::{Retrier, Success};

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

    /// `inner` in the place of this one's, for the same store: both have one budget and one breaker.
    pub fn beside(&self, inner: Arc<dyn Sink>) -> Self {
        RetrySink {
            inner,
            retrier: Arc::clone(&self.retrier),
        }
    }

    /// How many calls have been repeated so far, as a counter that goes on counting.
    pub fn retries(&self) -> Arc<AtomicU64> {
        self.retrier.retries()
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

    fn stream(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> BoxStream<'_, Result<Bytes, BackupError>> {
        let reading = Reading::new(self.inner.as_ref(), key, range);
        resumed(&self.retrier, reading)
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
        let listing = Listing::new(Box::new(start), |item| fingerprint(&item.key));
        resumed(&self.retrier, listing)
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
        let listing = Listing::new(Box::new(start), |item: &UnfinishedUpload| {
            fingerprint(&(&item.key, &item.name))
        });
        resumed(&self.retrier, listing)
    }

    async fn discard(&self, upload: &UnfinishedUpload) -> Result<(), BackupError> {
        self.ask(|| self.inner.discard(upload)).await
    }
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
