//! `encryption`: a key, and perhaps how it is derived from a passphrase.

use teeline_core::BackupError;
use teeline_core::seal::{KdfFunction, PBKDF2_ITERATIONS_FLOOR};

use crate::config::encryption::{
    EncryptionConfig, PBKDF2_ITERATIONS, check_algorithm, check_salt, to_u32,
};
use crate::config::reader::{Known, Table};
use crate::keys::{KeyForm, KeySource};

pub(super) const ENCRYPTION: Known = Known {
    keys: &["algorithm", "key", "keyDerivation", "allowWeak"],
    hints: &[
        ("iterations", "it stands in `keyDerivation`"),
        ("salt", "it stands in `keyDerivation`"),
    ],
};

const KEY_DERIVATION: Known = Known {
    keys: &["algorithm", "iterations", "salt"],
    hints: &[],
};

/// What it comes to. A key without a derivation is a passphrase, unless it begins with `hex:` or `base64:`.
pub(super) fn encryption(mut table: Table<'_>) -> Result<EncryptionConfig, BackupError> {
    table.text_as("algorithm", check_algorithm)?;
    let key = KeySource::Given(table.needed_text("key")?.into());
    let allow_weak = table.boolean("allowWeak")?.unwrap_or(false);
    let Some(mut derivation) = table.table("keyDerivation", &KEY_DERIVATION)? else {
        return Ok(EncryptionConfig {
            allow_weak,
            ..EncryptionConfig::new(vec![(key, KeyForm::Any)])
        });
    };
    derivation.text_as("algorithm", |text| {
        match text.eq_ignore_ascii_case("PBKDF2") {
            true => Ok(()),
            false => Err("accepted: PBKDF2; without `keyDerivation` it is Argon2id".to_owned()),
        }
    })?;
    let iterations = derivation.integer("iterations", PBKDF2_ITERATIONS)?;
    Ok(EncryptionConfig {
        kdf: KdfFunction::Pbkdf2Sha256 {
            iterations: iterations.map_or(PBKDF2_ITERATIONS_FLOOR, to_u32),
        },
        kdf_salt: derivation.text_as("salt", check_salt)?.unwrap_or_default(),
        allow_weak,
        ..EncryptionConfig::new(vec![(key, KeyForm::Passphrase)])
    })
}
