//! `[encryption]`.

use std::path::PathBuf;

use teeline_core::seal::KdfFunction;

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
    assert_eq!((config.function(), config.is_raised()), (argon2id, false));
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
        toml(&text).accepted().encryption.unwrap()
    };
    let iterations = |iterations| KdfFunction::Pbkdf2Sha256 { iterations };
    let raised = read("");
    assert_eq!(
        (raised.function(), raised.is_raised()),
        (iterations(600_000), true)
    );
    let allowed = read("allow_weak = true");
    assert_eq!(
        (allowed.function(), allowed.is_raised()),
        (iterations(100_000), false)
    );
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
            "key_env = \"K\"\nallow_weak = true",
            "c.toml:3:1: `encryption.allow_weak` allows nothing: the derivation isn't weak",
        ),
        (
            "key_env = \"K\"\nkdf_iterations = 21",
            "c.toml:3:1: `encryption.kdf_iterations` is 21; accepted: an integer from 1 to 20",
        ),
    ] {
        toml(&format!("[encryption]\n{text}")).refused(message, None);
    }
}
