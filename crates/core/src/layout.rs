//! Where things are below a destination's root.

use crate::error::BackupError;
use crate::id::BackupId;
use crate::key::ObjectKey;
use crate::time::Timestamp;

/// Marks a destination's root.
pub const MARKER: &str = "teeline.json";
/// The folder of the catalogue's entries.
pub const CATALOG: &str = "catalog";
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

/// The key of the record of a run that ended at `ended_at`.
///
/// # Errors
/// Never: an id is a component.
pub fn run_record(id: &BackupId, ended_at: Timestamp) -> Result<ObjectKey, BackupError> {
    ObjectKey::new(format!("{RUNS}/{id}-{}", ended_at.unix_ms()))
}

/// The backup that a key among the run records is about.
pub fn run_record_id(key: &ObjectKey) -> Option<BackupId> {
    let (id, ended) = key.file_name().rsplit_once('-')?;
    id.parse()
        .ok()
        .filter(|_| ended.bytes().all(|b| b.is_ascii_digit()))
}
