//! What a validation comes to.

use serde::Serialize;
use teeline_core::{BackupError, BackupId, Class, ErrorReport, Timestamp};

use super::{Damage, DestinationError, exit, exit_code_of};
use crate::failure::{Failure, Operation};

/// Whether backups can be relied on.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidationReport {
    /// When the validation began.
    pub timestamp: Timestamp,
    /// Backups that were looked at.
    pub total_backups: u64,
    /// Of them, those of which every check passed.
    pub passed: u64,
    /// Of them, those of which a check failed.
    pub failed: u64,
    /// Of them, those whose validation couldn't be carried out.
    pub errors: u64,
    /// Of them, those of which a check couldn't tell, and none failed.
    pub inconclusive: u64,
    /// Each backup, the newest first.
    pub validations: Vec<BackupValidation>,
    /// Destinations that couldn't be asked, and why nothing was looked at.
    pub destination_errors: Vec<DestinationError>,
    /// What went wrong first, for callers of web APIs and those who know s3db.js's plugin.
    pub failure: Option<Failure>,
}

/// Whether a backup can be relied on.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupValidation {
    /// The backup.
    pub backup_id: BackupId,
    /// When its validation began.
    pub timestamp: Timestamp,
    /// What was checked.
    pub checks: ValidationChecks,
    /// What the checks come to.
    pub overall: Verdict,
    /// Why it didn't pass: of the first check that didn't.
    pub error: Option<ErrorReport>,
    /// What was found wrong with its copies.
    pub damage: Vec<Damage>,
    /// Destinations in whose ledgers the checks couldn't be noted, and why.
    pub unrecorded: Vec<DestinationError>,
}

/// What is checked of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ValidationChecks {
    /// A destination has it.
    pub exists: CheckResult,
    /// Each copy has, byte for byte, what its checksums say.
    pub integrity: CheckResult,
    /// It was restored to a place of its own, which was removed again.
    pub restore: CheckResult,
    /// What was restored is what the manifest says, and has every resource that the database had.
    pub completeness: CheckResult,
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckResult {
    /// It is as it should be.
    Pass,
    /// It isn't.
    Fail,
    /// It can't be told.
    Inconclusive,
}

/// What the checks of a backup come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every check passed.
    Pass,
    /// One failed.
    Fail,
    /// None failed, and one couldn't tell.
    Inconclusive,
    /// None failed, and the checks couldn't be carried out.
    Error,
}

impl BackupValidation {
    /// One of which nothing is known yet.
    pub(crate) fn begin(backup_id: BackupId, timestamp: Timestamp) -> Self {
        BackupValidation {
            backup_id,
            timestamp,
            checks: ValidationChecks {
                exists: CheckResult::Inconclusive,
                integrity: CheckResult::Inconclusive,
                restore: CheckResult::Inconclusive,
                completeness: CheckResult::Inconclusive,
            },
            overall: Verdict::Inconclusive,
            error: None,
            damage: Vec::new(),
            unrecorded: Vec::new(),
        }
    }

    /// Says why, unless another check has said it before.
    pub(crate) fn because(&mut self, error: &BackupError) {
        self.error.get_or_insert_with(|| error.into());
    }

    /// What the checks come to, where none of them was in the way.
    pub(crate) fn conclude(mut self) -> Self {
        let ValidationChecks {
            exists,
            integrity,
            restore,
            completeness,
        } = self.checks;
        let all = [exists, integrity, restore, completeness];
        self.overall = match self.overall {
            _ if all.contains(&CheckResult::Fail) => Verdict::Fail,
            Verdict::Error => Verdict::Error,
            _ if all.contains(&CheckResult::Inconclusive) => Verdict::Inconclusive,
            _ => Verdict::Pass,
        };
        self
    }

    pub(crate) fn exit_code(&self) -> u8 {
        let of_error = self.error.as_ref().map(exit_code_of);
        match self.overall {
            Verdict::Pass => exit::DONE,
            Verdict::Fail => of_error.unwrap_or(exit::FAILED),
            // What was only in the way is no damage.
            Verdict::Inconclusive | Verdict::Error => match &self.error {
                Some(error) if error.class == Class::Cancelled => exit::INTERRUPTED,
                _ => exit::FAILED,
            },
        }
    }
}

impl ValidationReport {
    /// Of these backups.
    pub(crate) fn new(
        timestamp: Timestamp,
        validations: Vec<BackupValidation>,
        destination_errors: Vec<DestinationError>,
    ) -> Self {
        let count = |verdict| {
            let of_it = validations.iter().filter(|one| one.overall == verdict);
            of_it.count() as u64
        };
        let of_none = destination_errors.iter().map(|failed| &failed.error);
        let of_backups = validations.iter();
        let of_backups = of_backups.filter_map(|one| Some((one.error.as_ref()?, &one.backup_id)));
        let errors = of_none.map(|error| (error, None));
        let mut errors = errors.chain(of_backups.map(|(error, id)| (error, Some(id))));
        let failure = errors.next();
        ValidationReport {
            failure: failure.map(|(error, id)| Failure::new(Operation::Verify, error).about(id)),
            timestamp,
            total_backups: validations.len() as u64,
            passed: count(Verdict::Pass),
            failed: count(Verdict::Fail),
            errors: count(Verdict::Error),
            inconclusive: count(Verdict::Inconclusive),
            validations,
            destination_errors,
        }
    }

    /// 0 where all passed; 13 where a backup is damaged, 1 where one is lacking, something couldn't be told or asked; 130.
    pub fn exit_code(&self) -> u8 {
        let of_backups = self.validations.iter().map(BackupValidation::exit_code);
        let of_errors = self.destination_errors.iter();
        let of_errors = of_errors.map(|failed| exit_code_of(&failed.error));
        exit::worst(of_backups.chain(of_errors))
    }
}
