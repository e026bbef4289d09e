//! What a scrub comes to.

use serde::Serialize;
use teeline_core::{BackupError, BackupId, Timestamp};

use super::{CopyState, Damage, DestinationError, VerifiedCopy, exit, exit_code_of};
use crate::failure::{Failure, Operation};

/// What a scrub found.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScrubReport {
    /// How many bytes were to be read at the most; absent where that wasn't said.
    pub budget: Option<u64>,
    /// Bytes that count against it.
    pub bytes: u64,
    /// The copies that were read, in that order.
    pub copies: Vec<ScrubbedCopy>,
    /// Copies whose turn it was, and that didn't fit into the budget any more.
    pub left: u64,
    /// Their bytes.
    pub left_bytes: u64,
    /// When somebody last looked at the first of them, or when it was made.
    pub left_since: Option<Timestamp>,
    /// What couldn't be asked or read.
    pub errors: Vec<DestinationError>,
    /// What went wrong first, for callers of web APIs and those who know s3db.js's plugin.
    pub failure: Option<Failure>,
}

/// A copy that was read again.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScrubbedCopy {
    /// The backup.
    pub id: BackupId,
    /// When somebody last looked at the copy before, or when it was made.
    pub last_look: Timestamp,
    /// What was found.
    #[serde(flatten)]
    pub found: VerifiedCopy,
    /// The command that makes it whole again, where it is damaged.
    pub repair: Option<String>,
}

impl ScrubbedCopy {
    pub(crate) fn new(id: &BackupId, last_look: Timestamp, found: VerifiedCopy) -> Self {
        let is_damaged = found.status == CopyState::Damaged;
        ScrubbedCopy {
            id: id.clone(),
            last_look,
            repair: is_damaged.then(|| format!("teeline repair {id}")),
            found,
        }
    }
}

impl ScrubReport {
    pub(crate) fn begin(budget: Option<u64>) -> Self {
        ScrubReport {
            budget,
            bytes: 0,
            copies: Vec::new(),
            left: 0,
            left_bytes: 0,
            left_since: None,
            errors: Vec::new(),
            failure: None,
        }
    }

    /// Says what went wrong first.
    pub(crate) fn concluded(mut self) -> Self {
        let errors = self.errors.iter().map(|failed| &failed.error);
        let damage = self.copies.iter().flat_map(|copy| &copy.found.damage);
        let damage = Vec::from_iter(damage.map(Damage::to_error));
        self.failure = Failure::first(Operation::Verify, errors.chain(&damage));
        self
    }

    /// Notes what couldn't be read.
    pub(crate) fn failed(&mut self, destination: &str, error: &BackupError) {
        self.errors.push(DestinationError {
            destination: destination.to_owned(),
            error: error.into(),
        });
    }

    /// 0, also where something is left for the next one; 12 where no key opens what is sealed, 13 where damage was found; 1 where something
    /// couldn't be asked or read, or what was found couldn't be noted, since the next one begins with that again; 130.
    pub fn exit_code(&self) -> u8 {
        let of_copies = self.copies.iter().flat_map(|copy| {
            let noted = match copy.found.unrecorded {
                None => exit::DONE,
                Some(_) => exit::FAILED,
            };
            [copy.found.status.exit_code(exit::DONE), noted]
        });
        let of_seals = self.copies.iter();
        let of_seals = of_seals.filter_map(|copy| copy.found.seal.as_ref()?.error.as_ref());
        let of_errors = self.errors.iter().map(|failed| exit_code_of(&failed.error));
        exit::worst(of_copies.chain(of_seals.map(exit_code_of)).chain(of_errors))
    }
}
