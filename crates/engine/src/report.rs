//! What a host is told: the shapes of `docs/reference/json.md`.

mod cleanup;
mod copies;
mod drill;
mod dry_run;
mod init;
mod keys;
mod monitor;
mod plugin_result;
mod repair;
mod restore;
mod schedules;
mod scrub;
mod sync;
mod validation;
mod verify;

use serde::Serialize;
use teeline_actors::StageReport;
use teeline_core::{
    BackupId, BackupRef, BackupType, Changes, Class, DestinationReport, Digest, ErrorReport,
    InPart, Metadata, Resumed, RunStatus, Settling, Timestamp,
};

use crate::failure::Failure;
use crate::hooks::HookFailure;

pub use sync::{SyncReport, SyncStatus, SyncedBackup, SyncedCopy};

pub use cleanup::{
    CleanedBackup, CleanedDestination, CleanedUpload, CleanupReport, CleanupStatus, DeleteReport,
    DeletedCopy, Removal, RemovalStatus,
};
pub use copies::{CopyState, CopyStatus, ListedCopy};
pub use drill::DrillReport;
pub use dry_run::{DryRunReport, DryRunStatus, SampleReport, SampledResource};
pub use init::{InitReport, InitStatus, InitializedDestination};
pub use keys::{KeyObject, KeysAt, KeysOfBackup, KeysReport};
pub use monitor::{MonitorReport, MonitoredDestination};
pub use plugin_result::{DriverInfo, DriverOutcome, PluginResult};
pub use schedules::{LastRun, ScheduleList, ScheduledBackup, SchedulesReport};
pub use scrub::{KnownDamage, ScrubReport, ScrubbedCopy};

pub use repair::{MendedFile, RepairReport, RepairStatus, RepairedCopy, RepairedRun, WasWrong};
pub use restore::{RestoreReport, RestoreStatus, RestoredResource};
pub use validation::{BackupValidation, CheckResult, ValidationChecks, ValidationReport, Verdict};
pub use verify::{
    Contained, PreviousState, VerifiedBackup, VerifiedCopy, VerifiedSeal, VerifyReport,
};

/// Exit codes of the command, which every report can give.
pub mod exit {
    /// Done.
    pub const DONE: u8 = 0;
    /// Failed.
    pub const FAILED: u8 = 1;
    /// Asked for something that can't be: usage or configuration.
    pub const USAGE: u8 = 2;
    /// The policy is met, but a destination is behind, skipped after a failure, or was avoided.
    pub const DEGRADED: u8 = 3;
    /// What is sealed, and no key that was given opens it.
    pub const WRONG_KEY: u8 = 12;
    /// Damage was found.
    pub const DAMAGED: u8 = 13;
    /// Interrupted.
    pub const INTERRUPTED: u8 = 130;

    /// When several apply, the first in this order: 130, 2, 12, 13, 1, 3.
    pub fn worst(codes: impl IntoIterator<Item = u8>) -> u8 {
        const ORDER: [u8; 7] = [
            INTERRUPTED,
            USAGE,
            WRONG_KEY,
            DAMAGED,
            FAILED,
            DEGRADED,
            DONE,
        ];
        let rank = |code: &u8| {
            ORDER
                .iter()
                .position(|known| known == code)
                .unwrap_or(usize::MAX)
        };
        codes.into_iter().min_by_key(rank).unwrap_or(DONE)
    }
}

/// The exit code of a failure.
pub fn exit_code_of(error: &ErrorReport) -> u8 {
    match error.class {
        Class::Cancelled => exit::INTERRUPTED,
        Class::Usage => exit::USAGE,
        Class::WrongKey => exit::WRONG_KEY,
        Class::Corrupt => exit::DAMAGED,
        _ => exit::FAILED,
    }
}

