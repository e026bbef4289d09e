//! The backups that there are.

use teeline::ListReport;

use super::words::{bytes, grouped, table};
use super::{Problem, Shown};

impl Shown for ListReport {
    fn exit_code(&self) -> u8 {
        ListReport::exit_code(self)
    }

    fn text(&self) -> String {
        if self.backups.is_empty() {
            return if self.errors.is_empty() {
                "no backups\n".to_owned()
            } else {
                String::new()
            };
        }
        let mut rows = vec![
            ["BACKUP", "BEGAN", "RECORDS", "STORED", "DESTINATIONS"]
                .map(str::to_owned)
                .to_vec(),
        ];
        rows.extend(self.backups.iter().map(|backup| {
            vec![
                backup.id.to_string(),
                backup.timestamp.to_string(),
                grouped(backup.record_count),
                bytes(backup.size),
                backup.destinations.join(", "),
            ]
        }));
        table(&rows)
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        problems.extend(
            self.errors
                .iter()
                .map(|failed| Problem::of(&failed.destination, &failed.error)),
        );
    }
}
