//! Where records come from.

use std::path::PathBuf;
use std::sync::Arc;

use teeline::config::{BackupConfig, Connection as Place, SourceConfig, SourceLocation};
use teeline::{
    BackupError, Connection, JsonlSource, LineCheck, OnUndecodable, S3dbSource, ScanOptions,
    Source, UnknownObjects, looks_like_url,
};

use super::exposed::Exposed;
use super::setting::Setting;
use crate::args::{
    BackupArguments, ConnectionArguments, SourceArguments, UndecodableArgument, UnknownArgument,
    ValidateArgument,
};

/// What the records of standard input are called unless something is said.
const STDIN_RESOURCE: &str = "stdin";

/// What `teeline backup` reads: the typed source, or the configured one.
pub(super) fn source(
    typed: &BackupArguments,
    how: &BackupConfig,
    setting: &Setting,
    exposed: &mut Exposed,
) -> Result<Arc<dyn Source>, BackupError> {
    note_database(&typed.source.database, exposed);
    let configured = setting.config.source.as_ref();
    let location = match typed_place(&typed.source)? {
        Some(place) => place,
        None => configured.map(|source| source.location.clone()).ok_or_else(|| {
            BackupError::usage("source", "nothing to back up is named")
                .suggest("use --connection-env NAME for a database, --from PATH for JSON lines, or a [source] in a configuration")
        })?,
    };
    let source = SourceConfig {
        on_undecodable: match typed.on_undecodable {
            Some(UndecodableArgument::Keep) => OnUndecodable::Keep,
            Some(UndecodableArgument::Fail) => OnUndecodable::Fail,
            None => configured.map_or_else(OnUndecodable::default, |source| source.on_undecodable),
        },
        unknown_objects: match typed.unknown_objects {
            Some(UnknownArgument::Keep) => UnknownObjects::Keep,
            Some(UnknownArgument::Skip) => UnknownObjects::Skip,
            Some(UnknownArgument::Fail) => UnknownObjects::Fail,
            None => {
                configured.map_or_else(UnknownObjects::default, |source| source.unknown_objects)
            }
        },
        settle_passes_max: match (typed.settle, &location) {
            (Some(_), SourceLocation::Jsonl { .. }) => return Err(settles_lines()),
            (Some(passes), _) => passes,
            (None, _) => configured.map_or(0, |source| source.settle_passes_max),
        },
        validate: match (typed.validate, &location) {
            (Some(_), SourceLocation::S3db(_)) => return Err(validates_records()),
            (Some(ValidateArgument::Json), _) => LineCheck::Json,
            (Some(ValidateArgument::Lines), _) => LineCheck::Lines,
            (Some(ValidateArgument::None), _) => LineCheck::None,
            (None, _) => configured.map_or_else(LineCheck::default, |source| source.validate),
        },
        location,
    };
    of_config(&source, how, setting)
}

/// The source that a configuration names, as backups of that kind read it.
pub(super) fn of_config(
    source: &SourceConfig,
    how: &BackupConfig,
    setting: &Setting,
) -> Result<Arc<dyn Source>, BackupError> {
    match source.location.clone() {
        SourceLocation::S3db(place) => {
            let connection = place.resolve(&setting.environment())?;
            let options = ScanOptions {
                inline_bytes_max: how.inline_bytes_max as u64,
                record_bytes_max: how.record_bytes_max,
                on_undecodable: source.on_undecodable,
                unknown_objects: source.unknown_objects,
                settle_passes_max: source.settle_passes_max,
                ..ScanOptions::default()
            };
            Ok(Arc::new(S3dbSource::new(connection, options)))
        }
        SourceLocation::Jsonl { path, resource } => {
            let lines = jsonl(path, resource)?.validate(source.validate);
            Ok(Arc::new(lines.record_bytes_max(how.record_bytes_max)))
        }
        _ => Err(BackupError::usage(
            "source",
            "a kind of source that this command doesn't know",
        )),
    }
}

