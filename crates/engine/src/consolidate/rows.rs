//! What a chain's indexes say of each object that stands, for the index of the backup that is made of it.

use std::collections::HashMap;

use futures::TryStreamExt;
use teeline_core::chain::BaseItem;
use teeline_core::{BackupError, Digest, ObjectRow, Timestamp};

use crate::chain::Chain;

/// Keys are told apart by as many bytes of their digests.
type KeyDigest = [u8; 16];

struct Version {
    last_modified: Option<Timestamp>,
    etag: Option<Box<str>>,
    size: u64,
}

/// The version of each object.
pub(super) struct Rows(HashMap<KeyDigest, Version>);

impl Rows {
    pub(super) async fn read(chain: &Chain) -> Result<Self, BackupError> {
        let mut rows = HashMap::new();
        for mut items in chain.base().backups {
            while let Some(item) = items.try_next().await? {
                match item {
                    BaseItem::Object { row, .. } => {
                        let version = Version {
                            last_modified: row.last_modified,
                            etag: row.etag.map(String::into_boxed_str),
                            size: row.size,
                        };
                        rows.insert(digest_of(&row.key), version);
                    }
                    BaseItem::Gone(key) => drop(rows.remove(&digest_of(&key))),
                }
            }
        }
        Ok(Rows(rows))
    }

    /// The row of an object, as a line of an index; empty where none was there.
    pub(super) fn of(&self, key: &str) -> Vec<u8> {
        let Some(version) = self.0.get(&digest_of(key)) else {
            return Vec::new();
        };
        ObjectRow {
            key: key.to_owned(),
            last_modified: version.last_modified,
            etag: version.etag.as_deref().map(str::to_owned),
            size: version.size,
        }
        .to_line()
    }
}

fn digest_of(key: &str) -> KeyDigest {
    let mut digest = KeyDigest::default();
    let length = digest.len();
    digest.copy_from_slice(&Digest::of(key.as_bytes()).as_bytes()[..length]);
    digest
}
