//! What a probe of a destination found: which promises its store keeps.

use serde::{Deserialize, Serialize};

use crate::document::{self, Document};
use crate::time::Timestamp;

/// What a probe of a destination found. The newest one says how the destination is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeRecord {
    /// When it was made.
    pub probed_at: Timestamp,
    /// What the store kept of its promises.
    #[serde(flatten)]
    pub promises: Promises,
    /// The version of teeline that made it.
    pub written_by: String,
}

/// What of a store was tried, and whether it was so. That what was written can be read, whole and in parts, isn't among it: a
/// store that doesn't do that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Promises {
    /// A key that is taken was refused to who would write something else there, and kept what it had.
    pub refuses_to_replace: bool,
    /// Of many that wrote one key at once, one was told that it succeeded, and it was its object that stayed.
    pub one_creator_wins: bool,
    /// What had just been written was listed.
    pub lists_at_once: bool,
    /// Who probed it may delete. A store that allows that to nobody is as good.
    pub deletes: bool,
}

impl Promises {
    /// What can't be relied on there, and what follows; nothing of a store that keeps what it should.
    pub fn weaknesses(&self) -> Vec<&'static str> {
        let is_written_once = self.refuses_to_replace && self.one_creator_wins;
        let mut weaknesses = Vec::new();
        if !is_written_once {
            weaknesses.push(
                "conditional writes aren't honoured: what is there can be replaced. Backups are kept apart by the random part of their \
                 ids, and by their claims, which are read back; two processes that take up one run, or the same time of a schedule, \
                 aren't told apart",
            );
        }
        if !self.lists_at_once {
            weaknesses.push(
                "what was just written isn't listed at once: a backup that has just been made may be missing from lists, and from what a \
                 cleanup or a next incremental backup looks at",
            );
        }
        weaknesses
    }
}

impl Document for ProbeRecord {
    const FORMAT: &'static str = "teeline-probe";
    const VERSION: u32 = 1;
    const BYTES_MAX: u64 = document::SMALL_BYTES_MAX;
}
