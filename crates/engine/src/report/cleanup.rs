//! What deleting and cleaning up have to say.

use serde::Serialize;
use teeline_core::{
    BackupError, BackupId, ErrorReport, KeptBy, ObjectKey, Timestamp, WithdrawalReason,
};

use crate::destination::{DestinationSpec, Place};
use crate::failure::Failure;
use crate::removal::Removed;

use super::{DestinationError, exit, exit_code_of};

/// What became of a backup that was to be deleted.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteReport {
    /// The backup.
    pub id: BackupId,
    /// At each destination.
    pub destinations: Vec<DeletedCopy>,
    /// What couldn't be restored without it, and was deleted before.
    pub links: Vec<DeleteReport>,
    /// Why nothing could be done.
    pub error: Option<ErrorReport>,
    /// That it isn't deleted everywhere, as [`BackupReport::failure`](super::BackupReport::failure).
    pub failure: Option<Failure>,
}

/// What became of it at one destination.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletedCopy {
    /// The destination's name.
    pub name: String,
    /// What was done.
    #[serde(flatten)]
    pub removal: Removal,
}

/// What a cleanup did.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CleanupReport {
    /// Whether nothing was done, and this is what would be.
    pub dry_run: bool,
    /// Backups that were withdrawn somewhere.
    pub count: u64,
    /// Those that were withdrawn nowhere, the newest first.
    pub kept: Vec<BackupId>,
    /// Those that were withdrawn somewhere, the newest first.
    pub deleted: Vec<BackupId>,
    /// Each destination by itself.
    pub destinations: Vec<CleanedDestination>,
    /// What concerns no destination in particular.
    pub errors: Vec<DestinationError>,
    /// That something couldn't be cleaned up, as [`BackupReport::failure`](super::BackupReport::failure).
    pub failure: Option<Failure>,
}

/// What a cleanup did at one destination.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CleanedDestination {
    /// The destination's name.
    pub name: String,
    /// For how many days from when it was written what is removed there stays all the same, hidden, where the bucket locks it.
    pub locked_days: Option<u64>,
    /// The backups that are there, the newest first.
    pub backups: Vec<CleanedBackup>,
    /// What is withdrawn and wasn't gone yet, and what dead runs have left.
    pub removals: Vec<Removal>,
    /// Unfinished uploads that nobody goes on with.
    pub uploads: Vec<CleanedUpload>,
    /// Entries of the ledger of verification that newer ones have taken the place of, and that were removed.
    pub verifications: u64,
    /// Turns of schedules that came before the last one that has ended, and that were removed.
    pub turns: u64,
    /// What couldn't be read, or why it broke off.
    pub errors: Vec<ErrorReport>,
}

/// A backup at a destination, by the rules.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CleanedBackup {
    /// The backup.
    pub id: BackupId,
    /// When its run began.
    pub timestamp: Timestamp,
    /// What became of it.
    pub status: CleanupStatus,
    /// The rules that keep it; none, where it may go.
    pub kept_by: Vec<KeptBy>,
    /// Why it couldn't be withdrawn.
    pub error: Option<ErrorReport>,
}

/// What became of a backup in a cleanup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CleanupStatus {
    /// It stays.
    Kept,
    /// No rule keeps it, and it doesn't count any more.
    Withdrawn,
    /// No rule keeps it, and it is there all the same.
    Failed,
}

/// What became of the files of a backup that is withdrawn, or of what a run has left.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Removal {
    /// The backup, or the run.
    pub id: BackupId,
    /// Why it was withdrawn, where that is known.
    pub reason: Option<WithdrawalReason>,
    /// What was done.
    pub status: RemovalStatus,
    /// When it was withdrawn.
    pub withdrawn_at: Option<Timestamp>,
    /// When its files may be removed.
    pub removable_from: Option<Timestamp>,
    /// Files that were removed.
    pub files: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Why nothing, or not everything, was done.
    pub error: Option<ErrorReport>,
    /// Whether somebody else has just withdrawn it, and may take that back: what it needs stays.
    #[serde(skip)]
    pub is_theirs: bool,
}

/// What was done about what is withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemovalStatus {
    /// It is withdrawn; its files stay for the grace.
    Withdrawn,
    /// Nothing is left of it.
    Removed,
    /// It stays, since it may be wanted.
    Left,
    /// Nothing of it was there.
    Absent,
    /// It isn't withdrawn, some of it is left, or it can't be told whether it may go.
    Failed,
}

