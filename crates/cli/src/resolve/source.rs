//! Where records come from.

use std::path::PathBuf;
use std::sync::Arc;

use teeline::config::{BackupConfig, Connection as Place, OnUndecodable, SourceLocation};
use teeline::{
    BackupError, Connection, JsonlSource, S3dbSource, Source, UnknownObjects, looks_like_url,
    sources,
};

use super::exposed::Exposed;
use super::setting::Setting;
use crate::args::{BackupArguments, SourceArguments, UndecodableArgument, UnknownArgument};

/// What the records of standard input are called unless something is said.
const STDIN_RESOURCE: &str = "stdin";

pub(super) fn source(
    typed: &BackupArguments,
    setting: &Setting,
    backup: &BackupConfig,
    exposed: &mut Exposed,
) -> Result<Arc<dyn Source>, BackupError> {
    let configured = setting.config.source.as_ref();
    let place = match typed_place(&typed.source)? {
        Some(place) => place,
        None => configured.map(|source| source.location.clone()).ok_or_else(|| {
            BackupError::usage("source", "nothing to back up is named")
                .suggest("use --connection-env NAME for a database, --from PATH for JSON lines, or a [source] in a configuration")
        })?,
    };
    exposed.note(
        typed.source.connection.as_deref().is_some_and(has_keys),
        "--connection",
    );
    match place {
        SourceLocation::S3db(place) => {
            let connection = place.resolve(&setting.environment())?;
            let keep = match typed.on_undecodable {
                Some(UndecodableArgument::Keep) => true,
                Some(UndecodableArgument::Fail) => false,
                None => {
                    configured.is_none_or(|source| source.on_undecodable == OnUndecodable::Keep)
                }
            };
            let options = sources::s3db::ScanOptions {
                inline_bytes_max: backup.inline_bytes_max as u64,
                record_bytes_max: backup.record_bytes_max,
                on_undecodable: match keep {
                    true => sources::s3db::OnUndecodable::Keep,
                    false => sources::s3db::OnUndecodable::Fail,
                },
                unknown_objects: match typed.unknown_objects {
                    Some(UnknownArgument::Keep) => UnknownObjects::Keep,
                    Some(UnknownArgument::Skip) => UnknownObjects::Skip,
                    Some(UnknownArgument::Fail) => UnknownObjects::Fail,
                    None => configured
                        .map(|source| source.unknown_objects)
                        .unwrap_or_default(),
                },
                ..sources::s3db::ScanOptions::default()
            };
            Ok(Arc::new(S3dbSource::new(connection, options)))
        }
        SourceLocation::Jsonl { path, resource } => {
            let source = jsonl(path, resource)?;
            Ok(Arc::new(source.record_bytes_max(backup.record_bytes_max)))
        }
        _ => Err(BackupError::usage(
            "source",
            "a kind of source that this command doesn't know",
        )),
    }
}

fn typed_place(typed: &SourceArguments) -> Result<Option<SourceLocation>, BackupError> {
    let place = match (
        &typed.connection,
        &typed.connection_env,
        &typed.connection_file,
    ) {
        (Some(text), ..) => Some(Place::inline(text, "--connection")?),
        (_, Some(name), _) => Some(Place::variable(name, "--connection-env")),
        (.., Some(path)) => Some(Place::file(path, "--connection-file")),
        _ => None,
    };
    let files = || {
        typed.from.clone().map(|path| SourceLocation::Jsonl {
            path,
            resource: typed.resource.clone(),
        })
    };
    Ok(place.map(SourceLocation::S3db).or_else(files))
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
