//! Validating backups: each is checked where it is, restored to a place of its own, and what was restored is compared with what it
//! should be.

mod completeness;
mod scratch;
mod withdrawn;

use teeline_core::{BackupError, BackupId, Class, Depth, Timestamp};

use crate::catalog::{Asked, ask_all, resolve, resolve_all};
use crate::chain::{Chain, Parents};
use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::keys::Keys;
use crate::report::{
    BackupValidation, CheckResult, CopyState, Damage, DestinationError, RestoreReport,
    RestoreStatus, ValidationReport, Verdict, VerifiedCopy,
};
use crate::request::{Cancel, Which};
use crate::restore::{RestoreRequest, restore};
use crate::verify::{VerifyRequest, WhichBackups, note, verify_copy};

pub use scratch::Scratch;

use scratch::Taken;
use withdrawn::leave_to_who_withdrew;

/// How the ledger names what is checked here.
const BY_VALIDATE: &str = "validate";

/// A validation to be made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ValidateRequest {
    /// Where the copies are, the preferred first.
    pub destinations: Vec<DestinationSpec>,
    /// Which backups; the last ten.
    pub which: WhichBackups,
    /// What opens those that are sealed. Without, it can't be told of these whether they can be restored.
    pub keys: Keys,
    /// Where they are restored to, one after the other; a temporary folder.
    pub scratch: Scratch,
    /// Ends the validation early.
    pub cancel: Cancel,
}

impl ValidateRequest {
    /// A validation of the last ten backups.
    pub fn new(destinations: Vec<DestinationSpec>) -> Self {
        ValidateRequest {
            destinations,
            which: WhichBackups::Last(10),
            keys: Keys::default(),
            scratch: Scratch::default(),
            cancel: Cancel::new(),
        }
    }
}

impl Engine {
    /// Finds out whether backups can be relied on. Whatever goes wrong is in the report.
    pub async fn validate(&self, request: ValidateRequest) -> ValidationReport {
        let engine = self.clone();
        let timestamp = (self.0.clock)();
        let validating = async move {
            let asked = request
                .cancel
                .guard(async { Ok(ask(&engine, &request).await) });
            let (ids, mut errors) = asked.await?;
            let mut validations = Vec::new();
            for id in ids {
                if request.cancel.is_cancelled() {
                    let error = BackupError::cancelled("the validation");
                    errors.push(DestinationError::of_none(&error));
                    break;
                }
                validations.push(validate(&engine, &request, id, BY_VALIDATE).await);
            }
            Ok(ValidationReport::new(timestamp, validations, errors))
        };
        let validated = self.0.host.spawn(validating).await;
        validated
            .and_then(|validated| validated)
            .unwrap_or_else(|error| {
                ValidationReport::new(
                    timestamp,
                    Vec::new(),
                    vec![DestinationError::of_none(&error)],
                )
            })
    }

    /// As [`Engine::validate`], for hosts without an executor.
    pub fn validate_blocking(&self, request: ValidateRequest) -> ValidationReport {
        futures::executor::block_on(self.validate(request))
    }
}

/// The backups that are meant, and which destinations couldn't be asked. One that was named is meant whether or not it is there.
async fn ask(engine: &Engine, request: &ValidateRequest) -> (Vec<BackupId>, Vec<DestinationError>) {
    let asked = ask_all(engine, &request.destinations).await;
    let failed = asked.iter().filter_map(|asked| asked.as_ref().err());
    let mut errors: Vec<DestinationError> = failed
        .map(|(destination, error)| DestinationError {
            destination: destination.clone(),
            error: error.into(),
        })
        .collect();
    let ids = match &request.which {
        WhichBackups::One(Which::Id(id)) => Ok(vec![id.clone()]),
        which => resolve_all(which, &asked).await,
    };
    let ids = ids.unwrap_or_else(|error| {
        if errors.is_empty() {
            errors.push(DestinationError::of_none(&error));
        }
        Vec::new()
    });
    (ids, errors)
}

/// Checks one backup; the ledger says that `by` did.
pub(crate) async fn validate(
    engine: &Engine,
    request: &ValidateRequest,
    id: BackupId,
    by: &str,
) -> BackupValidation {
    let mut validation = BackupValidation::begin(id, (engine.0.clock)());
    let work = check_all(engine, request, by, &mut validation);
    if let Err(error) = work.await {
        validation.overall = Verdict::Error;
        validation.because(&error);
    }
    validation.conclude()
}

