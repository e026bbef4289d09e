//! What filling gaps did, as people read it.

use std::fmt::Write;

use teeline::{SyncReport, SyncStatus, SyncedCopy};

use super::words::{bytes, table, warned};
use super::{Problem, Shown};

impl Shown for SyncReport {
    fn exit_code(&self) -> u8 {
        SyncReport::exit_code(self)
    }

    fn text(&self) -> String {
        if self.backups.is_empty() {
            let all = match self.errors.is_empty() {
                true => "every destination has every backup that wasn't withdrawn there\n",
                false => "",
            };
            return all.to_owned() + &warned(&self.warnings);
        }
        let mut text = String::new();
        for backup in &self.backups {
            let _ = writeln!(text, "{}", backup.id);
            let row = |copy: &SyncedCopy| {
                let (status, copied) = match copy.status {
                    SyncStatus::Whole => ("there", String::new()),
                    SyncStatus::NotTaken => ("not taken", String::new()),
                    SyncStatus::Withdrawn => ("withdrawn", String::new()),
                    SyncStatus::Copied => ("copied", bytes(copy.bytes)),
                    SyncStatus::Failed => ("failed", String::new()),
                    SyncStatus::Unknown => ("unknown", String::new()),
                };
                vec![format!("  {}", copy.name), status.to_owned(), copied]
            };
            let rows: Vec<Vec<String>> = backup.destinations.iter().map(row).collect();
            text.push_str(&table(&rows));
        }
        text + &warned(&self.warnings)
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        for failed in &self.errors {
            problems.push(Problem::of(&failed.destination, &failed.error));
        }
        for copy in self.backups.iter().flat_map(|backup| &backup.destinations) {
            let error = copy.error.as_ref();
            problems.extend(error.map(|error| Problem::of(&copy.name, error)));
        }
    }
}
