//! What is found of a backup at each destination.

use serde::Serialize;
use teeline_core::{BackupId, Class, ErrorReport, Timestamp};

use super::exit;
use crate::ledger::LastVerified;

/// Whether a destination has a backup.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyStatus {
    /// The destination's name.
    pub name: String,
    /// Where it is, without secrets.
    pub location: String,
    /// What was found there.
    pub status: CopyState,
    /// When it was withdrawn, where it was.
    pub withdrawn_at: Option<Timestamp>,
    /// The check since it was made that says what it is worth; absent where nobody has looked, or what they left can't be read.
    pub last_verified: Option<LastVerified>,
    /// What was wrong: with the copy, or with what is noted of checks, or beside a whole one with a record of its runs.
    pub error: Option<ErrorReport>,
}

/// What a destination has of a listed backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedCopy {
    /// The destination's name.
    pub destination: String,
    /// What is there, as its catalogue and its ledger say: nothing else was read.
    pub status: CopyState,
    /// What it goes on from and isn't there, so that it can't be restored from there alone.
    pub lacks: Option<BackupId>,
    /// The check since it was made that says what it is worth; absent where nobody has looked.
    pub last_verified: Option<LastVerified>,
}

/// What was found of a backup at a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyState {
    /// It is there; for `verify`: and whole.
    Ok,
    /// It is there, and some of its data is archived: what could be read is right, and the rest has the right sizes.
    Attested,
    /// It is there, and damaged.
    Damaged,
    /// It isn't there.
    Absent,
    /// It isn't there, nor is it to be: the destination takes other resources only.
    NotTaken,
    /// It isn't there, since the run that made it left the destination behind: it can be completed.
    Behind,
    /// It was withdrawn there.
    Withdrawn,
    /// The destination couldn't be asked.
    Unreachable,
}

impl CopyState {
    /// What it means that a copy can't be read: only bytes that are wrong, missing or contradict each other are damage.
    /// Whatever else was in the way, rights for one, the copy may be whole.
    pub(crate) fn of_failure(class: Class) -> Self {
        match class {
            Class::Corrupt | Class::NotFound | Class::Conflict => CopyState::Damaged,
            _ => CopyState::Unreachable,
        }
    }

    /// What a command that found it exits with, where `absent` is what it is about a copy that isn't there.
    pub(super) fn exit_code(self, absent: u8) -> u8 {
        match self {
            CopyState::Ok | CopyState::Attested | CopyState::NotTaken | CopyState::Withdrawn => {
                exit::DONE
            }
            CopyState::Damaged => exit::DAMAGED,
            CopyState::Absent | CopyState::Behind => absent,
            CopyState::Unreachable => exit::FAILED,
        }
    }
}
