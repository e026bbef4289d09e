//! What list, status and verify say of copies that aren't as they should be.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod shared;

use shared::Scratch;

const UNKNOWN: &str = "full-2026-01-01T00-00-00-aaaaaaaaaa";
/// Nothing listens there.
const DEAD: &str = "dead=http://key:hidden@127.0.0.1:1/bucket/copies";

/// A backup at `a` and `b`, and its id.
fn with_copies() -> (Scratch, String) {
    let scratch = Scratch::new();
    scratch.write("in/users.jsonl", "{\"id\":1}\n{\"id\":2}\n");
    let backup = ["backup", "--from", "in", "--to", "a", "--to", "b", "--json"];
    let made = scratch.teeline(0, &backup).json();
    let id = made["id"].as_str().unwrap().to_owned();
    (scratch, id)
}

/// The one file there, beside markers.
fn only(scratch: &Scratch, folder: &str) -> String {
    let mut files = scratch.files(folder);
    files.retain(|file| !file.contains(".published/"));
    assert_eq!(files.len(), 1, "{files:?}");
    format!("{folder}/{}", files[0])
}

#[test]
fn a_damaged_record_of_a_run_is_an_error_beside_a_whole_copy() {
    let (scratch, id) = with_copies();
    scratch.flip_byte(&only(&scratch, "a/runs"));
    let status = ["status", &id, "--at", "a"];
    let report = scratch
        .teeline(13, &[&status[..], &["--json"]].concat())
        .json();
    let copy = &report["destinations"][0];
    assert_eq!(
        (&report["status"], &copy["status"], &copy["error"]["class"]),
        (&"completed".into(), &"ok".into(), &"corrupt".into()),
        "{report}"
    );
    assert_eq!(report["recordCount"], 2, "{report}");
    let shown = scratch.teeline(13, &status);
    assert!(
        shown.stdout.contains("completed") && shown.stderr.contains(": runs/"),
        "{shown:?}"
    );
    // The other destination's record is whole.
    let both = scratch.teeline(13, &["status", &id, "--at", "a", "--at", "b", "--json"]);
    assert_eq!(both.json()["runs"].as_array().unwrap().len(), 1);
}

#[test]
fn a_backup_that_is_damaged_everywhere_is_not_called_failed() {
    let (scratch, id) = with_copies();
    let status = ["status", &id, "--at", "a", "--at", "b", "--json"];
    scratch.flip_byte(&format!("a/{id}/manifest.json"));
    let report = scratch.teeline(13, &status).json();
    // Both have to have it, and the luckier one doesn't count.
    assert_eq!(report["status"], "damaged", "{report}");
    scratch.flip_byte(&only(&scratch, "b/catalog"));
    let report = scratch.teeline(13, &status).json();
    assert_eq!(report["status"], "damaged", "{report}");
    for copy in report["destinations"].as_array().unwrap() {
        assert_eq!(copy["status"], "damaged", "{report}");
        assert_eq!(copy["error"]["class"], "corrupt", "{report}");
    }
    let shown = scratch.teeline(13, &["status", &id, "--at", "a", "--at", "b"]);
    assert!(
        shown.stdout.contains(&format!("{id} damaged"))
            && shown.stderr.contains("manifest.json")
            && shown.stderr.contains(": catalog/"),
        "{shown:?}"
    );
}

#[test]
fn a_destination_that_cannot_be_asked_counts_and_is_named_once() {
    let (scratch, id) = with_copies();
    let with_dead = |verb: &[&'static str]| {
        let verb: Vec<&str> = verb
            .iter()
            .map(|word| word.replace("ID", &id).leak() as &str)
            .collect();
        scratch.teeline(1, &[&verb[..], &["--at", "a", "--at", DEAD]].concat())
    };
    for verb in [
        &["status", "ID"][..],
        &["verify", "ID"],
        &["verify", "--all"],
        &["verify", UNKNOWN],
        &["validate", "ID"],
        &["list"],
    ] {
        let run = with_dead(verb);
        let said = run.stderr.matches("error: destination dead").count();
        assert_eq!(said, 1, "{verb:?}: {}", run.stderr);
    }
    let report = with_dead(&["status", "ID", "--json"]).json();
    assert_eq!(report["status"], "completed");
    // The same place is shown by what makes a backup and by what looks for it.
    let degraded = [
        "backup",
        "--from",
        "in",
        "--to",
        "a",
        "--to",
        DEAD,
        "--strategy",
        "any",
        "--json",
    ];
    let made = scratch.teeline(3, &degraded).json();
    for (index, location) in ["a", "http://127.0.0.1:1/bucket/copies"].iter().enumerate() {
        for report in [&made, &report] {
            assert_eq!(report["destinations"][index]["location"], *location);
        }
    }
}

#[test]
fn an_unknown_id_has_its_error_in_every_document() {
    let (scratch, _) = with_copies();
    let of = |arguments: &[&str]| {
        let run = scratch.teeline(1, &[arguments, &["--at", "a", "--json"]].concat());
        run.json()
    };
    let status = of(&["status", UNKNOWN]);
    assert_eq!(status["status"], "unknown");
    let restore = of(&["restore", UNKNOWN, "--target", "./out"]);
    let verify = of(&["verify", UNKNOWN]);
    for error in [
        &status["error"],
        &restore["error"],
        &verify["errors"][0]["error"],
    ] {
        assert_eq!(error["class"], "not-found", "{error}");
        assert!(
            error["message"].as_str().unwrap().contains(UNKNOWN),
            "{error}"
        );
    }
}

