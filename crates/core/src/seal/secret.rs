//! What opens a backup: passphrases, keys, and the secret halves of X25519 recipients.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::error::BackupError;

const HEX: &str = "hex:";
const BASE64: &str = "base64:";
const PUBLIC: &str = "x25519:";
const SECRET: &str = "x25519-secret:";

/// Bytes that are no secret, as base64 in documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base64(Vec<u8>);

/// A passphrase. Never shown, and wiped when it is dropped.
#[derive(Clone)]
pub struct SecretText(Zeroizing<Vec<u8>>);

/// A key of 256 bits. Never shown, and wiped when it is dropped.
#[derive(Clone)]
pub struct RawKey(Zeroizing<[u8; 32]>);

/// The half of a recipient's key pair that opens. Never shown, and wiped when it is dropped.
#[derive(Clone)]
pub struct X25519Secret(Zeroizing<[u8; 32]>);

/// The half of a recipient's key pair that seals, `x25519:` and base64 in text. It is no secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct X25519Public([u8; 32]);

/// What opens a backup.
#[derive(Clone)]
pub enum KeySecret {
    /// A passphrase.
    Passphrase(SecretText),
    /// A key of 256 bits.
    Key(RawKey),
    /// The secret half of an X25519 recipient.
    X25519(X25519Secret),
}

impl KeySecret {
    /// Reads a secret: `hex:` or `base64:` before 32 bytes is a key, `x25519-secret:` before them one of a recipient; anything
    /// else is a passphrase.
    ///
    /// # Errors
    /// [`Class::Usage`](crate::Class::Usage) where it is empty, a public key, or no 32 bytes follow. It doesn't quote the text.
    pub fn parse(text: &str) -> Result<Self, BackupError> {
        if text.starts_with(PUBLIC) {
            let message =
                "it is a recipient's public key, by which a backup is sealed and not opened";
            return Err(BackupError::usage("the key", message)
                .suggest("give the secret that begins with x25519-secret:"));
        }
        if let Some(encoded) = text.strip_prefix(SECRET) {
            return bytes_of(encoded, from_base64).map(|bytes| Self::X25519(X25519Secret(bytes)));
        }
        if let Some(encoded) = text.strip_prefix(HEX) {
            return bytes_of(encoded, from_hex).map(|bytes| Self::Key(RawKey(bytes)));
        }
        if let Some(encoded) = text.strip_prefix(BASE64) {
            return bytes_of(encoded, from_base64).map(|bytes| Self::Key(RawKey(bytes)));
        }
        Self::passphrase(text)
    }

    /// Text as a passphrase, whatever it begins with.
    ///
    /// # Errors
    /// [`Class::Usage`](crate::Class::Usage) where it is empty.
    pub fn passphrase(text: &str) -> Result<Self, BackupError> {
        if text.is_empty() {
            return Err(BackupError::usage("the passphrase", "is empty"));
        }
        let bytes = Zeroizing::new(text.as_bytes().to_vec());
        Ok(Self::Passphrase(SecretText(bytes)))
    }
}

fn bytes_of(
    encoded: &str,
    decode: fn(&str) -> Option<Zeroizing<Vec<u8>>>,
) -> Result<Zeroizing<[u8; 32]>, BackupError> {
    let decoded = decode(encoded.trim());
    let bytes = decoded.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
    bytes.map(Zeroizing::new).ok_or_else(|| {
        BackupError::usage("the key", "isn't 32 bytes in that notation")
            .suggest("`teeline key generate` makes one")
    })
}

fn from_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    STANDARD.decode(text).ok().map(Zeroizing::new)
}

fn from_hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|value| u8::try_from(value).ok())
        })
        .collect::<Option<_>>()?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    });
    pairs.collect::<Option<_>>().map(Zeroizing::new)
}

impl SecretText {
    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl RawKey {
    /// Of these bytes, which must be random.
    pub fn new(bytes: [u8; 32]) -> Self {
        RawKey(Zeroizing::new(bytes))
    }

    /// It as text that [`KeySecret::parse`] reads.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{BASE64}{}", STANDARD.encode(*self.0)))
    }

    pub(super) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl X25519Secret {
    /// Of these bytes, which must be random.
    pub fn new(bytes: [u8; 32]) -> Self {
        X25519Secret(Zeroizing::new(bytes))
    }

    /// It as text that [`KeySecret::parse`] reads.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{SECRET}{}", STANDARD.encode(*self.0)))
    }

    /// The half that seals.
    pub fn public(&self) -> X25519Public {
        let public = self.private_key().compute_public_key();
        let public = public.expect("every secret of X25519 has a public half");
        X25519Public(public.as_ref().try_into().expect("it has 32 bytes"))
    }

    /// What both halves of two pairs have in common; `None` where the other one isn't a public key.
    pub(super) fn agree(&self, with: &X25519Public) -> Option<Zeroizing<[u8; 32]>> {
        let mut shared = Zeroizing::new([0; 32]);
        let public = UnparsedPublicKey::new(&X25519, with.0);
        agreement::agree(&self.private_key(), public, (), |bytes| {
            shared.copy_from_slice(bytes);
            Ok(())
        })
        .ok()?;
        Some(shared)
    }

    fn private_key(&self) -> PrivateKey {
        PrivateKey::from_private_key(&X25519, &*self.0)
            .expect("every 32 bytes are a secret of X25519")
    }
}

impl X25519Public {
    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for X25519Public {
    type Err = BackupError;

    fn from_str(text: &str) -> Result<Self, BackupError> {
        let bytes = text.strip_prefix(PUBLIC).and_then(from_base64);
        let bytes = bytes.and_then(|bytes| bytes.as_slice().try_into().ok());
        bytes.map(X25519Public).ok_or_else(|| {
            let message = "isn't a recipient; accepted: x25519: and 32 bytes in base64";
            BackupError::usage("the recipient", message)
                .suggest("`teeline key generate --x25519` makes a pair, and prints it")
        })
    }
}

impl fmt::Display for X25519Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC}{}", STANDARD.encode(self.0))
    }
}

impl Base64 {
    /// Of these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Base64(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD
            .decode(text)
            .map(Base64)
            .map_err(|_| serde::de::Error::custom("it isn't base64"))
    }
}

impl Serialize for X25519Public {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for X25519Public {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl fmt::Debug for X25519Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

impl fmt::Debug for RawKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawKey(…)")
    }
}

impl fmt::Debug for X25519Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("X25519Secret(…)")
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeySecret::Passphrase(_) => "Passphrase(…)",
            KeySecret::Key(_) => "Key(…)",
            KeySecret::X25519(_) => "X25519(…)",
        })
    }
}
