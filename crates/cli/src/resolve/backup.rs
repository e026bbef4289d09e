//! The request of `teeline backup`.

use std::sync::Arc;
use std::time::Duration;

use teeline::config::{self, BackupConfig};
use teeline::{
    BackupError, BackupRequest, BackupType, Cancel, Compression, Config, DestinationSpec, Engine,
    Metadata, Resume, Source, Timestamp, Verification,
};

use super::destinations::{beside_source, destinations};
use super::exposed::Exposed;
use super::keys::access;
use super::local_index::local_index;
use super::records::{partitions, query};
use super::schedules::named;
use super::setting::Setting;
use super::source::{database_of_backup, source};
use super::to_usize;
use crate::args::{BackupArguments, VerificationArgument};
use crate::output::Output;

/// What a backup takes.
pub(crate) struct Backup {
    pub(crate) engine: Engine,
    pub(crate) request: BackupRequest,
}

/// The request of `teeline backup`.
pub(crate) async fn backup(
    typed: &BackupArguments,
    setting: &Setting,
    output: &Output,
    cancel: &Cancel,
) -> Result<Backup, BackupError> {
    let schedule = typed.schedule.as_deref();
    let schedule = schedule
        .map(|name| named(&setting.config, name, "--schedule"))
        .transpose()?;
    if let Some(other) = schedule.filter(|schedule| schedule.upkeep.is_some()) {
        let message = format!("it makes no backup, but a {}", other.backup_type);
        let error = BackupError::usage("--schedule", message);
        return Err(error.suggest(format!("`teeline schedule run {}` does that", other.name)));
    }
    let resume = typed.resume.as_deref().map(str::parse).transpose()?;
    let backup_type = match (schedule, &resume) {
        (Some(schedule), _) => schedule.backup_type.clone(),
        (None, Some(Resume::Run(id))) => id.backup_type(),
        (None, _) => backup_type(&typed.backup_type)?,
    };
    let how = schedule.map_or(&setting.config.backup, |schedule| &schedule.backup);
    let mut exposed = Exposed::default();
    let destinations = destinations(&setting.config, &typed.to, &mut exposed)?;
    let destinations = beside_source(destinations, || database_of_backup(&typed.source, setting))?;
    let source = source(typed, how, setting, &mut exposed)?;
    exposed.warn(output);
    let mut request = configured(&setting.config, how, backup_type, source, destinations)?;
    request.schedule.clone_from(&typed.schedule);
    if let Some(strategy) = &typed.strategy {
        request.strategy = strategy.parse()?;
    }
    if let Some(lag) = &typed.lag {
        request.lag = Some(lag.parse()?);
    }
    if let Some(bytes) = typed.spill_bytes {
        request.spill_bytes = bytes;
    }
    if let Some(catch_up) = &typed.catch_up {
        request.catch_up = catch_up.parse()?;
    }
    if let Some(deadline) = typed.deadline {
        request.deadline = Some(Duration::from_millis(deadline.ms()));
    }
    if let Some(base) = &typed.base {
        request.base = base.parse()?;
    }
    if let Some(since) = &typed.since {
        let time = Timestamp::first_of(since);
        request.since = Some(time.map_err(|error| BackupError::usage("--since", error))?);
    }
    request.resume = resume;
    if let Some(concurrency) = typed.concurrency {
        request.concurrency = to_usize(concurrency);
    }
    let access = access(&typed.keys, &typed.recipient, setting).await?;
    request.local_index = local_index(&typed.local_index, &access, setting).await?;
    request.recipients = access.recipients;
    request.keys = access.keys;
    request.compression = compression(typed, request.compression)?;
    if let Some(bytes) = typed.block_bytes {
        request.block_bytes = Some(to_usize(bytes));
    }
    if let Some(bytes) = typed.segment_bytes {
        request.segment_bytes = bytes;
    }
    if let Some(verification) = typed.verification {
        request.verification = match verification {
            VerificationArgument::Read => Verification::Read,
            VerificationArgument::Attested => Verification::Attested,
        };
    }
    request.metadata = metadata(&typed.metadata, &request.metadata)?;
    if let Some(schedule) = schedule {
        request.resources.clone_from(&schedule.resources);
    }
    if !typed.resources.is_empty() {
        request.resources = Some(typed.resources.clone());
    }
    if !typed.include.is_empty() {
        request.include.clone_from(&typed.include);
    }
    if !typed.exclude.is_empty() {
        request.exclude.clone_from(&typed.exclude);
    }
    if !typed.partition.is_empty() {
        request.partitions = partitions(&typed.partition)?;
    }
    if !typed.conditions.is_empty() {
        request.query = query(&typed.conditions)?;
    }
    if typed.cleanup {
        request.cleanup = Some(setting.config.retention);
    }
    request.cancel = cancel.clone();
    Ok(Backup {
        engine: setting.engine(&typed.engine)?,
        request,
    })
}

