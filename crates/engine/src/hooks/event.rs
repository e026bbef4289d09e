//! What hooks are told, under the names of the events of s3db.js's backup plugin.

use std::fmt::Write;
use std::str::FromStr;

use serde::Serialize;
use teeline_core::{
    BackupError, BackupId, BackupType, Class, DestinationReport, ErrorReport, RunStatus, Timestamp,
};

use super::RunLog;
use crate::failure::advised;
use crate::report::{
    BackupReport, CleanupReport, DestinationWarning, DriverInfo, RestoreReport, RestoreStatus,
    RestoredResource,
};

/// When a hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moment {
    /// A backup is about to begin.
    BackupStart,
    /// It is made, if not everywhere.
    BackupComplete,
    /// It failed.
    BackupError,
    /// It was interrupted.
    BackupCancelled,
    /// A restore is about to begin.
    RestoreStart,
    /// It is done.
    RestoreComplete,
    /// It failed.
    RestoreError,
    /// It was interrupted.
    RestoreCancelled,
}

impl Moment {
    /// As they are written.
    pub const NAMES: [&'static str; 8] = [
        "backup-start",
        "backup-complete",
        "backup-error",
        "backup-cancelled",
        "restore-start",
        "restore-complete",
        "restore-error",
        "restore-cancelled",
    ];

    const ALL: [Moment; 8] = [
        Moment::BackupStart,
        Moment::BackupComplete,
        Moment::BackupError,
        Moment::BackupCancelled,
        Moment::RestoreStart,
        Moment::RestoreComplete,
        Moment::RestoreError,
        Moment::RestoreCancelled,
    ];

    /// Those of backups.
    pub const OF_BACKUPS: [Moment; 4] = [
        Moment::BackupStart,
        Moment::BackupComplete,
        Moment::BackupError,
        Moment::BackupCancelled,
    ];

    /// The name of the event.
    pub fn event(self) -> &'static str {
        match self {
            Moment::BackupStart => "plg:backup:start",
            Moment::BackupComplete => "plg:backup:complete",
            Moment::BackupError => "plg:backup:error",
            Moment::BackupCancelled => "plg:backup:cancelled",
            Moment::RestoreStart => "plg:backup:restore-start",
            Moment::RestoreComplete => "plg:backup:restore-complete",
            Moment::RestoreError => "plg:backup:restore-error",
            Moment::RestoreCancelled => "plg:backup:restore-cancelled",
        }
    }
}

impl FromStr for Moment {
    type Err = BackupError;

    fn from_str(text: &str) -> Result<Self, BackupError> {
        let place = Self::NAMES.iter().position(|name| *name == text);
        place.map(|place| Self::ALL[place]).ok_or_else(|| {
            let accepted = Self::NAMES.join(", ");
            BackupError::usage(
                "on",
                format!("unknown moment {text:?}; accepted: {accepted}"),
            )
        })
    }
}

/// What has happened. As JSON, what isn't known is absent.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RunEvent {
    /// The name of the event, such as `plg:backup:start`.
    #[serde(rename = "event")]
    pub name: &'static str,
    /// The moment.
    #[serde(skip)]
    pub moment: Moment,
    /// When.
    pub timestamp: Timestamp,
    /// The backup; of a restore that failed early, none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<BackupId>,
    /// The same, under the name that hooks know it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_id: Option<BackupId>,
    /// The backup's type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub backup_type: Option<BackupType>,
    /// The schedule whose run it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// What became of the backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<RunStatus>,
    /// What the command that makes the backup exits with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// The backup's folder at the first destination that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What each destination's driver has done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_info: Option<DriverInfo>,
    /// Stored bytes of one copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Records of all resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_count: Option<u64>,
    /// Milliseconds that it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<u64>,
    /// What became of a backup at each destination.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<DestinationReport>,
    /// As [`BackupReport::warnings`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<DestinationWarning>,
    /// What the cleanup after a backup came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<CleanedUp>,
    /// What was restored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restored: Vec<RestoredResource>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorReport>,
    /// What a backup did, line by line, each with its time first; of more than 500 lines the last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

/// What a cleanup came to that followed a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CleanedUp {
    /// What `cleanup` would have exited with.
    pub exit_code: u8,
    /// What went wrong first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorReport>,
}

impl From<&CleanupReport> for CleanedUp {
    fn from(report: &CleanupReport) -> Self {
        CleanedUp {
            exit_code: report.exit_code(),
            error: report.failure.as_ref().map(ErrorReport::from),
        }
    }
}