#[test]
fn checking_everything_where_nothing_is_fails() {
    let (scratch, _) = with_copies();
    scratch.write("file", "no destination");
    for at in ["typo", "in", "file"] {
        for arguments in [&["verify", "--all"][..], &["verify"]] {
            let run = scratch.teeline(1, &[arguments, &["--at", at]].concat());
            assert!(run.stderr.starts_with("error: "), "{at}: {}", run.stderr);
        }
    }
    std::fs::create_dir(scratch.path("empty")).unwrap();
    let run = scratch.teeline(1, &["check", "--at", "empty"]);
    assert_eq!(run.stdout, "empty  not as expected  0 backups  -\n");
    let report = scratch
        .teeline(1, &["verify", "--all", "--at", "typo", "--json"])
        .json();
    assert_eq!(
        report["errors"][0]["error"]["class"], "not-found",
        "{report}"
    );
    let listed = scratch.teeline(1, &["list", "--at", "file"]);
    assert!(listed.stderr.contains("it is a file"), "{}", listed.stderr);
}

#[test]
fn a_folder_that_is_typed_and_not_there_is_no_place_without_backups() {
    let (scratch, id) = with_copies();
    for command in [
        &["list"][..],
        &["list", "--status", "failed"],
        &["list", "--status", "failed", "--metadata", "a=b"],
        &["check"],
        &["verify"],
        &["scrub"],
        &["drill"],
        &["repair"],
        &["cleanup", "--keep-count", "1"],
        &["delete", &id],
        &["status", &id],
        &["restore", "latest", "--target", "./out"],
    ] {
        let run = scratch.teeline(1, &[command, &["--at", "typo"]].concat());
        let said = "there is no such folder\n  help: check how it is written, and whether its disk is mounted";
        assert!(run.stderr.contains(said), "{command:?}: {}", run.stderr);
    }
    assert!(!scratch.path("typo").exists() && !scratch.path("out").exists());
    // Beside one that is there it is as one that is dead.
    let both = ["--at", "a", "--at", "typo", "--target", "./out"];
    let run = scratch.teeline(3, &[&["restore", "latest"], &both[..]].concat());
    assert!(
        run.stdout.contains(&id) && run.stderr.contains("typo"),
        "{run:?}"
    );
    scratch.teeline(0, &["sync", "--at", "a", "--at", "new"]);
    assert_eq!(scratch.listed("new"), [id]);
}

#[test]
fn damage_is_named_with_its_resource() {
    let (scratch, id) = with_copies();
    scratch.flip_byte(&format!("a/{id}/users.jsonl.gz"));
    let run = scratch.teeline(13, &["verify", "--at", "a"]);
    let place = format!("destination a, resource users, {id}/users.jsonl.gz, chunk 0: ");
    assert!(run.stderr.contains(&place), "{}", run.stderr);
}

#[test]
fn a_validation_is_told_in_the_documented_words() {
    let (scratch, id) = with_copies();
    let shown = scratch.teeline(0, &["validate", "--at", "a", "--at", "b"]);
    assert_eq!(
        shown.stdout,
        format!(
            "✅ Validation pass: {id}\n   exists pass, integrity pass, restore pass, completeness pass\n\n\
             📋 BACKUP VALIDATION REPORT\nTotal Backups: 1\n✅ Passed: 1\n❌ Failed: 0\n🚨 Errors: 0\n❔ Inconclusive: 0\n"
        )
    );
    scratch.flip_byte(&format!("a/{id}/users.jsonl.gz"));
    let shown = scratch.teeline(13, &["validate", &id, "--at", "a"]);
    let failed = format!(
        "❌ Validation fail: {id}\n   exists pass, integrity fail, restore fail, completeness inconclusive\n"
    );
    assert!(shown.stdout.starts_with(&failed), "{shown:?}");
    assert!(shown.stdout.contains("❌ Failed: 1"), "{shown:?}");
    assert!(shown.stderr.contains("users.jsonl.gz"), "{shown:?}");
    let dead = "http://key:secret@127.0.0.1:1/bucket";
    let shown = scratch.teeline(1, &["validate", "--at", "b", "--at", dead]);
    let untold = format!("❔ Validation inconclusive: {id}\n");
    assert!(shown.stdout.starts_with(&untold), "{shown:?}");
    scratch.write("file", "no folder");
    let shown = scratch.teeline(1, &["validate", "--at", "b", "--scratch", "./file"]);
    let broken = format!("🚨 Validation error: {id}\n");
    assert!(shown.stdout.starts_with(&broken), "{shown:?}");
    std::fs::create_dir(scratch.path("empty")).unwrap();
    let shown = scratch.teeline(1, &["validate", "--at", "empty"]);
    assert_eq!(shown.stdout, "");
    assert!(shown.stderr.contains("no destination has any"), "{shown:?}");
    let kept = scratch.path("mine");
    std::fs::create_dir(&kept).unwrap();
    scratch.teeline(0, &["validate", "--at", "b", "--scratch", "./mine"]);
    assert_eq!(std::fs::read_dir(&kept).unwrap().count(), 0);
    let refused = scratch.teeline(2, &["validate", "--at", "b", "--scratch", "-"]);
    assert!(refused.stderr.contains("--scratch"), "{refused:?}");
}
