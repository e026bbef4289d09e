//! Sealing and opening the parts of one backup.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf::Prk;
use aws_lc_rs::hmac;
use bytes::Bytes;

use super::context::Context;
use super::data_key::{DataKey, Epoch, KeyId};
use super::entry::SealEntry;
use super::hkdf;
use crate::document;
use crate::error::{BackupError, Class};
use crate::hex32::Hex32;
use crate::id::BackupId;

/// What sealing adds to bytes: the tag behind them.
pub const TAG_BYTES: usize = 16;

/// A key seals one thing.
const NONCE: [u8; 12] = [0; 12];

/// Seals and opens the parts of one backup, as one attempt writes or wrote them.
#[derive(Clone)]
pub struct Sealer {
    backup: BackupId,
    prk: Prk,
}

impl Sealer {
    /// With the data key of `backup`, for the attempt of this epoch.
    pub fn new(backup: &BackupId, key: &DataKey, epoch: &Epoch) -> Self {
        Sealer {
            backup: backup.clone(),
            prk: hkdf::extract(epoch.as_bytes(), key.as_bytes()),
        }
    }

    /// With the data key that `entry` commits to.
    ///
    /// # Errors
    /// [`Class::WrongKey`] where it is another key.
    pub fn of(backup: &BackupId, key: &DataKey, entry: &SealEntry) -> Result<Self, BackupError> {
        let sealer = Self::new(backup, key, &entry.epoch);
        let (ours, theirs) = (sealer.key_id(), entry.key);
        if verify_slices_are_equal(ours.as_bytes(), theirs.as_bytes()).is_ok() {
            return Ok(sealer);
        }
        let message = "it isn't the key that the backup was sealed with";
        Err(BackupError::new(Class::WrongKey, "open", backup, message))
    }

    /// What commits to the data key.
    pub fn key_id(&self) -> KeyId {
        let key = hkdf::expand(&self.prk, &Context::KeyId.line(&self.backup));
        Hex32::new(*key)
    }

    /// Seals what belongs there. Once for each context.
    pub fn seal(&self, context: Context<'_>, plain: &[u8]) -> Bytes {
        let line = context.line(&self.backup);
        seal_with(&hkdf::expand(&self.prk, &line), &line, plain).into()
    }

    /// Opens what was sealed for this place; `subject` names it in errors.
    ///
    /// # Errors
    /// [`Class::Corrupt`] where it is something else.
    pub fn open(
        &self,
        subject: &str,
        context: Context<'_>,
        sealed: &[u8],
    ) -> Result<Bytes, BackupError> {
        let line = context.line(&self.backup);
        let opened = open_with(&hkdf::expand(&self.prk, &line), &line, sealed);
        opened.map(Bytes::from).ok_or_else(|| {
            let message = "it isn't what was sealed for this place in this backup";
            BackupError::corrupt(subject, message)
        })
    }

    /// Authenticates bytes that stay in the clear.
    pub fn mac(&self, context: Context<'_>, bytes: &[u8]) -> Hex32 {
        let tag = hmac::sign(&self.mac_key(context), bytes);
        let tag = tag.as_ref().try_into();
        Hex32::new(tag.expect("a tag of HMAC-SHA256 has 32 bytes"))
    }

    /// Compares a stored document with its authentication; `subject` names it in errors.
    ///
    /// # Errors
    /// [`Class::Corrupt`] where it is another one, or has none.
    pub fn check_document(
        &self,
        subject: &str,
        context: Context<'_>,
        bytes: &[u8],
    ) -> Result<(), BackupError> {
        let (body, mac) = document::authenticated(bytes)
            .ok_or_else(|| BackupError::corrupt(subject, "it isn't authenticated"))?;
        self.check_mac(subject, context, body, mac.as_bytes())
    }

    /// Compares bytes in the clear with their authentication; `subject` names them in errors.
    pub(crate) fn check_mac(
        &self,
        subject: &str,
        context: Context<'_>,
        bytes: &[u8],
        mac: &[u8],
    ) -> Result<(), BackupError> {
        hmac::verify(&self.mac_key(context), bytes, mac).map_err(|_| {
            let message = "it wasn't written by who had the backup's key";
            BackupError::corrupt(subject, message)
        })
    }

    fn mac_key(&self, context: Context<'_>) -> hmac::Key {
        let key = hkdf::expand(&self.prk, &context.line(&self.backup));
        hmac::Key::new(hmac::HMAC_SHA256, &*key)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({})", self.backup)
    }
}

/// Bytes, sealed by a key that seals nothing else; `aad` is authenticated with them.
pub(super) fn seal_with(key: &[u8; 32], aad: &str, plain: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(plain.len() + TAG_BYTES);
    bytes.extend_from_slice(plain);
    cipher(key)
        .seal_in_place_append_tag(nonce(), Aad::from(aad.as_bytes()), &mut bytes)
        .expect("a block is smaller than the 64 GiB that GCM seals");
    bytes
}

/// What was sealed by that key, with that beside it; `None` where it was something else.
pub(super) fn open_with(key: &[u8; 32], aad: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = sealed.to_vec();
    let plain = cipher(key).open_in_place(nonce(), Aad::from(aad.as_bytes()), &mut bytes);
    let plain_bytes = plain.ok()?.len();
    bytes.truncate(plain_bytes);
    Some(bytes)
}

fn cipher(key: &[u8; 32]) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, key).expect("a key of AES-256 has 32 bytes");
    LessSafeKey::new(key)
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key(NONCE)
}
