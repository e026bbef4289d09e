//! What of a backup stands, beside what its manifest counts.

use futures::TryStreamExt;
use teeline_core::{BackupError, ResourceEntry};
use teeline_sources::s3db::record_of;

use crate::chain::Chain;
use crate::restore::Contents;

/// All that a backup gives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// Lines of its resources.
    pub(crate) records: u64,
    /// Objects, whatever they are.
    pub(crate) objects: u64,
    /// Of these, the [records of lost resources](records_as_objects).
    pub(crate) records_as_objects: u64,
}

impl Standing {
    /// Whether that is what the backup's manifest has; `done` is what was done with it.
    ///
    /// # Errors
    /// Of class [`Corrupt`](teeline_core::Class::Corrupt), where it isn't.
    pub(crate) fn compare(self, chain: &Chain, done: &str) -> Result<(), BackupError> {
        let manifest = chain.manifest();
        let lost = self.records_as_objects;
        let records = self.records.saturating_add(lost);
        let objects = self.objects.saturating_sub(lost);
        let totals = &manifest.totals;
        for (found, expected, within, what) in [
            (records, totals.records, 0, "records"),
            (objects, totals.objects, uncounted(chain, lost), "objects"),
        ] {
            if found.abs_diff(expected) > within {
                let message = format!("{found} {what} were {done}, the manifest has {expected}");
                return Err(BackupError::corrupt(&manifest.id, message));
            }
        }
        Ok(())
    }
}

/// By how many objects the manifest may be off. A large record that is kept raw has an object beside its line, which is counted
/// with the data files; where the record was read again, it is counted as a record only, whatever it had and has. So it is at most
/// by those that were read again, and by those that any backup of the chain keeps raw.
fn uncounted(chain: &Chain, records_as_objects: u64) -> u64 {
    let settle = chain.manifest().source.settle;
    let read_again = settle.map_or(0, |settle| {
        settle.records.total().saturating_add(records_as_objects)
    });
    read_again.min(chain.kept_raw())
}

/// How many objects are records of resources that the catalogue has lost while the backup was read, and of which no line stands. The
/// manifest counts each as what it was read as, by its key.
pub(crate) async fn records_as_objects(chain: &Chain) -> Result<u64, BackupError> {
    let manifest = chain.manifest();
    if manifest.settled.is_none() {
        return Ok(0);
    }
    let contents = Contents::open(chain).await?;
    let resources: Vec<&ResourceEntry> = manifest.resources.iter().collect();
    let lost: Vec<&str> = resources
        .iter()
        .map(|resource| resource.name.as_str())
        .filter(|name| contents.has_lost(name))
        .collect();
    if lost.is_empty() {
        return Ok(0);
    }
    let is_of_lost = |key: &str| record_of(key).is_some_and(|(name, _)| lost.contains(&name));
    let mut count = 0;
    let mut all = contents.frames(&resources);
    while let Some(frames) = all.try_next().await? {
        let first = frames.iter().filter(|frame| frame.header.offset == 0);
        count += first.filter(|frame| is_of_lost(&frame.header.key)).count() as u64;
    }
    Ok(count)
}
