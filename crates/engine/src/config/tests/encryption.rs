//! `[encryption]`.

use std::path::PathBuf;

use teeline_core::seal::KdfFunction;

use super::plugin::json5;
use super::*;
use crate::keys::{KeyForm, KeySource};

const RECIPIENT: &str = "x25519:CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=";

#[test]
fn secrets_come_from_wherever_they_are() {
    let text = format!(
        "[encryption]\nalgorithm = \"aes-256-gcm\"\npassphrase_env = \"P\"\nkey_file = \"/etc/key\"\nkey_fd = 3\n\
         passphrase_command = [\"pass\", \"show\", \"it\"]\nrecipients = [\"{RECIPIENT}\"]\nkdf_memory = \"32MiB\"\n"
    );
    let config = toml(&text).accepted().encryption.unwrap();
    let words = ["pass", "show", "it"].map(str::to_owned).to_vec();
    let passphrase = |source| (source, KeyForm::Passphrase);
    assert_eq!(
        config.secrets,
        [
            passphrase(KeySource::Env("P".to_owned())),
            passphrase(KeySource::Command(words)),
            (KeySource::File(PathBuf::from("/etc/key")), KeyForm::Any),
            (KeySource::Descriptor(3), KeyForm::Any),
        ]
    );
    assert_eq!(config.recipients[0].to_string(), RECIPIENT);
    let argon2id = KdfFunction::Argon2id {
        memory_kib: 32 << 10,
        iterations: 3,
        parallelism: 1,
    };
    assert_eq!(config.function(), argon2id);
    toml("[encryption]\npassphrase = \"${P}\"")
        .env(&[("P", "CANARY")])
        .accepted();
    assert_eq!(toml("[backup]").accepted().encryption, None);
}

#[test]
fn weak_derivations_are_raised_unless_they_are_allowed() {
    let read = |more: &str| {
        let text = format!(
            "[encryption]\nkey_env = \"K\"\nkdf = \"pbkdf2-sha256\"\nkdf_iterations = 100000\nkdf_salt = \"s\"\n{more}"
        );
        let config = toml(&text).accepted();
        (config.encryption.unwrap().function(), config.warnings.len())
    };
    let iterations = |iterations| KdfFunction::Pbkdf2Sha256 { iterations };
    assert_eq!(read(""), (iterations(600_000), 1));
    assert_eq!(read("allow_weak = true"), (iterations(100_000), 0));
}

#[test]
fn the_plugins_words_are_taken() {
    let of = |text: &str| {
        let env = [("KEY", "CANARY")];
        let config = json5(text).env(&env).accepted();
        (config.encryption.unwrap(), config.warnings)
    };
    let (derived, warnings) = of(
        "{ driver: 'filesystem', encryption: { algorithm: 'aes-256-gcm', key: process.env.KEY,
           keyDerivation: { algorithm: 'PBKDF2', iterations: 100000, salt: 'backup-salt-2024' } } }",
    );
    assert!(matches!(
        derived.secrets[..],
        [(KeySource::Given(_), KeyForm::Passphrase)]
    ));
    assert_eq!(derived.kdf_salt, "backup-salt-2024");
    assert_eq!(
        derived.function(),
        KdfFunction::Pbkdf2Sha256 {
            iterations: 600_000
        }
    );
    assert_eq!(warnings.len(), 1);
    // Without a driver it is the section, which has the same words.
    let plain = "{ encryption: { algorithm: 'AES-256-GCM', key: process.env.KEY } }";
    for text in [
        plain.to_owned(),
        plain.replace("{ enc", "{ verification: true, enc"),
    ] {
        let (plain, warnings) = of(&text);
        assert!(matches!(
            plain.secrets[..],
            [(KeySource::Given(_), KeyForm::Any)]
        ));
        assert_eq!(
            (plain.function(), warnings.len()),
            (KdfFunction::default(), 0)
        );
    }
    json5("{ driver: 'filesystem', encryption: { key: 'x', salt: 'y' } }").refused(
        "c.json5: unknown key `encryption.salt`; accepted here: algorithm, key, keyDerivation, allowWeak",
        Some("it stands in `keyDerivation`"),
    );
}

