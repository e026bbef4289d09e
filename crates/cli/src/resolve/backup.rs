//! The request of `teeline backup`.

use std::sync::Arc;
use std::time::Duration;

use teeline::config::{self, BackupConfig};
use teeline::{
    BackupError, BackupRequest, BackupType, Cancel, Compression, DestinationSpec, Engine, Metadata,
    Source, Verification,
};

use super::destinations::destinations;
use super::exposed::Exposed;
use super::setting::Setting;
use super::source::source;
use super::to_usize;
use crate::args::{BackupArguments, VerificationArgument};
use crate::output::Output;

/// What a backup takes.
pub(crate) struct Backup {
    pub(crate) engine: Engine,
    pub(crate) request: BackupRequest,
}

/// The request of `teeline backup`.
pub(crate) fn backup(
    typed: &BackupArguments,
    setting: &Setting,
    output: &Output,
    cancel: &Cancel,
) -> Result<Backup, BackupError> {
    let backup_type = backup_type(&typed.backup_type)?;
    let mut exposed = Exposed::default();
    let destinations = destinations(&setting.config, &typed.to, &mut exposed)?;
    let source = source(typed, setting, &mut exposed)?;
    exposed.warn(output);
    let mut request = configured(&setting.config.backup, source, destinations);
    request.backup_type = backup_type;
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
    if let Some(concurrency) = typed.concurrency {
        request.concurrency = to_usize(concurrency);
    }
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
    if !typed.resources.is_empty() {
        request.resources = Some(typed.resources.clone());
    }
    if !typed.include.is_empty() {
        request.include.clone_from(&typed.include);
    }
    if !typed.exclude.is_empty() {
        request.exclude.clone_from(&typed.exclude);
    }
    request.time_zone = setting.config.time_zone;
    if typed.cleanup || setting.config.backup.cleanup {
        request.cleanup = Some(setting.config.retention);
    }
    request.hooks = setting.config.hooks()?;
    request.cancel = cancel.clone();
    Ok(Backup {
        engine: setting.engine(&typed.engine)?,
        request,
    })
}

/// The request that a configuration makes of a source and destinations.
pub(super) fn configured(
    config: &BackupConfig,
    source: Arc<dyn Source>,
    destinations: Vec<DestinationSpec>,
) -> BackupRequest {
    let mut request = BackupRequest::of(source, destinations);
    request.strategy = config.strategy;
    request.lag = config.lag;
    request.catch_up = config.catch_up;
    request.spill_bytes = config.spill_bytes;
    request.lag_patience = Duration::from_millis(config.lag_patience_ms);
    request.concurrency = config.concurrency;
    request.compression = config.compression;
    request.block_bytes = config.block_bytes;
    request.segment_bytes = config.segment_bytes;
    request.record_bytes_max = config.record_bytes_max;
    request.verification = match config.verification {
        config::Verification::Read => Verification::Read,
        config::Verification::Attested => Verification::Attested,
    };
    request.path = config.path.clone();
    request.metadata = config.metadata.clone();
    request.include.clone_from(&config.include);
    request.exclude.clone_from(&config.exclude);
    request
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
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                values.insert(name.to_owned(), value.into());
            }
            _ => {
                let message = "a name, '=' and a value are expected, as in ticket=OPS-7";
                return Err(BackupError::usage("--metadata", message));
            }
        }
    }
    Metadata::new(values)
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
