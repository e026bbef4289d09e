//! Chains of backups: a full one, and then links, each of which has what is other than in its parent.
//!
//! A link can't be restored without its parent. So everything here is about never having one without the other, and about
//! what has changed since: rules, over values.

mod compare;
mod lines;
mod links;

use std::fmt;

use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::BackupError;
use crate::id::BackupId;
use crate::index::ObjectRow;
use crate::time::Timestamp;

pub use compare::{Verdict, YOUNG_MS, judge, version_of, young_from};
pub use lines::{KnownLine, LineDigest};
pub use links::{Linked, Links, NotAChain};

/// A backup, told from every other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupRef {
    /// Its id.
    pub id: BackupId,
    /// When its run began: the catalogue's entry of it is found by this and the id.
    pub started_at: Timestamp,
    /// BLAKE3 of its manifest.
    pub checksum: Digest,
}

/// What a scan found to be other than in the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// Of the records of the scan's resources.
    pub records: Compared,
    /// Of everything that is carried as objects.
    pub objects: Compared,
}

/// What became of things since the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    /// They weren't there.
    pub created: u64,
    /// They are others, or so young that they may be: a listing doesn't tell two versions of a second apart.
    pub changed: u64,
    /// They are gone.
    pub deleted: u64,
    /// They are as they were, and the parent or one of its own has them.
    pub unchanged: u64,
}

/// What a chain holds, for a scan that looks for what isn't so any more.
pub struct Base {
    /// What time it was at the source's server when the scan of the parent began, where that is known.
    pub server_time: Option<Timestamp>,
    /// Where the chain has nothing: from when on, by the source's server, what was written is wanted.
    pub since: Option<Timestamp>,
    /// What each backup of the chain says, the full one first: of each object once.
    pub backups: Vec<BoxStream<'static, Result<BaseItem, BackupError>>>,
    /// Where the source is of JSON lines: all that the chain has.
    pub lines: Option<BoxStream<'static, Result<KnownLine, BackupError>>>,
}

/// What a backup of a chain says of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseItem {
    /// It is there.
    Object {
        /// As its GET gave it.
        row: ObjectRow,
        /// Whether the backup has it as the line of a record.
        as_line: bool,
        /// Whether the backup has it as an object.
        as_frame: bool,
    },
    /// There is none of this key.
    Gone(String),
}

impl Base {
    /// For a scan of what was written at this time or later.
    pub fn since(time: Timestamp) -> Self {
        Base {
            server_time: None,
            since: Some(time),
            backups: Vec::new(),
            lines: None,
        }
    }
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Base")
            .field("server_time", &self.server_time)
            .field("backups", &self.backups.len())
            .finish()
    }
}
