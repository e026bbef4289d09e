//! What a restore comes to.

use serde::Serialize;
use teeline_core::{BackupId, ErrorReport, InPart, RestoreCounts};

use super::{Damage, exit, exit_code_of};
use crate::failure::Failure;
use crate::hooks::HookFailure;

/// What was restored.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreReport {
    /// The backup.
    pub id: Option<BackupId>,
    /// The same, by the name that s3db.js's BackupPlugin has for it here.
    pub backup_id: Option<BackupId>,
    /// What became of the restore.
    pub status: RestoreStatus,
    /// Where to, without secrets.
    pub target: String,
    /// Which records the backup has, where it was made of some only: the others of these resources aren't in it.
    pub in_part: Option<InPart>,
    /// Globs of the resources that the backup was made of; empty where it was of all.
    pub include: Vec<String>,
    /// Globs of the resources that were left out of the backup.
    pub exclude: Vec<String>,
    /// The resources.
    pub restored: Vec<RestoredResource>,
    /// Objects that are no records.
    pub objects_restored: u64,
    /// What became of them at the target.
    pub objects: RestoreCounts,
    /// Milliseconds.
    pub duration: u64,
    /// Copies that were passed over, and why.
    pub avoided: Vec<Damage>,
    /// Why it failed.
    pub error: Option<ErrorReport>,
    /// That it failed, as [`BackupReport::failure`](super::BackupReport::failure).
    pub failure: Option<Failure>,
    /// Hooks that failed. They change nothing of what became of it.
    pub hook_failures: Vec<HookFailure>,
}

/// What became of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestoreStatus {
    /// Everything that was asked for is there.
    Completed,
    /// Nothing was written; this is what would be.
    DryRun,
    /// Nothing was written yet: data is being thawed.
    Thawing,
    /// Nothing, or not everything, is there.
    Failed,
}

/// A resource that was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoredResource {
    /// Its name in the backup.
    pub name: String,
    /// Its name at the target.
    pub restored_as: String,
    /// Records that were written; in a dry run, that would be.
    pub records_restored: u64,
    /// Records in the backup.
    pub total_records: u64,
    /// What became of them at the target.
    #[serde(flatten)]
    pub counts: RestoreCounts,
}

impl RestoreReport {
    /// 0; 3 where a copy was avoided, or data is being thawed; 13 where damage left no copy; 1, 2 or 130.
    pub fn exit_code(&self) -> u8 {
        match &self.error {
            Some(_) if self.status == RestoreStatus::Thawing => exit::DEGRADED,
            Some(error) => exit_code_of(error),
            None if self.avoided.is_empty() => exit::DONE,
            None => exit::DEGRADED,
        }
    }
}
