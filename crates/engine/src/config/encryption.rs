//! `[encryption]`: who can open backups, and what a key is made of a passphrase by.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use teeline_core::BackupError;
use teeline_core::seal::{
    ARGON2ID_ITERATIONS, ARGON2ID_MEMORY_KIB, ARGON2ID_PARALLELISM, KDF_SALT_PREFIX_BYTES_MAX,
    KdfFunction, KdfStrength, KeySecret, PBKDF2_ITERATIONS_FLOOR, Recipient, X25519Public,
};

use super::local_index::{LOCAL_INDEX_KEYS, LocalIndexConfig, local_index};
use super::places::no_url;
use super::reader::{Known, Table};
use super::types::ConfigWarning;
use crate::keys::{KeyForm, KeySource};

pub(super) const ENCRYPTION: Known = Known {
    keys: &[
        "algorithm",
        "passphrase",
        "passphrase_env",
        "passphrase_file",
        "passphrase_fd",
        "passphrase_command",
        "key",
        "key_env",
        "key_file",
        "key_fd",
        "key_command",
        "recipients",
        "kdf",
        "kdf_memory",
        "kdf_iterations",
        "kdf_parallelism",
        "kdf_salt",
        "allow_weak",
        LOCAL_INDEX_KEYS[0],
        LOCAL_INDEX_KEYS[1],
        LOCAL_INDEX_KEYS[2],
        LOCAL_INDEX_KEYS[3],
        LOCAL_INDEX_KEYS[4],
        LOCAL_INDEX_KEYS[5],
    ],
    hints: &[
        (
            "password",
            "write `passphrase_file`, or _env, _fd, _command",
        ),
        ("iterations", "write `kdf_iterations`"),
        (
            "salt",
            "write `kdf_salt`; a random one is added to it anyway",
        ),
    ],
};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// What is computed at all.
pub(super) const PBKDF2_ITERATIONS: RangeInclusive<u64> = 1_000..=10_000_000;

/// How backups are sealed, and opened again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionConfig {
    /// Where the secrets come from that open backups. A backup is sealed for the holder of each.
    pub secrets: Vec<(KeySource, KeyForm)>,
    /// Others who can open them.
    pub recipients: Vec<X25519Public>,
    /// What a key is made of a passphrase by. Default: Argon2id with 64 MiB, 3 iterations and one lane.
    pub kdf: KdfFunction,
    /// What goes before the random salt of that. Default: nothing.
    pub kdf_salt: String,
    /// Whether less work than is recommended today is left as it is. Default: no, by which it is raised.
    pub allow_weak: bool,
    /// Where a host that can't read the backups keeps what it goes on from.
    pub local_index: LocalIndexConfig,
}

impl EncryptionConfig {
    /// Where these secrets come from; everything else by default.
    pub fn new(secrets: Vec<(KeySource, KeyForm)>) -> Self {
        EncryptionConfig {
            secrets,
            recipients: Vec::new(),
            kdf: KdfFunction::default(),
            kdf_salt: String::new(),
            allow_weak: false,
            local_index: LocalIndexConfig::default(),
        }
    }

    /// What a key is made of a passphrase by: as it was asked for, or with as much work as is recommended today.
    pub fn function(&self) -> KdfFunction {
        match self.allow_weak {
            true => self.kdf,
            false => self.kdf.raised(),
        }
    }

    /// What people should be told where that is more work than was asked for.
    pub(super) fn raised(&self) -> Option<ConfigWarning> {
        let asked = match self.kdf {
            KdfFunction::Pbkdf2Sha256 { iterations } => format!("{iterations} iterations"),
            KdfFunction::Argon2id {
                memory_kib,
                iterations,
                ..
            } => format!("{memory_kib} KiB and {iterations} iterations"),
        };
        (self.function() != self.kdf).then(|| ConfigWarning {
            message: format!(
                "encryption: {asked} are too few for a passphrase today, so it is derived with more"
            ),
            help: "leave them out; or allow them with allow_weak (in the plugin's words allowWeak)"
                .to_owned(),
        })
    }

    /// Reads the secrets.
    ///
    /// # Errors
    /// As [`KeySource::read`].
    pub async fn read(&self) -> Result<Vec<KeySecret>, BackupError> {
        let mut secrets = Vec::new();
        for (source, form) in &self.secrets {
            secrets.push(source.read(*form).await?);
        }
        Ok(secrets)
    }

    /// For whom backups are sealed, where these are the secrets.
    pub fn recipients(&self, secrets: &[KeySecret]) -> Vec<Recipient> {
        let of_secret = |secret| match Recipient::of(secret, self.function()) {
            Recipient::Passphrase {
                passphrase,
                function,
                ..
            } => Recipient::Passphrase {
                passphrase,
                function,
                salt: self.kdf_salt.clone().into_bytes(),
            },
            other => other,
        };
        let others = self.recipients.iter().copied().map(Recipient::X25519);
        secrets.iter().map(of_secret).chain(others).collect()
    }
}

