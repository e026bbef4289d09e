//! What `teeline config check` finds.

use std::path::Path;

use teeline::config::{SourceConfig, SourceLocation};
use teeline::{BackupError, DestinationSpec, StrategyKind};

use super::setting::{SERVER_PLACEHOLDER, environment, load};
use crate::output::{Checked, CheckedDestination};

/// What a configuration comes to. Its server isn't started, so it has no address yet.
pub(crate) fn check(path: &Path) -> Result<Checked, BackupError> {
    let config = load(path, None)?;
    let placeholder = config
        .embedded_s3
        .as_ref()
        .map(|_| SERVER_PLACEHOLDER.to_owned());
    let source = match &config.source {
        None => None,
        Some(SourceConfig {
            location: SourceLocation::S3db(place),
            ..
        }) => Some(place.resolve(&environment(placeholder))?.to_string()),
        Some(SourceConfig {
            location: SourceLocation::Jsonl { path, .. },
            ..
        }) => Some(path.display().to_string()),
        Some(_) => None,
    };
    let as_written = |place: String| match config.embedded_s3 {
        Some(_) => place.replace(SERVER_PLACEHOLDER, "${EMBEDDED_S3}"),
        None => place,
    };
    let by_strategy = config.backup.strategy == StrategyKind::All;
    let destination = |spec: &DestinationSpec| CheckedDestination {
        name: spec.name.clone(),
        location: as_written(spec.place.location()),
        required: spec.required.unwrap_or(by_strategy),
    };
    Ok(Checked {
        status: "ok",
        file: path.display().to_string(),
        source: source.map(as_written),
        strategy: config.backup.strategy.to_string(),
        compression: config.backup.compression.to_string(),
        destinations: config.destinations.iter().map(destination).collect(),
    })
}
