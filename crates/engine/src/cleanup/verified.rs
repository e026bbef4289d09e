//! The last backup at a destination that was verified, as the ledger and the records of runs say.

use std::collections::{HashMap, HashSet};

use teeline_core::chain::{Linked, Links};
use teeline_core::{
    BackupError, BackupId, CatalogEntry, Depth, DestinationStatus, ObjectKey, RunRecord,
    VerificationResult, Verified,
};

use crate::catalog::{Catalog, read_document};
use crate::ledger::Ledger;
use crate::open::Opened;

/// Of backups, the newest first, the first one that was read and found right; or else the first one that the store attested. One
/// in which damage was found since it was made is neither, and nor is one that can't be restored: where something that it goes on
/// from isn't listed, or damage was found in that.
pub(super) async fn last_verified(
    opened: &Opened,
    catalog: &Catalog,
    newest_first: &[&CatalogEntry],
    records: &HashMap<BackupId, Vec<ObjectKey>>,
    ledger: &Ledger,
) -> Result<Option<BackupId>, BackupError> {
    let links = Links::new(catalog.entries.iter().map(Linked::from));
    let mut beyond_restoring = HashSet::new();
    let mut attested = None;
    for entry in newest_first {
        let chain = links.chain(&entry.id).unwrap_or_default();
        let Some((itself, needed)) = chain.split_last() else {
            continue;
        };
        if beyond_restoring.contains(&entry.id) {
            continue;
        }
        for backup in needed {
            if ledger.is_damaged(opened, backup).await? {
                let needing = links.needing(&backup.id).into_iter();
                beyond_restoring.extend(needing.map(|link| link.id));
            }
        }
        if beyond_restoring.contains(&entry.id) {
            continue;
        }
        let found = ledger
            .read_decisive(opened, &itself.id, itself.checksum)
            .await?;
        let verified = match found.map(|check| (check.result, check.how)) {
            Some((VerificationResult::Damaged, _)) => continue,
            Some((_, how)) if how >= Depth::Digest => Verified::Read,
            found => {
                let mut best = match found {
                    None => Verified::No,
                    Some(_) => Verified::Attested,
                };
                for key in records.get(&entry.id).into_iter().flatten() {
                    best = better(best, verified_by(opened, key).await?);
                }
                best
            }
        };
        match verified {
            Verified::Read => return Ok(Some(entry.id.clone())),
            Verified::Attested => attested = attested.or_else(|| Some(entry.id.clone())),
            Verified::No => {}
        }
    }
    Ok(attested)
}

fn better(one: Verified, other: Verified) -> Verified {
    match (one, other) {
        (Verified::Read, _) | (_, Verified::Read) => Verified::Read,
        (Verified::Attested, _) | (_, Verified::Attested) => Verified::Attested,
        _ => Verified::No,
    }
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
    Ok(committed.map(|at| at.verified).fold(Verified::No, better))
}
