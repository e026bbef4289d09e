//! Schedules: what comes next of each, and what their runs come to.

use std::fmt::Write;

use teeline::{BackupReport, LastRun, ScheduleList, ScheduledBackup, Span};

use super::backup::problems_of;
use super::words::{of_run, seconds};
use super::{Problem, Shown};

impl Shown for ScheduleList {
    fn exit_code(&self) -> u8 {
        ScheduleList::exit_code(self)
    }

    fn text(&self) -> String {
        self.schedules.iter().map(listed).collect()
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        problems.extend(
            self.errors
                .iter()
                .map(|failed| Problem::of(&failed.destination, &failed.error)),
        );
    }
}

fn listed(schedule: &ScheduledBackup) -> String {
    let zone = schedule.time_zone;
    let mut text = format!(
        "{}: {}, in {zone}: {}\n",
        schedule.name, schedule.backup_type, schedule.cron
    );
    let next: Vec<String> = schedule.next.iter().map(|time| zone.shown(*time)).collect();
    let next = match next.is_empty() {
        true => "never".to_owned(),
        false => next.join(", "),
    };
    let later = match schedule.jitter == Span::default() {
        true => String::new(),
        false => format!(", or up to {} later", schedule.jitter),
    };
    let _ = writeln!(text, "  next  {next}{later}");
    let last = match &schedule.last {
        None => "no run is known".to_owned(),
        Some(run) => format!("{}: {}", zone.shown(run.started_at), outcome(run)),
    };
    let _ = writeln!(text, "  last  {last}");
    text
}

fn outcome(run: &LastRun) -> String {
    let what = match run.is_interrupted() {
        true => "interrupted",
        false => of_run(run.status).trim_end_matches(','),
    };
    let why = match &run.error {
        Some(error) if !run.is_interrupted() => format!(": {}", error.message),
        _ => String::new(),
    };
    format!("{} {what}{why}", run.id)
}

/// A line that says what a run came to, and what went wrong with it.
pub(crate) fn ended(report: &BackupReport) -> (String, Vec<Problem>) {
    let id = report.id.as_ref();
    let id = id.map_or(String::new(), |id| format!("{id} "));
    let line = format!(
        "{id}{} after {}",
        of_run(report.status),
        seconds(report.duration)
    );
    let mut problems = Vec::new();
    problems_of(report, &mut problems);
    (line, problems)
}
