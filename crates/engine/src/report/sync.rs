//! What filling gaps has to say.

use serde::Serialize;
use teeline_core::{BackupId, Class, ErrorReport};

use super::{DestinationError, DestinationWarning, exit, exit_code_of};
use crate::failure::{Failure, Operation};

/// What became of backups that weren't everywhere.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SyncReport {
    /// The backups that a destination lacked that takes such, the oldest first.
    pub backups: Vec<SyncedBackup>,
    /// Destinations where nothing is listed, and nothing was copied to.
    pub warnings: Vec<DestinationWarning>,
    /// What couldn't be read at all.
    pub errors: Vec<DestinationError>,
    /// What went wrong first, for callers of web APIs and those who know s3db.js's plugin.
    pub failure: Option<Failure>,
}

/// What became of one of them.
#[derive(Debug, Clone, Serialize)]
pub struct SyncedBackup {
    /// The backup.
    pub id: BackupId,
    /// At each destination that could be asked.
    pub destinations: Vec<SyncedCopy>,
}

/// What became of it at one destination.
#[derive(Debug, Clone, Serialize)]
pub struct SyncedCopy {
    /// The destination's name.
    pub name: String,
    /// What was done.
    pub status: SyncStatus,
    /// Bytes that were copied; what was there already isn't among them.
    pub bytes: u64,
    /// Why it isn't there.
    pub error: Option<ErrorReport>,
}

/// What was done about a backup at a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyncStatus {
    /// Nothing: it is listed there.
    Whole,
    /// What was missing was copied; all of it was read back and is right.
    Copied,
    /// Nothing: it was withdrawn there.
    Withdrawn,
    /// Nothing: the destination takes other resources only.
    NotTaken,
    /// It isn't there, or what is there of it is damaged.
    Failed,
    /// Whether it is there isn't known: what is there couldn't be read, or what went wrong did so when its manifest was being
    /// written, or since.
    Unknown,
}

impl SyncReport {
    /// Says what went wrong first.
    pub(crate) fn concluded(mut self) -> Self {
        let copies = self.backups.iter().flat_map(|backup| &backup.destinations);
        let of_copies = copies.filter_map(|copy| copy.error.as_ref());
        let errors = self.errors.iter().map(|failed| &failed.error);
        self.failure = Failure::first(Operation::Sync, errors.chain(of_copies));
        self
    }

    /// 0 where each destination has each backup that it takes; 13 where damage was in the way, 3 where a destination couldn't be asked, read or
    /// written, 1, 2 or 130 where nothing could be done.
    pub fn exit_code(&self) -> u8 {
        let copies = self.backups.iter().flat_map(|backup| &backup.destinations);
        let of_copies = copies.filter_map(|copy| copy.error.as_ref()).map(of_one);
        let of_errors = self
            .errors
            .iter()
            .map(|failed| match failed.destination.as_str() {
                "" => exit_code_of(&failed.error),
                _ => of_one(&failed.error),
            });
        exit::worst(of_copies.chain(of_errors))
    }
}

/// What it means that one destination stays behind.
fn of_one(error: &ErrorReport) -> u8 {
    match error.class {
        Class::Corrupt | Class::Conflict => exit::DAMAGED,
        _ => exit::DEGRADED,
    }
}