/// The database that a backup is made of; none where the source is another.
pub(super) fn database_of_backup(
    typed: &SourceArguments,
    setting: &Setting,
) -> Result<Option<Connection>, BackupError> {
    match typed.from {
        Some(_) => Ok(None),
        None => database(&typed.database, setting),
    }
}

/// The database that was typed, or else the one that the configuration names as source.
pub(super) fn database(
    typed: &ConnectionArguments,
    setting: &Setting,
) -> Result<Option<Connection>, BackupError> {
    match typed_database(typed)? {
        Some(place) => place.resolve(&setting.environment()).map(Some),
        None => configured_database(setting),
    }
}

/// The database that the configuration names as source, if it does.
pub(super) fn configured_database(setting: &Setting) -> Result<Option<Connection>, BackupError> {
    match &setting.config.source {
        Some(source) => connection_of(&source.location, setting),
        None => Ok(None),
    }
}

fn connection_of(
    location: &SourceLocation,
    setting: &Setting,
) -> Result<Option<Connection>, BackupError> {
    match location {
        SourceLocation::S3db(place) => place.resolve(&setting.environment()).map(Some),
        _ => Ok(None),
    }
}

fn settles_lines() -> BackupError {
    let message = "it reads again what of a database has changed, and JSON lines are read once";
    BackupError::usage("--settle", message).suggest("leave it out")
}

fn validates_records() -> BackupError {
    let message =
        "it says what is checked of JSON lines, and a database's records are always made into such";
    BackupError::usage("--validate", message).suggest("leave it out")
}

fn typed_place(typed: &SourceArguments) -> Result<Option<SourceLocation>, BackupError> {
    let files = || {
        typed.from.clone().map(|path| SourceLocation::Jsonl {
            path,
            resource: typed.resource.clone(),
        })
    };
    let database = typed_database(&typed.database)?;
    Ok(database.map(SourceLocation::S3db).or_else(files))
}

/// The database that was typed, if one was.
pub(super) fn typed_database(typed: &ConnectionArguments) -> Result<Option<Place>, BackupError> {
    Ok(
        match (
            &typed.connection,
            &typed.connection_env,
            &typed.connection_file,
        ) {
            (Some(text), ..) => Some(Place::inline(text, "--connection")?),
            (_, Some(name), _) => Some(Place::variable(name, "--connection-env")),
            (.., Some(path)) => Some(Place::file(path, "--connection-file")),
            _ => None,
        },
    )
}

/// Notes whether it was typed with a secret in it.
pub(super) fn note_database(typed: &ConnectionArguments, exposed: &mut Exposed) {
    let has_secret = typed.connection.as_deref().is_some_and(has_keys);
    exposed.note(has_secret, "--connection");
}

fn has_keys(text: &str) -> bool {
    // One that can't be read may hold them as well.
    text.parse::<Connection>().map_or_else(
        |_| text.contains('@'),
        |connection| connection.credentials.is_some(),
    )
}

fn jsonl(path: PathBuf, resource: Option<String>) -> Result<JsonlSource, BackupError> {
    refuse_url("--from", &path.to_string_lossy())?;
    match (path.as_os_str() == "-", resource) {
        (true, resource) => {
            let resource = resource.as_deref().unwrap_or(STDIN_RESOURCE);
            refuse_url("--resource", resource)?;
            Ok(JsonlSource::stdin(resource))
        }
        (false, None) => Ok(JsonlSource::path(path)),
        (false, Some(_)) => Err(BackupError::usage(
            "--resource",
            "goes with --from - only; what is in files is called as they are",
        )),
    }
}

/// Where files come from and what resources are called is stored with the backup, so a connection string that landed there
/// isn't taken.
fn refuse_url(option: &str, text: &str) -> Result<(), BackupError> {
    match looks_like_url(text) {
        true => Err(BackupError::usage(option, "this looks like a URL")
            .suggest("use --connection-env NAME or --connection-file FILE for a database")),
        false => Ok(()),
    }
}
