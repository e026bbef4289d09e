//! A bucket of S3, or of a server that speaks S3, as a store.
//!
//! - An object up to one part goes in one request that the server refuses where the key is taken, if it knows how; one that doesn't is asked
//!   before. A larger one goes in
//!   equal parts; see [`S3Options::part_bytes`]. That nothing is replaced is checked before such an upload ends, and asked
//!   of the server; one that doesn't heed it may let two that end at the same moment both succeed.
//! - A `put` whose object exists with the same bytes succeeds: it can't tell a repetition from a second writer. An upload
//!   can, so for a second one the same bytes are a conflict too.
//! - No request is repeated here, and each has bounds of time. What a server answers becomes a class and one line.
//! - An upload that is dropped is given up at the server as well as can be. What a crash leaves there is invisible;
//!   [`Sink::unfinished`] names it, and a bucket's lifecycle rule (`AbortIncompleteMultipartUpload`) removes it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::ObjectStore;
use object_store::multipart::MultipartStore;
use teeline_core::{
    Availability, BackupError, Capabilities, Class, ObjectKey, ObjectMeta, Reading, Sink, Thaw,
    UnfinishedUpload, Upload,
};

use crate::s3::options::{PART_BYTES_MIN, S3Options};
use crate::s3::store::{Client, Content, Store};
use crate::s3::upload::PartsUpload;

/// A bucket, or a folder in one, as a store. `Display` is `s3://bucket/prefix`.
#[derive(Debug, Clone)]
pub struct ObjectStoreSink {
    store: Arc<Store>,
}

impl ObjectStoreSink {
    /// The store that `options` describe. Nothing is sent to it yet, but without keys in the options the profile's files
    /// are read, and the environment.
    ///
    /// # Errors
    /// [`Class::Usage`] where the options can't work.
    pub async fn s3(options: S3Options) -> Result<Self, BackupError> {
        let store = Store::connect(options).await?;
        Ok(ObjectStoreSink {
            store: Arc::new(store),
        })
    }

    /// A store that is ready: a client of S3 or of another service that was set up elsewhere, or one in memory. What is
    /// written goes below `prefix`, which has no slash at either end; empty is all of it.
    ///
    /// It repeats and waits as it was set up to: since nobody sees that, of two uploads of the same bytes that end at the same moment both may
    /// succeed. What it is written with, such as a storage class, is its own affair.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use object_store::memory::InMemory;
    /// use teeline_core::{ObjectKey, Sink};
    /// use teeline_sinks::ObjectStoreSink;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), teeline_core::BackupError> {
    /// let sink = ObjectStoreSink::ready(InMemory::new(), "backups")?;
    /// let key = ObjectKey::new("run.json")?;
    /// sink.put(&key, Bytes::from_static(b"{}")).await?;
    /// assert_eq!(sink.read(&key, 0..2).await?, "{}");
    /// assert_eq!(sink.to_string(), "InMemory/backups");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Class::Usage`] where the prefix can't be one.
    pub fn ready(
        store: impl ObjectStore + MultipartStore,
        prefix: &str,
    ) -> Result<Self, BackupError> {
        if !prefix.is_empty() {
            ObjectKey::new(prefix)?;
        }
        let client: Arc<dyn Client> = Arc::new(store);
        let store = Store::ready(client, prefix.to_owned(), PART_BYTES_MIN);
        Ok(ObjectStoreSink {
            store: Arc::new(store),
        })
    }
}

impl fmt::Display for ObjectStoreSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.store, f)
    }
}

#[async_trait]
impl Sink for ObjectStoreSink {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            read_back: self.store.read_back(),
            // Each takes a way there and back.
            reading: Reading {
                calls: 4,
                bytes: 4 << 20,
            },
            lists_in_pages: true,
        }
    }

    async fn begin(
        &self,
        key: &ObjectKey,
        expected_bytes: u64,
    ) -> Result<Box<dyn Upload>, BackupError> {
        let upload = PartsUpload::new(Arc::clone(&self.store), key, expected_bytes)?;
        Ok(Box::new(upload))
    }

    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        match self
            .store
            .create(key, bytes.clone(), Content::Document)
            .await
        {
            Err(error) if error.class() == Class::Conflict => {
                if self.store.holds(key, &bytes).await? {
                    Ok(())
                } else {
                    Err(self.store.conflict(key))
                }
            }
            result => result,
        }
    }

    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        self.store.read(key, range).await
    }

    fn stream(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> BoxStream<'_, Result<Bytes, BackupError>> {
        self.store.stream(key, range)
    }

    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        self.store.head(key).await
    }

    async fn availability(&self, key: &ObjectKey) -> Result<Availability, BackupError> {
        self.store.availability(key).await
    }

    async fn thaw(&self, key: &ObjectKey, thaw: Thaw) -> Result<(), BackupError> {
        self.store.thaw(key, thaw).await
    }

    async fn drop_cached(&self, _key: &ObjectKey) -> Result<(), BackupError> {
        // This machine keeps nothing of what it sends.
        Ok(())
    }

    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        let start = match self.store.list_path(folder) {
            Ok(start) => start,
            Err(error) => return stream::iter([Err(error)]).boxed(),
        };
        let subject = folder.map_or_else(
            || self.store.to_string(),
            |folder| self.store.subject(folder),
        );
        self.store
            .client()
            .list(start.as_ref())
            .filter_map(move |item| {
                let item = match item {
                    Ok(meta) => self.store.listed(&meta).map(Ok),
                    Err(error) => Some(Err(self.store.explain("list", &subject, &error))),
                };
                std::future::ready(item)
            })
            .boxed()
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.store.delete(key).await
    }

    fn unfinished(
        &self,
        folder: Option<&ObjectKey>,
    ) -> BoxStream<'_, Result<UnfinishedUpload, BackupError>> {
        self.store.unfinished(folder)
    }

    async fn discard(&self, upload: &UnfinishedUpload) -> Result<(), BackupError> {
        self.store.discard(upload).await
    }
}
