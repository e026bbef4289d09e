//! Single requests to a bucket, as the contract of a sink words them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use object_store::aws::AmazonS3;
use object_store::client::HttpClient;
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};
use teeline_core::{BackupError, Class, ObjectKey, ObjectMeta, Timestamp};

use super::connect::{Connected, connect};
use super::credentials::ChainedCredentials;
use super::failure::{Context, find};
use super::options::S3Options;
use super::service::Rejected;

/// A bucket, or a folder in one.
pub(crate) struct Store {
    pub(super) client: AmazonS3,
    place: String,
    bucket: String,
    host: String,
    prefix: String,
    chain: Option<Arc<ChainedCredentials>>,
    pub(super) conditional_completion: Arc<AtomicBool>,
    /// For what the client has no call for.
    pub(super) requests: HttpClient,
    pub(super) region: String,
    pub(crate) part_bytes: usize,
}

impl Store {
    pub(crate) async fn connect(options: S3Options) -> Result<Self, BackupError> {
        let Connected {
            client,
            host,
            chain,
            conditional_completion,
            requests,
            region,
        } = connect(&options).await?;
        Ok(Store {
            client,
            place: options.place(),
            bucket: options.bucket,
            host,
            prefix: options.prefix,
            chain,
            conditional_completion,
            requests,
            region,
            part_bytes: options.part_bytes,
        })
    }

    pub(crate) fn client(&self) -> &AmazonS3 {
        &self.client
    }

    /// Writes where nothing is.
    ///
    /// # Errors
    /// [`Class::Conflict`] where something is, be it the same: whether that is fine only the caller knows.
    pub(crate) async fn create(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        let path = self.path("write", key)?;
        let create = PutOptions::from(PutMode::Create);
        let put = self.client.put_opts(&path, PutPayload::from(bytes), create);
        put.await
            .map(drop)
            .map_err(|error| self.failure("write", key, &error))
    }

    /// Reads exactly a range.
    pub(crate) async fn read(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> Result<Bytes, BackupError> {
        if range.start >= range.end {
            // There is no such range in HTTP.
            let held = self.head(key).await?.bytes;
            return if range.start == range.end && range.end <= held {
                Ok(Bytes::new())
            } else {
                Err(self.shorter(key, held, &range))
            };
        }
        let path = self.path("read", key)?;
        match self.get(&path, &range).await {
            Ok(bytes) if bytes.len() as u64 == range.end - range.start => Ok(bytes),
            Ok(bytes) => Err(self.shorter(key, range.start + bytes.len() as u64, &range)),
            Err(error) => {
                let failure = self.failure("read", key, &error);
                // object_store says that the range is another than asked for, but only in words.
                match failure.class() {
                    Class::Corrupt | Class::Permanent => match self.head(key).await {
                        Ok(meta) if meta.bytes < range.end => {
                            Err(self.shorter(key, meta.bytes, &range))
                        }
                        _ => Err(failure),
                    },
                    _ => Err(failure),
                }
            }
        }
    }

    async fn get(&self, path: &Path, range: &Range<u64>) -> object_store::Result<Bytes> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        self.client.get_opts(path, options).await?.bytes().await
    }

    fn shorter(&self, key: &ObjectKey, held: u64, range: &Range<u64>) -> BackupError {
        let message = format!(
            "shorter than expected: it holds {held} bytes, and bytes {} to {} were asked for",
            range.start, range.end
        );
        BackupError::new(Class::Corrupt, "read", self.subject(key), message)
    }

    pub(crate) async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        let path = self.path("look at", key)?;
        let meta = self.client.head(&path).await;
        let meta = meta.map_err(|error| self.failure("look at", key, &error))?;
        Ok(self.meta(key.clone(), &meta))
    }

    /// Whether an object holds exactly `bytes`.
    pub(crate) async fn holds(&self, key: &ObjectKey, bytes: &Bytes) -> Result<bool, BackupError> {
        let length = bytes.len() as u64;
        if self.head(key).await?.bytes != length {
            return Ok(false);
        }
        Ok(self.read(key, 0..length).await? == *bytes)
    }

    pub(crate) async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        let path = self.path("delete", key)?;
        match self.client.delete(&path).await {
            Ok(()) => Ok(()),
            Err(error) => match self.failure("delete", key, &error) {
                // Not every server finds it fine.
                failure if failure.class() == Class::NotFound => Ok(()),
                failure => Err(failure),
            },
        }
    }

    pub(crate) fn conflict(&self, key: &ObjectKey) -> BackupError {
        let message = "it exists already, and objects are written once";
        BackupError::new(Class::Conflict, "write", self.subject(key), message)
    }

    pub(crate) fn failure(
        &self,
        operation: &str,
        key: &ObjectKey,
        error: &object_store::Error,
    ) -> BackupError {
        self.explain(operation, &self.subject(key), error)
    }

    pub(crate) fn explain(
        &self,
        operation: &str,
        subject: &str,
        error: &object_store::Error,
    ) -> BackupError {
        if let (Some(chain), Some(rejected)) = (&self.chain, find::<Rejected>(error))
            && matches!(
                rejected.code.as_str(),
                "ExpiredToken" | "TokenRefreshRequired"
            )
        {
            chain.refuse();
        }
        let context = Context {
            operation,
            subject,
            host: &self.host,
            bucket: &self.bucket,
            renews_keys: self.chain.is_some(),
        };
        context.explain(error)
    }

    /// Ends uploads in parts without a condition from now on, if `error` is that this server can't do it.
    pub(super) fn gives_up_condition(&self, error: &object_store::Error) -> bool {
        let refused = find::<Rejected>(error).is_some_and(Rejected::is_not_implemented);
        refused && self.conditional_completion.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn subject(&self, key: &ObjectKey) -> String {
        format!("{}/{key}", self.place)
    }

    pub(crate) fn path(&self, operation: &str, key: &ObjectKey) -> Result<Path, BackupError> {
        let full = match self.prefix.as_str() {
            "" => key.to_string(),
            prefix => format!("{prefix}/{key}"),
        };
        // As it is written: nothing in a key is escaped.
        Path::parse(full).map_err(|error| self.failure(operation, key, &error.into()))
    }

    /// Where a list of `folder` begins; `None` is the whole bucket.
    pub(crate) fn list_path(
        &self,
        folder: Option<&ObjectKey>,
    ) -> Result<Option<Path>, BackupError> {
        match (folder, self.prefix.as_str()) {
            (Some(folder), _) => self.path("list", folder).map(Some),
            (None, "") => Ok(None),
            (None, prefix) => Path::parse(prefix)
                .map(Some)
                .map_err(|error| self.explain("list", &self.place, &error.into())),
        }
    }

    /// What was listed, if it can be ours.
    pub(crate) fn listed(&self, meta: &object_store::ObjectMeta) -> Option<ObjectMeta> {
        Some(self.meta(self.key_of(meta.location.as_ref())?, meta))
    }

    /// The key of what is in the bucket under `full`, if it can be ours.
    pub(super) fn key_of(&self, full: &str) -> Option<ObjectKey> {
        let below = match self.prefix.as_str() {
            "" => full,
            prefix => full.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        ObjectKey::new(below).ok()
    }

    fn meta(&self, key: ObjectKey, meta: &object_store::ObjectMeta) -> ObjectMeta {
        ObjectMeta {
            key,
            bytes: meta.size,
            modified_at: Some(Timestamp::from_unix_ms(
                meta.last_modified.timestamp_millis(),
            )),
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client's own shows its configuration.
        write!(f, "{} at {}", self.place, self.host)
    }
}
