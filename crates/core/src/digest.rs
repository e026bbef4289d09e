//! BLAKE3 digests, written as 64 hexadecimal digits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::hex32::Hex32;

/// A BLAKE3 digest.
///
/// ```
/// use teeline_core::Digest;
/// let digest = Digest::of(b"teeline");
/// assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(Hex32);

/// Text that is no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a digest: 64 hexadecimal digits are expected")]
pub struct NotADigest;

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Digest(Hex32::new(*blake3::hash(bytes).as_bytes()))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

/// The digest of bytes that come one after the other.
#[derive(Debug, Clone, Default)]
pub struct Digester(blake3::Hasher);

impl Digester {
    /// Adds the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that was pushed.
    pub fn finish(&self) -> Digest {
        Digest(Hex32::new(*self.0.finalize().as_bytes()))
    }
}

/// A digest of digests: how a segment's digest is made of its chunks', in order, without reading a byte twice.
#[derive(Debug, Clone, Default)]
pub struct DigestOfDigests(Digester);

impl DigestOfDigests {
    /// Adds the next digest.
    pub fn push(&mut self, digest: Digest) {
        self.0.push(digest.as_bytes());
    }

    /// The digest of all that was pushed.
    pub fn finish(&self) -> Digest {
        self.0.finish()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        text.parse().map(Digest)
    }
}
