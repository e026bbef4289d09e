//! Single requests to a bucket, as the contract of a sink words them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{
    Attributes, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions,
    PutOptions, PutPayload,
};
use teeline_core::{BackupError, Class, ObjectKey, ObjectMeta, ReadBack, Timestamp};

use super::connect::{Connected, connect};
use super::credentials::{ChainedCredentials, NoCredentials};
use super::failure::{Context, deepest, find};
use super::options::S3Options;
use super::rejected::Rejected;
use super::signed::SignedRequests;
use super::storing::Storing;

/// What a store is written with and read by.
pub(crate) trait Client: ObjectStore + MultipartStore {}

impl<T: ObjectStore + MultipartStore> Client for T {}

/// A bucket, or a folder in one.
pub(crate) struct Store {
    pub(super) client: Arc<dyn Client>,
    place: String,
    prefix: String,
    /// What is known of a server that speaks S3; nothing of a store that the host brought.
    pub(super) s3: Option<S3>,
    pub(crate) part_bytes: usize,
    pub(super) storing: Storing,
}

/// A bucket's server.
pub(super) struct S3 {
    bucket: String,
    host: String,
    chain: Option<Arc<ChainedCredentials>>,
    conditional_put: AtomicBool,
    conditional_completion: Arc<AtomicBool>,
    pub(super) signed: SignedRequests,
}

/// The body of an answer.
type Answer = BoxStream<'static, object_store::Result<Bytes>>;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// What is in data files: it goes into the class that was asked for.
    Data,
    /// What it takes to find and check them.
    Document,
}

impl Store {
    pub(crate) async fn connect(options: S3Options) -> Result<Self, BackupError> {
        let Connected {
            client,
            host,
            chain,
            conditional_completion,
            requests,
            signer,
        } = connect(&options).await?;
        let place = options.place();
        let signed = SignedRequests::new(client.clone(), requests, signer);
        let s3 = S3 {
            bucket: options.bucket,
            host,
            chain,
            conditional_put: AtomicBool::new(true),
            conditional_completion,
            signed,
        };
        Ok(Store {
            client: Arc::new(client),
            place,
            prefix: options.prefix,
            s3: Some(s3),
            part_bytes: options.part_bytes,
            storing: options.storing,
        })
    }

    /// A store that the host brought, or the folder `prefix` in it.
    pub(crate) fn ready(client: Arc<dyn Client>, prefix: String, part_bytes: usize) -> Self {
        let slash = if prefix.is_empty() { "" } else { "/" };
        Store {
            place: format!("{client}{slash}{prefix}"),
            client,
            prefix,
            s3: None,
            part_bytes,
            storing: Storing::default(),
        }
    }

    pub(crate) fn client(&self) -> &dyn Client {
        self.client.as_ref()
    }

    /// What can be read again at once after it was written.
    pub(crate) fn read_back(&self) -> ReadBack {
        match self.storing.is_archived() {
            true => ReadBack::Documents,
            false => ReadBack::Everything,
        }
    }

