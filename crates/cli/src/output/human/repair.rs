//! What a repair did, as people read it.

use std::fmt::Write;

use teeline::{MissingFile, RepairReport, RepairStatus, RepairedCopy};

use super::words::table;
use super::{Problem, Shown};

impl Shown for RepairReport {
    fn exit_code(&self) -> u8 {
        RepairReport::exit_code(self)
    }

    fn text(&self) -> String {
        if self.runs.is_empty() {
            return match self.errors.is_empty() {
                true => "every run has its manifest\n".to_owned(),
                false => String::new(),
            };
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
        }
        text
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
            problems.extend(named(&copy.missing).map(|file| missing(&copy.name, file)));
        }
    }
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
    Problem {
        about: Some(format!("destination {destination}, {}", missing.file)),
        message,
        suggestion: None,
    }
}

fn done(status: RepairStatus) -> &'static str {
    match status {
        RepairStatus::Whole => "whole",
        RepairStatus::Reconstructed => "reconstructed",
        RepairStatus::Copied => "copied",
        RepairStatus::Refused => "refused",
        RepairStatus::Skipped => "skipped",
        RepairStatus::Absent => "absent",
        RepairStatus::Withdrawn => "withdrawn",
        RepairStatus::Unreachable => "unreachable",
    }
}
