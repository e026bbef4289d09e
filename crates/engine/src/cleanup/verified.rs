//! The last backup at a destination that was verified, as the records of runs say.

use std::collections::HashMap;

use teeline_core::{
    BackupError, BackupId, CatalogEntry, DestinationStatus, ObjectKey, RunRecord, Verified,
};

use crate::catalog::read_document;
use crate::open::Opened;

/// Of backups, the newest first, the first one that was read back; or else the first one that the store attested.
pub(super) async fn last_verified(
    opened: &Opened,
    newest_first: &[&CatalogEntry],
    records: &HashMap<BackupId, Vec<ObjectKey>>,
) -> Result<Option<BackupId>, BackupError> {
    let mut attested = None;
    for entry in newest_first {
        for key in records.get(&entry.id).into_iter().flatten() {
            match verified_by(opened, key).await? {
                Verified::Read => return Ok(Some(entry.id.clone())),
                Verified::Attested => attested = attested.or_else(|| Some(entry.id.clone())),
                Verified::No => {}
            }
        }
    }
    Ok(attested)
}

/// How a record says that the copy here was checked; not at all, where it can't be read.
async fn verified_by(opened: &Opened, key: &ObjectKey) -> Result<Verified, BackupError> {
    let record = match read_document::<RunRecord>(opened.sink.as_ref(), key).await {
        Ok(record) => record,
        Err(error) if error.class().is_retriable() => return Err(error),
        Err(_) => return Ok(Verified::No),
    };
    let is_here = |location: &str| location == opened.location;
    let knows_it = record.destinations.iter().any(|at| is_here(&at.location));
    let committed = record.destinations.iter().filter(|at| {
        // In a copy of a destination no record knows the place.
        at.status == DestinationStatus::Committed && (!knows_it || is_here(&at.location))
    });
    let best = |best, verified| match (best, verified) {
        (Verified::Read, _) | (_, Verified::Read) => Verified::Read,
        (Verified::Attested, _) | (_, Verified::Attested) => Verified::Attested,
        _ => Verified::No,
    };
    Ok(committed.map(|at| at.verified).fold(Verified::No, best))
}
