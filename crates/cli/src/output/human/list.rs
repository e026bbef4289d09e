//! The backups that there are.

use teeline::{CopyState, ListReport, ListedBackup, RunStatus, VerificationResult};

use super::words::{bytes, grouped, of_check, of_copy, resources, table};
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
            false => &[
                "BACKUP",
                "BEGAN",
                "RECORDS",
                "STORED",
                "DESTINATIONS",
                "VERIFIED",
            ][..],
            true => &["RUN", "BEGAN", "FAILED"],
        };
        let has_links = self.backups.iter().any(|backup| backup.parent.is_some());
        let goes_on = has_links.then_some("GOES ON FROM");
        let is_of_some = |backup: &ListedBackup| {
            backup.is_in_part || !(backup.include.is_empty() && backup.exclude.is_empty())
        };
        let are_of_some = self.backups.iter().any(is_of_some);
        let of = are_of_some.then_some("RESOURCES");
        let head = head.iter().copied().chain(of).chain(goes_on);
        let mut rows = vec![head.map(str::to_owned).collect()];
        rows.extend(self.backups.iter().map(|backup| {
            let parent = backup.parent.as_ref();
            let mut row = vec![backup.id.to_string(), backup.timestamp.to_string()];
            match failed {
                false => row.extend([
                    grouped(backup.record_count),
                    bytes(backup.size),
                    places(backup),
                    verified(backup),
                ]),
                true => {
                    let error = backup.error.as_ref();
                    row.push(error.map_or_else(String::new, |error| error.message.clone()));
                }
            }
            let of = || {
                let of = resources(&backup.include, &backup.exclude);
                match backup.is_in_part {
                    true => format!("{of}, some records"),
                    false => of,
                }
            };
            row.extend(are_of_some.then(of));
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

/// The destinations, with what is wrong where it isn't there as it should be.
fn places(backup: &ListedBackup) -> String {
    let shown = backup.copies.iter().filter_map(|copy| match copy.status {
        CopyState::Withdrawn | CopyState::NotTaken => None,
        CopyState::Ok => Some(copy.destination.clone()),
        other => {
            let lacks = copy.lacks.as_ref();
            let lacks = lacks.map_or(String::new(), |id| format!(", lacks {id}"));
            Some(format!("{} ({}{lacks})", copy.destination, of_copy(other)))
        }
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// When it was verified: where that is longest ago, or where damage was found, or nobody has looked.
fn verified(backup: &ListedBackup) -> String {
    let copies = backup.copies.iter();
    let there = copies.filter(|copy| backup.destinations.contains(&copy.destination));
    let checks: Option<Vec<_>> = there.map(|copy| copy.last_verified.as_ref()).collect();
    let damaged = |check: &&&teeline::LastVerified| check.result == VerificationResult::Damaged;
    let checks = checks.unwrap_or_default();
    let worst = checks.iter().find(damaged);
    let worst = worst.or_else(|| checks.iter().min_by_key(|check| check.at));
    worst.map_or("-".to_owned(), |check| of_check(check))
}
