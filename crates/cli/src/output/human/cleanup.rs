//! What deleting and cleaning up did, as people read it.

use std::fmt::Write;

use teeline::{
    CleanedBackup, CleanedDestination, CleanupReport, CleanupStatus, DeleteReport, KeptBy, Removal,
    RemovalStatus, Rule, WithdrawalReason,
};

use super::words::{bytes, counted, table};
use super::{Problem, Shown};

impl Shown for DeleteReport {
    fn exit_code(&self) -> u8 {
        DeleteReport::exit_code(self)
    }

    fn text(&self) -> String {
        if self.error.is_some() {
            return String::new();
        }
        let row = |name: &str, removal: &Removal| {
            vec![format!("  {name}"), done(removal, false), detail(removal)]
        };
        let copies = self.destinations.iter();
        let rows: Vec<_> = copies.map(|copy| row(&copy.name, &copy.removal)).collect();
        let links: String = self.links.iter().map(Shown::text).collect();
        format!("{links}{}\n{}", self.id, table(&rows))
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        for link in &self.links {
            link.problems(problems);
        }
        problems.extend(self.error.as_ref().map(Problem::plain));
        for copy in &self.destinations {
            let error = copy.removal.error.as_ref();
            problems.extend(error.map(|error| Problem::of(&copy.name, error)));
        }
    }
}

impl Shown for CleanupReport {
    fn exit_code(&self) -> u8 {
        CleanupReport::exit_code(self)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for at in &self.destinations {
            let rows = rows(at, self.dry_run);
            if !rows.is_empty() {
                let _ = write!(text, "{}\n{}", at.name, table(&rows));
                text.push_str(&kept_by_lock(at));
            }
        }
        let withdrawn = counted(self.count, "backup");
        let would = if self.dry_run { "would be " } else { "" };
        let _ = writeln!(
            text,
            "{withdrawn} {would}withdrawn, {} kept",
            self.kept.len()
        );
        text
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        for failed in &self.errors {
            problems.push(Problem::of(&failed.destination, &failed.error));
        }
        for at in &self.destinations {
            let errors = at.all_errors();
            problems.extend(errors.map(|error| Problem::of(&at.name, error)));
        }
    }
}

/// That what was removed from a bucket that locks it isn't gone.
fn kept_by_lock(at: &CleanedDestination) -> String {
    let mut removals = at.removals.iter();
    let is_removed = removals.any(|removal| removal.status == RemovalStatus::Removed);
    match at.locked_days.filter(|_| is_removed) {
        Some(days) => format!(
            "  what is removed there stays, hidden, until {} after it was written: the bucket locks it\n",
            counted(days, "day")
        ),
        None => String::new(),
    }
}

/// Each backup with what keeps it where nothing is done, otherwise what was done.
fn rows(at: &CleanedDestination, dry_run: bool) -> Vec<Vec<String>> {
    let shown = |backup: &&CleanedBackup| dry_run || backup.status != CleanupStatus::Kept;
    let of_backup = |backup: &CleanedBackup| {
        let what = match backup.status {
            CleanupStatus::Kept => "kept",
            CleanupStatus::Withdrawn if dry_run => "would be withdrawn",
            CleanupStatus::Withdrawn => "withdrawn",
            CleanupStatus::Failed => "not withdrawn",
        };
        let reasons: Vec<String> = backup.kept_by.iter().map(reason).collect();
        vec![
            format!("  {}", backup.id),
            what.to_owned(),
            reasons.join(", "),
        ]
    };
    let of_removal = |removal: &Removal| {
        vec![
            format!("  {}", removal.id),
            done(removal, dry_run),
            detail(removal),
        ]
    };
    let ended = if dry_run { "would be ended" } else { "ended" };
    let backups = at.backups.iter().filter(shown).map(of_backup);
    // What was withdrawn just now was said.
    let is_news = |removal: &&Removal| {
        let mut backups = at.backups.iter();
        removal.status != RemovalStatus::Withdrawn || !backups.any(|backup| backup.id == removal.id)
    };
    let removals = at.removals.iter().filter(is_news).map(of_removal);
    let uploads = at.uploads.iter().map(|upload| {
        let what = match &upload.error {
            None => ended,
            Some(_) => "not ended",
        };
        vec![
            format!("  {}", upload.key),
            what.to_owned(),
            "unfinished upload".to_owned(),
        ]
    });
    backups.chain(removals).chain(uploads).collect()
}

fn done(removal: &Removal, dry_run: bool) -> String {
    match removal.status {
        RemovalStatus::Withdrawn => "withdrawn",
        RemovalStatus::Removed if dry_run => "would be removed",
        RemovalStatus::Removed => "removed",
        RemovalStatus::Left => "left",
        RemovalStatus::Absent => "absent",
        RemovalStatus::Failed => "failed",
    }
    .to_owned()
}

fn detail(removal: &Removal) -> String {
    match (removal.status, removal.removable_from) {
        (RemovalStatus::Withdrawn, Some(from)) => format!("its files stay until {from}"),
        (RemovalStatus::Left, _) => {
            let error = removal.error.as_ref();
            error.map_or(String::new(), |error| error.message.clone())
        }
        (RemovalStatus::Removed, _) => {
            let of_run = removal.reason == Some(WithdrawalReason::DeadRun);
            let what = if of_run {
                "what a dead run had left"
            } else {
                ""
            };
            match (removal.files, what) {
                (0, what) => what.to_owned(),
                (files, what) => {
                    let removed = format!("{}, {}", counted(files, "file"), bytes(removal.bytes));
                    if what.is_empty() {
                        removed
                    } else {
                        format!("{what}: {removed}")
                    }
                }
            }
        }
        _ => String::new(),
    }
}

fn reason(kept: &KeptBy) -> String {
    let name = match kept.rule {
        Rule::Count => "count",
        Rule::Daily => "daily",
        Rule::Weekly => "weekly",
        Rule::Monthly => "monthly",
        Rule::Yearly => "yearly",
        Rule::Age => "age",
        Rule::KeepWithin => "keep-within",
        Rule::LastVerified => "last-verified",
        Rule::NeededBy => "needed-by",
        Rule::ImplausibleTime => "implausible-time",
        Rule::NoRule => "no-rule",
    };
    match &kept.of {
        Some(of) => format!("{name} {of}"),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_lock_keeps_is_not_called_gone() {
        let removal = Removal {
            id: "full-2026-01-01T00-00-00-aaaaaaaaaa".parse().unwrap(),
            reason: Some(WithdrawalReason::Expired),
            status: RemovalStatus::Removed,
            withdrawn_at: None,
            removable_from: None,
            files: 3,
            bytes: 100,
            error: None,
            is_theirs: false,
        };
        let report = |locked_days, removals: &[Removal]| CleanupReport {
            dry_run: false,
            count: 0,
            kept: Vec::new(),
            deleted: Vec::new(),
            destinations: vec![CleanedDestination {
                name: "far".to_owned(),
                locked_days,
                backups: Vec::new(),
                removals: removals.to_vec(),
                uploads: Vec::new(),
                verifications: 0,
                turns: 0,
                errors: Vec::new(),
            }],
            errors: Vec::new(),
            failure: None,
        };
        let removed = [removal];
        let locked = report(Some(30), &removed).text();
        assert!(
            locked.contains("stays, hidden, until 30 days after it was written"),
            "{locked}"
        );
        assert!(!report(None, &removed).text().contains("hidden"));
        assert!(!report(Some(30), &[]).text().contains("hidden"));
    }
}
