//! Which objects a backup has, and in which version each was listed.
//!
//! An object takes a row of 24 bytes, and its key without what it shares with the key before it: a database lists keys
//! that are alike one after the other. So it is about 50 bytes for a record.

use teeline_core::Digest;

/// Keys are told apart by as many bytes of their digests.
pub(in crate::s3db) type KeyDigest = [u8; 16];

/// The version of an object that is gone.
const GONE: u64 = 0;

#[derive(Debug, Clone, Copy)]
struct Row {
    key: KeyDigest,
    version: [u8; 8],
}

/// The objects that a backup has.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// In the order of their digests.
    rows: Vec<Row>,
    /// Those that came since the rows were sorted.
    added: Vec<Row>,
    keys: Keys,
    /// Which of the rows were listed in this pass.
    listed: Vec<bool>,
}

impl Known {
    /// Notes an object that the backup has from now on, in the version in which it was listed.
    pub(super) fn note(&mut self, key: &str, version: u64) {
        let digest = digest_of(key);
        match self.find(&digest) {
            Some(row) => self.rows[row].set(version.max(GONE + 1)),
            None => {
                self.keys.push(key);
                let mut row = Row {
                    key: digest,
                    version: [0; 8],
                };
                row.set(version.max(GONE + 1));
                self.added.push(row);
            }
        }
    }

    /// Notes that an object is gone; whether the backup had it.
    pub(super) fn note_gone(&mut self, key: &str) -> bool {
        let Some(row) = self.find(&digest_of(key)) else {
            return false;
        };
        let had = !self.rows[row].is_gone();
        self.rows[row].set(GONE);
        had
    }

    /// Begins a pass, in which each object is noted once at most.
    pub(super) fn begin_pass(&mut self) {
        if !self.added.is_empty() {
            self.rows.append(&mut self.added);
            self.rows.shrink_to_fit();
            self.added = Vec::new();
            self.rows.sort_by_key(|row| row.key);
            self.rows.dedup_by(|later, former| {
                let same = later.key == former.key;
                if same {
                    former.version = later.version;
                }
                same
            });
        }
        self.listed.clear();
        self.listed.resize(self.rows.len(), false);
    }

    /// Whether the backup has an object.
    pub(super) fn has(&self, key: &str) -> bool {
        let row = self.find(&digest_of(key));
        row.is_some_and(|row| !self.rows[row].is_gone())
    }

    /// Takes note that an object is listed; whether it was in this version before.
    pub(super) fn is_as_before(&mut self, key: &str, version: u64) -> bool {
        self.before(key) == Some(version.max(GONE + 1))
    }

    /// Takes note that an object is listed; the version in which it was noted, unless it was gone.
    pub(super) fn before(&mut self, key: &str) -> Option<u64> {
        let row = self.find(&digest_of(key))?;
        self.listed[row] = true;
        let version = u64::from_ne_bytes(self.rows[row].version);
        (version != GONE).then_some(version)
    }

    /// The objects that the backup has and that weren't listed in this pass.
    pub(super) fn not_listed(&self) -> Vec<String> {
        let mut keys = Vec::new();
        self.keys.for_each(|key| {
            let row = self.find(&digest_of(key));
            if row.is_some_and(|row| !self.listed[row] && !self.rows[row].is_gone()) {
                keys.push(key.to_owned());
            }
        });
        keys
    }

    fn find(&self, key: &KeyDigest) -> Option<usize> {
        self.rows.binary_search_by(|row| row.key.cmp(key)).ok()
    }
}

impl Row {
    fn set(&mut self, version: u64) {
        self.version = version.to_ne_bytes();
    }

    fn is_gone(&self) -> bool {
        self.version == GONE.to_ne_bytes()
    }
}

/// By what a key is told from others.
pub(in crate::s3db) fn digest_of(key: &str) -> KeyDigest {
    let mut digest = [0; 16];
    digest.copy_from_slice(&Digest::of(key.as_bytes()).as_bytes()[..16]);
    digest
}

/// Keys one after the other, each without what it shares with the one before it.
#[derive(Debug, Default)]
struct Keys {
    bytes: Vec<u8>,
    last: String,
}

impl Keys {
    fn push(&mut self, key: &str) {
        let pairs = self.last.bytes().zip(key.bytes());
        let shared = pairs.take_while(|(one, other)| one == other).count();
        let own = &key.as_bytes()[shared..];
        push_number(&mut self.bytes, shared);
        push_number(&mut self.bytes, own.len());
        self.bytes.extend_from_slice(own);
        key.clone_into(&mut self.last);
    }

    fn for_each(&self, mut visit: impl FnMut(&str)) {
        let mut key = Vec::new();
        let mut rest = self.bytes.as_slice();
        while !rest.is_empty() {
            let shared = take_number(&mut rest);
            let length = take_number(&mut rest).min(rest.len());
            let (own, behind) = rest.split_at(length);
            rest = behind;
            key.truncate(shared);
            key.extend_from_slice(own);
            visit(std::str::from_utf8(&key).expect("it was pushed as text"));
        }
    }
}

/// Seven bits a byte, the last byte without the highest bit.
fn push_number(bytes: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        bytes.push(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap_or_default());
}

fn take_number(bytes: &mut &[u8]) -> usize {
    let (mut number, mut shift) = (0, 0);
    while let Some((byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_knows_what_a_map_knows(
            passes in prop::collection::vec(
                prop::collection::btree_map("[ab]{0,2}(é|日|x{120,140})?", prop::option::of(0_u64..3), 0..12), 1..6,
            ),
        ) {
            let mut known = Known::default();
            let mut model: BTreeMap<String, u64> = BTreeMap::new();
            for pass in passes {
                known.begin_pass();
                let listed = pass.iter().filter_map(|(key, version)| Some((key, (*version)?)));
                for (key, version) in listed {
                    let same = model.get(key) == Some(&version.max(1));
                    prop_assert_eq!(known.is_as_before(key, version), same);
                    prop_assert_eq!(known.has(key), model.contains_key(key));
                }
                let is_listed = |key: &&String| pass.get(*key).is_some_and(Option::is_some);
                let missing: BTreeSet<String> =
                    model.keys().filter(|key| !is_listed(key)).cloned().collect();
                let found = known.not_listed();
                prop_assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), missing.clone());
                prop_assert_eq!(found.len(), missing.len());
                for (key, version) in &pass {
                    match version {
                        Some(version) => {
                            known.note(key, *version);
                            model.insert(key.clone(), (*version).max(1));
                        }
                        None => prop_assert_eq!(known.note_gone(key), model.remove(key).is_some()),
                    }
                }
            }
        }
    }

    #[test]
    fn a_record_takes_about_fifty_bytes() {
        let mut known = Known::default();
        let records = 10_000_u64;
        for number in 0..records {
            let id = Digest::of(&number.to_ne_bytes()).to_string();
            known.note(&format!("resource=users/data/id={}", &id[..22]), number);
        }
        known.begin_pass();
        let rows = known.rows.capacity() * size_of::<Row>();
        let bytes = rows + known.keys.bytes.len() + known.listed.len();
        let each = bytes / usize::try_from(records).unwrap();
        assert!((24..56).contains(&each), "{each}");
    }
}
