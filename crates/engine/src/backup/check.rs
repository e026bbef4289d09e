//! What is refused before anything is opened.

use teeline_actors::Executor;
use teeline_core::{
    AskedFor, BackupError, BackupId, LagPolicy, RECORD_BYTES_MAX, Strategy, StrategyKind,
};

use super::taking_part;
use super::wanted::Wanted;
use crate::destination::{Place, check_apart};
use crate::engine::{Engine, budget_needed};
use crate::request::{BackupRequest, IncrementalBase};

impl Engine {
    /// Whether a backup can be made as it is asked for. [`Engine::backup`] refuses the same, before it opens anything; what
    /// only the source or a destination knows isn't found out here.
    ///
    /// # Errors
    /// Of class [`Usage`](teeline_core::Class::Usage), where it can't.
    pub fn check(&self, request: &BackupRequest) -> Result<(), BackupError> {
        let mut request = request.clone();
        let left_out = taking_part::narrow(&mut request)?;
        strategy(self, &request, &left_out).map(drop)
    }
}

/// The strategy of a run that can be made, without the destinations that were left out of it.
pub(super) fn strategy(
    engine: &Engine,
    request: &BackupRequest,
    left_out: &[String],
) -> Result<Strategy, BackupError> {
    check_sizes(engine, request)?;
    check_path(engine, request)?;
    check_apart_from_source(request)?;
    check_type(request)?;
    check_base(request)?;
    check_globs(request)?;
    let wanted = Wanted::new(request)?;
    request.source.check(&wanted.selection())?;
    check_apart(&request.destinations)?;
    let strategy = Strategy::new(request.strategy, &request.required());
    let strategy = strategy.map_err(|error| taking_part::told(error, left_out))?;
    if request.strategy == StrategyKind::Priority && !request.source.is_rereadable() {
        return Err(BackupError::usage(
            "strategy",
            "priority reads the source again for the next destination, which standard input doesn't allow",
        )
        .suggest("write the records to a file first, or choose any"));
    }
    check_lag(request)?;
    check_resume(request)?;
    Ok(strategy)
}

/// Refuses a type that says more of a backup than is so.
fn check_type(request: &BackupRequest) -> Result<(), BackupError> {
    let refused = |message: &str, help: &str| {
        let subject = format!("type {}", request.backup_type);
        Err(BackupError::usage(subject, message).suggest(help))
    };
    if request.resources.as_ref().is_some_and(Vec::is_empty) {
        return Err(BackupError::usage("resources", "it names none"));
    }
    if request.resources.iter().flatten().any(String::is_empty) {
        return Err(BackupError::usage("resources", "one of the names is empty"));
    }
    match request.backup_type.as_str() {
        "incremental" if !request.source.tells_changes() => refused(
            "this source can't tell what has changed since a backup",
            "use full: such a backup is whole, and restores alone",
        ),
        "selective" if !request.is_selective() => refused(
            "it doesn't say what is wanted",
            "name resources (--resources), give globs (--include, --exclude), or say which records (--partition, --where); \
             a backup of everything is full",
        ),
        _ => Ok(()),
    }
}

/// Refuses more globs than a catalogue's entry has room for.
fn check_globs(request: &BackupRequest) -> Result<(), BackupError> {
    let bytes = request.asked_for().bytes();
    if bytes <= AskedFor::BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "their names and globs take {bytes} bytes as JSON; accepted: up to {}",
        AskedFor::BYTES_MAX
    );
    Err(BackupError::usage("resources", message)
        .suggest("give globs that stand for many of them (--include, --exclude)"))
}

/// Refuses what only an incremental backup has.
fn check_base(request: &BackupRequest) -> Result<(), BackupError> {
    let refused = |subject: &str| {
        let message = format!(
            "it goes with incremental backups, and this one is {}",
            request.backup_type
        );
        Err(BackupError::usage(subject, message).suggest("make it an incremental one"))
    };
    match request.is_incremental() {
        true if !request.partitions.is_empty() || !request.query.is_empty() => {
            let message = "it has what has changed of whole resources, not of partitions or what a query asks for";
            Err(BackupError::usage("incremental", message)
                .suggest("make it a full or selective one, or leave --partition and --where out"))
        }
        true => Ok(()),
        false if request.since.is_some() => refused("since"),
        false if request.base != IncrementalBase::default() => refused("base"),
        false => Ok(()),
    }
}

