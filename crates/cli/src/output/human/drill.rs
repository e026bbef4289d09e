//! What became of a drill.

use std::fmt::Write;

use teeline::DrillReport;

use super::validation::{of_backup, problems_of};
use super::words::{counted, seconds};
use super::{Problem, Shown};

impl Shown for DrillReport {
    fn exit_code(&self) -> u8 {
        DrillReport::exit_code(self)
    }

    fn text(&self) -> String {
        let (Some(destination), Some(backup)) = (&self.destination, &self.backup) else {
            return String::new();
        };
        let mut text = of_backup(backup);
        let _ = writeln!(
            text,
            "   from {destination} alone, which has {}, in {}",
            counted(self.candidates, "backup"),
            seconds(self.duration)
        );
        text
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        if let Some(backup) = &self.backup {
            problems_of(backup, false, problems);
        }
        let destination = self.destination.as_deref().unwrap_or_default();
        let error = self.error.as_ref();
        problems.extend(error.map(|error| Problem::of(destination, error)));
    }
}