/// # Errors
/// Where the checks can't be carried out; what they find is in the validation.
async fn check_all(
    engine: &Engine,
    request: &ValidateRequest,
    by: &str,
    validation: &mut BackupValidation,
) -> Result<(), BackupError> {
    let id = validation.backup_id.clone();
    let asked = request
        .cancel
        .guard(async { Ok(ask_all(engine, &request.destinations).await) })
        .await?;
    let mut copies = request
        .cancel
        .guard(async { Ok(look_at_copies(request, &asked, &id).await) })
        .await?;
    check_copies(&asked, &copies, validation).await;
    let before = validation.clone();
    let restored = match validation.checks.exists {
        CheckResult::Pass => restore_aside(engine, request, &asked, validation).await,
        _ => Ok(()),
    };
    leave_to_who_withdrew(&asked, &mut copies, &before, validation).await;
    note_all(engine, &asked, &mut copies, by, validation).await;
    restored
}

/// Restores to a place of its own, compares what came of it, and removes it.
async fn restore_aside(
    engine: &Engine,
    request: &ValidateRequest,
    asked: &[Result<Asked, (String, BackupError)>],
    validation: &mut BackupValidation,
) -> Result<(), BackupError> {
    let id = validation.backup_id.clone();
    let chain = match Chain::open(&id, asked, &request.keys, Parents::Withdrawn).await {
        Ok(chain) => chain,
        Err(error) => {
            validation.checks.restore = result_of(&error);
            validation.because(&error);
            return Ok(());
        }
    };
    let scratch = request.scratch.take(engine, &id).await?;
    let checked = check_restored(engine, request, &scratch, &chain, validation).await;
    let removed = scratch.remove().await;
    checked.and(removed)
}

/// Leaves word of the checks at each destination. What was restored says something of a copy only where there was no other to
/// take it from.
async fn note_all(
    engine: &Engine,
    asked: &[Result<Asked, (String, BackupError)>],
    copies: &mut [Option<VerifiedCopy>],
    by: &str,
    validation: &mut BackupValidation,
) {
    if let [Some(copy)] = copies {
        deepen(copy, validation);
    }
    let began: Timestamp = validation.timestamp;
    for (asked, copy) in asked.iter().zip(copies) {
        let (Ok(asked), Some(copy)) = (asked, copy) else {
            continue;
        };
        note(engine, asked, &validation.backup_id, copy, (by, began)).await;
        let unrecorded = copy.unrecorded.clone();
        validation
            .unrecorded
            .extend(unrecorded.map(|error| DestinationError {
                destination: copy.name.clone(),
                error,
            }));
    }
}

/// Adds to what is known of the only copy what came of restoring it.
fn deepen(copy: &mut VerifiedCopy, validation: &BackupValidation) {
    let checks = [validation.checks.restore, validation.checks.completeness];
    let failed = checks.contains(&CheckResult::Fail);
    if copy.how != Some(Depth::Digest) || !failed && checks != [CheckResult::Pass; 2] {
        return;
    }
    copy.how = Some(Depth::Restored);
    if let (true, Some(error)) = (failed && copy.damage.is_empty(), &validation.error) {
        copy.damage.push(Damage {
            destination: copy.name.clone(),
            file: validation.backup_id.to_string(),
            resource: None,
            chunk: None,
            class: error.class,
            message: error.message.clone(),
        });
    }
}

/// Each copy, as `verify` finds it; `None` of a destination that can't be asked.
async fn look_at_copies(
    request: &ValidateRequest,
    asked: &[Result<Asked, (String, BackupError)>],
    id: &BackupId,
) -> Vec<Option<VerifiedCopy>> {
    let mut verify = VerifyRequest::new(request.destinations.clone());
    verify.keys = request.keys.clone();
    let all: Vec<&Asked> = asked.iter().flatten().collect();
    let copies = asked.iter().map(async |asked| match asked {
        Ok(asked) => Some(verify_copy(&verify, &all, asked, id).await),
        Err(_) => None,
    });
    futures::future::join_all(copies).await
}

