//! What a destination keeps of the runs that wrote to it, and what that says of a backup whose manifest isn't there.

use std::sync::atomic::Ordering;

use futures::TryStreamExt;
use teeline_core::commit::was_published;
use teeline_core::{
    BackupError, BackupId, CatalogEntry, Depth, DestinationReport, DestinationStatus, ObjectKey,
    RunRecord, RunStatus, SealedManifest, Sink, Timestamp, Verified, document, layout,
};

use crate::catalog::{DamagedEntry, located, read_document};
use crate::ledger::{self, Noted};
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

/// Whether a run left word at this destination that it had published its backup here.
pub(crate) async fn is_said_published(opened: &Opened, id: &BackupId) -> Result<bool, BackupError> {
    for (_, record) in of(opened.sink.as_ref(), id).await? {
        if was_published(&record?, &opened.location) {
            return Ok(true);
        }
    }
    Ok(false)
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

fn lost_manifest(sink: &dyn Sink, entry: &ObjectKey, id: &BackupId) -> BackupError {
    BackupError::corrupt(
        located(sink, entry),
        "its manifest is missing, though the backup was published",
    )
    .suggest(format!(
        "`teeline repair {id} --rebuild-manifest` makes it again; or name a destination that has it too, with --at: what is whole here is read as well"
    ))
}

/// Leaves a record that the backup is at this destination, so that it is noticed when its manifest is lost; `verified` says
/// how its files were checked, which goes into the ledger as well, as what `by` has found. For those that no run left one for: after a
/// repair, and where a copy was completed.
pub(crate) async fn leave(
    opened: &Opened,
    sealed: &SealedManifest,
    (verified, by): (Verified, &str),
    started_at: Timestamp,
    ended_at: Timestamp,
) -> Result<(), BackupError> {
    let manifest = &sealed.manifest;
    let segments = manifest
        .all_resources()
        .map(|resource| resource.segments.len());
    let duration_ms = ended_at.unix_ms() - started_at.unix_ms();
    let destination = DestinationReport {
        name: opened.name.clone(),
        location: opened.location.clone(),
        status: DestinationStatus::Committed,
        required: false,
        bytes: sealed.bytes.len() as u64,
        segments: segments.sum::<usize>() as u64,
        verified,
        retries: opened.retries.load(Ordering::Relaxed),
        duration_ms: u64::try_from(duration_ms).unwrap_or(0),
        lag_bytes_max: 0,
        spooled_bytes: 0,
        kept_bytes: 0,
        error: None,
    };
    let record = RunRecord {
        id: manifest.id.clone(),
        backup_type: manifest.backup_type.clone(),
        schedule: None,
        subject: None,
        status: RunStatus::Completed,
        resumed: None,
        attempt: 0,
        started_at,
        ended_at,
        checksum: Some(sealed.checksum),
        asked_for: Some(manifest.plan.asked_for()),
        error: None,
        destinations: vec![destination],
    };
    let key = layout::run_record(&record.id, ended_at)?;
    opened.sink.put(&key, document::seal(&record)).await?;
    note_checked(opened, sealed, (verified, by), started_at, ended_at).await
}

/// Leaves word in the ledger that all files of a backup at this destination were checked so by `by`, and were right.
pub(crate) async fn note_checked(
    opened: &Opened,
    sealed: &SealedManifest,
    (verified, by): (Verified, &str),
    started_at: Timestamp,
    ended_at: Timestamp,
) -> Result<(), BackupError> {
    let how = match verified {
        Verified::Read => Depth::Digest,
        Verified::Attested => Depth::Size,
        Verified::No => return Ok(()),
    };
    let noted = Noted {
        has_mended: false,
        id: &sealed.manifest.id,
        checksum: sealed.checksum,
        how,
        by,
        started_at,
        ended_at,
        bytes: sealed.manifest.totals.stored_bytes,
        damage: &[],
    };
    ledger::note(opened, &noted).await
}
