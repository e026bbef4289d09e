//! The backups that there are.

use teeline::{ListReport, RunStatus};

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
        let failed = self
            .backups
            .iter()
            .any(|backup| backup.status == RunStatus::Failed);
        let head = match failed {
            false => &["BACKUP", "BEGAN", "RECORDS", "STORED", "DESTINATIONS"][..],
            true => &["RUN", "BEGAN", "FAILED"],
        };
        let has_links = self.backups.iter().any(|backup| backup.parent.is_some());
        let goes_on = has_links.then_some("GOES ON FROM");
        let head = head.iter().copied().chain(goes_on);
        let mut rows = vec![head.map(str::to_owned).collect()];
        rows.extend(self.backups.iter().map(|backup| {
            let parent = backup.parent.as_ref();
            let mut row = vec![backup.id.to_string(), backup.timestamp.to_string()];
            match failed {
                false => row.extend([
                    grouped(backup.record_count),
                    bytes(backup.size),
                    backup.destinations.join(", "),
                ]),
                true => {
                    let error = backup.error.as_ref();
                    row.push(error.map_or_else(String::new, |error| error.message.clone()));
                }
            }
            row.extend(parent.map(|parent| parent.id.to_string()));
            row
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
