//! Whether backups can be relied on, in the words of s3db.js's documentation.

use std::fmt::Write;

use teeline::{BackupValidation, CheckResult, ValidationReport, Verdict};

use super::{Problem, Shown};

impl Shown for ValidationReport {
    fn exit_code(&self) -> u8 {
        ValidationReport::exit_code(self)
    }

    fn text(&self) -> String {
        if self.validations.is_empty() {
            return String::new();
        }
        let mut text = String::new();
        for validation in &self.validations {
            text.push_str(&of_backup(validation));
        }
        let _ = write!(
            text,
            "\n📋 BACKUP VALIDATION REPORT\nTotal Backups: {}\n",
            self.total_backups
        );
        for (verdict, what, count) in [
            (Verdict::Pass, "Passed", self.passed),
            (Verdict::Fail, "Failed", self.failed),
            (Verdict::Error, "Errors", self.errors),
            (Verdict::Inconclusive, "Inconclusive", self.inconclusive),
        ] {
            let _ = writeln!(text, "{} {what}: {count}", sign(verdict));
        }
        text
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        for validation in &self.validations {
            problems_of(validation, !self.destination_errors.is_empty(), problems);
        }
        for failed in &self.destination_errors {
            problems.push(Problem::of(&failed.destination, &failed.error));
        }
    }
}

/// What is wrong with a backup, where that destinations couldn't be asked was perhaps said, once for all backups.
pub(super) fn problems_of(
    validation: &BackupValidation,
    is_unasked_said: bool,
    problems: &mut Vec<Problem>,
) {
    problems.extend(validation.damage.iter().map(Problem::damage));
    let is_said = !validation.damage.is_empty()
        || validation.overall == Verdict::Inconclusive && is_unasked_said;
    let error = validation.error.as_ref().filter(|_| !is_said);
    problems.extend(error.map(Problem::plain));
    let unrecorded = validation.unrecorded.iter();
    problems
        .extend(unrecorded.map(|failed| Problem::unrecorded(&failed.destination, &failed.error)));
}

pub(super) fn of_backup(validation: &BackupValidation) -> String {
    let verdict = validation.overall;
    let word = match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Error => "error",
    };
    let checks = validation.checks;
    let checks = [
        ("exists", checks.exists),
        ("integrity", checks.integrity),
        ("restore", checks.restore),
        ("completeness", checks.completeness),
    ];
    let checks = checks.map(|(name, result)| format!("{name} {}", found(result)));
    format!(
        "{} Validation {word}: {}\n   {}\n",
        sign(verdict),
        validation.backup_id,
        checks.join(", ")
    )
}

fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✅",
        Verdict::Fail => "❌",
        Verdict::Inconclusive => "❔",
        Verdict::Error => "🚨",
    }
}

fn found(result: CheckResult) -> &'static str {
    match result {
        CheckResult::Pass => "pass",
        CheckResult::Fail => "fail",
        CheckResult::Inconclusive => "inconclusive",
    }
}