/// What became of a backup.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupReport {
    /// The backup; absent where the run failed before it had an id.
    pub id: Option<BackupId>,
    /// Its type.
    #[serde(rename = "type")]
    pub backup_type: BackupType,
    /// What became of it.
    pub status: RunStatus,
    /// When the run began.
    pub started_at: Timestamp,
    /// Records of all resources.
    pub record_count: u64,
    /// Objects that are no records.
    pub object_count: u64,
    /// Records kept raw beside their document.
    pub kept_raw: u64,
    /// Objects that were gone before they could be read.
    pub vanished: u64,
    /// The backup that it goes on from, and without which it can't be restored.
    pub parent: Option<BackupRef>,
    /// What was found to be other than there.
    pub changes: Option<Changes>,
    /// Where it has no parent and not everything: it has what was written then or later, and says nothing of what is gone.
    pub since: Option<Timestamp>,
    /// Why a backup that was to be incremental has everything, and no parent.
    pub whole_because: Option<String>,
    /// How it took up a run that had broken off, or why it didn't; absent where none was to be taken up.
    pub resumed: Option<Resumed>,
    /// What became of reading again what had changed meanwhile, where that was asked for.
    pub settle: Option<Settling>,
    /// Stored bytes of one copy.
    pub size: u64,
    /// Bytes of the records, uncompressed.
    pub plain_bytes: u64,
    /// BLAKE3 of the manifest, equal at every destination.
    pub checksum: Option<Digest>,
    /// Milliseconds.
    pub duration: u64,
    /// The folder of the backup's files below each destination's root.
    pub folder: Option<String>,
    /// Names of the resources.
    pub resources: Vec<String>,
    /// The same and more, as s3db.js's plugin documents it.
    #[serde(flatten)]
    pub plugin: PluginResult,
    /// What became of it at each destination that it is for.
    pub destinations: Vec<DestinationReport>,
    /// Destinations that it isn't for, since they take other resources only.
    pub left_out: Vec<String>,
    /// What a probe (`teeline init`) found that can't be relied on at destinations that took part.
    pub warnings: Vec<DestinationWarning>,
    /// What was cleaned up afterwards, where that was asked for.
    pub cleanup: Option<CleanupReport>,
    /// Why it failed.
    pub error: Option<ErrorReport>,
    /// That it failed, for callers of web APIs and those who know s3db.js's plugin.
    pub failure: Option<Failure>,
    /// Hooks that failed. They change nothing of what became of it.
    pub hook_failures: Vec<HookFailure>,
    /// What each stage did with its time, pass by pass. Not part of the JSON.
    #[serde(skip)]
    pub stages: Vec<StageReport>,
    /// The most of the engine's budget that was in use at once while it was made, in bytes. Not part of the JSON.
    #[serde(skip)]
    pub budget_peak_bytes: u64,
}

impl BackupReport {
    /// 0, 1, 2, 3, 12, 13 or 130. A cleanup that didn't do all that it should makes a success a 3, and nothing worse.
    pub fn exit_code(&self) -> u8 {
        let is_clean = self
            .cleanup
            .as_ref()
            .is_none_or(|cleanup| cleanup.exit_code() == exit::DONE);
        match (self.status, &self.error) {
            (RunStatus::Completed, _) if is_clean => exit::DONE,
            (RunStatus::Completed | RunStatus::Degraded, _) => exit::DEGRADED,
            (RunStatus::Failed, Some(error)) => match exit_code_of(error) {
                // Once a pass was made, it is what was read of the source that isn't right, and no backup.
                exit::DAMAGED if self.id.is_some() => exit::FAILED,
                code => code,
            },
            (RunStatus::Failed, None) => exit::FAILED,
        }
    }
}

/// Something of a destination that somebody should know, and that changes nothing of what became of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationWarning {
    /// The destination's name.
    pub destination: String,
    /// What, and what follows.
    pub message: String,
}

/// A destination that couldn't be asked, or an entry that couldn't be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationError {
    /// The destination's name.
    pub destination: String,
    /// What was wrong.
    pub error: ErrorReport,
}

impl DestinationError {
    /// An error that concerns no destination in particular.
    pub(crate) fn of_none(error: &teeline_core::BackupError) -> Self {
        DestinationError {
            destination: String::new(),
            error: error.into(),
        }
    }
}

/// The backups that destinations hold.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ListReport {
    /// The newest first.
    pub backups: Vec<ListedBackup>,
    /// What couldn't be read.
    pub errors: Vec<DestinationError>,
    /// That something couldn't be read, as [`BackupReport::failure`].
    pub failure: Option<Failure>,
}

/// A backup, as its catalogue entry says; or a run that left none, as its record says.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedBackup {
    /// The backup.
    pub id: BackupId,
    /// Its type.
    #[serde(rename = "type")]
    pub backup_type: BackupType,
    /// `completed`, since what isn't published isn't listed; `failed` of a run that left no backup.
    pub status: RunStatus,
    /// When the run began.
    pub timestamp: Timestamp,
    /// Records of all resources; 0 of a failed run.
    pub record_count: u64,
    /// Stored bytes of one copy; 0 of a failed run.
    pub size: u64,
    /// Bytes of the records, uncompressed; 0 of a failed run.
    pub plain_bytes: u64,
    /// BLAKE3 of the manifest, where one was made.
    pub checksum: Option<Digest>,
    /// The folder of its files below each root; unknown of a failed run.
    pub path: Option<String>,
    /// Whether it is sealed; of a failed run it isn't known, and `false`.
    pub sealed: bool,
    /// Whether it has some records of its resources only; `false` of a failed run.
    pub is_in_part: bool,
    /// The destinations that have it; of a failed run, those that have its record.
    pub destinations: Vec<String>,
    /// What each destination that was asked has of it; nothing, of a failed run.
    pub copies: Vec<ListedCopy>,
    /// The backup without which it can't be restored.
    pub parent: Option<BackupRef>,
    /// Globs of the resources that were asked for; empty for all, and of a failed run.
    pub include: Vec<String>,
    /// Globs of the resources that were left out.
    pub exclude: Vec<String>,
    /// What is said of it.
    pub metadata: Metadata,
    /// Why it failed.
    pub error: Option<ErrorReport>,
}

