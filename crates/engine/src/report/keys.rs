//! Who can open backups.

use serde::Serialize;
use teeline_core::seal::{KdfFunction, SealedFor, SealedKey};
use teeline_core::{BackupError, BackupId, ErrorReport, Timestamp};

use super::{DestinationError, exit, exit_code_of};
use crate::failure::{Failure, Operation};

/// Who can open backups, and what was changed about it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct KeysReport {
    /// The backups, the newest first.
    pub backups: Vec<KeysOfBackup>,
    /// What couldn't be read at all.
    pub errors: Vec<DestinationError>,
    /// What went wrong first, for callers of web APIs and those who know s3db.js's plugin.
    pub failure: Option<Failure>,
}

/// Who can open one backup.
#[derive(Debug, Clone, Serialize)]
pub struct KeysOfBackup {
    /// The backup.
    pub id: BackupId,
    /// At each destination that has it.
    pub destinations: Vec<KeysAt>,
}

/// The key objects of a backup at one destination.
#[derive(Debug, Clone, Serialize)]
pub struct KeysAt {
    /// The destination's name.
    pub name: String,
    /// Whether the backup is sealed. One that isn't has no keys, and is left as it is.
    pub sealed: bool,
    /// The key objects that are there now.
    pub keys: Vec<KeyObject>,
    /// The names of those that were added.
    pub added: Vec<String>,
    /// The names of those that were removed.
    pub removed: Vec<String>,
    /// Why not everything was done.
    pub error: Option<ErrorReport>,
}

/// A key object.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyObject {
    /// Its name.
    pub name: String,
    /// The kind of its recipient: `passphrase`, `key` or `x25519`; absent where it can't be read.
    pub kind: Option<&'static str>,
    /// The public key of the recipient, of kind `x25519`.
    pub recipient: Option<String>,
    /// How a key comes of the passphrase, of kind `passphrase`.
    pub kdf: Option<KdfFunction>,
    /// When it was added.
    pub added_at: Option<Timestamp>,
    /// Why it can't be read.
    pub error: Option<ErrorReport>,
}

impl KeysAt {
    pub(crate) fn new(name: &str, sealed: bool) -> Self {
        KeysAt {
            name: name.to_owned(),
            sealed,
            keys: Vec::new(),
            added: Vec::new(),
            removed: Vec::new(),
            error: None,
        }
    }
}

impl KeyObject {
    pub(crate) fn new(name: &str, read: Result<SealedKey, BackupError>) -> Self {
        let (error, sealed) = match read {
            Ok(sealed) => (None, Some(sealed)),
            Err(error) => (Some((&error).into()), None),
        };
        let recipient = sealed.as_ref().map(|sealed| &sealed.recipient);
        KeyObject {
            name: name.to_owned(),
            kind: recipient.map(SealedFor::kind),
            recipient: match recipient {
                Some(SealedFor::X25519 { recipient, .. }) => Some(recipient.to_string()),
                _ => None,
            },
            kdf: match recipient {
                Some(SealedFor::Passphrase { kdf }) => Some(kdf.function),
                _ => None,
            },
            added_at: sealed.as_ref().map(|sealed| sealed.added_at),
            error,
        }
    }
}

impl KeysReport {
    /// Says what went wrong first.
    pub(crate) fn concluded(mut self) -> Self {
        let places = self.backups.iter().flat_map(|backup| &backup.destinations);
        let of_places = places.filter_map(|at| at.error.as_ref());
        let errors = self.errors.iter().map(|failed| &failed.error);
        self.failure = Failure::first(Operation::Keys, errors.chain(of_places));
        self
    }

    /// 0; 12 where no key opens a backup, 13 where a key object is damaged, 1 where something couldn't be done.
    pub fn exit_code(&self) -> u8 {
        let places = self.backups.iter().flat_map(|backup| &backup.destinations);
        let of_places = places.flat_map(|at| {
            let of_keys = at.keys.iter().map(|key| &key.error);
            of_keys.chain([&at.error])
        });
        let of_places = of_places.flatten().map(exit_code_of);
        let of_errors = self.errors.iter().map(|failed| exit_code_of(&failed.error));
        exit::worst(of_places.chain(of_errors))
    }
}
