//! Whether backups are as they should be, by what destinations list: for whoever asks every hour, and is told only when not.

use futures::future::join_all;
use teeline_core::{
    BackupError, CatalogEntry, Class, Retention, Span, Timestamp, VerificationResult,
};

use crate::catalog::{Asked, ask_all};
use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::failed_runs;
use crate::ledger::Ledger;
use crate::list::{ListRequest, ListedStatus};
use crate::report::{MonitorReport, MonitoredDestination};

/// What is expected of each destination.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MonitorRequest {
    /// Where to look.
    pub destinations: Vec<DestinationSpec>,
    /// How old the latest backup may be; any age.
    pub max_age: Option<Span>,
    /// How many backups there must be; 1.
    pub min_count: u64,
    /// How long ago each backup may have been verified, or made, if nobody has looked since; any time.
    pub max_unverified: Option<Span>,
}

impl MonitorRequest {
    /// One backup at each destination, of any age.
    pub fn new(destinations: Vec<DestinationSpec>) -> Self {
        MonitorRequest {
            destinations,
            max_age: None,
            min_count: 1,
            max_unverified: None,
        }
    }
}

impl Engine {
    /// Looks whether each destination has the backups that are expected of it: enough, the latest one young enough, no run that
    /// failed since, nothing damaged in its catalogue or found damaged by a check, and each verified not too long ago. A backup that began in the future, or before 2000, counts for nothing.
    pub async fn monitor(&self, request: MonitorRequest) -> MonitorReport {
        let engine = self.clone();
        let looking = async move { monitor(&engine, &request).await };
        let result = self.0.host.spawn(looking).await;
        result.unwrap_or_else(|error| MonitorReport::new(Vec::new(), Some((&error).into())))
    }

    /// As [`Engine::monitor`], for hosts without an executor.
    pub fn monitor_blocking(&self, request: MonitorRequest) -> MonitorReport {
        futures::executor::block_on(self.monitor(request))
    }
}

async fn monitor(engine: &Engine, request: &MonitorRequest) -> MonitorReport {
    let now = (engine.0.clock)();
    let asked = ask_all(engine, &request.destinations).await;
    let looks = asked
        .into_iter()
        .zip(&request.destinations)
        .map(|(asked, spec)| async move {
            let mut found = MonitoredDestination::new(&spec.name);
            match asked {
                Ok(asked) => look(engine, &asked, spec, request, now, &mut found).await,
                Err((_, error)) => found.problems.push((&error).into()),
            }
            found
        });
    MonitorReport::new(join_all(looks).await, None)
}

async fn look(
    engine: &Engine,
    asked: &Asked,
    spec: &DestinationSpec,
    request: &MonitorRequest,
    now: Timestamp,
    found: &mut MonitoredDestination,
) {
    let entries = asked.catalog.entries.iter();
    let counted = entries.filter(|entry| Retention::is_plausible(entry.started_at, now));
    let counted: Vec<_> = counted.collect();
    found.count = counted.len() as u64;
    let latest = counted.iter().max_by_key(|entry| entry.started_at);
    found.latest = latest.map(|entry| entry.id.clone());
    found.age = latest.map(|entry| entry.started_at.until(now).ms());
    let mut problems: Vec<BackupError> = Vec::new();
    if found.count < request.min_count {
        let message = format!(
            "there are {}, and at least {} are expected",
            found.count, request.min_count
        );
        problems.push(problem(message));
    }
    if let (Some(age), Some(max_age)) = (found.age, request.max_age)
        && age > max_age.ms()
    {
        let message = format!(
            "the latest is {} old, and at most {max_age} is expected",
            whole(age)
        );
        problems.push(problem(message));
    }
    found.problems = problems.iter().map(Into::into).collect();
    let damaged = asked.catalog.damaged();
    found
        .problems
        .extend(damaged.map(|(_, _, error)| error.into()));
    match Ledger::read(&asked.opened, now).await {
        Ok(ledger) => look_at_ledger(&ledger, &counted, request, now, found),
        Err(error) => found.problems.push((&error).into()),
    }
    let mut failed = ListRequest::new(vec![spec.clone()]);
    (failed.status, failed.limit) = (ListedStatus::Failed, Some(1));
    failed.since = latest.map(|entry| entry.started_at);
    let failed = failed_runs::list(engine, &failed).await;
    for run in failed.backups {
        let reason = run.error.map_or(String::new(), |error| error.message);
        let message = format!("the run {} failed: {reason}", run.id);
        found.problems.push((&problem(message)).into());
    }
    found
        .problems
        .extend(failed.errors.into_iter().map(|failed| failed.error));
}

/// What checks have found, and how long ago they were.
fn look_at_ledger(
    ledger: &Ledger,
    counted: &[&CatalogEntry],
    request: &MonitorRequest,
    now: Timestamp,
    found: &mut MonitoredDestination,
) {
    let checks = counted
        .iter()
        .filter_map(|entry| ledger.decisive(&entry.id));
    for check in checks.filter(|check| check.result == VerificationResult::Damaged) {
        let message = format!("a check found damage at {}", check.at);
        let error = BackupError::corrupt(&check.id, message);
        let error = error.suggest(format!("`teeline status {}` says more", check.id));
        found.problems.push((&error).into());
    }
    let age = |entry: &&CatalogEntry| ledger.last_look(entry).until(now).ms();
    let longest = counted.iter().max_by_key(|entry| age(entry));
    found.longest_unverified = longest.map(age);
    if let (Some(longest), Some(max)) = (longest, request.max_unverified) {
        let late = counted.iter().filter(|entry| age(entry) > max.ms()).count();
        if late > 0 {
            let message = format!(
                "{late} of {} weren't verified within {max}, one of them {} for {}",
                counted.len(),
                longest.id,
                whole(age(longest))
            );
            let error = problem(message);
            let error = error
                .suggest("`teeline scrub` verifies those that nobody has looked at for longest");
            found.problems.push((&error).into());
        }
    }
}

fn problem(message: String) -> BackupError {
    BackupError::new(Class::Permanent, "check", "its backups", message)
}

/// A length of time in the largest unit of which it has two or more.
fn whole(ms: u64) -> Span {
    const UNITS_MS: [u64; 3] = [86_400_000, 3_600_000, 60_000];
    let unit_ms = UNITS_MS.into_iter().find(|unit_ms| ms >= 2 * unit_ms);
    let unit_ms = unit_ms.unwrap_or(1_000);
    Span::from_ms(ms / unit_ms * unit_ms)
}
