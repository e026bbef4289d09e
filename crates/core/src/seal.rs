//! Bytes ↔ encrypted bytes.
//!
//! A backup has a random [`DataKey`]. From it, and from the *epoch* of the attempt that writes the backup, follows a key of
//! its own for each thing that is sealed: a chunk, the rows of an index about it, the end of a data file, a small file. The
//! name of that thing, its [`Context`], goes into its key and is authenticated with it, so that nothing can be opened in
//! another place, as a part of another backup or as one of another attempt. A key seals once, so its nonce is zero.
//!
//! The data key itself is sealed for each [`Recipient`] in a [`SealedKey`], and [`KeyId`] commits to it.

mod context;
mod data_key;
mod entry;
mod hkdf;
mod index_mac;
mod kdf;
mod rows;
mod sealed_key;
mod sealer;
mod secret;

pub use context::Context;
pub use data_key::{DataKey, Epoch, KeyId};
pub use entry::{Predecessor, SealAlgorithm, SealEntry, SealedPlace};
pub use kdf::{
    ARGON2ID_ITERATIONS, ARGON2ID_MEMORY_KIB, ARGON2ID_PARALLELISM, Kdf, KdfFunction, KdfStrength,
    PBKDF2_ITERATIONS_FLOOR,
};
pub use rows::open_rows;
pub(crate) use rows::seal_rows;
pub use sealed_key::{
    KDF_SALT_PREFIX_BYTES_MAX, KEY_NAME_RANDOM_BYTES, KeyRandom, Recipient, SealedFor, SealedKey,
};
pub use sealer::{Sealer, TAG_BYTES};
pub use secret::{Base64, KeySecret, RawKey, SecretText, X25519Public, X25519Secret};

/// What the names of sealed files end in.
pub const SEALED_SUFFIX: &str = ".sealed";

#[cfg(test)]
mod tests;
