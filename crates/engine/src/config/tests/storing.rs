//! What is asked of a destination's store: permissions, classes, encryption, tags, locks, a rate.

use std::num::NonZeroU64;

use teeline_sinks::{LockMode, Modes, ObjectLock, ServerSideEncryption};

use super::*;
use crate::destination::{DestinationSpec, Place};

const FORM: &str =
    "accepted: up to 777, as octal text such as \"644\", or as its value: 0o644 or 420";

fn destination(case: &Case<'_>) -> DestinationSpec {
    let [destination] = case.accepted().destinations.try_into().unwrap();
    destination
}

fn storing(settings: &str) -> teeline_sinks::Storing {
    let text = format!("[destinations.a]\nurl = \"s3://b\"\n{settings}");
    match destination(&toml(&text)).place {
        Place::S3(place) => place.storing,
        other => panic!("{other:?}"),
    }
}

#[test]
fn permissions_are_octal_text_or_a_number_for_its_value() {
    for text in [
        "permissions = \"644\"\ndirectory_permissions = \"755\"",
        "permissions = \"0644\"\ndirectory_permissions = \"0o755\"",
        "permissions = 0o644\ndirectory_permissions = 0o755",
        "permissions = 420\ndirectory_permissions = 493",
    ] {
        let text = format!("[destinations.a]\npath = \"x\"\n{text}");
        let modes = Modes {
            file: Some(0o644),
            folder: Some(0o755),
        };
        assert_eq!(destination(&toml(&text)).modes, modes, "{text}");
    }
    let unset = destination(&toml("destinations.a.path = \"x\""));
    assert_eq!(unset.modes, Modes::default());
    let from_outside = toml("destinations.a.path = \"x\"")
        .env(&[("TEELINE__DESTINATIONS__A__PERMISSIONS", "640")])
        .accepted();
    assert_eq!(from_outside.destinations[0].modes.file, Some(0o640));
    let json = json("{\"destinations\": {\"a\": {\"path\": \"x\", \"permissions\": 420}}}");
    assert_eq!(destination(&json).modes.file, Some(0o644));
}

#[test]
fn permissions_that_are_none_are_refused_with_help() {
    let refused = |setting: &str, message: &str, suggestion: Option<&str>| {
        let key = setting.split(' ').next().unwrap();
        toml(&format!("[destinations.a]\npath = \"x\"\n{setting}")).refused(
            &format!("c.toml:3:1: `destinations.a.{key}` {message}"),
            suggestion,
        );
    };
    refused(
        "permissions = 644",
        &format!("is 0o1204, above 0o777; {FORM}"),
        Some("write \"644\" or 0o644: a number is its value"),
    );
    refused(
        "permissions = \"1777\"",
        &format!("is 0o1777, above 0o777; {FORM}"),
        None,
    );
    refused(
        "permissions = 999",
        &format!("is 0o1747, above 0o777; {FORM}"),
        None,
    );
    for (value, kind) in [
        ("\"rw-r--r--\"", "text"),
        ("\"68\"", "text"),
        ("true", "a boolean"),
        ("-1", "an integer"),
    ] {
        refused(
            &format!("permissions = {value}"),
            &format!("is {kind}, and no permissions; {FORM}"),
            None,
        );
    }
    let lacks = "of the owner: backups couldn't be written and read back";
    refused(
        "permissions = \"044\"",
        &format!("is 0o44, which lacks 0o400 {lacks}"),
        None,
    );
    refused(
        "directory_permissions = \"644\"",
        &format!("is 0o644, which lacks 0o700 {lacks}"),
        None,
    );
    toml("[destinations.a]\nurl = \"s3://b\"\npermissions = \"644\"").refused(
        "c.toml:3:1: `destinations.a.permissions` is a setting of folders; this one is a bucket",
        None,
    );
}

