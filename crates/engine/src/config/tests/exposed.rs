//! Secrets in files that others may read.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// The warnings of such a file with this mode.
fn warned(file: &str, text: &str, mode: u32) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    let value = |name: &str| match name {
        "PLACE" => Some("s3://id:CANARY@bucket/copy".to_owned()),
        _ => Some("CANARY".to_owned()),
    };
    let config = Config::load(&path, &value, std::iter::empty()).unwrap();
    let warnings = config.warnings.iter().map(|warning| {
        let (message, help) = (&warning.message, &warning.help);
        assert!(!format!("{message}{help}").contains(CANARY), "{message}");
        assert!(help.contains("chmod 600"), "{help}");
        message.rsplit('/').next().unwrap().to_owned()
    });
    warnings.collect()
}

#[test]
fn a_secret_that_others_may_read_is_warned_of() {
    let url = "[destinations.a]\nurl = \"s3://id:CANARY@bucket/copy\"";
    let keys = "[destinations.a]\nurl = \"s3://bucket\"\naccess_key_id = \"id\"\nsecret_access_key = \"CANARY\"";
    let hook =
        "[hooks.h]\nurl = \"https://h\"\nsecret = [\"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"]";
    let half = "[destinations.a]\nurl = \"s3://id:CANARY@bucket/${NAME}\"";
    let ping = "[hooks.h]\nping = \"https://h/CANARY\"";
    let plugin = "{ driver: 'filesystem', encryption: { key: 'CANARY' } }";
    for (file, text, key) in [
        ("c.toml", url, "destinations.a.url"),
        ("c.toml", keys, "destinations.a.secret_access_key"),
        ("c.toml", hook, "hooks.h.secret[0]"),
        ("c.toml", half, "destinations.a.url"),
        ("c.toml", ping, "hooks.h.ping"),
        ("c.json5", plugin, "encryption.key"),
    ] {
        let message =
            format!("{file}: `{key}` is a secret, and others than the file's owner may read it");
        for mode in [0o644, 0o640, 0o604] {
            let warned = warned(file, text, mode);
            assert!(warned.contains(&message), "{mode:o} {warned:?}");
        }
        let warned = warned(file, text, 0o600);
        assert!(!warned.contains(&message), "{warned:?}");
    }
}

#[test]
fn a_secret_that_is_elsewhere_is_not() {
    for text in [
        "[destinations.a]\nurl = \"${PLACE}\"",
        "[destinations.a]\nurl = \"s3://${NAME}:${NAME}@bucket/copy\"",
        "[destinations.a]\nurl = \"s3://bucket/copy\"\nprofile = \"backups\"",
        "[encryption]\nkey_env = \"KEY\"",
        "[embedded_s3]\nroot = \"s3\"\naccess_key = \"teeline\"\nsecret_key = \"quickstart\"\nbuckets = [\"a\"]",
        "",
    ] {
        assert_eq!(warned("c.toml", text, 0o644), [""; 0], "{text}");
    }
}