/// The request that a configuration makes of a source and destinations.
pub(super) fn configured(
    config: &Config,
    how: &BackupConfig,
    backup_type: BackupType,
    source: Arc<dyn Source>,
    destinations: Vec<DestinationSpec>,
) -> Result<BackupRequest, BackupError> {
    let mut request = BackupRequest::of(source, destinations);
    if backup_type.is_incremental() {
        // What the configuration says of incremental ones has no part in others.
        request.base = how.base;
    }
    request.backup_type = backup_type;
    request.strategy = how.strategy;
    request.lag = how.lag;
    request.catch_up = how.catch_up;
    let deadline = how.deadline.map(|deadline| deadline.ms());
    request.deadline = deadline.map(Duration::from_millis);
    request.spill_bytes = how.spill_bytes;
    request.lag_patience = Duration::from_millis(how.lag_patience_ms);
    request.resume_quiet = Duration::from_millis(how.resume_quiet_ms);
    request.concurrency = how.concurrency;
    request.compression = how.compression;
    request.block_bytes = how.block_bytes;
    request.segment_bytes = how.segment_bytes;
    request.record_bytes_max = how.record_bytes_max;
    request.verification = match how.verification {
        config::Verification::Read => Verification::Read,
        config::Verification::Attested => Verification::Attested,
    };
    request.path = how.path.clone();
    request.metadata = how.metadata.clone();
    request.include.clone_from(&how.include);
    request.exclude.clone_from(&how.exclude);
    request.partitions.clone_from(&how.partitions);
    request.query.clone_from(&how.query);
    request.time_zone = config.time_zone;
    if how.cleanup {
        request.cleanup = Some(config.retention);
    }
    request.hooks = config.hooks()?;
    Ok(request)
}

/// What a backup is that can't be resolved, as far as that is known.
pub(crate) fn type_of_unresolved(typed: &BackupArguments, setting: &Setting) -> BackupType {
    let schedule = typed.schedule.as_deref();
    let schedule = schedule.and_then(|name| named(&setting.config, name, "--schedule").ok());
    let resumed = typed.resume.as_deref().and_then(|id| id.parse().ok());
    match (schedule, resumed) {
        (Some(schedule), _) => schedule.backup_type.clone(),
        (None, Some(Resume::Run(id))) => id.backup_type(),
        (None, _) => backup_type(&typed.backup_type).unwrap_or_else(|_| full()),
    }
}

/// The type of a backup of which nothing else is said.
pub(super) fn full() -> BackupType {
    "full".parse().expect("a type")
}

fn backup_type(text: &str) -> Result<BackupType, BackupError> {
    // What was typed may be a misplaced connection string, so it isn't quoted.
    text.parse().map_err(|_| {
        BackupError::usage(
            "TYPE",
            "not a backup type; 1 to 40 of a-z, 0-9 and '-' are accepted",
        )
        .suggest("use full; a database is given with --connection-env NAME, files with --from PATH")
    })
}

/// What is said of a backup: what the configuration says, and over it what was typed.
fn metadata(typed: &[String], configured: &Metadata) -> Result<Metadata, BackupError> {
    let mut values = configured.values().clone();
    for text in typed {
        let (name, value) = said(text)?;
        values.insert(name, value.into());
    }
    Metadata::new(values)
}

/// What `--metadata` says: a name and a value.
pub(super) fn said(text: &str) -> Result<(String, String), BackupError> {
    let said = text.split_once('=').filter(|(name, _)| !name.is_empty());
    said.map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| {
            let message = "a name, '=' and a value are expected, as in ticket=OPS-7";
            BackupError::usage("--metadata", message)
        })
}

fn compression(
    typed: &BackupArguments,
    configured: Compression,
) -> Result<Compression, BackupError> {
    let compression = match &typed.compression {
        Some(name) => name.parse()?,
        None => configured,
    };
    match typed.level {
        Some(level) => compression.with_level(level),
        None => Ok(compression),
    }
}
