//! `teeline inspect-plugin` as a person uses it.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod plugin;
mod shared;

use plugin::{ID, as_latin1, as_utf8, backup};
use shared::Scratch;

#[test]
fn what_was_destroyed_is_said_plainly() {
    let scratch = Scratch::new();
    let mut made = backup(1000, as_utf8);
    made.manifest["encrypted"] = true.into();
    made.write(&scratch, "backups/2026-01-31");
    let run = scratch.teeline(13, &["inspect-plugin", "backups"]);
    assert_eq!(run.stderr, "");
    for line in [
        &format!("{ID} damaged: 0 of 1,000 records can be had\n"),
        "  type      full\n",
        "says 1 resource, compression gzip, encrypted\n",
        ".backup: is gzip of JSON, ",
        "  users     1,000    0           destroyed  none        yes         byName\n",
        "  - users: no record can be recovered from users.jsonl.gz: ",
        "characters stand where at least",
        "  - users: recordCount is exactly 1000",
        "  - the schemas can't be had",
        "encrypted: true, which was not done",
        "\nwhat to do: make a backup that can be restored",
        "`teeline backup full --connection-env S3DB_URL --to /var/backups/shop`",
    ] {
        assert!(run.stdout.contains(line), "{line}\n{}", run.stdout);
    }
}

#[test]
fn one_file_of_a_backup_is_enough() {
    let scratch = Scratch::new();
    backup(30, as_utf8).write(&scratch, "in");
    for ends in ["backup", "manifest.json"] {
        let path = format!("in/{ID}.{ends}");
        let report = scratch
            .teeline(13, &["inspect-plugin", &path, "--json"])
            .json();
        let found = &report["backups"][0];
        assert_eq!(
            (&found["id"], &found["recordCount"]),
            (&ID.into(), &30.into())
        );
        assert_eq!(found["resources"][0]["status"], "destroyed");
    }
}

#[test]
fn what_can_be_had_is_counted() {
    let scratch = Scratch::new();
    backup(30, as_latin1).write(&scratch, "a");
    let run = scratch.teeline(0, &["inspect-plugin", "a"]);
    assert!(
        run.stdout.contains("ok: 30 of 30 records can be had"),
        "{}",
        run.stdout
    );
    backup(12, as_utf8).write(&scratch, "a/b");
    let run = scratch.teeline(13, &["inspect-plugin", "a"]);
    assert!(
        run.stdout
            .contains("2 backups: 30 of 42 records can be had"),
        "{}",
        run.stdout
    );
}

#[test]
fn damaged_and_foreign_files_are_named() {
    let scratch = Scratch::new();
    backup(30, as_utf8).write(&scratch, "in");
    let path = format!("in/{ID}.backup");
    let whole = scratch.read(&path);
    scratch.write(&path, &whole[..whole.len() / 2]);
    let run = scratch.teeline(13, &["inspect-plugin", "in"]);
    assert!(
        run.stdout.contains(".backup is cut short"),
        "{}",
        run.stdout
    );
    assert!(
        run.stdout.contains("of an unknown number"),
        "{}",
        run.stdout
    );

    scratch.write("other/phone.backup", "\u{1b}[2Jno archive");
    let run = scratch.teeline(1, &["inspect-plugin", "other"]);
    assert!(
        run.stdout
            .contains("phone not a backup of the BackupPlugin"),
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains("\\x1b[2Jno archive"), "{}", run.stdout);
    assert!(!run.stdout.contains("what to do"), "{}", run.stdout);
}

#[test]
fn nothing_to_inspect_says_what_is_looked_for() {
    let scratch = Scratch::new();
    scratch.write("empty/notes.txt", "");
    for (path, message) in [
        (
            "empty",
            "no backup of s3db.js's BackupPlugin is in this folder",
        ),
        ("empty/notes.txt", "accepted: ID.backup, ID.manifest.json"),
        ("none", "no such file or folder"),
    ] {
        let run = scratch.teeline(1, &["inspect-plugin", path]);
        assert_eq!(run.stdout, "");
        assert!(run.stderr.contains(message), "{}", run.stderr);
        let failure = scratch
            .teeline(1, &["inspect-plugin", path, "--json"])
            .json();
        assert_eq!(failure["status"], "failed");
    }
    scratch.teeline(2, &["inspect-plugin"]);
    scratch.teeline(2, &["inspect-plugin", ""]);
}
