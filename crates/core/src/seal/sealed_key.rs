//! The data key of a backup, sealed for one recipient: an object of its own beside the backup's files, so that who can open
//! it may change while the backup stays as it is.

use aws_lc_rs::hkdf::Prk;
use serde::{Deserialize, Serialize};

use super::data_key::{DataKey, KeyId};
use super::hkdf;
use super::kdf::{Kdf, KdfFunction};
use super::sealer::{open_with, seal_with};
use super::secret::{Base64, KeySecret, RawKey, SecretText, X25519Public, X25519Secret};
use crate::document::{self, Document};
use crate::error::{BackupError, Class};
use crate::id::BackupId;
use crate::time::Timestamp;

/// Random bytes of a key object's name.
pub const KEY_NAME_RANDOM_BYTES: usize = 10;

const KDF_SALT_BYTES: usize = 16;

/// Bytes that may go before the random salt: a key object has them whole.
pub const KDF_SALT_PREFIX_BYTES_MAX: usize = 1024;

/// Fills bytes at random.
pub type KeyRandom<'a> = &'a (dyn Fn(&mut [u8]) -> Result<(), BackupError> + Sync);

/// Who is to be able to open a backup.
#[derive(Debug, Clone)]
pub enum Recipient {
    /// Whoever knows a passphrase.
    Passphrase {
        /// It.
        passphrase: SecretText,
        /// How a key comes of it.
        function: KdfFunction,
        /// What goes before the random salt; mostly nothing.
        salt: Vec<u8>,
    },
    /// Whoever has a key.
    Key(RawKey),
    /// Whoever has the secret half.
    X25519(X25519Public),
}

impl Recipient {
    /// Whoever has this secret. A passphrase becomes a key by `function`.
    pub fn of(secret: &KeySecret, function: KdfFunction) -> Self {
        match secret {
            KeySecret::Passphrase(passphrase) => Recipient::Passphrase {
                passphrase: passphrase.clone(),
                function,
                salt: Vec::new(),
            },
            KeySecret::Key(key) => Recipient::Key(key.clone()),
            KeySecret::X25519(secret) => Recipient::X25519(secret.public()),
        }
    }
}

/// A key object: `keys/NAME` in a backup's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SealedKey {
    /// The backup.
    pub backup: BackupId,
    /// Which key is sealed.
    pub key: KeyId,
    /// The object's name: the kind of the recipient and ten random characters.
    pub name: String,
    /// When the recipient was added.
    pub added_at: Timestamp,
    /// The recipient.
    pub recipient: SealedFor,
    /// The data key, sealed.
    pub sealed: Base64,
}

impl Document for SealedKey {
    const FORMAT: &'static str = "teeline-key";
    const VERSION: u32 = 1;
    const BYTES_MAX: u64 = document::SMALL_BYTES_MAX;
}

/// For whom a data key is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum SealedFor {
    /// Whoever knows a passphrase.
    Passphrase {
        /// How a key comes of it.
        kdf: Kdf,
    },
    /// Whoever has a key.
    Key {
        /// Random, so that no two objects are sealed alike.
        salt: Base64,
    },
    /// Whoever has the secret half.
    X25519 {
        /// The public half.
        recipient: X25519Public,
        /// The public half of a pair that was made for this object.
        ephemeral: X25519Public,
    },
}

impl SealedFor {
    /// How much work it is to find out whether a secret opens it, compared with others: none but for a passphrase.
    pub fn work(&self) -> u64 {
        match self {
            SealedFor::Passphrase { kdf } => kdf.function.work(),
            SealedFor::Key { .. } | SealedFor::X25519 { .. } => 0,
        }
    }

    /// The kind, as names have it.
    pub fn kind(&self) -> &'static str {
        match self {
            SealedFor::Passphrase { .. } => "passphrase",
            SealedFor::Key { .. } => "key",
            SealedFor::X25519 { .. } => "x25519",
        }
    }
}

impl SealedKey {
    /// Seals the data key of `backup` for a recipient.
    ///
    /// # Errors
    /// Where there is no randomness, or the recipient can't be one.
    pub fn seal(
        (backup, data_key, key): (&BackupId, &DataKey, KeyId),
        recipient: &Recipient,
        added_at: Timestamp,
        random: KeyRandom<'_>,
    ) -> Result<Self, BackupError> {
        let (sealed_for, secret) = prepare(recipient, random)?;
        let name = format!("{}-{}", sealed_for.kind(), random_name(random)?);
        let line = line(backup, &sealed_for, key);
        let sealed = seal_with(&hkdf::expand(&secret, &line), &line, data_key.as_bytes());
        Ok(SealedKey {
            backup: backup.clone(),
            key,
            name,
            added_at,
            recipient: sealed_for,
            sealed: Base64::new(sealed),
        })
    }

