//! Schedules: what comes next of each, and what their runs come to.

use std::fmt::Write;

use teeline::printable::one_line;
use teeline::{LastRun, ScheduleList, ScheduledBackup, Span, WorkReport};

use super::backup::{self, problems_of, text_of};
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
        Some(error) if !run.is_interrupted() => format!(": {}", one_line(&error.message)),
        _ => String::new(),
    };
    let id = run.id.as_ref();
    let id = id.map_or(String::new(), |id| format!("{id} "));
    format!("{id}{what}{why}")
}

/// A line that says what a run came to.
pub(crate) fn ended(report: &WorkReport, took: Span) -> String {
    let id = report.backup_id();
    let id = id.map_or(String::new(), |id| format!("{id} "));
    format!(
        "{id}{} after {}",
        of_run(report.status()),
        seconds(took.ms())
    )
}

/// What somebody should know of it beside that.
pub(crate) fn remarks(report: &WorkReport) -> Vec<String> {
    match report {
        WorkReport::Backup(report) => backup::remarks(report),
        _ => Vec::new(),
    }
}

impl Shown for WorkReport {
    fn exit_code(&self) -> u8 {
        WorkReport::exit_code(self)
    }

    fn text(&self) -> String {
        match self {
            WorkReport::Backup(report) => text_of(report),
            WorkReport::Cleanup(report) => report.text(),
            WorkReport::Verify(report) => report.text(),
            WorkReport::Validate(report) => report.text(),
            WorkReport::Scrub(report) => report.text(),
            WorkReport::Drill(report) => report.text(),
            WorkReport::Repair(report) => report.text(),
            _ => String::new(),
        }
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        match self {
            WorkReport::Backup(report) => problems_of(report, problems),
            WorkReport::Cleanup(report) => report.problems(problems),
            WorkReport::Verify(report) => report.problems(problems),
            WorkReport::Validate(report) => report.problems(problems),
            WorkReport::Scrub(report) => report.problems(problems),
            WorkReport::Drill(report) => report.problems(problems),
            WorkReport::Repair(report) => report.problems(problems),
            _ => {}
        }
    }
}