/// Refuses to go on with what can be read only once.
fn check_resume(request: &BackupRequest) -> Result<(), BackupError> {
    if request.resume.is_none() || request.source.is_rereadable() {
        return Ok(());
    }
    let message =
        "a run that is taken up reads the source again, which standard input doesn't allow";
    Err(BackupError::usage("resume", message)
        .suggest("write the records to a file, or make a new backup"))
}

/// Refuses to let a destination go that the backup can't be without.
fn check_lag(request: &BackupRequest) -> Result<(), BackupError> {
    if request.lag_patience.is_zero() {
        return Err(BackupError::usage("lag_patience", "it must be above 0"));
    }
    if request.deadline.is_some_and(|deadline| deadline.is_zero()) {
        return Err(BackupError::usage("deadline", "it must be above 0"));
    }
    let required = request.required().into_iter();
    let named = request.destinations.iter().zip(request.lag_policies());
    for ((destination, policy), required) in named.zip(required) {
        let subject = format!("destination {}", destination.name);
        if required && policy == LagPolicy::Detach {
            let message =
                "it is required, so it can't be left behind: lag detach goes with required = false";
            return Err(BackupError::usage(subject, message).suggest(
                "choose lag block or spill for it, or a strategy that can do without it: any, quorum:N",
            ));
        }
        if policy != LagPolicy::Block && request.strategy == StrategyKind::Priority {
            let message = "priority has one destination at a time, which nobody is ahead of; accepted: lag block";
            return Err(BackupError::usage(subject, message));
        }
    }
    Ok(())
}

/// Refuses a budget below what the workers and the tee need to go on.
fn check_sizes(engine: &Engine, request: &BackupRequest) -> Result<(), BackupError> {
    let block_bytes = request.block_bytes();
    if request.record_bytes_max > RECORD_BYTES_MAX {
        let message = format!("no record of more than {RECORD_BYTES_MAX} bytes can be restored");
        return Err(BackupError::usage("record_bytes_max", message));
    }
    if block_bytes == 0 || request.record_bytes_max < block_bytes {
        let message = "it must be above 0 and at most record_bytes_max";
        return Err(BackupError::usage("block_bytes", message));
    }
    let budget = engine.0.budget_bytes;
    let workers = match engine.0.executor(block_bytes) {
        Executor::Threads(workers) => workers,
        Executor::Inline => 1,
    };
    let needed = budget_needed(block_bytes, workers);
    if budget >= needed {
        return Ok(());
    }
    let message = format!(
        "{budget} is too little: {} blocks of {block_bytes} bytes ({workers} workers and one on its way) take {needed}",
        workers + 1
    );
    Err(BackupError::usage("budget_bytes", message).suggest(format!(
        "set engine.budget_bytes (--budget-bytes) to {needed} or more, or have fewer workers (engine.workers, --workers) \
         or smaller blocks (backup.block_bytes, --block-bytes)"
    )))
}

/// Refuses to write where the source reads.
fn check_apart_from_source(request: &BackupRequest) -> Result<(), BackupError> {
    for destination in &request.destinations {
        let Place::S3(place) = &destination.place else {
            continue;
        };
        let endpoint = place.endpoint.as_deref();
        if let Some(why) = request.source.reads(endpoint, &place.bucket, &place.prefix) {
            let message = format!("{why}, so the next backup would read this one as data");
            let error = BackupError::usage(destination, message);
            return Err(error.suggest("choose another prefix for it, such as backups"));
        }
    }
    Ok(())
}

/// Fills the template as a run will, with an id like any other.
fn check_path(engine: &Engine, request: &BackupRequest) -> Result<(), BackupError> {
    let started_at = (engine.0.clock)();
    let id = BackupId::new(&request.backup_type, started_at, &[0; 10]);
    request
        .path
        .path(&id, started_at, request.time_zone)
        .map(drop)
}
