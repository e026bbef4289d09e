//! What a repair did, as people read it.

use std::fmt::Write;

use teeline::{MendedFile, MissingFile, RepairReport, RepairStatus, RepairedCopy, WasWrong};

use super::words::{table, warned};
use super::{Problem, Shown};

impl Shown for RepairReport {
    fn exit_code(&self) -> u8 {
        RepairReport::exit_code(self)
    }

    fn text(&self) -> String {
        if self.runs.is_empty() {
            let all = match self.errors.is_empty() {
                true => "every run has its manifest\n",
                false => "",
            };
            return all.to_owned() + &warned(&self.warnings);
        }
        let mut text = String::new();
        for run in &self.runs {
            let _ = writeln!(text, "{}", run.id);
            let row = |copy: &RepairedCopy| {
                let checksum = copy
                    .checksum
                    .map_or(String::new(), |checksum| format!("checksum {checksum}"));
                vec![
                    format!("  {}", copy.name),
                    done(copy.status).to_owned(),
                    checksum,
                ]
            };
            let rows: Vec<Vec<String>> = run.destinations.iter().map(row).collect();
            text.push_str(&table(&rows));
            for copy in &run.destinations {
                let mended = copy.files.iter().map(|file| mended(&copy.name, file));
                text.push_str(&mended.collect::<String>());
            }
        }
        text + &warned(&self.warnings)
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        for failed in &self.errors {
            problems.push(Problem::of(&failed.destination, &failed.error));
        }
        for copy in self.runs.iter().flat_map(|run| &run.destinations) {
            let problem = copy
                .error
                .as_ref()
                .map(|error| Problem::of(&copy.name, error));
            // A destination that can't be asked at all is an error once, not once for each run.
            problems.extend(problem.filter(|problem| !problems.contains(problem)));
            // The error names the first.
            problems.extend(copy.damage.iter().skip(1).map(Problem::damage));
            let unrecorded = copy.unrecorded.as_ref();
            problems.extend(unrecorded.map(|error| Problem::unrecorded(&copy.name, error)));
            problems.extend(named(&copy.missing).map(|file| missing(&copy.name, file)));
        }
    }
}

/// A file that was written again, and where the damaged one is.
fn mended(destination: &str, file: &MendedFile) -> String {
    let was = match file.was {
        WasWrong::Missing => "was missing",
        WasWrong::Damaged => "was damaged",
    };
    let moved = file.moved_to.as_ref();
    let moved = moved.map_or(String::new(), |to| format!(", moved to {to}"));
    format!("  {destination}: {} {was}{moved}\n", file.file)
}

/// The missing files that the error doesn't name: it names the first.
fn named(missing: &[MissingFile]) -> impl Iterator<Item = &MissingFile> {
    let (first, others) = missing.split_at(missing.len().min(1));
    first.iter().filter(|file| file.last_index).chain(others)
}

fn missing(destination: &str, missing: &MissingFile) -> Problem {
    let message = match (&missing.resource, missing.last_index) {
        (Some(resource), true) => format!(
            "it is missing, and no index of {resource} that is there is its last: how many files it had can't be told"
        ),
        _ => "it is missing".to_owned(),
    };
    Problem::about(
        format!("destination {destination}, {}", missing.file),
        &message,
    )
}

fn done(status: RepairStatus) -> &'static str {
    match status {
        RepairStatus::Whole => "whole",
        RepairStatus::Healed => "healed",
        RepairStatus::Reconstructed => "reconstructed",
        RepairStatus::Copied => "copied",
        RepairStatus::Refused => "refused",
        RepairStatus::Skipped => "skipped",
        RepairStatus::Absent => "absent",
        RepairStatus::NotTaken => "not taken",
        RepairStatus::Withdrawn => "withdrawn",
        RepairStatus::Unreachable => "unreachable",
    }
}
