//! What a host that can't read its backups keeps for itself, so that an incremental backup goes on from its last one: what a
//! chain says of each object, as of one backup, in a file that is sealed for the host alone.
//!
//! The host trusts its own file, and of what destinations have only what has the checksums that are in it. A file that is
//! missing, damaged or of another backup costs a full backup, and nothing else.

mod chunks;
mod draft;
mod header;
mod line;
mod opened;
mod own_key;
mod retained;
mod written;

use std::path::PathBuf;

use teeline_core::BackupId;
use teeline_core::seal::KeySecret;

pub(crate) use opened::OpenIndex;
pub(crate) use written::NewIndex;

/// What the names of the files end in, behind the backup's id.
const SUFFIX: &str = ".index.sealed";

/// Where a host that can't read its backups keeps what the next incremental one goes on from.
///
/// After a backup that the host's own keys don't open, `<id>.index.sealed` is written there: the key, time, tag and size of each
/// object of a database, or a digest of each line of JSON; no contents. Of each source the newest three are kept, and the
/// newest of a backup that restores alone. The host, and whoever has its account, can read them; a copy of the files without
/// their key says no more than the manifests of the backups do.
#[derive(Debug, Clone)]
pub struct LocalIndex {
    /// The folder; made, for its owner only, where it isn't there.
    pub folder: PathBuf,
    /// What the files are sealed with, which must open no backup. `None`: a random key in the file `local-index.key` of the
    /// folder, which is made when it is first needed.
    pub key: Option<KeySecret>,
}

impl LocalIndex {
    /// In this folder, with a key that is kept there.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        LocalIndex {
            folder: folder.into(),
            key: None,
        }
    }

    /// The file of a backup.
    fn file(&self, id: &BackupId) -> PathBuf {
        self.folder.join(format!("{id}{SUFFIX}"))
    }
}

#[cfg(test)]
mod tests;
