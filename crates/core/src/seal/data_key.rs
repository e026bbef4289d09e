//! The key of a backup, and what may be said of it in the clear.

use std::fmt;

use zeroize::Zeroizing;

use crate::hex32::Hex32;

/// The secret that everything of a backup is sealed with. Random, and used for that backup only.
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; 32]>);

/// A random number of an attempt, in the clear. Attempts that had the same data key all the same would have no key in
/// common.
pub type Epoch = Hex32;

/// Commits to a data key: no other key has the same. It is in the clear, and tells which key is meant.
pub type KeyId = Hex32;

impl DataKey {
    /// Of these bytes, which must be random.
    pub fn new(bytes: [u8; 32]) -> Self {
        DataKey(Zeroizing::new(bytes))
    }

    /// Its bytes.
    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(…)")
    }
}
