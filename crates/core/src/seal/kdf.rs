//! Keys from passphrases. What a stored key object says of it is bounded before it is computed.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::pbkdf2;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::secret::{Base64, SecretText};
use crate::error::{BackupError, Class};

/// Less memory than this is weak for Argon2id with two iterations, in KiB.
const ARGON2ID_MEMORY_KIB_FLOOR: u32 = 19 << 10;
/// Fewer iterations than these are weak for PBKDF2 with SHA-256.
pub const PBKDF2_ITERATIONS_FLOOR: u32 = 600_000;

/// The memory of Argon2id unless other is asked for, in KiB.
pub const ARGON2ID_MEMORY_KIB: u32 = 64 << 10;
/// The iterations of Argon2id unless others are asked for.
pub const ARGON2ID_ITERATIONS: u32 = 3;
/// The lanes of Argon2id unless others are asked for.
pub const ARGON2ID_PARALLELISM: u32 = 1;

const MEMORY_KIB: RangeInclusive<u32> = 8 << 10..=1 << 20;
const ITERATIONS: RangeInclusive<u32> = 1..=20;
const PARALLELISM: RangeInclusive<u32> = 1..=16;
const PBKDF2_ITERATIONS: RangeInclusive<u32> = 1_000..=10_000_000;
const SALT_BYTES: RangeInclusive<usize> = 16..=1_024;

/// How a key comes of a passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "algorithm", rename_all_fields = "camelCase")]
pub enum KdfFunction {
    /// Argon2id, version 1.3 (RFC 9106).
    #[serde(rename = "argon2id")]
    Argon2id {
        /// KiB of memory, 8,192 to 1,048,576.
        memory_kib: u32,
        /// Passes over it, 1 to 20.
        iterations: u32,
        /// Lanes, 1 to 16.
        parallelism: u32,
    },
    /// PBKDF2 with HMAC-SHA256 (RFC 8018).
    #[serde(rename = "pbkdf2-sha256")]
    Pbkdf2Sha256 {
        /// Iterations, 1,000 to 10,000,000.
        iterations: u32,
    },
}

/// How much work a key derivation makes of guessing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KdfStrength {
    /// As much as is recommended today.
    Enough,
    /// Less.
    Weak,
}

/// A derivation with its salt, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kdf {
    /// The function.
    #[serde(flatten)]
    pub function: KdfFunction,
    /// The salt.
    pub salt: Base64,
}

impl Default for KdfFunction {
    /// Argon2id with 64 MiB, 3 passes and one lane.
    fn default() -> Self {
        KdfFunction::Argon2id {
            memory_kib: ARGON2ID_MEMORY_KIB,
            iterations: ARGON2ID_ITERATIONS,
            parallelism: ARGON2ID_PARALLELISM,
        }
    }
}

impl KdfFunction {
    /// How much work it is, compared with others: of Argon2id, passes over a KiB of memory, about as much as an iteration of the
    /// other.
    pub fn work(self) -> u64 {
        match self {
            KdfFunction::Argon2id {
                memory_kib,
                iterations,
                ..
            } => u64::from(memory_kib) * u64::from(iterations),
            KdfFunction::Pbkdf2Sha256 { iterations } => u64::from(iterations),
        }
    }

    /// How it stands to what is recommended today.
    pub fn strength(self) -> KdfStrength {
        let is_enough = match self {
            KdfFunction::Argon2id {
                memory_kib,
                iterations,
                ..
            } => {
                memory_kib >= ARGON2ID_MEMORY_KIB_FLOOR
                    && (iterations >= 2 || memory_kib >= 46 << 10)
            }
            KdfFunction::Pbkdf2Sha256 { iterations } => iterations >= PBKDF2_ITERATIONS_FLOOR,
        };
        match is_enough {
            true => KdfStrength::Enough,
            false => KdfStrength::Weak,
        }
    }

    /// It, or where it is weak the least of its kind that isn't.
    #[must_use]
    pub fn raised(self) -> Self {
        match (self.strength(), self) {
            (KdfStrength::Enough, _) => self,
            (KdfStrength::Weak, KdfFunction::Pbkdf2Sha256 { .. }) => KdfFunction::Pbkdf2Sha256 {
                iterations: PBKDF2_ITERATIONS_FLOOR,
            },
            (
                KdfStrength::Weak,
                KdfFunction::Argon2id {
                    memory_kib,
                    iterations,
                    parallelism,
                },
            ) => KdfFunction::Argon2id {
                memory_kib: memory_kib.max(ARGON2ID_MEMORY_KIB_FLOOR),
                iterations: iterations.max(2),
                parallelism,
            },
        }
    }

    /// Whether it is one that is computed at all.
    ///
    /// # Errors
    /// [`Class::Permanent`] where a number is out of its bounds.
    pub fn check(self) -> Result<(), BackupError> {
        match self {
            KdfFunction::Argon2id {
                memory_kib,
                iterations,
                parallelism,
            } => {
                within("memoryKib", memory_kib, &MEMORY_KIB)?;
                within("iterations", iterations, &ITERATIONS)?;
                within("parallelism", parallelism, &PARALLELISM)
            }
            KdfFunction::Pbkdf2Sha256 { iterations } => {
                within("iterations", iterations, &PBKDF2_ITERATIONS)
            }
        }
    }
}

impl Kdf {
    /// The key that comes of a passphrase.
    ///
    /// # Errors
    /// [`Class::Permanent`] where the function or the salt is out of its bounds, or there is no memory for it.
    pub(super) fn derive(
        &self,
        passphrase: &SecretText,
    ) -> Result<Zeroizing<[u8; 32]>, BackupError> {
        self.function.check()?;
        within("salt", self.salt.as_bytes().len(), &SALT_BYTES)?;
        let mut key = Zeroizing::new([0; 32]);
        match self.function {
            KdfFunction::Argon2id {
                memory_kib,
                iterations,
                parallelism,
            } => Params::new(memory_kib, iterations, parallelism, Some(key.len()))
                .and_then(|params| {
                    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
                        passphrase.expose(),
                        self.salt.as_bytes(),
                        &mut *key,
                    )
                })
                .map_err(|error| {
                    let message = format!("Argon2id failed: {error}");
                    BackupError::new(Class::Permanent, "derive", "a key", message)
                })?,
            KdfFunction::Pbkdf2Sha256 { iterations } => pbkdf2::derive(
                pbkdf2::PBKDF2_HMAC_SHA256,
                NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN),
                self.salt.as_bytes(),
                passphrase.expose(),
                &mut *key,
            ),
        }
        Ok(key)
    }
}

fn within<T: PartialOrd + fmt::Display>(
    what: &str,
    found: T,
    accepted: &RangeInclusive<T>,
) -> Result<(), BackupError> {
    if accepted.contains(&found) {
        return Ok(());
    }
    let message = format!(
        "{what} is {found}; accepted: {} to {}",
        accepted.start(),
        accepted.end()
    );
    Err(BackupError::new(
        Class::Permanent,
        "derive",
        "a key from a passphrase",
        message,
    ))
}
