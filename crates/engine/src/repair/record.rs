//! The record that a repair leaves beside a manifest, so that it is noticed when that is lost again. The run's own says
//! nothing of the kind where it was lost as well, or where the run had failed.

use std::sync::atomic::Ordering;

use teeline_core::{
    BackupError, DestinationReport, DestinationStatus, RunRecord, RunStatus, SealedManifest,
    Timestamp, Verified, document, layout,
};

use crate::open::Opened;

/// Leaves a record that the backup is at this destination; `verified` says how its files were checked.
pub(super) async fn leave(
    opened: &Opened,
    sealed: &SealedManifest,
    verified: Verified,
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
        error: None,
    };
    let record = RunRecord {
        id: manifest.id.clone(),
        backup_type: manifest.backup_type.clone(),
        status: RunStatus::Completed,
        started_at,
        ended_at,
        checksum: Some(sealed.checksum),
        error: None,
        destinations: vec![destination],
    };
    let key = layout::run_record(&record.id, ended_at)?;
    opened.sink.put(&key, document::seal(&record)).await
}
