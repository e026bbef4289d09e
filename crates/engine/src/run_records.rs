//! What a destination keeps of the runs that wrote to it, and what that says of a backup whose manifest isn't there.

use futures::TryStreamExt;
use teeline_core::{
    BackupError, BackupId, CatalogEntry, DestinationReport, DestinationStatus, ObjectKey,
    RunRecord, Sink, layout,
};

use crate::catalog::{DamagedEntry, located, read_document};
use crate::open::Opened;

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

/// The records of the runs that made a backup or tried to, each with its key; those that can't be read as well.
pub(crate) async fn of(
    sink: &dyn Sink,
    id: &BackupId,
) -> Result<Vec<(ObjectKey, Result<RunRecord, BackupError>)>, BackupError> {
    let mut records = Vec::new();
    for (_, key) in keys(sink, |about| about == id).await? {
        let record = read_document(sink, &key).await;
        records.push((key, record));
    }
    Ok(records)
}

/// Of catalogue entries without a manifest, those of backups that were published: there it is lost. The others are of
/// runs that ended before they had published, and say nothing.
pub(crate) async fn published_without_manifest(
    opened: &Opened,
    entries: &[CatalogEntry],
) -> Result<Vec<DamagedEntry>, BackupError> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let sink = opened.sink.as_ref();
    let of_entries = |id: &BackupId| entries.iter().any(|entry| entry.id == *id);
    let records = keys(sink, of_entries).await?;
    let mut lost = Vec::new();
    for CatalogEntry { id, started_at, .. } in entries {
        let entry = layout::catalog_entry(id, *started_at)?;
        for (_, key) in records.iter().filter(|(about, _)| about == id) {
            let error = match read_document::<RunRecord>(sink, key).await {
                Ok(record) if !was_published(&record, &opened.location) => continue,
                Ok(_) => lost_manifest(sink, &entry, id),
                Err(error) if error.class().is_retriable() => return Err(error),
                // Whether it was published can't be told any more, and silence would be the wrong guess.
                Err(error) => error,
            };
            lost.push((id.clone(), entry, error));
            break;
        }
    }
    Ok(lost)
}

/// Whether a run published at `location`; anywhere, where the record knows no such place, as in a copy of a destination.
pub(crate) fn was_published(record: &RunRecord, location: &str) -> bool {
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

fn lost_manifest(sink: &dyn Sink, entry: &ObjectKey, id: &BackupId) -> BackupError {
    BackupError::corrupt(
        located(sink, entry),
        "its manifest is missing, though the backup was published",
    )
    .suggest(format!(
        "`teeline repair {id} --rebuild-manifest` makes it again; or name a destination that has it too, with --at: what is whole here is read as well"
    ))
}
