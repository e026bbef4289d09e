//! The contract of a store that destinations are on.
//!
//! Every sink and every decorator keeps to it, and passes the one conformance suite in `teeline-sinks`:
//! - nothing is visible under a key until the write that makes it has succeeded, and then all of it is;
//! - a key is written once: a second write fails with [`Class::Conflict`](crate::Class::Conflict) and changes nothing;
//! - a call that failed with a retriable class may be repeated with the same arguments; where the first one did take
//!   effect after all, the repetition succeeds if the bytes are the same.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use crate::error::BackupError;
use crate::key::ObjectKey;
use crate::time::Timestamp;

/// What a store can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// What can be read again at once after it was written. Of the rest, digests are attested.
    pub read_back: ReadBack,
    /// How a large object is best read.
    pub reading: Reading,
    /// Whether lists come in pages, each of which is a call: what is in fewer keys is listed by fewer.
    pub lists_in_pages: bool,
}

/// What of a store can be read again at once after it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadBack {
    /// Nothing.
    Nothing,
    /// Documents, which are put whole; not data, which is uploaded.
    Documents,
    /// Everything.
    Everything,
}

impl ReadBack {
    /// Whether documents can be.
    pub fn has_documents(self) -> bool {
        self != ReadBack::Nothing
    }

    /// Whether data can be.
    pub fn has_data(self) -> bool {
        self == ReadBack::Everything
    }
}

/// Whether an object can be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// It can.
    Readable,
    /// Not before it is thawed, which nobody has asked for.
    Archived,
    /// Not yet: it is being thawed.
    Thawing,
}

/// How an archived object is to be made readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thaw {
    /// For how many days it is to be readable, from 1.
    pub days: u32,
    /// How fast, and so how dear.
    pub tier: ThawTier,
}

/// How fast an archived object is made readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ThawTier {
    /// In hours.
    #[default]
    Standard,
    /// In half a day to two days, at the least cost.
    Bulk,
    /// In minutes; not every class has it.
    Expedited,
}

impl ThawTier {
    /// Every one, as it is written.
    pub const NAMES: [&'static str; 3] = ["standard", "bulk", "expedited"];
}

impl FromStr for ThawTier {
    type Err = BackupError;

    fn from_str(text: &str) -> Result<Self, BackupError> {
        match text {
            "standard" => Ok(ThawTier::Standard),
            "bulk" => Ok(ThawTier::Bulk),
            "expedited" => Ok(ThawTier::Expedited),
            _ => {
                let accepted = Self::NAMES.join(", ");
                let message = format!("unknown word {text:?}; accepted: {accepted}");
                Err(BackupError::usage("thaw tier", message))
            }
        }
    }
}

impl fmt::Display for ThawTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ThawTier::Standard => "standard",
            ThawTier::Bulk => "bulk",
            ThawTier::Expedited => "expedited",
        })
    }
}

/// How a large object is best read from a store: what it holds in memory is the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// How many reads are worth having under way at once; at least 1.
    pub calls: usize,
    /// How much is worth reading in one, in bytes.
    pub bytes: u64,
}

/// An object, as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its key below the destination's root.
    pub key: ObjectKey,
    /// Its size.
    pub bytes: u64,
    /// When it was written, by the store's clock.
    pub modified_at: Option<Timestamp>,
}

/// An upload that was begun and that nobody has committed or given up: one that goes on, or what a crash left. Nothing of it
/// can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedUpload {
    /// Where it is: the key that it is for, or, where the store doesn't know that, another one beside it.
    pub key: ObjectKey,
    /// What the store tells it by from others for the same key; may be empty.
    pub name: String,
    /// When it was begun or last written to, by the store's clock.
    pub touched_at: Option<Timestamp>,
}