/// An unfinished upload that nobody goes on with.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CleanedUpload {
    /// Where it is.
    #[serde(serialize_with = "as_text")]
    pub key: ObjectKey,
    /// When it was begun or last written to, by the store's clock.
    pub touched_at: Option<Timestamp>,
    /// Why it is still there.
    pub error: Option<ErrorReport>,
}

fn as_text<S: serde::Serializer>(key: &ObjectKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(key)
}

impl Removal {
    pub(crate) fn new(id: &BackupId, status: RemovalStatus) -> Self {
        Removal {
            id: id.clone(),
            reason: None,
            status,
            withdrawn_at: None,
            removable_from: None,
            files: 0,
            bytes: 0,
            error: None,
            is_theirs: false,
        }
    }

    pub(crate) fn failed(self, error: &BackupError) -> Self {
        Removal {
            status: RemovalStatus::Failed,
            error: Some(error.into()),
            ..self
        }
    }

    /// With what came of removing it.
    pub(crate) fn after(self, removed: Result<Removed, BackupError>) -> Self {
        match removed {
            Ok(Removed { files, bytes }) => Removal {
                status: RemovalStatus::Removed,
                files,
                bytes,
                ..self
            },
            Err(error) => self.failed(&error),
        }
    }
}

impl DeleteReport {
    /// 0 where it is withdrawn wherever it was; 3 where that failed at some destination, 1 where at each, or nobody knows it; 2
    /// or 130.
    pub fn exit_code(&self) -> u8 {
        let of_links = self.links.iter().map(DeleteReport::exit_code);
        exit::worst(of_links.chain([self.own_exit_code()]))
    }

    fn own_exit_code(&self) -> u8 {
        if let Some(error) = &self.error {
            return exit_code_of(error);
        }
        let is = |status| {
            self.destinations
                .iter()
                .any(|at| at.removal.status == status)
        };
        let is_done = is(RemovalStatus::Withdrawn) || is(RemovalStatus::Removed);
        match (is_done, is(RemovalStatus::Failed)) {
            (true, false) => exit::DONE,
            (true, true) => exit::DEGRADED,
            (false, _) => exit::FAILED,
        }
    }
}

impl CleanupReport {
    /// 0; 3 where something couldn't be done at a destination, 1 where nothing could at any; 13 where damage was found; 2 or
    /// 130.
    pub fn exit_code(&self) -> u8 {
        let failed = |at: &CleanedDestination| !at.errors.is_empty() && at.backups.is_empty();
        let of_destinations = match self.destinations.iter().all(failed) {
            true if !self.destinations.is_empty() => exit::FAILED,
            _ => exit::DONE,
        };
        let errors = self
            .destinations
            .iter()
            .flat_map(CleanedDestination::all_errors);
        let of_errors = errors.map(|error| match exit_code_of(error) {
            exit::FAILED => exit::DEGRADED,
            code => code,
        });
        let whole = self.errors.iter().map(|failed| exit_code_of(&failed.error));
        exit::worst(of_errors.chain(whole).chain([of_destinations]))
    }
}

fn locked_days(place: &Place) -> Option<u64> {
    match place {
        Place::Folder(_) | Place::Sink(_) => None,
        Place::S3(bucket) => bucket.storing.lock.map(|lock| lock.days),
    }
}

impl CleanedDestination {
    pub(crate) fn new(spec: &DestinationSpec) -> Self {
        CleanedDestination {
            name: spec.name.clone(),
            locked_days: locked_days(&spec.place),
            backups: Vec::new(),
            removals: Vec::new(),
            uploads: Vec::new(),
            verifications: 0,
            turns: 0,
            errors: Vec::new(),
        }
    }

    /// Whatever went wrong. That something was left is no failure.
    pub fn all_errors(&self) -> impl Iterator<Item = &ErrorReport> {
        let of_backups = self
            .backups
            .iter()
            .filter_map(|backup| backup.error.as_ref());
        let removals = self.removals.iter();
        let of_removals = removals
            .filter(|removal| removal.status != RemovalStatus::Left)
            .filter_map(|removal| removal.error.as_ref());
        let of_uploads = self
            .uploads
            .iter()
            .filter_map(|upload| upload.error.as_ref());
        let errors = self.errors.iter().chain(of_backups);
        errors.chain(of_removals).chain(of_uploads)
    }
}
