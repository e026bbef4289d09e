//! Failures as s3db.js's backup plugin documents its `BackupError`: with a status code for web APIs, whether a later run may
//! succeed, what to do about it, and what became of each destination.
//!
//! A report's `error` says what went wrong as teeline has it; its `failure` says the same in these terms.

use serde::Serialize;
use teeline_core::{
    BackupError, BackupId, Class, DestinationReport, DestinationStatus, Digest, ErrorReport,
    RunStatus,
};

use crate::destination::{DestinationSpec, Place};
use crate::report::BackupReport;
use crate::request::BackupRequest;

/// What was tried. A closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// Making a backup.
    Backup,
    /// Writing it to the only destination.
    Upload,
    /// Restoring one.
    Restore,
    /// Checking stored bytes.
    Verify,
    /// Looking at what there is.
    List,
    /// Deleting a backup.
    Delete,
    /// Applying what is to be kept.
    Cleanup,
    /// Making what was lost again.
    Repair,
    /// Copying backups to where they lack.
    Sync,
    /// Looking at who can open backups, and changing it.
    Keys,
    /// Reading what was asked for: a configuration, options, arguments.
    ValidateConfig,
}

/// A failure, in the words of the documented `BackupError`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// `BackupError`.
    pub name: &'static str,
    /// What was tried.
    pub operation: Operation,
    /// What went wrong.
    pub message: String,
    /// What has failed, in a few words that are the same for every such failure.
    pub description: &'static str,
    /// The status code that a web API would answer with.
    pub status_code: u16,
    /// Whether the same may succeed later: a disk may be emptied, a right be given. Not whether a single call is repeated.
    pub retriable: bool,
    /// What to do about it.
    pub suggestion: String,
    /// What may be done, as errors have it.
    pub class: Class,
    /// What kind of destination it concerns: `filesystem`, `s3`, `store` for one that the host brought, or `multi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<&'static str>,
    /// The strategy that wasn't met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// The backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_id: Option<BackupId>,
    /// More of it.
    pub metadata: FailureMetadata,
}

/// What a failure concerns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureMetadata {
    /// The backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_id: Option<BackupId>,
    /// BLAKE3 of its manifest, where one was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Digest>,
    /// What became of it at each destination.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<FailedDestination>,
}

/// What became of a backup at a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedDestination {
    /// Its name.
    pub name: String,
    /// Its kind, as [`Failure::driver`].
    pub driver: &'static str,
    /// Where it is, without secrets.
    pub location: String,
    /// What became of the backup there.
    pub status: DestinationStatus,
    /// Why.
    pub error: Option<ErrorReport>,
}

impl Place {
    /// The kind of store: `filesystem`, `s3`, or `store` for one that the host brought.
    pub fn driver(&self) -> &'static str {
        match self {
            Place::Folder(_) => "filesystem",
            Place::S3(_) => "s3",
            Place::Sink(_) => "store",
        }
    }
}

impl Operation {
    fn description(self) -> &'static str {
        match self {
            Operation::Backup => "Failed to make the backup",
            Operation::Upload => "Failed to upload backup file",
            Operation::Restore => "Failed to restore from backup",
            Operation::Verify => "Failed to verify the backup",
            Operation::List => "Failed to list backups",
            Operation::Delete => "Failed to delete the backup",
            Operation::Cleanup => "Failed to clean up old backups",
            Operation::Repair => "Failed to repair backups",
            Operation::Sync => "Failed to copy backups",
            Operation::Keys => "Failed to look at keys or change them",
            Operation::ValidateConfig => "Invalid backup driver configuration",
        }
    }

    /// What to do, where the error doesn't say it.
    fn suggestion(self, class: Class) -> &'static str {
        match self {
            Operation::Backup => "Check that the database can be read, then run the backup again.",
            Operation::Upload => {
                "Check disk space/permissions or network connectivity, then retry the upload."
            }
            Operation::Restore if class == Class::NotFound => {
                "Confirm the backupId exists or run `teeline list` before restoring."
            }
            Operation::Restore => {
                "Check disk space and permissions of the target, and that a destination can be read, then restore again."
            }
            Operation::Verify => {
                "Run `teeline verify` at each destination, and copy what is whole with `teeline sync`."
            }
            Operation::List => "Check storage permissions and network connectivity.",
            Operation::Delete => "Check permissions, and that the backup isn't being accessed.",
            Operation::Cleanup => "Verify the retention configuration, and check permissions.",
            Operation::Repair | Operation::Sync => {
                "Run `teeline verify` at each destination to see which copies are whole."
            }
            Operation::Keys => "`teeline key list` shows whose keys open a backup.",
            Operation::ValidateConfig => {
                "Correct the configuration; `teeline config check` says where."
            }
        }
    }
}