/// A store. `Display` names the place without secrets, such as `s3://bucket/prefix`.
#[async_trait]
pub trait Sink: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// What the store can do.
    fn capabilities(&self) -> Capabilities;

    /// Starts writing an object of unknown length; `expected_bytes` is a guess from above, for stores that can run full.
    async fn begin(
        &self,
        key: &ObjectKey,
        expected_bytes: u64,
    ) -> Result<Box<dyn Upload>, BackupError>;

    /// Writes a whole small object.
    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError>;

    /// Reads exactly `range` of an object. Fewer bytes are [`Class::Corrupt`](crate::Class::Corrupt), no object is
    /// [`Class::NotFound`](crate::Class::NotFound), and one that must be thawed first
    /// [`Class::Archived`](crate::Class::Archived).
    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError>;

    /// Reads `range` of an object as [`Sink::read`] does, in pieces as they come, so that it may be larger than memory. What came
    /// before an error is as it is there; after one the stream ends. A store that can give it in one call does so; by default it is
    /// [`read_in_steps`].
    fn stream(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> BoxStream<'_, Result<Bytes, BackupError>> {
        read_in_steps(self, key, range)
    }

    /// What is known of an object without reading it.
    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError>;

    /// Whether an object can be read now.
    async fn availability(&self, _key: &ObjectKey) -> Result<Availability, BackupError> {
        Ok(Availability::Readable)
    }

    /// Asks for an archived object to be made readable. One that is being thawed goes on as it was asked before; one that
    /// can be read stays so, those that were thawed for as long as is asked now.
    async fn thaw(&self, _key: &ObjectKey, _thaw: Thaw) -> Result<(), BackupError> {
        Ok(())
    }

    /// Makes sure that the next read comes from the store and not from a cache of this machine.
    async fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError>;

    /// Every object below `folder`, in no particular order; no folder has no objects. `None` is the root.
    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>>;

    /// Removes an object. Removing what is absent is fine.
    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError>;

    /// Every unfinished upload below `folder`, in no particular order, as [`Sink::list`]. None, for a store that keeps nothing
    /// of an upload that ends without a commit.
    fn unfinished(
        &self,
        _folder: Option<&ObjectKey>,
    ) -> BoxStream<'_, Result<UnfinishedUpload, BackupError>> {
        stream::empty().boxed()
    }

    /// Frees what the store holds for an unfinished upload, which can't go on then. One that is gone already is fine.
    async fn discard(&self, _upload: &UnfinishedUpload) -> Result<(), BackupError> {
        Ok(())
    }
}

/// A range of an object by one [`Sink::read`] after the other, of as much as is worth reading in one.
pub fn read_in_steps<'a, S: Sink + ?Sized>(
    sink: &'a S,
    key: &ObjectKey,
    range: Range<u64>,
) -> BoxStream<'a, Result<Bytes, BackupError>> {
    let step = sink.capabilities().reading.bytes.max(1);
    let key = key.clone();
    stream::try_unfold(Some(range), move |rest| {
        let key = key.clone();
        async move {
            let Some(rest) = rest else {
                return Ok(None);
            };
            let end = rest.end.min(rest.start.saturating_add(step));
            let bytes = sink.read(&key, rest.start..end).await?;
            Ok(Some((bytes, (end < rest.end).then_some(end..rest.end))))
        }
    })
    .boxed()
}

/// An object that is being written. Nothing is visible under its key until [`Upload::commit`] returns; dropped without,
/// or aborted, nothing readable is left.
#[async_trait]
pub trait Upload: Send {
    /// Before the first write: what the store holds of an unfinished upload for the same key isn't sent again, as far as it is what is
    /// then written. The other upload goes on as this one, so nobody else may write to it any more. A store that can't compare
    /// leaves it where it is. After a retriable failure the same call may be repeated.
    async fn go_on_with(&mut self, _begun: &UnfinishedUpload) -> Result<(), BackupError> {
        Ok(())
    }

    /// Takes over the next bytes: when it returns they are written or copied, and no handle on them is kept. What is kept is
    /// counted as in flight, and a run whose bytes in flight are used up so fails. After a retriable failure the same call is
    /// to be repeated with the same bytes.
    async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError>;

    /// Makes the object durable and visible under its key. After a retriable failure it may be repeated.
    async fn commit(&mut self) -> Result<(), BackupError>;

    /// Gives up; frees what the store holds for it.
    async fn abort(&mut self) -> Result<(), BackupError>;
}
