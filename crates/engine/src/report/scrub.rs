//! What a scrub comes to.

use serde::Serialize;
use teeline_core::{BackupError, BackupId, ErrorReport, Timestamp, VerificationRecord};

use super::{
    CopyState, Damage, DestinationError, DestinationWarning, VerifiedCopy, exit, exit_code_of,
};
use crate::failure::{Failure, Operation};
use crate::ledger::LastVerified;

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
    /// The copies that weren't read, or couldn't be, or not as closely, and that a check has found damaged before.
    pub known: Vec<KnownDamage>,
    /// Copies whose turn it was, and that didn't fit into the budget any more.
    pub left: u64,
    /// Their bytes.
    pub left_bytes: u64,
    /// When somebody last looked at the first of them, or when it was made.
    pub left_since: Option<Timestamp>,
    /// Destinations where nothing is listed.
    pub warnings: Vec<DestinationWarning>,
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

/// A copy of which damage is known, that nobody who looked as closely has found gone.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownDamage {
    /// The backup.
    pub id: BackupId,
    /// The destination's name.
    pub name: String,
    /// The check that found it.
    pub last_verified: LastVerified,
    /// What that found.
    pub error: ErrorReport,
    /// The command that makes it whole again.
    pub repair: String,
}

impl ScrubbedCopy {
    pub(crate) fn new(id: &BackupId, last_look: Timestamp, found: VerifiedCopy) -> Self {
        let is_damaged = found.status == CopyState::Damaged;
        ScrubbedCopy {
            id: id.clone(),
            last_look,
            repair: is_damaged.then(|| repair_of(id)),
            found,
        }
    }
}

impl KnownDamage {
    pub(crate) fn new(name: &str, record: &VerificationRecord, error: &BackupError) -> Self {
        KnownDamage {
            id: record.id.clone(),
            name: name.to_owned(),
            last_verified: (&record.verification()).into(),
            error: error.into(),
            repair: repair_of(&record.id),
        }
    }

    /// Whether it is still to be told of when this has been.
    fn stands_beside(&self, copy: &ScrubbedCopy) -> bool {
        let found = &copy.found;
        if self.id != copy.id || self.name != found.name {
            return true;
        }
        match found.status {
            CopyState::Ok | CopyState::Attested => {
                found.unrecorded.is_some() || found.how < Some(self.last_verified.how)
            }
            CopyState::Unreachable => true,
            CopyState::Damaged
            | CopyState::Absent
            | CopyState::NotTaken
            | CopyState::Behind
            | CopyState::Withdrawn => false,
        }
    }
}

fn repair_of(id: &BackupId) -> String {
    format!("teeline repair {id}")
}

impl ScrubReport {
    pub(crate) fn begin(budget: Option<u64>) -> Self {
        ScrubReport {
            budget,
            bytes: 0,
            copies: Vec::new(),
            known: Vec::new(),
            left: 0,
            left_bytes: 0,
            left_since: None,
            warnings: Vec::new(),
            errors: Vec::new(),
            failure: None,
        }
    }

    /// Notes what was found of a copy. What was known of it before, and is so no more, isn't told of any longer.
    pub(crate) fn has_read(&mut self, copy: ScrubbedCopy) {
        self.known.retain(|known| known.stands_beside(&copy));
        self.copies.push(copy);
    }

    /// Says what went wrong first.
    pub(crate) fn concluded(mut self) -> Self {
        let errors = self.errors.iter().map(|failed| &failed.error);
        let errors = errors.chain(self.known.iter().map(|known| &known.error));
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

    /// 0, also where something is left for the next one; 12 where no key opens what is sealed, 13 where damage was found, or is known; 1
    /// where nothing is listed anywhere, something couldn't be asked or read, or what was found couldn't be noted, since the next one begins with that again; 130.
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
        let of_known = self.known.iter().map(|known| exit_code_of(&known.error));
        let of_seals = of_seals.map(exit_code_of);
        exit::worst(of_copies.chain(of_known).chain(of_seals).chain(of_errors))
    }
}