impl Failure {
    /// A failure of `operation`. An error of class [`Usage`](Class::Usage) is one of what was asked for.
    pub fn new(operation: Operation, error: &ErrorReport) -> Self {
        let operation = match error.class {
            Class::Usage => Operation::ValidateConfig,
            _ => operation,
        };
        let suggestion = match (&error.suggestion, operation, error.class) {
            (_, Operation::Restore, Class::NotFound) | (None, ..) => {
                operation.suggestion(error.class)
            }
            (Some(suggestion), ..) => suggestion,
        };
        Failure {
            name: "BackupError",
            operation,
            message: error.message.clone(),
            description: operation.description(),
            status_code: status_code(operation, error.class),
            retriable: is_retriable(operation, error.class),
            suggestion: suggestion.to_owned(),
            class: error.class,
            driver: None,
            strategy: None,
            backup_id: None,
            metadata: FailureMetadata::default(),
        }
    }

    /// The failure of a host's own call that gave `error`.
    pub fn of(operation: Operation, error: &BackupError) -> Self {
        Self::new(operation, &error.into())
    }

    #[must_use]
    pub(crate) fn about(mut self, id: Option<&BackupId>) -> Self {
        self.backup_id = id.cloned();
        self.metadata.backup_id = id.cloned();
        self
    }

    /// Of the first of these errors, if there is one.
    pub(crate) fn first<'a>(
        operation: Operation,
        errors: impl IntoIterator<Item = &'a ErrorReport>,
    ) -> Option<Self> {
        let first = errors.into_iter().next()?;
        Some(Self::new(operation, first))
    }

    /// Of a backup that failed, for `of_the_run` or for what destinations say.
    pub(crate) fn of_backup(
        report: &BackupReport,
        of_the_run: Option<ErrorReport>,
        id: Option<&BackupId>,
        request: &BackupRequest,
    ) -> Option<Self> {
        if report.status != RunStatus::Failed {
            return None;
        }
        let mut failure = match of_the_run {
            Some(error) => Self::new(Operation::Backup, &error).by(driver(request)),
            None => at_destinations(report, request)?,
        };
        failure = failure.about(report.id.as_ref().or(id));
        failure.metadata.checksum = report.checksum;
        failure.metadata.destinations = each(&report.destinations, &request.destinations);
        Some(failure)
    }

    fn by(mut self, driver: &'static str) -> Self {
        self.driver = Some(driver);
        self
    }
}

/// An error with the suggestion of the failure that it makes, where it has none of its own.
pub(crate) fn advised(error: &ErrorReport, failure: Option<&Failure>) -> ErrorReport {
    let suggestion = failure.map(|failure| failure.suggestion.clone());
    ErrorReport {
        suggestion: error.suggestion.clone().or(suggestion),
        ..error.clone()
    }
}

impl From<&Failure> for ErrorReport {
    fn from(failure: &Failure) -> Self {
        ErrorReport {
            class: failure.class,
            message: failure.message.clone(),
            suggestion: Some(failure.suggestion.clone()),
        }
    }
}

/// The kind of the only destination, or that there are several.
fn driver(request: &BackupRequest) -> &'static str {
    match &request.destinations[..] {
        [only] => only.place.driver(),
        _ => "multi",
    }
}

/// What destinations say that is to blame for a failure. Those that were only told to stop, since another one failed, aren't.
fn to_blame(destinations: &[DestinationReport]) -> impl Iterator<Item = &ErrorReport> {
    let errors = destinations.iter().filter_map(|at| at.error.as_ref());
    errors.filter(|error| error.class != Class::Cancelled)
}

/// The first of that; where nothing is, the first that any says.
pub(crate) fn first_to_blame(destinations: &[DestinationReport]) -> Option<&ErrorReport> {
    let mut errors = destinations.iter().filter_map(|at| at.error.as_ref());
    to_blame(destinations).next().or_else(|| errors.next())
}

