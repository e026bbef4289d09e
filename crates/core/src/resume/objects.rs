//! What a run had read of the objects of a resource: enough to tell whether a listing shows the same.

use crate::digest::{Digest, DigestOfDigests};
use crate::time::Timestamp;

/// Objects in the order in which they were read, each in a version.
#[derive(Debug, Clone, Default)]
pub struct ObjectsRead {
    count: u64,
    digest: DigestOfDigests,
    newest_at: Option<Timestamp>,
    /// Whether there is one without a time.
    is_untimed: bool,
}

impl ObjectsRead {
    /// Takes the next object: its key, [its version](crate::chain::version_of) and its time.
    pub fn take(&mut self, key: &str, version: u64, at: Option<Timestamp>) {
        let text = [&version.to_le_bytes()[..], key.as_bytes()].concat();
        self.digest.push(Digest::of(&text));
        self.count += 1;
        self.newest_at = self.newest_at.max(at);
        self.is_untimed |= at.is_none();
    }

    /// Whether these are the same objects, in the same order and the same versions.
    pub fn are(&self, others: &Self) -> bool {
        self.count == others.count && self.digest.finish() == others.digest.finish()
    }

    /// Whether all were written before this time, so that their versions tell them from what was written later.
    pub(super) fn are_before(&self, time: Option<Timestamp>) -> bool {
        let is_before = |newest| time.is_some_and(|time| newest < time);
        !self.is_untimed && self.newest_at.is_none_or(is_before)
    }
}
