//! Writing one object into a database that may have it already.

use bytes::Bytes;
use teeline_core::BackupError;

use super::bucket::{Bucket, Found, Head};
use super::object::RawObject;

/// What becomes of objects that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreMode {
    /// Those with the keys of restored ones are replaced, the others stay, save entries of partitions that restored records
    /// don't have.
    Merge,
    /// All of them stay, and what is missing is written, save entries of partitions for records that stay as they are.
    SkipExisting,
    /// As [`RestoreMode::Merge`], and of the restored resources what the backup doesn't have is deleted.
    Replace,
}

/// What was at the target before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Situation {
    /// Nothing.
    Empty,
    /// A part of this very restore, which was broken off: what is there is right.
    BrokenOff,
    /// All of this very restore, but for the end of its marker. Whoever uses it may have changed it since.
    Complete,
    /// A database.
    Filled(RestoreMode),
}

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Created,
    Replaced,
    /// The same is there, or it can't be told.
    Left,
    /// Another is there, which stays.
    Kept,
}

/// Writes objects where a restore may.
#[derive(Clone)]
pub(super) struct Writer {
    pub(super) bucket: Bucket,
    pub(super) situation: Situation,
    /// Writes nothing, and says what would become of objects.
    pub(super) dry_run: bool,
}

impl Writer {
    /// Writes an object, unless it is to stay or is the same already.
    pub(super) async fn write(
        &self,
        key: &str,
        object: &RawObject,
    ) -> Result<Written, BackupError> {
        let written = match self.situation {
            Situation::Filled(mode) => self.compared(key, object, mode).await?,
            Situation::Empty | Situation::BrokenOff | Situation::Complete => {
                self.planned(key).await?
            }
        };
        if matches!(written, Written::Created | Written::Replaced) && !self.dry_run {
            self.bucket.put(key, object).await?;
        }
        Ok(written)
    }

    /// What is to become of an object whose content isn't compared: a large one, or one that is right if it is there.
    pub(super) async fn planned(&self, key: &str) -> Result<Written, BackupError> {
        let exists = match self.situation {
            Situation::Empty => false,
            Situation::Complete => true,
            _ => self.bucket.exists(key).await?,
        };
        Ok(match self.situation {
            _ if !exists => Written::Created,
            Situation::Filled(RestoreMode::Merge | RestoreMode::Replace) => Written::Replaced,
            Situation::Empty | Situation::BrokenOff | Situation::Complete => Written::Left,
            Situation::Filled(RestoreMode::SkipExisting) => Written::Left,
        })
    }

    async fn compared(
        &self,
        key: &str,
        object: &RawObject,
        mode: RestoreMode,
    ) -> Result<Written, BackupError> {
        let is_same = |head: &Head, body: &Bytes| {
            head.metadata == object.metadata
                && head.content_type == object.content_type
                && *body == object.body
        };
        Ok(
            match self.bucket.find(key, object.body.len() as u64).await? {
                Found::Absent => Written::Created,
                Found::Small(head, body) if is_same(&head, &body) => Written::Left,
                _ if mode == RestoreMode::SkipExisting => Written::Kept,
                Found::Small(..) | Found::Larger => Written::Replaced,
            },
        )
    }
}