/// A failure that destinations are to blame for: the strategy isn't met, and nothing else is wrong.
fn at_destinations(report: &BackupReport, request: &BackupRequest) -> Option<Failure> {
    let first = first_to_blame(&report.destinations)?;
    if request.destinations.len() == 1 {
        return Some(Failure::new(Operation::Upload, first).by(driver(request)));
    }
    let met_by = match request.strategy {
        teeline_core::StrategyKind::All => "requires all destinations to succeed",
        _ => "isn't met by those that succeeded",
    };
    let failed = to_blame(&report.destinations).count();
    let message = format!(
        "{failed} of {} destinations failed, and the strategy {} {met_by}",
        report.destinations.len(),
        request.strategy
    );
    let all = ErrorReport {
        class: first.class,
        message,
        suggestion: Some(
            "Inspect individual driver errors in error.metadata.destinations and fix the failing target.".to_owned(),
        ),
    };
    let mut failure = Failure::new(Operation::Backup, &all).by("multi");
    failure.description = "Multi-destination backup failed";
    failure.status_code = status_code(Operation::Upload, first.class);
    failure.retriable = is_retriable(Operation::Upload, first.class);
    failure.strategy = Some(request.strategy.to_string());
    Some(failure)
}

fn each(reports: &[DestinationReport], specs: &[DestinationSpec]) -> Vec<FailedDestination> {
    reports
        .iter()
        .zip(specs)
        .map(|(report, spec)| FailedDestination {
            name: report.name.clone(),
            driver: spec.place.driver(),
            location: report.location.clone(),
            status: report.status,
            error: report.error.clone(),
        })
        .collect()
}

fn status_code(operation: Operation, class: Class) -> u16 {
    match (class, operation) {
        (Class::Usage, _) => 400,
        (Class::Cancelled, _) => 499,
        // Whatever was wrong there, it is the other side that didn't take it.
        (_, Operation::Upload) => 502,
        (Class::WrongKey, _) => 403,
        (Class::NotFound, _) => 404,
        (Class::Conflict | Class::Archived, _) => 409,
        (Class::Corrupt, _) => 422,
        (Class::Throttled, _) => 503,
        (Class::Transient, _) => 502,
        (Class::Permanent, Operation::List) => 502,
        (Class::Permanent, _) => 500,
    }
}

/// Whether a later run may succeed: a disk may be emptied by then, a right given, data thawed.
fn is_retriable(operation: Operation, class: Class) -> bool {
    match class {
        Class::Usage | Class::Cancelled => false,
        Class::Transient | Class::Throttled | Class::Permanent | Class::Archived => true,
        Class::NotFound | Class::Conflict | Class::Corrupt | Class::WrongKey => {
            operation == Operation::Upload
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_status_code_and_a_suggestion() {
        for (class, code, retriable) in [
            (Class::Transient, 502, true),
            (Class::Throttled, 503, true),
            (Class::Permanent, 500, true),
            (Class::NotFound, 404, false),
            (Class::Conflict, 409, false),
            (Class::Archived, 409, true),
            (Class::Corrupt, 422, false),
            (Class::WrongKey, 403, false),
            (Class::Cancelled, 499, false),
            (Class::Usage, 400, false),
        ] {
            let error = BackupError::new(class, "try", "something", "no");
            let failure = Failure::of(Operation::Restore, &error);
            assert_eq!(
                (failure.status_code, failure.retriable),
                (code, retriable),
                "{class:?}"
            );
            assert!(!failure.suggestion.is_empty());
        }
        let full = BackupError::new(
            Class::Permanent,
            "write",
            "a file",
            "no space left on device",
        );
        let failure = Failure::of(Operation::Upload, &full);
        assert_eq!((failure.status_code, failure.retriable), (502, true));
    }

    #[test]
    fn operations_are_a_closed_list_of_names() {
        for (operation, name) in [
            (Operation::Backup, "backup"),
            (Operation::Upload, "upload"),
            (Operation::Restore, "restore"),
            (Operation::Verify, "verify"),
            (Operation::List, "list"),
            (Operation::Delete, "delete"),
            (Operation::Cleanup, "cleanup"),
            (Operation::Repair, "repair"),
            (Operation::Sync, "sync"),
            (Operation::Keys, "keys"),
            (Operation::ValidateConfig, "validateConfig"),
        ] {
            assert_eq!(serde_json::to_value(operation).unwrap(), name);
        }
    }
}
