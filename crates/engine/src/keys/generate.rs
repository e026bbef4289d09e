//! New keys.

use teeline_core::BackupError;
use teeline_core::seal::{RawKey, X25519Secret};

use crate::engine::system_random;

/// A new key.
///
/// # Errors
/// Where the operating system has no randomness.
pub fn generate_key() -> Result<RawKey, BackupError> {
    random_secret().map(RawKey::new)
}

/// A new pair for an X25519 recipient: the half that opens, from which the other one follows.
///
/// # Errors
/// Where the operating system has no randomness.
pub fn generate_pair() -> Result<X25519Secret, BackupError> {
    random_secret().map(X25519Secret::new)
}

fn random_secret() -> Result<[u8; 32], BackupError> {
    let mut bytes = [0; 32];
    system_random(&mut bytes)?;
    Ok(bytes)
}