    /// Whether it was sealed for this recipient.
    ///
    /// # Errors
    /// As [`SealedKey::open`].
    pub fn is_for(&self, recipient: &Recipient) -> Result<bool, BackupError> {
        let secret = match (recipient, &self.recipient) {
            (Recipient::X25519(public), SealedFor::X25519 { recipient, .. }) => {
                return Ok(public == recipient);
            }
            (Recipient::Passphrase { passphrase, .. }, SealedFor::Passphrase { .. }) => {
                KeySecret::Passphrase(passphrase.clone())
            }
            (Recipient::Key(key), SealedFor::Key { .. }) => KeySecret::Key(key.clone()),
            _ => return Ok(false),
        };
        Ok(self.open(&secret)?.is_some())
    }

    /// The data key, where this secret opens it. Whether it is the backup's is for the key's id to say.
    ///
    /// # Errors
    /// Where the derivation that the object asks for is out of its bounds.
    pub fn open(&self, secret: &KeySecret) -> Result<Option<DataKey>, BackupError> {
        let wrapping = match (&self.recipient, secret) {
            (SealedFor::Passphrase { kdf }, KeySecret::Passphrase(passphrase)) => {
                hkdf::extract(&[], &*kdf.derive(passphrase)?)
            }
            (SealedFor::Key { salt }, KeySecret::Key(key)) => {
                hkdf::extract(salt.as_bytes(), key.expose())
            }
            (
                SealedFor::X25519 {
                    recipient,
                    ephemeral,
                },
                KeySecret::X25519(secret),
            ) if secret.public() == *recipient => match secret.agree(ephemeral) {
                Some(shared) => extract_shared(&shared, ephemeral, recipient),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        let line = line(&self.backup, &self.recipient, self.key);
        let opened = open_with(
            &hkdf::expand(&wrapping, &line),
            &line,
            self.sealed.as_bytes(),
        );
        let opened = opened.map(zeroize::Zeroizing::new);
        let bytes = opened.and_then(|bytes| bytes.as_slice().try_into().ok());
        Ok(bytes.map(DataKey::new))
    }
}

fn prepare(recipient: &Recipient, random: KeyRandom<'_>) -> Result<(SealedFor, Prk), BackupError> {
    Ok(match recipient {
        Recipient::Passphrase {
            passphrase,
            function,
            salt,
        } => {
            let mut salt = salt.clone();
            if salt.len() > KDF_SALT_PREFIX_BYTES_MAX {
                let message = format!(
                    "it has {} bytes; accepted: up to {KDF_SALT_PREFIX_BYTES_MAX}",
                    salt.len()
                );
                return Err(BackupError::usage("kdf_salt", message));
            }
            salt.extend(random_bytes::<KDF_SALT_BYTES>(random)?);
            let kdf = Kdf {
                function: *function,
                salt: Base64::new(salt),
            };
            let prk = hkdf::extract(&[], &*kdf.derive(passphrase)?);
            (SealedFor::Passphrase { kdf }, prk)
        }
        Recipient::Key(key) => {
            let salt = Base64::new(random_bytes::<32>(random)?.to_vec());
            let prk = hkdf::extract(salt.as_bytes(), key.expose());
            (SealedFor::Key { salt }, prk)
        }
        Recipient::X25519(recipient) => {
            let secret = X25519Secret::new(random_bytes(random)?);
            let ephemeral = secret.public();
            let shared = secret.agree(recipient).ok_or_else(|| {
                let message = format!("{recipient} is no public key of X25519");
                BackupError::new(Class::Usage, "use", "the recipient", message)
            })?;
            let prk = extract_shared(&shared, &ephemeral, recipient);
            let sealed_for = SealedFor::X25519 {
                recipient: *recipient,
                ephemeral,
            };
            (sealed_for, prk)
        }
    })
}

fn extract_shared(shared: &[u8; 32], ephemeral: &X25519Public, recipient: &X25519Public) -> Prk {
    let salt = [*ephemeral.as_bytes(), *recipient.as_bytes()].concat();
    hkdf::extract(&salt, shared)
}

/// What the key object is of: it goes into the key that seals, and is authenticated.
fn line(backup: &BackupId, sealed_for: &SealedFor, key: KeyId) -> String {
    format!("teeline-key/1 {backup} {} {key}", sealed_for.kind())
}

fn random_bytes<const N: usize>(random: KeyRandom<'_>) -> Result<[u8; N], BackupError> {
    let mut bytes = [0; N];
    random(&mut bytes)?;
    Ok(bytes)
}

fn random_name(random: KeyRandom<'_>) -> Result<String, BackupError> {
    const CHARACTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bytes: [u8; KEY_NAME_RANDOM_BYTES] = random_bytes(random)?;
    let character = |byte: &u8| char::from(CHARACTERS[usize::from(byte % 32)]);
    Ok(bytes.iter().map(character).collect())
}