pub(super) fn encryption(mut table: Table<'_>) -> Result<EncryptionConfig, BackupError> {
    table.text_as("algorithm", check_algorithm)?;
    let mut secrets = Vec::new();
    for (prefix, form) in [("passphrase", KeyForm::Passphrase), ("key", KeyForm::Any)] {
        secrets.extend(sources(&mut table, prefix, form)?);
    }
    let public = |text: &str| text.parse::<X25519Public>();
    let check = |text: &str| {
        let read = public(text).map(drop);
        read.map_err(|error| error.message().to_owned())
    };
    let recipients = table.texts("recipients", check)?.unwrap_or_default();
    let recipients = recipients.iter().map(|text| public(text));
    let config = EncryptionConfig {
        secrets,
        recipients: recipients.collect::<Result<_, _>>()?,
        kdf: kdf(&mut table)?,
        kdf_salt: table.text_as("kdf_salt", check_salt)?.unwrap_or_default(),
        allow_weak: table.boolean("allow_weak")?.unwrap_or(false),
        local_index: local_index(&mut table)?,
    };
    if config.secrets.is_empty() && config.recipients.is_empty() {
        return Err(table.error(
            "names nobody who could open a backup; accepted: passphrase_file, key_file (or _env, _fd, _command), recipients",
        ));
    }
    if config.allow_weak && config.kdf.strength() == KdfStrength::Enough {
        return Err(table.error_at("allow_weak", "allows nothing: the derivation isn't weak"));
    }
    Ok(config)
}

/// The one cipher that there is, whatever the case of its name.
pub(super) fn check_algorithm(text: &str) -> Result<(), String> {
    match text.eq_ignore_ascii_case("AES-256-GCM") {
        true => Ok(()),
        false => Err("accepted: AES-256-GCM".to_owned()),
    }
}

/// What goes before a salt, where a key object has room for it.
pub(super) fn check_salt(text: &str) -> Result<String, String> {
    match text.len() <= KDF_SALT_PREFIX_BYTES_MAX {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "it has {} bytes; accepted: up to {KDF_SALT_PREFIX_BYTES_MAX}",
            text.len()
        )),
    }
}

/// Where a secret of one form comes from: from each place that is named.
pub(super) fn sources(
    table: &mut Table<'_>,
    prefix: &str,
    form: KeyForm,
) -> Result<Vec<(KeySource, KeyForm)>, BackupError> {
    let mut found = Vec::new();
    if let Some(text) = table.text(prefix)? {
        found.push(KeySource::Given(text.into()));
    }
    if let Some(name) = table.text(&format!("{prefix}_env"))? {
        found.push(KeySource::Env(name));
    }
    if let Some(path) = table.text_as(&format!("{prefix}_file"), no_url)? {
        found.push(KeySource::File(PathBuf::from(path)));
    }
    if let Some(number) = table.integer(&format!("{prefix}_fd"), 0..=65_535)? {
        found.push(KeySource::Descriptor(
            u32::try_from(number).unwrap_or(u32::MAX),
        ));
    }
    let command = format!("{prefix}_command");
    if let Some(words) = table.texts(&command, |_| Ok(()))? {
        if words.is_empty() {
            return Err(table.error_at(&command, "has no program"));
        }
        found.push(KeySource::Command(words));
    }
    Ok(found.into_iter().map(|source| (source, form)).collect())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Function {
    Argon2id,
    Pbkdf2,
}

fn kdf(table: &mut Table<'_>) -> Result<KdfFunction, BackupError> {
    let function = table.word("kdf", &["argon2id", "pbkdf2-sha256"], |word| match word {
        "argon2id" => Some(Function::Argon2id),
        "pbkdf2-sha256" => Some(Function::Pbkdf2),
        _ => None,
    })?;
    if function != Some(Function::Pbkdf2) {
        let memory = table.size("kdf_memory", 8 * MIB..=1024 * MIB)?;
        let iterations = table.integer("kdf_iterations", 1..=20)?;
        let parallelism = table.integer("kdf_parallelism", 1..=16)?;
        return Ok(KdfFunction::Argon2id {
            memory_kib: memory.map_or(ARGON2ID_MEMORY_KIB, |bytes| to_u32(bytes / KIB)),
            iterations: iterations.map_or(ARGON2ID_ITERATIONS, to_u32),
            parallelism: parallelism.map_or(ARGON2ID_PARALLELISM, to_u32),
        });
    }
    for name in ["kdf_memory", "kdf_parallelism"] {
        if table.has(name) {
            return Err(table.error_at(name, "goes with kdf = \"argon2id\""));
        }
    }
    let iterations = table.integer("kdf_iterations", PBKDF2_ITERATIONS)?;
    Ok(KdfFunction::Pbkdf2Sha256 {
        iterations: iterations.map_or(PBKDF2_ITERATIONS_FLOOR, to_u32),
    })
}

pub(super) fn to_u32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
