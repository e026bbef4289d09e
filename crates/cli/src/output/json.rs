//! Results as JSON: the reports of the engine as they are, and two documents of the command's own.

use clap::error::ContextKind;
use serde::Serialize;
use teeline::config::ConfigWarning;
use teeline::{BackupError, BackupType, ErrorReport, Operation};

/// A document, indented, with a newline at its end.
pub(super) fn document(value: &impl Serialize) -> String {
    let text =
        serde_json::to_string_pretty(value).expect("reports have text keys and no fallible values");
    text + "\n"
}

/// A document on one line.
pub(super) fn line(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("reports have text keys and no fallible values");
    text + "\n"
}

/// What is printed where there is no report.
#[derive(Debug, Serialize)]
pub(super) struct Failure<'a> {
    status: &'static str,
    error: &'a ErrorReport,
    failure: teeline::Failure,
}

impl<'a> Failure<'a> {
    pub(super) fn new(operation: Operation, error: &'a ErrorReport) -> Self {
        Failure {
            status: "failed",
            error,
            failure: teeline::Failure::new(operation, error),
        }
    }
}

/// What `teeline config check` found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Checked {
    pub(crate) status: &'static str,
    pub(crate) file: String,
    /// Where records would come from, without secrets.
    pub(crate) source: Option<String>,
    pub(crate) strategy: String,
    pub(crate) compression: String,
    /// For how many backups are sealed, and how.
    pub(crate) encryption: Option<String>,
    pub(crate) destinations: Vec<CheckedDestination>,
    pub(crate) schedules: Vec<CheckedSchedule>,
    pub(crate) targets: Vec<CheckedTarget>,
    /// What is accepted and has no effect.
    pub(crate) warnings: Vec<ConfigWarning>,
}

/// A schedule of a configuration.
#[derive(Debug, Serialize)]
pub(crate) struct CheckedSchedule {
    pub(crate) name: String,
    pub(crate) cron: String,
    #[serde(rename = "type")]
    pub(crate) backup_type: BackupType,
}

/// A target of a configuration.
#[derive(Debug, Serialize)]
pub(crate) struct CheckedTarget {
    pub(crate) name: String,
    /// Where it is, without secrets.
    pub(crate) location: String,
}

/// A destination of a configuration.
#[derive(Debug, Serialize)]
pub(crate) struct CheckedDestination {
    pub(crate) name: String,
    /// Where it is, without secrets.
    pub(crate) location: String,
    pub(crate) required: bool,
    /// Names and globs of the resources that it takes; `None` for any.
    pub(crate) resources: Option<Vec<String>>,
}

/// What the parser of arguments says, as an error.
pub(super) fn refusal(error: &clap::Error) -> BackupError {
    let named = error.get(ContextKind::InvalidArg).map(ToString::to_string);
    let what = error.kind().as_str().unwrap_or("it can't be understood");
    BackupError::usage(named.as_deref().unwrap_or("arguments"), what)
        .suggest("see `teeline --help`")
}
