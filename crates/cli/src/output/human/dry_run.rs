//! What a backup would come to.

use std::fmt::Write;

use teeline::{DryRunReport, DryRunStatus};

use super::words::{bytes, counted, seconds, table};
use super::{Problem, Shown};

impl Shown for DryRunReport {
    fn exit_code(&self) -> u8 {
        DryRunReport::exit_code(self)
    }

    fn text(&self) -> String {
        if self.status == DryRunStatus::Failed {
            return String::new();
        }
        let about = if self.is_whole { "" } else { "about " };
        let what = match self.backup_type.as_str() {
            "incremental" => "an incremental backup that has everything".to_owned(),
            other => format!("a {other} backup"),
        };
        let mut text = format!(
            "{what} would be {about}{}\n  {} and {}: {} plain\n  reading and compressing it would take about {}\n",
            bytes(self.size),
            counted(self.record_count, "record"),
            counted(self.object_count, "other object"),
            bytes(self.plain_bytes),
            seconds(self.estimated_duration)
        );
        let of = if self.is_whole {
            "all that there is"
        } else {
            "a sample"
        };
        let _ = writeln!(
            text,
            "  judged by {of}: {} and {}, {} plain, in {}; nothing was written\n",
            counted(self.sample.record_count, "record"),
            counted(self.sample.object_count, "other object"),
            bytes(self.sample.plain_bytes),
            seconds(self.sample.duration)
        );
        let rows = self.resources.iter().map(|resource| {
            vec![
                format!("  {}", resource.name),
                counted(resource.record_count, "record"),
                bytes(resource.size),
                format!("{} read", counted(resource.sampled, "record")),
            ]
        });
        text.push_str(&table(&rows.collect::<Vec<_>>()));
        text
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        problems.extend(self.error.as_ref().map(Problem::plain));
    }
}
