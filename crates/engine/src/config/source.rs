//! `[source]`: what is backed up.

use std::path::PathBuf;

use teeline_core::{BackupError, LineCheck};
use teeline_sources::s3db::{OnUndecodable, UnknownObjects};

use super::places::{NamedPlace, named_place, no_url};
use super::reader::{Known, Table};
use super::types::{SETTLE_PASSES_MAX, SourceConfig, SourceLocation};

pub(super) const SOURCE: Known = Known {
    keys: &[
        "connection",
        "connection_env",
        "connection_file",
        "path",
        "resource",
        "on_undecodable",
        "unknown_objects",
        "settle_passes_max",
        "validate",
    ],
    hints: &[
        ("url", "a database's connection string is `connection`"),
        ("settle", "write `settle_passes_max = 5`"),
    ],
};

pub(super) fn source(mut table: Table<'_>) -> Result<SourceConfig, BackupError> {
    let place = named_place(&mut table)?;
    let resource = table.text_as("resource", no_url)?;
    let location = match place {
        NamedPlace::Database(_) if resource.is_some() => {
            return Err(table.error_at("resource", "goes with `path`, not with a database"));
        }
        NamedPlace::Path(path) if path != "-" && resource.is_some() => {
            let message = "goes with path = \"-\" only; files are resources of their own names";
            return Err(table.error_at("resource", message));
        }
        NamedPlace::Database(connection) => SourceLocation::S3db(connection),
        NamedPlace::Path(path) => SourceLocation::Jsonl {
            path: PathBuf::from(path),
            resource,
        },
    };
    let on_undecodable = table.word("on_undecodable", &["keep", "fail"], |word| match word {
        "keep" => Some(OnUndecodable::Keep),
        "fail" => Some(OnUndecodable::Fail),
        _ => None,
    })?;
    let unknown_objects =
        table.word(
            "unknown_objects",
            &["keep", "skip", "fail"],
            |word| match word {
                "keep" => Some(UnknownObjects::Keep),
                "skip" => Some(UnknownObjects::Skip),
                "fail" => Some(UnknownObjects::Fail),
                _ => None,
            },
        )?;
    let settle_passes_max = table.integer("settle_passes_max", 0..=SETTLE_PASSES_MAX.into())?;
    if settle_passes_max.is_some() && matches!(location, SourceLocation::Jsonl { .. }) {
        let message = "goes with a database, not with `path`";
        return Err(table.error_at("settle_passes_max", message));
    }
    let validate = table.word("validate", &["json", "lines", "none"], |word| match word {
        "json" => Some(LineCheck::Json),
        "lines" => Some(LineCheck::Lines),
        "none" => Some(LineCheck::None),
        _ => None,
    })?;
    if validate.is_some() && matches!(location, SourceLocation::S3db(_)) {
        return Err(table.error_at("validate", "goes with `path`, not with a database"));
    }
    let settle_passes_max = settle_passes_max.and_then(|passes| u32::try_from(passes).ok());
    Ok(SourceConfig {
        location,
        on_undecodable: on_undecodable.unwrap_or_default(),
        unknown_objects: unknown_objects.unwrap_or_default(),
        settle_passes_max: settle_passes_max.unwrap_or(0),
        validate: validate.unwrap_or_default(),
    })
}
