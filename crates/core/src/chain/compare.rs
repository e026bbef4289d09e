//! What a listing shows to have changed since a backup.
//!
//! An object is surely as it was where the listing has the very version that the backup read, and that version is clearly
//! older than the scan that read it. Servers tell times apart by the second, and records without a body have the same tag
//! whatever they say: what was written in the second in which it was read may have been written again in that second, and
//! look the same. Only the server's own clock has a part in this.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::time::Timestamp;

/// What was written less than this before a scan began counts as young: the second of its time may not have been over, and
/// the servers of a store don't all have the same time.
pub const YOUNG_MS: i64 = 5_000;

/// From when on an object is young for a scan that began at this time of the server's; all of them are where that isn't
/// known.
pub fn young_from(server_time: Option<Timestamp>) -> Option<Timestamp> {
    server_time.map(|time| Timestamp::from_unix_ms(time.unix_ms().saturating_sub(YOUNG_MS)))
}

/// A number for a version of an object, by what listings and GETs say of it alike: times to the second, tags without
/// quotes. Another version has another number, unless it was written within the same second with a body of the same content.
pub fn version_of(last_modified: Option<Timestamp>, etag: Option<&str>, size: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    let second = last_modified.map(|time| time.unix_ms().div_euclid(1_000));
    let etag = etag.map(|etag| etag.trim_matches('"'));
    (second, etag, size).hash(&mut hasher);
    hasher.finish()
}

/// What is to be done about a listed object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The backup doesn't have it: it is read.
    New,
    /// It is another one than the backup has, or may be: it is read again.
    Again,
    /// It is as it was.
    Unchanged,
}

/// Compares an object that is listed in the version `listed`, of that time, with the version that a backup has of it, whose
/// scan took for young what was written at `young_from` or later.
pub fn judge(
    known: Option<u64>,
    listed: u64,
    last_modified: Option<Timestamp>,
    young_from: Option<Timestamp>,
) -> Verdict {
    let is_old = last_modified
        .zip(young_from)
        .is_some_and(|(time, from)| time < from);
    match known {
        None => Verdict::New,
        Some(known) if known == listed && is_old => Verdict::Unchanged,
        Some(_) => Verdict::Again,
    }
}

#[cfg(test)]
mod tests;