impl RunEvent {
    pub(crate) fn new(
        moment: Moment,
        id: Option<BackupId>,
        backup_type: Option<BackupType>,
        timestamp: Timestamp,
    ) -> Self {
        RunEvent {
            name: moment.event(),
            moment,
            timestamp,
            backup_id: id.clone(),
            id,
            backup_type,
            schedule: None,
            status: None,
            exit_code: None,
            path: None,
            driver_info: None,
            size: None,
            record_count: None,
            duration: None,
            destinations: Vec::new(),
            warnings: Vec::new(),
            cleanup: None,
            restored: Vec::new(),
            error: None,
            log: Vec::new(),
        }
    }

    /// The same, of a run of this schedule, if it is one's.
    pub(crate) fn of_schedule(self, schedule: Option<&str>) -> Self {
        RunEvent {
            schedule: schedule.map(str::to_owned),
            ..self
        }
    }

    /// What became of a backup that was announced as `id`, if it was.
    pub(crate) fn backed_up(
        report: &BackupReport,
        id: Option<BackupId>,
        at: Timestamp,
        log: &RunLog,
    ) -> Self {
        let moment = match (report.status, &report.error) {
            (RunStatus::Completed | RunStatus::Degraded, _) => Moment::BackupComplete,
            (RunStatus::Failed, Some(error)) if error.class == Class::Cancelled => {
                Moment::BackupCancelled
            }
            (RunStatus::Failed, _) => Moment::BackupError,
        };
        let is_made = moment == Moment::BackupComplete;
        let backup_type = report.backup_type.clone();
        RunEvent {
            status: Some(report.status),
            exit_code: Some(report.exit_code()),
            path: report.plugin.path.clone().filter(|_| is_made),
            driver_info: is_made.then(|| report.plugin.driver_info.clone()),
            size: is_made.then_some(report.size),
            record_count: is_made.then_some(report.record_count),
            duration: Some(report.duration),
            destinations: report.destinations.clone(),
            warnings: report.warnings.clone(),
            cleanup: report.cleanup.as_ref().map(CleanedUp::from),
            // Where destinations are to blame, the report as a whole has none of its own.
            error: match (&report.error, &report.failure) {
                (Some(error), failure) => Some(advised(error, failure.as_ref())),
                (None, failure) => failure.as_ref().map(ErrorReport::from),
            },
            log: log.lines(),
            ..Self::new(moment, report.id.clone().or(id), Some(backup_type), at)
        }
    }

    /// What became of a restore of `asked_for`, if that is known.
    pub(crate) fn restored(
        report: &RestoreReport,
        asked_for: Option<BackupId>,
        at: Timestamp,
    ) -> Self {
        let moment = match (report.status, &report.error) {
            (RestoreStatus::Failed, Some(error)) if error.class == Class::Cancelled => {
                Moment::RestoreCancelled
            }
            (RestoreStatus::Failed | RestoreStatus::Thawing, _) => Moment::RestoreError,
            (RestoreStatus::Completed | RestoreStatus::DryRun, _) => Moment::RestoreComplete,
        };
        let id = report.id.clone().or(asked_for);
        let backup_type = id.as_ref().map(BackupId::backup_type);
        RunEvent {
            duration: Some(report.duration),
            restored: report.restored.clone(),
            error: report
                .error
                .as_ref()
                .map(|error| advised(error, report.failure.as_ref())),
            ..Self::new(moment, id, backup_type, at)
        }
    }

    /// Whether it is about a failure.
    pub(crate) fn is_failure(&self) -> bool {
        !matches!(
            self.moment,
            Moment::BackupStart
                | Moment::BackupComplete
                | Moment::RestoreStart
                | Moment::RestoreComplete
        )
    }

    /// For people: what it came to, and how.
    pub(crate) fn text(&self) -> String {
        let id = self.id.as_ref().map_or("-", BackupId::as_str);
        let mut text = format!("{} {id} {}\n", self.timestamp, self.name);
        if let Some(schedule) = &self.schedule {
            let _ = writeln!(text, "schedule: {schedule}");
        }
        if let (Some(records), Some(size)) = (self.record_count, self.size) {
            let _ = writeln!(text, "{records} records, {size} bytes");
        }
        if let Some(error) = &self.error {
            let _ = writeln!(text, "error: {}", error.message);
        }
        for at in &self.destinations {
            let error = at.error.as_ref().map(|error| error.message.as_str());
            let status = serde_json::to_value(at.status).unwrap_or_default();
            let status = status.as_str().unwrap_or_default();
            let _ = writeln!(text, "{}: {status} {}", at.name, error.unwrap_or_default());
        }
        for DestinationWarning {
            destination,
            message,
        } in &self.warnings
        {
            let _ = writeln!(text, "warning: {destination}: {message}");
        }
        let of_cleanup = self.cleanup.as_ref().and_then(|done| done.error.as_ref());
        if let Some(error) = of_cleanup {
            let _ = writeln!(text, "cleanup: {}", error.message);
        }
        for resource in &self.restored {
            let _ = writeln!(text, "{}: restored", resource.name);
        }
        for line in &self.log {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}
