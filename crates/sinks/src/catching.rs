//! A store whose panics are errors, of that destination alone.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use teeline_core::{
    Availability, BackupError, Capabilities, Class, ObjectKey, ObjectMeta, Sink, Thaw,
    UnfinishedUpload, Upload,
};

/// A store that somebody else has written, and may panic in any call. Whoever asks it may be at work on other destinations as
/// well, whose results are worth no less.
#[derive(Debug)]
pub struct CatchingSink(Arc<dyn Sink>);

impl CatchingSink {
    /// `inner`, whose panics are errors.
    pub fn new(inner: Arc<dyn Sink>) -> Self {
        CatchingSink(inner)
    }

    fn subject(&self, key: &ObjectKey) -> String {
        format!("{}/{key}", self.0)
    }

    fn each<'a, T: Send + 'a>(
        &'a self,
        operation: &'static str,
        folder: Option<&ObjectKey>,
        items: impl FnOnce() -> BoxStream<'a, Result<T, BackupError>>,
    ) -> BoxStream<'a, Result<T, BackupError>> {
        let subject = folder.map_or_else(|| self.0.to_string(), |folder| self.subject(folder));
        let Ok(items) = catch_unwind(AssertUnwindSafe(items)) else {
            return stream::iter([Err(panicked(operation, &subject))]).boxed();
        };
        AssertUnwindSafe(items)
            .catch_unwind()
            .map(move |item| item.unwrap_or_else(|_| Err(panicked(operation, &subject))))
            .boxed()
    }
}

impl fmt::Display for CatchingSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What it said of the panic went where panics go: it may have a secret in it.
fn panicked(operation: &'static str, subject: &str) -> BackupError {
    let message = "the store panicked, which is a defect of it";
    BackupError::new(Class::Permanent, operation, subject, message)
}

/// What the call comes to. Once it has panicked, nothing of it is used again.
async fn caught<T>(
    operation: &'static str,
    subject: &str,
    call: impl Future<Output = Result<T, BackupError>>,
) -> Result<T, BackupError> {
    let came = AssertUnwindSafe(call).catch_unwind().await;
    came.unwrap_or_else(|_| Err(panicked(operation, subject)))
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Sink for CatchingSink {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn begin(
        &self,
        key: &ObjectKey,
        expected_bytes: u64,
    ) -> Result<Box<dyn Upload>, BackupError> {
        let subject = self.subject(key);
        let call = async { self.0.begin(key, expected_bytes).await };
        let inner = caught("begin", &subject, call).await?;
        Ok(Box::new(CatchingUpload { inner, subject }))
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        let call = async { self.0.put(key, bytes).await };
        caught("put", &self.subject(key), call).await
    }

    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        let call = async { self.0.read(key, range).await };
        caught("read", &self.subject(key), call).await
    }

    fn stream(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> BoxStream<'_, Result<Bytes, BackupError>> {
        self.each("read", Some(key), || self.0.stream(key, range))
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        let call = async { self.0.head(key).await };
        caught("head", &self.subject(key), call).await
    }

    async fn availability(&self, key: &ObjectKey) -> Result<Availability, BackupError> {
        let call = async { self.0.availability(key).await };
        caught("head", &self.subject(key), call).await
    }

    async fn thaw(&self, key: &ObjectKey, thaw: Thaw) -> Result<(), BackupError> {
        let call = async { self.0.thaw(key, thaw).await };
        caught("thaw", &self.subject(key), call).await
    }

    async fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError> {
        let call = async { self.0.drop_cached(key).await };
        caught("drop cached", &self.subject(key), call).await
    }

    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        self.each("list", folder, || self.0.list(folder))
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        let call = async { self.0.delete(key).await };
        caught("delete", &self.subject(key), call).await
    }

    fn unfinished(
        &self,
        folder: Option<&ObjectKey>,
    ) -> BoxStream<'_, Result<UnfinishedUpload, BackupError>> {
        self.each("list uploads", folder, || self.0.unfinished(folder))
    }

    async fn discard(&self, upload: &UnfinishedUpload) -> Result<(), BackupError> {
        let call = async { self.0.discard(upload).await };
        caught("discard", &self.subject(&upload.key), call).await
    }
}

struct CatchingUpload {
    inner: Box<dyn Upload>,
    subject: String,
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Upload for CatchingUpload {
    async fn go_on_with(&mut self, begun: &UnfinishedUpload) -> Result<(), BackupError> {
        let call = async { self.inner.go_on_with(begun).await };
        caught("begin", &self.subject, call).await
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        let call = async { self.inner.write(bytes).await };
        caught("write", &self.subject, call).await
    }

    async fn commit(&mut self) -> Result<(), BackupError> {
        let call = async { self.inner.commit().await };
        caught("commit", &self.subject, call).await
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        let call = async { self.inner.abort().await };
        caught("abort", &self.subject, call).await
    }
}