#[test]
fn a_local_index_is_where_it_is_said_to_be() {
    let read = |more: &str| {
        let text = format!("[encryption]\nrecipients = [\"{RECIPIENT}\"]\n{more}");
        toml(&text).accepted().encryption.unwrap().local_index
    };
    let at = |place, key| LocalIndexConfig { place, key };
    let folder = || LocalIndexPlace::Folder(PathBuf::from("/var/lib/teeline"));
    for (more, expected) in [
        ("", at(LocalIndexPlace::Unsaid, None)),
        ("local_index = true", at(LocalIndexPlace::Usual, None)),
        ("local_index = false", at(LocalIndexPlace::Off, None)),
        ("local_index = \"/var/lib/teeline\"", at(folder(), None)),
        (
            "local_index = \"/var/lib/teeline\"\nlocal_index_key_env = \"K\"",
            at(folder(), Some(KeySource::Env("K".to_owned()))),
        ),
        (
            "local_index_key_file = \"/etc/key\"",
            at(
                LocalIndexPlace::Unsaid,
                Some(KeySource::File(PathBuf::from("/etc/key"))),
            ),
        ),
        (
            "local_index_key_command = [\"tpm\", \"unseal\"]",
            at(
                LocalIndexPlace::Unsaid,
                Some(KeySource::Command(
                    ["tpm", "unseal"].map(str::to_owned).to_vec(),
                )),
            ),
        ),
        (
            "local_index_key_fd = 3",
            at(LocalIndexPlace::Unsaid, Some(KeySource::Descriptor(3))),
        ),
    ] {
        assert_eq!(read(more), expected, "{more}");
    }
    let text = format!("[encryption]\nrecipients = [\"{RECIPIENT}\"]\nlocal_index = \"x\"");
    for (value, place) in [
        ("false", LocalIndexPlace::Off),
        ("true", LocalIndexPlace::Usual),
        ("/var/lib/teeline", folder()),
    ] {
        let variables = [("TEELINE__ENCRYPTION__LOCAL_INDEX", value)];
        let config = toml(&text).env(&variables).accepted();
        assert_eq!(config.encryption.unwrap().local_index.place, place);
    }
}

#[test]
fn what_can_not_be_is_refused() {
    for (text, message) in [
        (
            "algorithm = \"AES-128-CBC\"",
            "c.toml:2:1: `encryption.algorithm` isn't usable: accepted: AES-256-GCM",
        ),
        (
            "",
            "c.toml:1:2: `encryption` names nobody who could open a backup; accepted: passphrase_file, key_file (or _env, _fd, _command), recipients",
        ),
        (
            "recipients = [\"x25519:CANARY\"]",
            "c.toml:2:15: `encryption.recipients[0]` isn't usable: isn't a recipient; accepted: x25519: and 32 bytes in base64",
        ),
        (
            "key_command = []",
            "c.toml:2:1: `encryption.key_command` has no program",
        ),
        (
            "key_env = \"K\"\nkdf = \"pbkdf2-sha256\"\nkdf_memory = \"64MiB\"",
            "c.toml:4:1: `encryption.kdf_memory` goes with kdf = \"argon2id\"",
        ),
        (
            "key_env = \"K\"\nlocal_index = \"s3://bucket/x\"",
            "c.toml:3:1: `encryption.local_index` isn't usable: it looks like a URL; accepted: a folder, true, false",
        ),
        (
            "key_env = \"K\"\nlocal_index = 3",
            "c.toml:3:1: `encryption.local_index` is an integer; accepted: a folder, true, false",
        ),
        (
            "key_env = \"K\"\nlocal_index = \"/x\"\nlocal_index_key_env = \"A\"\nlocal_index_key_file = \"/b\"",
            "c.toml:5:1: `encryption.local_index_key_file` is there beside local_index_key_env; one of them is accepted",
        ),
        (
            "key_env = \"K\"\nlocal_index = false\nlocal_index_key_env = \"A\"",
            "c.toml:4:1: `encryption.local_index_key_env` seals nothing: `local_index` is false",
        ),
        (
            "local_index = \"/x\"",
            "c.toml:1:2: `encryption` names nobody who could open a backup; accepted: passphrase_file, key_file (or _env, _fd, _command), recipients",
        ),
        (
            "key_env = \"K\"\nallow_weak = true",
            "c.toml:3:1: `encryption.allow_weak` allows nothing: the derivation isn't weak",
        ),
        (
            "key_env = \"K\"\nkdf_iterations = 21",
            "c.toml:3:1: `encryption.kdf_iterations` is 21; accepted: an integer from 1 to 20",
        ),
        (
            &format!("key_env = \"K\"\nkdf_salt = \"{}\"", "s".repeat(1025)),
            "c.toml:3:1: `encryption.kdf_salt` isn't usable: it has 1025 bytes; accepted: up to 1024",
        ),
    ] {
        toml(&format!("[encryption]\n{text}")).refused(message, None);
    }
}
