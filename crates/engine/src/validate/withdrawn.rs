//! What is withdrawn while it is validated: anything of it may be missing then, which is no damage.

use teeline_core::BackupError;

use crate::catalog::Asked;
use crate::report::{BackupValidation, CheckResult, CopyState, ValidationChecks, VerifiedCopy};
use crate::verify::withdrawn_by_now;

/// Takes back what the restore found wrong, where a destination has withdrawn the backup since its copy was looked at; `before` is what
/// was known until then.
pub(super) async fn leave_to_who_withdrew(
    asked: &[Result<Asked, (String, BackupError)>],
    copies: &mut [Option<VerifiedCopy>],
    before: &BackupValidation,
    validation: &mut BackupValidation,
) {
    let checks = without_new_failures(before.checks, validation.checks);
    if checks == validation.checks {
        return;
    }
    let mut why = None;
    for (asked, copy) in asked.iter().zip(copies) {
        if let (Ok(asked), Some(copy)) = (asked, copy)
            && let Some(withdrawn) = withdrawn_by_now(asked, &validation.backup_id).await
        {
            *copy = VerifiedCopy::unread(&asked.opened.name, CopyState::Withdrawn);
            why = Some(withdrawn.error(&asked.opened).await);
        }
    }
    if let Some(error) = why {
        validation.checks = checks;
        validation.error.clone_from(&before.error);
        validation.because(&error);
    }
}

fn without_new_failures(before: ValidationChecks, now: ValidationChecks) -> ValidationChecks {
    let of = |before, now| match (before, now) {
        (CheckResult::Pass | CheckResult::Inconclusive, CheckResult::Fail) => {
            CheckResult::Inconclusive
        }
        (_, now) => now,
    };
    ValidationChecks {
        exists: of(before.exists, now.exists),
        integrity: of(before.integrity, now.integrity),
        restore: of(before.restore, now.restore),
        completeness: of(before.completeness, now.completeness),
    }
}