async fn check_copies(
    asked: &[Result<Asked, (String, BackupError)>],
    copies: &[Option<VerifiedCopy>],
    validation: &mut BackupValidation,
) {
    let state = |copy: &Option<VerifiedCopy>| {
        copy.as_ref()
            .map_or(CopyState::Unreachable, |copy| copy.status)
    };
    let any = |wanted| copies.iter().any(|copy| state(copy) == wanted);
    let checks = &mut validation.checks;
    checks.exists = match () {
        () if is_there(copies) => CheckResult::Pass,
        () if any(CopyState::Unreachable) => CheckResult::Inconclusive,
        () => CheckResult::Fail,
    };
    checks.integrity = match () {
        () if any(CopyState::Damaged) => CheckResult::Fail,
        () if any(CopyState::Unreachable) || any(CopyState::Attested) || !any(CopyState::Ok) => {
            CheckResult::Inconclusive
        }
        // Digests are right whoever wrote it.
        () if is_of_anybody(copies) => CheckResult::Inconclusive,
        () => CheckResult::Pass,
    };
    let all = copies.iter().flatten();
    validation.damage = all.flat_map(|copy| copy.damage.clone()).collect();
    if validation.checks.exists != CheckResult::Pass {
        let which = Which::Id(validation.backup_id.clone());
        if let Err(error) = resolve(&which, asked).await {
            validation.because(&error);
        }
        return;
    }
    if let Some(damage) = validation.damage.first() {
        let subject = format!("{} at {}", damage.file, damage.destination);
        let error = match validation.checks.integrity {
            CheckResult::Fail => BackupError::corrupt(subject, &damage.message),
            _ => BackupError::new(damage.class, "read", subject, &damage.message),
        };
        validation.because(&error);
    } else if let Some((name, error)) = asked.iter().find_map(|asked| asked.as_ref().err()) {
        let subject = format!("destination {name}");
        validation.because(&BackupError::new(error.class(), "ask", subject, error));
    }
}

/// Whether a destination has a copy, in whatever state.
fn is_there(copies: &[Option<VerifiedCopy>]) -> bool {
    let has = |copy: &VerifiedCopy| {
        matches!(
            copy.status,
            CopyState::Ok | CopyState::Attested | CopyState::Damaged
        )
    };
    copies.iter().flatten().any(has)
}

/// Whether a sealed copy isn't known to be by who has the keys.
fn is_of_anybody(copies: &[Option<VerifiedCopy>]) -> bool {
    let seals = copies
        .iter()
        .flatten()
        .filter_map(|copy| copy.seal.as_ref());
    seals.into_iter().any(|seal| !seal.authentic)
}

/// Restores, and compares what was restored.
async fn check_restored(
    engine: &Engine,
    request: &ValidateRequest,
    scratch: &Taken,
    chain: &Chain,
    validation: &mut BackupValidation,
) -> Result<(), BackupError> {
    let which = Which::Id(validation.backup_id.clone());
    let destinations = request.destinations.clone();
    let mut restoring = RestoreRequest::new(which, destinations, scratch.target());
    restoring.keys = request.keys.clone();
    restoring.cancel = request.cancel.clone();
    let restored: RestoreReport = Box::pin(restore(engine, restoring)).await;
    if restored.status != RestoreStatus::Completed {
        let error = restored.error.map_or_else(
            || BackupError::corrupt(&validation.backup_id, "it wasn't restored"),
            |error| BackupError::new(error.class, "restore", &validation.backup_id, error.message),
        );
        validation.checks.restore = result_of(&error);
        return match validation.checks.restore {
            CheckResult::Fail => {
                validation.because(&error);
                Ok(())
            }
            _ => Err(error),
        };
    }
    validation.checks.restore = CheckResult::Pass;
    // What the restore passed over, of the backup or of what it goes on from, isn't right at some destination.
    if let Some(damage) = restored.avoided.first() {
        let subject = format!("{} at {}", damage.file, damage.destination);
        let error = BackupError::new(damage.class, "read", subject, &damage.message);
        let found = result_of(&error);
        if validation.checks.integrity == CheckResult::Pass || found == CheckResult::Fail {
            validation.checks.integrity = found;
        }
        validation.because(&error);
    }
    let lines = scratch.count_lines().await?;
    let (completeness, error) = completeness::check(chain, &restored, lines).await;
    validation.checks.completeness = completeness;
    if let Some(error) = error {
        validation.because(&error);
    }
    Ok(())
}

/// What a failure says of the backup: only bytes that are wrong or missing are its fault.
fn result_of(error: &BackupError) -> CheckResult {
    match error.class() {
        Class::Corrupt | Class::NotFound => CheckResult::Fail,
        _ => CheckResult::Inconclusive,
    }
}
