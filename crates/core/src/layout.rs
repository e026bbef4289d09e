//! Where things are below a destination's root.

use crate::error::BackupError;
use crate::id::BackupId;
use crate::key::ObjectKey;
use crate::time::Timestamp;

/// Marks a destination's root.
pub const MARKER: &str = "teeline.json";
/// The folder of the catalogue's entries.
pub const CATALOG: &str = "catalog";
/// What the key of an entry ends in where it isn't the entry but what withdraws the backup: it sorts right after the entry,
/// and one listing shows both.
const WITHDRAWN_SUFFIX: &str = ".withdrawn";
/// The same while what a dead run has left is removed.
const SWEPT_SUFFIX: &str = ".swept";
/// The folder of the run records.
pub const RUNS: &str = "runs";
/// The claim of an id, in the backup's folder.
pub const RUN_CLAIM: &str = "run.json";
/// The manifest, in the backup's folder.
pub const MANIFEST: &str = "manifest.json";
/// The database's own `s3db.json`, byte for byte, in the backup's folder.
pub const DATABASE_CATALOGUE: &str = "_database.json";
/// The documented export of the schemas, in the backup's folder.
pub const SCHEMA_EXPORT: &str = "s3db.json";

/// The folder of the key objects of a sealed backup, in the backup's folder.
pub const KEYS: &str = "keys";

/// What the names of files begin with that say that a run is taken up.
const RESUMED: &str = "resumed-";

/// Lies at the root of a database that is being restored.
pub const RESTORE_MARKER: &str = "teeline-restore.json";

/// The key of the marker.
///
/// # Errors
/// Never: the name is a key.
pub fn marker() -> Result<ObjectKey, BackupError> {
    ObjectKey::new(MARKER)
}

/// The key of a backup's entry in the catalogue. The newest sorts first.
///
/// # Errors
/// Never: an id is a component.
pub fn catalog_entry(id: &BackupId, started_at: Timestamp) -> Result<ObjectKey, BackupError> {
    ObjectKey::new(format!("{CATALOG}/{}-{id}", started_at.inverted()))
}

/// The backup that a key in the catalogue is about.
pub fn catalog_entry_id(key: &ObjectKey) -> Option<BackupId> {
    catalog_entry_of(key).map(|(_, id)| id)
}

/// When the backup that a key in the catalogue is about began, as the key has it, and its id.
pub fn catalog_entry_of(key: &ObjectKey) -> Option<(Timestamp, BackupId)> {
    let (inverted, id) = key.file_name().split_once('-')?;
    Some((Timestamp::from_inverted(inverted)?, id.parse().ok()?))
}

/// The key of what withdraws the backup whose entry in the catalogue has, had or would have the key `entry`.
///
/// # Errors
/// Never: a key of the catalogue is short.
pub fn withdrawal(entry: &ObjectKey) -> Result<ObjectKey, BackupError> {
    ObjectKey::new(format!("{entry}{WITHDRAWN_SUFFIX}"))
}

/// The same while what a dead run has left is removed; it goes with that.
///
/// # Errors
/// Never: a key of the catalogue is short.
pub fn sweep(entry: &ObjectKey) -> Result<ObjectKey, BackupError> {
    ObjectKey::new(format!("{entry}{SWEPT_SUFFIX}"))
}

/// The backup that is withdrawn by what has the key `withdrawal`, or the run that is being swept.
pub fn withdrawn_id(withdrawal: &ObjectKey) -> Option<BackupId> {
    let key = withdrawal.as_str();
    let entry = key.strip_suffix(WITHDRAWN_SUFFIX);
    let entry = entry.or_else(|| key.strip_suffix(SWEPT_SUFFIX))?;
    catalog_entry_id(&ObjectKey::new(entry).ok()?)
}

/// Whether that is of a dead run.
pub fn is_sweep(withdrawal: &ObjectKey) -> bool {
    withdrawal.as_str().ends_with(SWEPT_SUFFIX)
}

/// The key of the record of a run that ended at `ended_at`.
///
/// # Errors
/// Never: an id is a component.
pub fn run_record(id: &BackupId, ended_at: Timestamp) -> Result<ObjectKey, BackupError> {
    ObjectKey::new(format!("{RUNS}/{id}-{}", ended_at.unix_ms()))
}

/// The backup that a key among the run records is about.
pub fn run_record_id(key: &ObjectKey) -> Option<BackupId> {
    named_by_run_record(key).map(|(id, _)| id)
}

/// The backup that a key among the run records is about, and when that run ended.
pub fn named_by_run_record(key: &ObjectKey) -> Option<(BackupId, Timestamp)> {
    let (id, ended) = key.file_name().rsplit_once('-')?;
    let is_number = ended.bytes().all(|b| b.is_ascii_digit());
    let ended_ms = ended.parse().ok().filter(|_| is_number)?;
    Some((id.parse().ok()?, Timestamp::from_unix_ms(ended_ms)))
}

/// Where a key object of this name is, in the backup's folder.
pub fn key_object(name: &str) -> String {
    format!("{KEYS}/{name}")
}

/// What says, in the backup's folder, that a run is taken up for the time of this number, from 1.
pub fn resumption(number: u32) -> String {
    format!("{RESUMED}{number:04}.json")
}

/// For which time a file of this name says that a run is taken up.
pub fn resumption_number(file: &str) -> Option<u32> {
    let digits = file.strip_prefix(RESUMED)?.strip_suffix(".json")?;
    let number = digits.parse().ok()?;
    (resumption(number) == file).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_withdraws_a_backup_sorts_right_after_its_entry() {
        let id: BackupId = "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap();
        let began = |ms: i64| Timestamp::from_unix_ms(1_795_399_200_000 + ms);
        let entry = catalog_entry(&id, began(1)).unwrap();
        let [newer, older] = [2, 0].map(|ms| catalog_entry(&id, began(ms)).unwrap());
        let keys = [withdrawal(&entry), sweep(&entry)].map(Result::unwrap);
        for key in &keys {
            assert_eq!(withdrawn_id(key), Some(id.clone()));
            assert_eq!(catalog_entry_id(key), None);
            assert!(newer < entry && entry < *key && *key < older);
        }
        assert_eq!(keys.each_ref().map(is_sweep), [false, true]);
        assert_eq!(withdrawn_id(&entry), None);
    }
}
