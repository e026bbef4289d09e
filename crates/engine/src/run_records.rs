//! What a destination keeps of the runs that wrote to it, and what that says of a backup whose manifest isn't there.

use futures::TryStreamExt;
use teeline_core::{
    BackupError, BackupId, DestinationReport, DestinationStatus, ObjectKey, RunRecord, Sink, layout,
};

use crate::catalog::{located, read_document};

/// The run records that are about backups which `wanted` is true for.
pub(crate) async fn keys(
    sink: &dyn Sink,
    wanted: impl Fn(&BackupId) -> bool,
) -> Result<Vec<(BackupId, ObjectKey)>, BackupError> {
    let folder = ObjectKey::new(layout::RUNS)?;
    sink.list(Some(&folder))
        .try_filter_map(|meta| {
            let id = layout::run_record_id(&meta.key).filter(&wanted);
            async move { Ok(id.map(|id| (id, meta.key))) }
        })
        .try_collect()
        .await
}

/// Of catalogue entries without a manifest, those of backups that were published: there it is missing. The others are of
/// runs that ended before they had published, and say nothing.
pub(crate) async fn published_without_manifest(
    sink: &dyn Sink,
    entries: Vec<(BackupId, ObjectKey)>,
) -> Result<Vec<(BackupId, ObjectKey, BackupError)>, BackupError> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let of_entries = |id: &BackupId| entries.iter().any(|(known, _)| known == id);
    let records = keys(sink, of_entries).await?;
    let mut missing = Vec::new();
    for (id, entry) in entries {
        for (_, key) in records.iter().filter(|(about, _)| *about == id) {
            match read_document::<RunRecord>(sink, key).await {
                Ok(record) if !was_published(&record, &sink.to_string()) => continue,
                Ok(_) => missing.push((id, entry.clone(), missing_manifest(sink, &entry))),
                Err(error) if error.class().is_retriable() => return Err(error),
                // Whether it was published can't be told any more, and silence would be the wrong guess.
                Err(error) => missing.push((id, entry.clone(), error)),
            }
            break;
        }
    }
    Ok(missing)
}

/// Whether a run published at `location`; anywhere, where the record knows no such place, as in a copy of a destination.
fn was_published(record: &RunRecord, location: &str) -> bool {
    let committed = |at: &DestinationReport| at.status == DestinationStatus::Committed;
    let mut here = record
        .destinations
        .iter()
        .filter(|at| at.location == location)
        .peekable();
    match here.peek() {
        Some(_) => here.any(committed),
        None => record.destinations.iter().any(committed),
    }
}

fn missing_manifest(sink: &dyn Sink, entry: &ObjectKey) -> BackupError {
    BackupError::corrupt(
        located(sink, entry),
        "its manifest is missing, though the backup was published",
    )
    .suggest("name a destination that has the manifest too, with --at: what is whole here is read as well")
}