impl ListReport {
    /// 0; 1, 2, 13 or 130 where something couldn't be read.
    pub fn exit_code(&self) -> u8 {
        exit::worst(self.errors.iter().map(|failed| exit_code_of(&failed.error)))
    }
}

/// Everything that is known of one backup.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusReport {
    /// The backup.
    pub id: Option<BackupId>,
    /// Its type.
    #[serde(rename = "type")]
    pub backup_type: Option<BackupType>,
    /// What became of it; `unknown` where no destination knows it.
    pub status: BackupState,
    /// When the run began; of several that failed, the last.
    pub timestamp: Option<Timestamp>,
    /// Records of all resources.
    pub record_count: u64,
    /// Stored bytes of one copy.
    pub size: u64,
    /// Bytes of the records, uncompressed.
    pub plain_bytes: u64,
    /// BLAKE3 of the manifest.
    pub checksum: Option<Digest>,
    /// Where it has no parent and not everything: it has what was written then or later.
    pub since: Option<Timestamp>,
    /// What it takes to restore it: the full backup first, itself last. Where some of that isn't known, as far as it is.
    pub chain: Vec<BackupId>,
    /// Whether it is sealed.
    pub sealed: bool,
    /// What is said of it.
    pub metadata: Metadata,
    /// What was read.
    pub source: Option<teeline_core::SourceEntry>,
    /// Which records it has, where it was made of some only.
    pub in_part: Option<InPart>,
    /// What it holds.
    pub resources: Vec<ResourceStatus>,
    /// Where it is.
    pub destinations: Vec<CopyStatus>,
    /// The runs that made it or tried to, as each destination recorded them.
    pub runs: Vec<teeline_core::RunRecord>,
    /// Why the last run failed, where runs tried and none left a backup; else why nothing could be said.
    pub error: Option<ErrorReport>,
    /// What went wrong first, for callers of web APIs and those who know s3db.js's plugin.
    pub failure: Option<Failure>,
}

/// What became of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupState {
    /// Every destination that has to have it shows it whole, and so many do as the strategy asks for, of those that were asked.
    Completed,
    /// One shows it whole; one that has to have it lacks it or couldn't be asked, or fewer have it than the strategy asks for.
    Incomplete,
    /// A destination that has to have it has it damaged, or none shows it whole and one has it damaged.
    Damaged,
    /// No destination shows it, and at least one has withdrawn it.
    Withdrawn,
    /// Runs tried, and no destination shows it.
    Failed,
    /// Nobody knows it.
    Unknown,
}

/// A resource of a backup.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceStatus {
    /// Its name.
    pub name: String,
    /// Records, objects for `_objects`, or changes for `_settled`.
    pub record_count: u64,
    /// Stored bytes.
    pub size: u64,
    /// Bytes, uncompressed.
    pub plain_bytes: u64,
    /// Records kept raw beside their document.
    pub kept_raw: u64,
    /// Objects that were gone before they could be read.
    pub vanished: u64,
    /// Its data files.
    pub files: Vec<String>,
}

impl StatusReport {
    /// 0; 13 where something was damaged; 1 where a destination couldn't be asked, or the backup is unknown; 3 where it is
    /// incomplete.
    pub fn exit_code(&self) -> u8 {
        let of_copies = self.destinations.iter().flat_map(|copy| {
            let of_error = copy.error.as_ref().map_or(exit::DONE, exit_code_of);
            // Whether it has to be there is said by the state.
            [copy.status.exit_code(exit::DONE), of_error]
        });
        let of_state = match self.status {
            BackupState::Incomplete => exit::DEGRADED,
            _ => exit::DONE,
        };
        // That a run failed is what was asked for, and could be said.
        let of_whole = self
            .error
            .as_ref()
            .filter(|_| self.status != BackupState::Failed);
        let of_whole = of_whole.map(exit_code_of);
        exit::worst(of_copies.chain(of_whole).chain([of_state]))
    }
}

/// What was found wrong with a stored file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Damage {
    /// The destination's name.
    pub destination: String,
    /// The file below the destination's root.
    pub file: String,
    /// The resource; absent for files that belong to the backup as a whole.
    pub resource: Option<String>,
    /// The number of the chunk in the file, from 0; absent where the file as a whole is at fault.
    pub chunk: Option<u32>,
    /// What may be done: `corrupt`, `not-found`, `transient`, …
    pub class: Class,
    /// What was wrong.
    pub message: String,
}

impl Damage {
    /// The same as an error.
    pub(crate) fn to_error(&self) -> ErrorReport {
        let Damage {
            file,
            destination,
            message,
            ..
        } = self;
        ErrorReport {
            class: self.class,
            message: format!("{file} at {destination}: {message}"),
            suggestion: None,
        }
    }
}
