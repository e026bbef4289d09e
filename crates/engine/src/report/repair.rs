//! What a repair has to say.

use serde::Serialize;
use teeline_core::{BackupId, Class, Digest, ErrorReport, MissingFile};

use super::{Damage, DestinationError, DestinationWarning, exit, exit_code_of};
use crate::failure::{Failure, Operation};

/// What became of what was lost or damaged.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RepairReport {
    /// The runs that were looked at: the one that was named, with what it needs; or each, of manifests only those that are somewhere
    /// without one.
    pub runs: Vec<RepairedRun>,
    /// Destinations where nothing is listed, nor was listed again.
    pub warnings: Vec<DestinationWarning>,
    /// What couldn't be read at all.
    pub errors: Vec<DestinationError>,
    /// What went wrong first, for callers of web APIs and those who know s3db.js's plugin.
    pub failure: Option<Failure>,
}

/// What became of one run.
#[derive(Debug, Clone, Serialize)]
pub struct RepairedRun {
    /// The run, and the backup that it is about.
    pub id: BackupId,
    /// At each destination.
    pub destinations: Vec<RepairedCopy>,
}

/// What became of its copy at one destination.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RepairedCopy {
    /// The destination's name.
    pub name: String,
    /// What was done.
    pub status: RepairStatus,
    /// BLAKE3 of the manifest, where that is there now.
    pub checksum: Option<Digest>,
    /// Why nothing was done, or not everything.
    pub error: Option<ErrorReport>,
    /// The files that would have to be there, below the destination's root.
    pub missing: Vec<MissingFile>,
    /// What was written again; of a copy that wasn't there at all, nothing.
    pub files: Vec<MendedFile>,
    /// What is still wrong.
    pub damage: Vec<Damage>,
    /// Why what was found and done couldn't be noted at the destination, as where it may only be read. It was done all the same.
    pub unrecorded: Option<ErrorReport>,
}

/// A file that was written again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MendedFile {
    /// The file, below the destination's root.
    pub file: String,
    /// What was wrong with it.
    pub was: WasWrong,
    /// Where what was damaged is kept now, below the destination's root.
    pub moved_to: Option<String>,
}

/// What was wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WasWrong {
    /// It wasn't there.
    Missing,
    /// It was another one than had been written.
    Damaged,
}

/// What was done at a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepairStatus {
    /// Nothing: the manifest is there, and is what the catalogue says; where copies were healed, every file of this one is right.
    Whole,
    /// What was missing or damaged was written again, and all of it is right.
    Healed,
    /// The manifest was made again from the run's other files.
    Reconstructed,
    /// It was taken from another destination: the manifest, or all of it.
    Copied,
    /// It isn't whole: a file can't be had right, or something is in the way.
    Refused,
    /// Nothing: the run may be going on, or was never published.
    Skipped,
    /// Nothing: nothing of the run is there.
    Absent,
    /// Nothing: nothing of the run is there, nor is it to be: the destination takes other resources only.
    NotTaken,
    /// Nothing: the backup was withdrawn there.
    Withdrawn,
    /// The destination couldn't be asked, or stopped answering.
    Unreachable,
}

impl RepairReport {
    /// Says what went wrong first.
    pub(crate) fn concluded(mut self) -> Self {
        let copies = self.runs.iter().flat_map(|run| &run.destinations);
        let of_copies = copies.filter_map(|copy| copy.error.as_ref());
        let errors = self.errors.iter().map(|failed| &failed.error);
        self.failure = Failure::first(Operation::Repair, errors.chain(of_copies));
        self
    }

    /// 0 where each copy is whole now, as far as it was looked at; 13 where one can't be, 1 where a destination couldn't be asked or
    /// written, 3 where one was skipped or lacks the run; 2 or 130.
    pub fn exit_code(&self) -> u8 {
        let copies = self.runs.iter().flat_map(|run| &run.destinations);
        let errors = self.errors.iter().map(|failed| exit_code_of(&failed.error));
        exit::worst(copies.map(RepairedCopy::exit_code).chain(errors))
    }
}

impl RepairedRun {
    /// Whether a manifest was made again somewhere, by which copies may be completed elsewhere that have one of these statuses.
    pub(crate) fn has_its_manifest_again(&self, incomplete: &[RepairStatus]) -> bool {
        let has =
            |status: &RepairStatus| self.destinations.iter().any(|copy| copy.status == *status);
        has(&RepairStatus::Reconstructed) && incomplete.iter().any(has)
    }

    /// Takes from `later`, of the same run, what has become of the copies that had one of these statuses.
    pub(crate) fn incomplete_are_as_in(&mut self, later: RepairedRun, incomplete: &[RepairStatus]) {
        for copy in later.destinations {
            let mut ours = self.destinations.iter_mut();
            let ours = ours.find(|ours| ours.name == copy.name);
            if let Some(ours) = ours.filter(|ours| incomplete.contains(&ours.status)) {
                *ours = copy;
            }
        }
    }
}

impl RepairedCopy {
    fn exit_code(&self) -> u8 {
        match self.status {
            RepairStatus::Whole
            | RepairStatus::Healed
            | RepairStatus::Reconstructed
            | RepairStatus::Copied
            | RepairStatus::NotTaken
            | RepairStatus::Withdrawn => exit::DONE,
            RepairStatus::Skipped | RepairStatus::Absent => exit::DEGRADED,
            RepairStatus::Unreachable => exit::FAILED,
            RepairStatus::Refused => match self.error.as_ref().map(|error| error.class) {
                // Nothing is known to be damaged: a store that refuses to be written, a version that isn't known, data that
                // must be thawed to be compared.
                Some(Class::Permanent | Class::Archived) => exit::FAILED,
                Some(Class::WrongKey) => exit::WRONG_KEY,
                _ => exit::DAMAGED,
            },
        }
    }
}
