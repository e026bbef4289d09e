//! What a backup came to.

use std::fmt::Write;

use serde::Serialize;
use teeline::printable::one_line;
use teeline::{
    BackupReport, Changes, Class, DestinationReport, DestinationStatus, ErrorReport, Resumed,
    SegmentPlace, Verified,
};

use super::settle::settled;
use super::words::{bytes, counted, grouped, of_run, rates, seconds};
use super::{Problem, Shown};
use crate::output::Next;

/// A backup's report with the commands to try next.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Made {
    pub(crate) report: BackupReport,
    #[serde(skip)]
    pub(crate) next: Next,
}

impl Shown for Made {
    fn exit_code(&self) -> u8 {
        self.report.exit_code()
    }

    fn text(&self) -> String {
        let mut text = text_of(&self.report);
        let mut destinations = self.report.destinations.iter();
        if destinations.any(|at| at.status == DestinationStatus::Committed) {
            text.push_str(&self.next.to_string());
        }
        text
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        problems_of(&self.report, problems);
    }
}

/// What was made, and what is where now; nothing of a run that came to nothing.
pub(super) fn text_of(report: &BackupReport) -> String {
    let Some(id) = &report.id else {
        return String::new();
    };
    let mut text = format!(
        "{id} {} after {}\n",
        of_run(report.status),
        seconds(report.duration)
    );
    if report.checksum.is_some() {
        let objects = counted(report.object_count, "other object");
        let objects = if report.object_count == 0 {
            String::new()
        } else {
            format!(" and {objects}")
        };
        let resources = counted(report.resources.len() as u64, "resource");
        let _ = writeln!(
            text,
            "  {} of {resources}{objects}: {} plain, {} stored",
            counted(report.record_count, "record"),
            bytes(report.plain_bytes),
            bytes(report.size)
        );
        let _ = writeln!(
            text,
            "  {}",
            rates(report.record_count, report.plain_bytes, report.duration)
        );
    }
    for (count, what) in [
        (
            report.kept_raw,
            "kept raw, since they don't map to a document and back",
        ),
        (report.vanished, "gone before they could be read"),
    ] {
        if count > 0 {
            let _ = writeln!(text, "  {}: {what}", counted(count, "object"));
        }
    }
    text.push_str(&extent(report));
    for remark in remarks(report) {
        let _ = writeln!(text, "  {remark}");
    }
    if let Some(settling) = &report.settle {
        let _ = writeln!(text, "  {}", settled(settling));
    }
    for destination in &report.destinations {
        text.push_str(&written(report, destination));
    }
    if let Some(cleanup) = &report.cleanup {
        let _ = write!(text, "\n  cleanup: {}", cleanup.text());
    }
    text
}

/// What an incremental backup goes on from, and what it has of that.
fn extent(report: &BackupReport) -> String {
    let mut text = String::new();
    if let Some(parent) = &report.parent {
        let _ = writeln!(text, "  goes on from {}", parent.id);
    }
    if let Some(Changes { records, .. }) =
        report.changes.as_ref().filter(|_| report.parent.is_some())
    {
        let _ = writeln!(
            text,
            "  of the records {} new, {} changed, {} gone, {} as they were",
            grouped(records.created),
            grouped(records.changed),
            grouped(records.deleted),
            grouped(records.unchanged)
        );
    }
    text
}

/// What makes it another backup than was asked for, and whom it isn't for; nothing of a run that came to nothing.
pub(super) fn remarks(report: &BackupReport) -> Vec<String> {
    if report.id.is_none() {
        return Vec::new();
    }
    let since = report.since.map(|since| {
        format!(
            "has only what was written since {since}, and nothing of what is gone: there is no backup that it could go on from"
        )
    });
    let whole = report.whole_because.as_ref();
    let whole = whole.map(|why| format!("has everything: {}", one_line(why)));
    let resumed = report.resumed.as_ref().map(taken_up);
    let left_out = report.left_out.iter();
    let left_out =
        left_out.map(|name| format!("not for {}: it takes other resources", one_line(name)));
    since
        .into_iter()
        .chain(whole)
        .chain(resumed)
        .chain(left_out)
        .collect()
}

/// What came of taking up a run.
fn taken_up(resumed: &Resumed) -> String {
    if let Some(why) = &resumed.afresh_because {
        return format!(
            "begun afresh, instead of {}: {}",
            resumed.run,
            one_line(why)
        );
    }
    let from = match &resumed.from {
        None => "nothing had to be read".to_owned(),
        Some(SegmentPlace { resource, segment }) => {
            let resource = one_line(resource);
            format!("read from data file {segment} of {resource} on")
        }
    };
    format!(
        "taken up again: {from}, {} not read again, {} not sent again",
        bytes(resumed.bytes_not_read),
        bytes(resumed.bytes_not_sent)
    )
}

/// What went wrong with a backup, as a whole and at its destinations, and what it warns of.
pub(super) fn problems_of(report: &BackupReport, problems: &mut Vec<Problem>) {
    problems.extend(report.error.as_ref().map(Problem::plain));
    let was_stopped = |error: &ErrorReport| error.class == Class::Cancelled;
    let errors = report
        .destinations
        .iter()
        .filter_map(|at| at.error.as_ref());
    let others_are_to_blame = report.error.is_some() || !errors.clone().all(was_stopped);
    for destination in &report.destinations {
        let error = destination.error.as_ref();
        // One that was only told to stop, since something else failed, is to blame for nothing.
        let error = error.filter(|error| !(others_are_to_blame && was_stopped(error)));
        problems.extend(error.map(|error| Problem::of(&destination.name, error)));
    }
    problems.extend(report.warnings.iter().map(Problem::warning));
    if let Some(cleanup) = &report.cleanup {
        cleanup.problems(problems);
    }
    problems.extend(report.hook_failures.iter().map(Problem::of_hook));
}

/// What is at a destination now, and where.
fn written(report: &BackupReport, destination: &DestinationReport) -> String {
    let status = match destination.status {
        DestinationStatus::Committed => "committed",
        DestinationStatus::Failed => "failed",
        DestinationStatus::Behind => "behind: it held up the others; `teeline sync` completes it",
        DestinationStatus::Skipped => "skipped",
        DestinationStatus::Unknown => {
            "unknown: it failed while it published, so the backup may be there"
        }
    };
    let place = match (&report.folder, destination.status) {
        (Some(path), DestinationStatus::Committed) => {
            format!("{}/{path}", destination.location.trim_end_matches('/'))
        }
        _ => destination.location.clone(),
    };
    let mut text = format!(
        "\n  {}: {status}\n    location  {}\n",
        destination.name,
        one_line(&place)
    );
    if destination.status != DestinationStatus::Committed {
        return text;
    }
    let verified = match destination.verified {
        Verified::Read => "every byte, by reading it back",
        Verified::Attested => "by the store's word",
        Verified::No => "no",
    };
    let retries = match destination.retries {
        0 => String::new(),
        retries => format!(", {} repeated", counted(retries, "call")),
    };
    let _ = writeln!(
        text,
        "    written   {} in {}{retries}",
        bytes(destination.bytes),
        seconds(destination.duration_ms)
    );
    let _ = writeln!(text, "    verified  {verified}");
    if let Some(checksum) = &report.checksum {
        let _ = writeln!(text, "    checksum  {checksum}");
    }
    text
}
