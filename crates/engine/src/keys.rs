//! Keys of sealed backups: where secrets come from ([`KeySource`]), the key objects beside a backup, and how a backup is
//! opened with them.

mod change;
mod generate;
mod objects;
mod source;
mod unlock;

use teeline_core::seal::KeySecret;
use teeline_core::{BackupError, BackupId, Class};

pub(crate) use change::seal_keys;
pub use change::{KeyChange, KeysRequest};
pub use generate::{generate_key, generate_pair};
pub(crate) use objects::{KEYS_MAX, copy_keys, is_key_object, keys_of, readable_keys};
pub(crate) use source::check_private;
pub use source::{KeyForm, KeySource};
pub(crate) use unlock::{authenticate, open_any, unlock};

/// What a reader opens backups with.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// Any of them may be the one; none, by which only backups that aren't sealed can be opened.
    pub secrets: Vec<KeySecret>,
    /// Whether a backup that isn't sealed is taken although there are keys; no, since whoever can write to a destination
    /// can put one there.
    pub allow_unsealed: bool,
}

impl Keys {
    /// These secrets.
    pub fn new(secrets: Vec<KeySecret>) -> Self {
        Keys {
            secrets,
            allow_unsealed: false,
        }
    }

    /// Takes a backup that isn't sealed, where nothing else is to be expected.
    ///
    /// # Errors
    /// [`Class::WrongKey`] where there are keys, and it isn't allowed.
    pub(crate) fn take_unsealed(&self, id: &BackupId) -> Result<(), BackupError> {
        if self.secrets.is_empty() || self.allow_unsealed {
            return Ok(());
        }
        let message = "it isn't sealed, though a key was given: whoever can write to the destination may have made it";
        let error = BackupError::new(Class::WrongKey, "open", id, message);
        Err(error
            .suggest("`teeline verify` and `restore` take it all the same with --allow-unsealed"))
    }
}
