//! What a drill comes to.

use serde::Serialize;
use teeline_core::{ErrorReport, Timestamp};

use super::{BackupValidation, exit, exit_code_of};
use crate::failure::{Failure, Operation};

/// Whether a backup could be restored from one destination alone.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DrillReport {
    /// When the drill began.
    pub timestamp: Timestamp,
    /// The name of the destination that was restored from.
    pub destination: Option<String>,
    /// Backups that it lists, of which one was restored.
    pub candidates: u64,
    /// That one, and what was found.
    pub backup: Option<BackupValidation>,
    /// Milliseconds.
    pub duration: u64,
    /// Why nothing was restored.
    pub error: Option<ErrorReport>,
    /// What went wrong first, for callers of web APIs and those who know s3db.js's plugin.
    pub failure: Option<Failure>,
}

impl DrillReport {
    pub(crate) fn begin(timestamp: Timestamp) -> Self {
        DrillReport {
            timestamp,
            destination: None,
            candidates: 0,
            backup: None,
            duration: 0,
            error: None,
            failure: None,
        }
    }

    /// Says what went wrong first.
    pub(crate) fn concluded(mut self) -> Self {
        let of_backup = self
            .backup
            .as_ref()
            .and_then(|backup| backup.error.as_ref());
        let failure = Failure::first(Operation::Restore, self.error.iter().chain(of_backup));
        let id = self.backup.as_ref().map(|backup| &backup.backup_id);
        self.failure = failure.map(|failure| failure.about(id));
        self
    }

    /// 0 where it was restored and is what it should be; 13 where it is damaged, 12 where no key opens it, 1 where something couldn't be
    /// told or asked, 2, 130.
    pub fn exit_code(&self) -> u8 {
        let of_backup = self.backup.iter().map(BackupValidation::exit_code);
        exit::worst(of_backup.chain(self.error.as_ref().map(exit_code_of)))
    }
}
