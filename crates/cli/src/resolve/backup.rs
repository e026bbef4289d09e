//! The request of `teeline backup`.

use teeline::config::Verification;
use teeline::{BackupError, BackupRequest, BackupType, Cancel, Compression, Engine, StrategyKind};

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
    let config = &setting.config.backup;
    let source = source(typed, setting, config, &mut exposed)?;
    exposed.warn(output);
    let mut request = BackupRequest::of(source, destinations);
    request.backup_type = backup_type;
    request.strategy = match &typed.strategy {
        Some(strategy) => strategy.parse::<StrategyKind>()?,
        None => config.strategy,
    };
    request.concurrency = typed.concurrency.map_or(config.concurrency, to_usize);
    request.compression = compression(typed, config.compression)?;
    request.block_bytes = typed.block_bytes.map_or(config.block_bytes, to_usize);
    request.segment_bytes = typed.segment_bytes.unwrap_or(config.segment_bytes);
    request.record_bytes_max = config.record_bytes_max;
    request.verification = verification(typed.verification, config.verification);
    request.path = config.path.clone();
    request.include = or_configured(&typed.include, &config.include);
    request.exclude = or_configured(&typed.exclude, &config.exclude);
    request.cancel = cancel.clone();
    Ok(Backup {
        engine: setting.engine(&typed.engine)?,
        request,
    })
}

fn backup_type(text: &str) -> Result<BackupType, BackupError> {
    let missing = |help: &str| {
        Err(BackupError::usage("TYPE", format!("{text} backups don't exist yet")).suggest(help))
    };
    match text {
        "incremental" => missing("use full: every backup is whole, and restores alone"),
        "selective" => missing("use full with --include GLOB for the resources that are wanted"),
        // What was typed may be a misplaced connection string, so it isn't quoted.
        text => text.parse().map_err(|_| {
            BackupError::usage(
                "TYPE",
                "not a backup type; 1 to 40 of a-z, 0-9 and '-' are accepted",
            )
            .suggest(
                "use full; a database is given with --connection-env NAME, files with --from PATH",
            )
        }),
    }
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

fn verification(
    typed: Option<VerificationArgument>,
    configured: Verification,
) -> teeline::Verification {
    match (typed, configured) {
        (Some(VerificationArgument::Read), _) | (None, Verification::Read) => {
            teeline::Verification::Read
        }
        (Some(VerificationArgument::Attested), _) | (None, Verification::Attested) => {
            teeline::Verification::Attested
        }
    }
}

fn or_configured(typed: &[String], configured: &[String]) -> Vec<String> {
    if typed.is_empty() {
        configured.to_vec()
    } else {
        typed.to_vec()
    }
}