#[test]
fn how_a_bucket_keeps_objects_is_read() {
    assert_eq!(storing(""), teeline_sinks::Storing::default());
    let all = storing(
        "storage_class = \"STANDARD_IA\"\nserver_side_encryption = \"aws:kms\"\n\
         kms_key_id = \"arn:aws:kms:eu-west-1:1:key/k\"\ntags = { team = \"billing\", of = \"db\" }",
    );
    assert_eq!(all.class.unwrap().as_str(), "STANDARD_IA");
    let key = "arn:aws:kms:eu-west-1:1:key/k".to_owned();
    assert_eq!(all.encryption, Some(ServerSideEncryption::Kms(Some(key))));
    let tags = [("of", "db"), ("team", "billing")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(all.tags, tags.into());
    let own_key = storing("server_side_encryption = \"aws:kms\"");
    assert_eq!(own_key.encryption, Some(ServerSideEncryption::Kms(None)));
    let plain = storing("server_side_encryption = \"AES256\"");
    assert_eq!(plain.encryption, Some(ServerSideEncryption::S3));
    for (word, mode) in [
        ("governance", LockMode::Governance),
        ("compliance", LockMode::Compliance),
    ] {
        let locked = storing(&format!("object_lock = {{ mode = \"{word}\", days = 35 }}"));
        assert_eq!(locked.lock, Some(ObjectLock { mode, days: 35 }));
    }
}

#[test]
fn what_no_bucket_does_is_refused() {
    let refused = |setting: &str, message: &str| {
        let text = format!("[destinations.a]\nurl = \"s3://b\"\n{setting}");
        let error = toml(&text).load().unwrap_err().to_string();
        let (_, found) = error.split_once("c.toml:3:1: `destinations.a.").unwrap();
        assert!(found.starts_with(message), "{found}");
    };
    refused(
        "storage_class = \"TAPE\"",
        "storage_class` is \"TAPE\"; accepted: STANDARD, STANDARD_IA, ONEZONE_IA, ",
    );
    refused(
        "server_side_encryption = \"aes\"",
        "server_side_encryption` is \"aes\"; accepted: AES256, aws:kms",
    );
    refused(
        "kms_key_id = \"k\"",
        "kms_key_id` goes with server_side_encryption = \"aws:kms\"",
    );
    refused(
        "kms_key_id = \"k\"\nserver_side_encryption = \"AES256\"",
        "kms_key_id` goes with server_side_encryption = \"aws:kms\"",
    );
    refused(
        "tags = { team = 3 }",
        "tags` has \"team\" with a value that isn't text",
    );
    refused(
        "tags = { \"aws:x\" = \"y\" }",
        "tags` can't be used: the tag \"aws:x\" isn't accepted by S3",
    );
    for (lock, message) in [
        ("", "object_lock` lacks `mode`"),
        ("mode = \"compliance\"", "object_lock` lacks `days`"),
        (
            "mode = \"worm\", days = 1",
            "object_lock.mode` is \"worm\"; accepted: governance, compliance",
        ),
        (
            "mode = \"compliance\", days = 0",
            "object_lock.days` is 0; accepted: an integer from 1 to 36500",
        ),
        (
            "mode = \"compliance\", years = 1",
            "unknown key `destinations.a.object_lock.years`",
        ),
    ] {
        let text = format!("[destinations.a]\nurl = \"s3://b\"\nobject_lock = {{ {lock} }}");
        let error = toml(&text).load().unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    toml("[destinations.a]\npath = \"x\"\nobject_lock = { mode = \"compliance\", days = 1 }").refused(
        "c.toml:3:1: `destinations.a.object_lock` is a setting of S3 destinations; this one is a folder",
        None,
    );
    toml("[destinations.a]\npath = \"x\"\nstorage_class = \"GLACIER\"").refused(
        "c.toml:3:1: `destinations.a.storage_class` is a setting of S3 destinations; this one is a folder",
        None,
    );
}

#[test]
fn a_destination_is_one_place() {
    toml("[destinations.a]\npath = \"/CANARY/{year}\"").refused(
        "c.toml:2:1: `destinations.a.path` isn't usable: it has a variable such as {date} in it; a destination is one \
         place, and where in it a backup goes is said by `path` in `[backup]`",
        None,
    );
    let braces = destination(&toml("[destinations.a]\npath = \"/{x}\""));
    assert_eq!(braces.place, Place::Folder("/{x}".into()));
}

#[test]
fn a_rate_is_a_size_each_second() {
    let rate = |value: &str| {
        let text = format!("[destinations.a]\npath = \"x\"\nbytes_per_second_max = {value}");
        destination(&toml(&text)).bytes_per_second_max
    };
    assert_eq!(rate("\"10MB\""), NonZeroU64::new(10_000_000));
    assert_eq!(rate("16384"), NonZeroU64::new(16 << 10));
    toml("[destinations.a]\npath = \"x\"\nbytes_per_second_max = 0").refused(
        "c.toml:3:1: `destinations.a.bytes_per_second_max` is 0 bytes; accepted: 16 KiB to 1024 GiB",
        None,
    );
    toml("[destinations.a]\npath = \"x\"\nrate_limit = 1").refused(
        "c.toml:3:1: unknown key `destinations.a.rate_limit`; accepted here: path, url, required, lag, retention, \
         region, endpoint, access_key_id, secret_access_key, session_token, profile, path_style, permissions, \
         directory_permissions, storage_class, server_side_encryption, kms_key_id, tags, object_lock, bytes_per_second_max, resources",
        Some("write `bytes_per_second_max = \"10MB\"`"),
    );
}
