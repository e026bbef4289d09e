//! The contract of a place that a backup is restored to.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::BackupError;
use crate::frame::Frame;
use crate::id::BackupId;
use crate::manifest::SourceKind;
use crate::placing::ResourceKind;

/// What is about to be restored.
#[derive(Debug, Clone)]
pub struct Restoring {
    /// The backup.
    pub backup: BackupId,
    /// What it is a backup of.
    pub source: SourceKind,
    /// Every resource of the backup, in the manifest's order.
    pub resources: Vec<RestoringResource>,
    /// Whether the backup was made of chosen resources only, so that what it hasn't is nothing that was gone.
    pub is_of_some: bool,
    /// Ids of the records to restore; absent for all.
    pub ids: Option<Vec<String>>,
    /// The database's own `s3db.json`, where the source was a database.
    pub database_catalogue: Option<Bytes>,
    /// Whether to write nothing, and only count what would be written.
    pub dry_run: bool,
}

/// A resource of a backup that is about to be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoringResource {
    /// Its name in the backup.
    pub name: String,
    /// What it is to be called; absent where it isn't to be restored.
    pub restored_as: Option<String>,
    /// Whether the backup has some of its records only, and so of what points at them only what follows from these.
    pub is_in_part: bool,
}

impl Restoring {
    /// The resources to restore: the name in the backup, and what it is to be called.
    pub fn chosen(&self) -> impl Iterator<Item = (&str, &str)> {
        self.resources
            .iter()
            .filter_map(|resource| Some((resource.name.as_str(), resource.restored_as.as_deref()?)))
    }

    /// Whether that is all of the backup, so that what belongs to no resource is restored as well.
    pub fn is_everything(&self) -> bool {
        let chosen = |resource: &RestoringResource| resource.restored_as.is_some();
        self.ids.is_none() && self.resources.iter().all(chosen)
    }

    /// Whether what the backup doesn't have wasn't there when it was made, so that a restore that replaces may delete it.
    pub fn is_all_there_was(&self) -> bool {
        self.is_everything() && !self.is_of_some
    }
}

/// What became of things that were to be restored, or would in a dry run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RestoreCounts {
    /// Written where nothing was.
    pub created: u64,
    /// Written over something else.
    pub replaced: u64,
    /// Not written: the same was there already, or something that is to stay.
    pub left: u64,
    /// Deleted, since the backup doesn't have it.
    pub deleted: u64,
}

/// A place that records are restored to. What it is given was verified before.
///
/// Calls come in this order: `check`, `begin`, then the lines of the resources, then the frames, then `finish`; or
/// `abort` at any point, after which nothing half-restored is to be seen where the target can help it.
#[async_trait]
pub trait Target: fmt::Debug + fmt::Display + Send {
    /// Whether what was written can be taken back until `finish`. Where not, every chunk is checked before the first one
    /// is written.
    fn is_staged(&self) -> bool;

    /// Whether what a restore would do depends on what is at the target, so that a dry run has to be given everything;
    /// unless said otherwise, it doesn't.
    fn compares(&self) -> bool {
        false
    }

    /// Whether it takes objects that are no records; unless said otherwise, it does.
    fn takes_objects(&self) -> bool {
        true
    }

    /// Whether the restore can be carried out here: the target is empty or may be overwritten, the backup is of a kind
    /// that it takes. Changes nothing.
    async fn check(&mut self, restoring: &Restoring) -> Result<(), BackupError>;

    /// Makes ready.
    async fn begin(&mut self, restoring: &Restoring) -> Result<(), BackupError>;

    /// Takes whole lines of a resource (by its name in the backup), each ending in a newline, in the backup's order: those
    /// of a resource one after the other, then of any of them those that had changed when they were read again.
    async fn lines(&mut self, resource: &str, lines: Bytes) -> Result<(), BackupError>;

    /// Takes pieces of objects, in the backup's order; of an object all of them or none.
    async fn frames(&mut self, frames: Vec<Frame>) -> Result<(), BackupError>;

    /// Makes the restored data real.
    async fn finish(&mut self) -> Result<(), BackupError>;

    /// What became of the records of a resource (by its name in the backup), or of the objects that are none, once it has finished; absent where the target
    /// doesn't compare, and all of them were written, as unless said otherwise.
    fn counts(&self, _of: &ResourceKind) -> Option<RestoreCounts> {
        None
    }

    /// Takes back what can be taken back.
    async fn abort(&mut self) -> Result<(), BackupError>;
}
