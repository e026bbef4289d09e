//! What is told of schedules.

use serde::Serialize;
use teeline_core::{
    BackupId, BackupType, Class, ErrorReport, RunStatus, Span, TimeZone, Timestamp,
};

use super::{DestinationError, exit, exit_code_of};

/// The schedules of an engine.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ScheduleList {
    /// In the order in which they were added.
    pub schedules: Vec<ScheduledBackup>,
    /// What couldn't be asked or read of when they last ran.
    pub errors: Vec<DestinationError>,
}

/// A schedule.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledBackup {
    /// Its name.
    pub name: String,
    /// Its cron expression.
    pub cron: String,
    /// Where clocks show the times of that.
    pub time_zone: TimeZone,
    /// How much later it may begin.
    pub jitter: Span,
    /// The type of its backups, or what it does instead: `cleanup`, `verify`, `validate`, `scrub`, `drill`.
    #[serde(rename = "type")]
    pub backup_type: BackupType,
    /// The times that come next, without jitter; at most three.
    pub next: Vec<Timestamp>,
    /// Its last run. `None`: it never ran, or no destination that could be asked has a record of it.
    pub last: Option<LastRun>,
}

/// What became of the last run of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastRun {
    /// The backup; nothing of what makes none, or ended before anything was written.
    pub id: Option<BackupId>,
    /// What became of it.
    pub status: RunStatus,
    /// When the run began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Why it failed, where no destination is at fault.
    pub error: Option<ErrorReport>,
}

/// What running schedules came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SchedulesReport {
    /// Backups that were made, and what else was done as it should be.
    pub made: u64,
    /// Runs that failed.
    pub failed: u64,
    /// Turns that were left to another runner.
    pub left: u64,
    /// Whether a backup was abandoned that was under way.
    pub interrupted: bool,
}

impl LastRun {
    /// Whether it was abandoned on request, which is as good as missed.
    pub fn is_interrupted(&self) -> bool {
        let error = self.error.as_ref();
        error.is_some_and(|error| error.class == Class::Cancelled)
    }
}

impl ScheduleList {
    /// 0; 1, 2, 13 or 130 where something couldn't be asked or read.
    pub fn exit_code(&self) -> u8 {
        exit::worst(self.errors.iter().map(|failed| exit_code_of(&failed.error)))
    }
}

impl SchedulesReport {
    /// 0, or 130 where a backup was abandoned. Of runs that failed it was told when they did.
    pub fn exit_code(&self) -> u8 {
        match self.interrupted {
            true => exit::INTERRUPTED,
            false => exit::DONE,
        }
    }
}
