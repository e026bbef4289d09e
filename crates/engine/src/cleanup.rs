//! Cleaning up: backups that no rule keeps are withdrawn, what was withdrawn is removed after its grace, and so is what dead
//! runs have left. Each destination by itself.

mod destination;
mod judge;
mod markers;
mod outdated;
mod unlisted;
mod verified;

use std::collections::BTreeMap;

use futures::future::join_all;
use teeline_core::{BackupError, BackupId, TimeZone, Timestamp};

use crate::catalog::ask_all;
use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::failure::{Failure, Operation};
use crate::report::{CleanedDestination, CleanupReport, CleanupStatus, DestinationError};
use crate::request::{Cancel, RetentionPolicy};

use destination::Cleaning;

/// A cleanup to be made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CleanupRequest {
    /// Where the backups are.
    pub destinations: Vec<DestinationSpec>,
    /// What becomes of them, where a destination doesn't say it itself.
    pub retention: RetentionPolicy,
    /// Where days, weeks, months and years begin; UTC.
    pub time_zone: TimeZone,
    /// Only says what would be done.
    pub dry_run: bool,
    /// Ends it early. What is half done is gone on with by the next.
    pub cancel: Cancel,
}

impl CleanupRequest {
    /// A cleanup by these rules.
    ///
    /// ```
    /// use teeline::{CleanupRequest, Retention, RetentionPolicy};
    /// # use teeline::{BackupRequest, DestinationSpec, Engine, JsonlSource};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # std::fs::write(folder.path().join("users.jsonl"), "{\"id\":1}\n")?;
    /// # let engine = Engine::new()?;
    /// # let to = vec![DestinationSpec::parse(&folder.path().join("copy").display().to_string())?];
    /// for _ in 0..3 {
    ///     let source = JsonlSource::path(folder.path().join("users.jsonl"));
    ///     engine.backup_blocking(BackupRequest::new(source, to.clone()));
    /// }
    /// let newest_two = Retention { count: 2, ..Retention::default() };
    /// let request = CleanupRequest::new(to.clone(), RetentionPolicy::new(newest_two));
    /// let report = engine.cleanup_blocking(request);
    /// assert_eq!((report.count, report.exit_code()), (1, 0), "{report:?}");
    /// assert_eq!(engine.list_blocking(&to).backups.len(), 2);
    /// # Ok(()) }
    /// ```
    pub fn new(destinations: Vec<DestinationSpec>, retention: RetentionPolicy) -> Self {
        CleanupRequest {
            destinations,
            retention,
            time_zone: TimeZone::default(),
            dry_run: false,
            cancel: Cancel::new(),
        }
    }
}

impl Engine {
    /// Withdraws backups that no rule keeps, and removes what was withdrawn before and what dead runs have left.
    pub async fn cleanup(&self, request: CleanupRequest) -> CleanupReport {
        let engine = self.clone();
        let dry_run = request.dry_run;
        let cleaning = async move { Ok(cleanup(&engine, &request).await) };
        let result = self.0.host.spawn(cleaning).await;
        result
            .and_then(|cleaned| cleaned)
            .unwrap_or_else(|error| CleanupReport {
                dry_run,
                failure: Some(Failure::of(Operation::Cleanup, &error)),
                errors: vec![DestinationError::of_none(&error)],
                ..CleanupReport::default()
            })
    }

    /// As [`Engine::cleanup`], for hosts without an executor.
    pub fn cleanup_blocking(&self, request: CleanupRequest) -> CleanupReport {
        futures::executor::block_on(self.cleanup(request))
    }
}

/// Carries out a cleanup, on the engine's own threads.
pub(crate) async fn cleanup(engine: &Engine, request: &CleanupRequest) -> CleanupReport {
    let specs = request.destinations.iter();
    let mut destinations: Vec<CleanedDestination> = specs.map(CleanedDestination::new).collect();
    let work = clean_all(engine, request, &mut destinations);
    let errors = match request.cancel.guard(work).await {
        Ok(()) => Vec::new(),
        Err(error) => vec![DestinationError::of_none(&error)],
    };
    summary(request.dry_run, destinations, errors)
}

async fn clean_all(
    engine: &Engine,
    request: &CleanupRequest,
    destinations: &mut [CleanedDestination],
) -> Result<(), BackupError> {
    let now = (engine.0.clock)();
    let asked = ask_all(engine, &request.destinations).await;
    let places = asked
        .into_iter()
        .zip(&request.destinations)
        .zip(destinations);
    let cleanings = places.map(|((asked, spec), cleaned)| async move {
        let asked = match asked {
            Ok(asked) => asked,
            Err((_, error)) => return cleaned.errors.push((&error).into()),
        };
        let cleaning = Cleaning {
            engine,
            asked: &asked,
            policy: spec.retention.unwrap_or(request.retention),
            time_zone: request.time_zone,
            now,
            dry_run: request.dry_run,
        };
        if let Err(error) = cleaning.run(cleaned).await {
            cleaned.errors.push((&error).into());
        }
    });
    join_all(cleanings).await;
    Ok(())
}

fn summary(
    dry_run: bool,
    destinations: Vec<CleanedDestination>,
    errors: Vec<DestinationError>,
) -> CleanupReport {
    let mut withdrawn: BTreeMap<(Timestamp, BackupId), bool> = BTreeMap::new();
    for backup in destinations.iter().flat_map(|at| &at.backups) {
        let here = backup.status == CleanupStatus::Withdrawn;
        *withdrawn
            .entry((backup.timestamp, backup.id.clone()))
            .or_default() |= here;
    }
    let (mut kept, mut deleted) = (Vec::new(), Vec::new());
    for ((_, id), is_withdrawn) in withdrawn.into_iter().rev() {
        match is_withdrawn {
            true => deleted.push(id),
            false => kept.push(id),
        }
    }
    let of_places = destinations.iter().flat_map(CleanedDestination::all_errors);
    let of_none = errors.iter().map(|failed| &failed.error);
    let failure = Failure::first(Operation::Cleanup, of_places.chain(of_none));
    CleanupReport {
        dry_run,
        failure,
        count: deleted.len() as u64,
        kept,
        deleted,
        destinations,
        errors,
    }
}