    /// Writes where nothing is. A server that knows no such condition (`If-None-Match`) is asked before whether anything is there: of
    /// two that are told no at the same moment the later one stays.
    ///
    /// # Errors
    /// [`Class::Conflict`] where something is, be it the same: whether that is fine only the caller knows.
    pub(crate) async fn create(
        &self,
        key: &ObjectKey,
        bytes: Bytes,
        content: Content,
    ) -> Result<(), BackupError> {
        let is_known = |s3: &S3| s3.conditional_put.load(Ordering::Relaxed);
        if self.s3.as_ref().is_none_or(is_known) {
            let (bytes, create) = (bytes.clone(), PutMode::Create);
            match self.put(key, bytes, content, create).await? {
                Err(error) if self.s3.is_some() && is_not_implemented(&error) => {}
                put => return put.map_err(|error| self.failure("write", key, &error)),
            }
        }
        self.check_absent(key).await?;
        let put = self.put(key, bytes, content, PutMode::Overwrite).await?;
        put.map_err(|error| self.failure("write", key, &error))?;
        if let Some(s3) = &self.s3 {
            // It took the object without, so that was what it doesn't know.
            s3.conditional_put.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn put(
        &self,
        key: &ObjectKey,
        bytes: Bytes,
        content: Content,
        mode: PutMode,
    ) -> Result<object_store::Result<()>, BackupError> {
        let path = self.path("write", key)?;
        let options = PutOptions {
            mode,
            attributes: self.attributes(content),
            tags: self.storing.tag_set(),
            ..PutOptions::default()
        };
        let put = self
            .client
            .put_opts(&path, PutPayload::from(bytes), options);
        Ok(put.await.map(drop))
    }

    /// That nothing is under a key.
    pub(super) async fn check_absent(&self, key: &ObjectKey) -> Result<(), BackupError> {
        match self.head(key).await {
            Ok(_) => Err(self.conflict(key)),
            Err(error) if error.class() == Class::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// How data in parts is begun.
    pub(super) fn multipart_options(&self) -> PutMultipartOptions {
        PutMultipartOptions {
            attributes: self.attributes(Content::Data),
            tags: self.storing.tag_set(),
            ..PutMultipartOptions::default()
        }
    }

    fn attributes(&self, content: Content) -> Attributes {
        match content {
            Content::Data => self.storing.data_attributes(),
            Content::Document => Attributes::default(),
        }
    }

    /// Reads exactly a range.
    pub(crate) async fn read(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> Result<Bytes, BackupError> {
        let mut pieces = self.stream(key, range.clone());
        let first = pieces.try_next().await?.unwrap_or_default();
        let Some(second) = pieces.try_next().await? else {
            return Ok(first);
        };
        let wanted = usize::try_from(range.end - range.start).unwrap_or_default();
        let mut read = BytesMut::with_capacity(wanted);
        read.extend_from_slice(&first);
        read.extend_from_slice(&second);
        while let Some(bytes) = pieces.try_next().await? {
            read.extend_from_slice(&bytes);
        }
        Ok(read.freeze())
    }

    /// The same in pieces, as they come.
    pub(crate) fn stream(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> BoxStream<'_, Result<Bytes, BackupError>> {
        let key = key.clone();
        stream::once(async move {
            match range.start < range.end {
                true => Ok(self.pieces(self.begin_reading(&key, &range).await?, key, range)),
                false => Ok(self.nothing(&key, range).await?),
            }
        })
        .try_flatten()
        .boxed()
    }

    async fn begin_reading(
        &self,
        key: &ObjectKey,
        range: &Range<u64>,
    ) -> Result<Answer, BackupError> {
        let path = self.path("read", key)?;
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        match self.client.get_opts(&path, options).await {
            Ok(answer) => Ok(answer.into_stream()),
            Err(error) => Err(self.misread(key, range, Err(error)).await),
        }
    }

    /// What an answer gives, if it is exactly what was asked for.
    fn pieces(
        &self,
        answer: Answer,
        key: ObjectKey,
        range: Range<u64>,
    ) -> BoxStream<'_, Result<Bytes, BackupError>> {
        let wanted = range.end - range.start;
        stream::try_unfold((answer, 0), move |(mut answer, before)| {
            let (key, range) = (key.clone(), range.clone());
            async move {
                let next = answer.try_next().await;
                let came = next.as_ref().map_or(before, |bytes| {
                    before + bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)
                });
                match next {
                    Ok(Some(bytes)) if came <= wanted => Ok(Some((bytes, (answer, came)))),
                    Ok(None) if came == wanted => Ok(None),
                    Ok(_) => Err(self.misread(&key, &range, Ok(came)).await),
                    Err(error) => Err(self.misread(&key, &range, Err(error)).await),
                }
            }
        })
        .boxed()
    }

    /// A range without bytes, which there isn't in HTTP.
    async fn nothing(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> Result<BoxStream<'_, Result<Bytes, BackupError>>, BackupError> {
        let held = self.head(key).await?.bytes;
        match range.start == range.end && range.end <= held {
            true => Ok(stream::empty().boxed()),
            false => Err(self.shorter(key, held, &range)),
        }
    }

    /// Why so many bytes came of a range, or none.
    async fn misread(
        &self,
        key: &ObjectKey,
        range: &Range<u64>,
        came: object_store::Result<u64>,
    ) -> BackupError {
        let failure = match came {
            Ok(came) => {
                let wanted = range.end - range.start;
                self.unfitting(key, format!("{came} bytes of {wanted}"))
            }
            Err(error) => match self.failure("read", key, &error) {
                // There is no such range.
                failure if failure.class() == Class::Corrupt => failure,
                // object_store says that the answer isn't to what was asked, but only in words. Whoever has given it may have an answer
                // to a HEAD as well, so that says nothing.
                failure if failure.class() == Class::Permanent && !is_said(&error) => match self.s3
                {
                    Some(_) => return self.unfitting(key, deepest(&error)),
                    None => failure,
                },
                failure => return failure,
            },
        };
        match self.head(key).await {
            Ok(meta) if meta.bytes < range.end => self.shorter(key, meta.bytes, range),
            _ => failure,
        }
    }

    /// What came isn't what was asked for, which may be right the next time.
    fn unfitting(&self, key: &ObjectKey, what: String) -> BackupError {
        let message = format!("the answer doesn't fit the question: {what}");
        BackupError::new(Class::Transient, "read", self.subject(key), message)
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

    /// Whether an object holds exactly `bytes`. Of one that is archived only the size is compared: no more is to be had.
    pub(crate) async fn holds(&self, key: &ObjectKey, bytes: &Bytes) -> Result<bool, BackupError> {
        let length = bytes.len() as u64;
        if !self.has_size(key, length).await? {
            return Ok(false);
        }
        match self.read(key, 0..length).await {
            Err(error) if error.class() == Class::Archived => Ok(true),
            read => Ok(read? == *bytes),
        }
    }

    /// Whether there is an object of this size.
    pub(super) async fn has_size(&self, key: &ObjectKey, bytes: u64) -> Result<bool, BackupError> {
        match self.head(key).await {
            Ok(meta) => Ok(meta.bytes == bytes),
            Err(error) if error.class() == Class::NotFound => Ok(false),
            Err(error) => Err(error),
        }
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
        let chain = self.s3.as_ref().and_then(|s3| s3.chain.as_ref());
        let renews_keys = match (chain, find::<Rejected>(error)) {
            (Some(chain), Some(rejected)) => chain.renews_after(rejected),
            _ => false,
        };
        let (host, bucket) = match &self.s3 {
            Some(s3) => (s3.host.as_str(), s3.bucket.as_str()),
            None => (self.place.as_str(), self.place.as_str()),
        };
        let context = Context {
            operation,
            subject,
            host,
            bucket,
            renews_keys,
        };
        context.explain(error)
    }

    /// Whether requests may be repeated where nobody sees it.
    pub(super) fn repeats_itself(&self) -> bool {
        self.s3.is_none()
    }

    /// Whether uploads in parts are ended on the condition that nothing is there.
    pub(super) fn ends_on_condition(&self) -> bool {
        let does = |s3: &S3| s3.conditional_completion.load(Ordering::Relaxed);
        self.s3.as_ref().is_some_and(does)
    }

    /// Ends uploads in parts without a condition from now on, if `error` is that this server can't do it.
    pub(super) fn gives_up_condition(&self, error: &object_store::Error) -> bool {
        let refused = is_not_implemented(error);
        if let Some(s3) = self.s3.as_ref().filter(|_| refused) {
            s3.conditional_completion.store(false, Ordering::Relaxed);
        }
        refused
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

/// Whether the server can't do that at all.
fn is_not_implemented(error: &object_store::Error) -> bool {
    find::<Rejected>(error).is_some_and(Rejected::is_not_implemented)
}

/// Whether it is an answer, or there was nothing to ask with, rather than that an answer couldn't be understood.
fn is_said(error: &object_store::Error) -> bool {
    find::<Rejected>(error).is_some() || find::<NoCredentials>(error).is_some()
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client's own shows its configuration.
        match &self.s3 {
            Some(s3) => write!(f, "{} at {}", self.place, s3.host),
            None => f.write_str(&self.place),
        }
    }
}
