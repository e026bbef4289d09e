//! What a check of stored bytes comes to.

use serde::Serialize;
use teeline_core::{BackupId, Depth, ErrorReport};

use crate::failure::Failure;

use super::{CopyState, Damage, DestinationError, exit, exit_code_of};

/// What a check of stored bytes found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct VerifyReport {
    /// The backups that were checked, the newest first.
    pub backups: Vec<VerifiedBackup>,
    /// What couldn't be read at all.
    pub errors: Vec<DestinationError>,
    /// That something was wrong, as [`BackupReport::failure`](super::BackupReport::failure).
    pub failure: Option<Failure>,
}

/// What a check of one backup found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifiedBackup {
    /// The backup.
    pub id: BackupId,
    /// Each destination's copy.
    pub destinations: Vec<VerifiedCopy>,
}

/// What a check of one copy found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifiedCopy {
    /// The destination's name.
    pub name: String,
    /// What was found.
    pub status: CopyState,
    /// How thoroughly it was checked; absent where it isn't there, or couldn't be read.
    pub how: Option<Depth>,
    /// Bytes that were read and found right.
    pub bytes: u64,
    /// Data files that are archived, and so couldn't be read: the store has them, and their sizes are right.
    pub attested_files: u64,
    /// The bytes of these.
    pub attested_bytes: u64,
    /// What it holds, where it was checked deeply and nothing was wrong.
    pub contained: Option<Contained>,
    /// What is known of a sealed backup, or of one that isn't though a key was given; absent for others, and where it is damaged.
    pub seal: Option<VerifiedSeal>,
    /// What was wrong.
    pub damage: Vec<Damage>,
    /// The keys of what is in the backup's folder, and none of its files. Nobody reads that; a deletion takes what is
    /// called as the run might have called it.
    pub extra: Vec<String>,
    /// Why the check couldn't be noted in the destination's ledger, as where it may only be read. It was made all the same.
    pub unrecorded: Option<ErrorReport>,
}

impl VerifiedCopy {
    /// One that was found so, and of which nothing was read.
    pub(crate) fn unread(name: &str, status: CopyState) -> Self {
        VerifiedCopy {
            name: name.to_owned(),
            status,
            how: None,
            bytes: 0,
            attested_files: 0,
            attested_bytes: 0,
            contained: None,
            seal: None,
            damage: Vec::new(),
            extra: Vec::new(),
            unrecorded: None,
        }
    }
}

/// What is known of a sealed backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifiedSeal {
    /// Whether a key opened it, and it is what the holder of its key wrote.
    pub authentic: bool,
    /// What there is of the backup that was the newest when it was made; absent where there was none.
    pub previous: Option<PreviousState>,
    /// Why no key opened it, where one was given or needed; or that it isn't sealed, though one was given.
    pub error: Option<ErrorReport>,
}

/// What there is of a backup's predecessor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PreviousState {
    /// It is listed, with the manifest that it had.
    Present,
    /// It was withdrawn, as deleted backups are.
    Withdrawn,
    /// It is nowhere that was asked. A destination may have missed it; or somebody has removed it by other means.
    Absent,
    /// It has another manifest.
    Different,
}

/// What was found in a copy that was decoded, parsed and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Contained {
    /// Records, as they are after what changed during the scan.
    pub records: u64,
    /// Objects that are no records.
    pub objects: u64,
    /// Of the records, those that aren't JSON: a source of lines may have been backed up unchecked.
    pub not_json: u64,
}

impl VerifyReport {
    /// 0; 12 where no key opens what is sealed, 13 where damage was found, 1 where a destination couldn't be asked, 3 where one lacks a backup.
    pub fn exit_code(&self) -> u8 {
        let copies = self.backups.iter().flat_map(|backup| &backup.destinations);
        let of_copies = copies.map(|copy| copy.status.exit_code(exit::DEGRADED));
        let of_seals = self.backups.iter().flat_map(|backup| &backup.destinations);
        let of_seals = of_seals.filter_map(|copy| copy.seal.as_ref()?.error.as_ref());
        let of_seals = of_seals.map(exit_code_of);
        let of_errors = self.errors.iter().map(|failed| exit_code_of(&failed.error));
        exit::worst(of_copies.chain(of_seals).chain(of_errors))
    }
}
