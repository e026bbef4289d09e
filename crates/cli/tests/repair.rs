//! `teeline repair`: copies that heal each other; lost manifests of files and of databases, and what it says where it can't.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod shared;

use std::fs;

use serde_json::Value;
use shared::{Run, Scratch};

const USERS: &str = "{\"id\":1,\"name\":\"Zoë\"}\n{\"id\":2}\n";

/// A backup of two resources at `a` and `b`: its id.
fn with_backup(scratch: &Scratch) -> String {
    scratch.write("in/users.jsonl", USERS);
    scratch.write("in/events.jsonl", "{}\n");
    let made = scratch
        .teeline(
            0,
            &["backup", "--from", "in", "--to", "a", "--to", "b", "--json"],
        )
        .json();
    made["id"].as_str().unwrap().to_owned()
}

fn lose(scratch: &Scratch, file: &str) {
    fs::remove_file(scratch.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
}

/// What became of the only run that a report is about, at each destination.
fn statuses(report: &Value) -> Vec<&str> {
    assert_eq!(report["runs"].as_array().unwrap().len(), 1, "{report}");
    let copies = report["runs"][0]["destinations"].as_array().unwrap();
    copies
        .iter()
        .map(|copy| copy["status"].as_str().unwrap())
        .collect()
}

#[test]
fn a_lost_manifest_comes_back_as_it_was() {
    let scratch = Scratch::new();
    let id = with_backup(&scratch);
    let manifests = ["a", "b"].map(|at| format!("{at}/{id}/manifest.json"));
    let before = scratch.read(&manifests[0]);
    let repair = [
        "repair",
        &id,
        "--rebuild-manifest",
        "--at",
        "a",
        "--at",
        "b",
    ];

    manifests.iter().for_each(|file| lose(&scratch, file));
    let status = scratch.teeline(13, &["status", &id, "--at", "a"]);
    assert!(status.stderr.contains(&repair[..3].join(" ")), "{status:?}");
    let shown = scratch.teeline(0, &repair);
    assert_eq!(
        shown.stdout.matches("reconstructed  checksum ").count(),
        2,
        "{shown:?}"
    );
    lose(&scratch, &manifests[0]);
    let copied = scratch.teeline(0, &[&repair[..], &["--json"]].concat());
    assert_eq!(statuses(&copied.json()), ["copied", "whole"]);
    for manifest in &manifests {
        assert!(scratch.read(manifest) == before, "{manifest}");
    }
    scratch.teeline(0, &["verify", "--all", "--at", "a", "--at", "b"]);
    scratch.teeline(0, &["restore", &id, "--at", "a", "--target", "./out"]);
    assert_eq!(scratch.read("out/users.jsonl"), USERS.as_bytes());

    let nothing = scratch.teeline(0, &["repair", "--rebuild-manifest", "--at", "a"]);
    assert_eq!(nothing.stdout, "every run has its manifest\n");
}

#[test]
fn what_is_missing_is_listed() {
    let scratch = Scratch::new();
    let id = with_backup(&scratch);
    for file in ["manifest.json", "users.index", "events.jsonl.gz"] {
        lose(&scratch, &format!("a/{id}/{file}"));
    }
    let repair = ["repair", &id, "--rebuild-manifest", "--at", "a"];
    let refused = scratch.teeline(13, &repair);
    assert!(refused.stdout.contains("refused"), "{refused:?}");
    for part in [
        format!("{id}/events.jsonl.gz and 1 other file"),
        format!("{id}/users.index: it is missing, and no index of users"),
    ] {
        assert!(refused.stderr.contains(&part), "{part}: {}", refused.stderr);
    }
    let report = scratch
        .teeline(13, &[&repair[..], &["--json"]].concat())
        .json();
    let missing = &report["runs"][0]["destinations"][0]["missing"];
    let of = |file: &str, resource: &str, last: bool| serde_json::json!({"file": format!("{id}/{file}"), "resource": resource, "lastIndex": last});
    assert_eq!(
        *missing,
        serde_json::json!([
            of("events.jsonl.gz", "events", false),
            of("users.index", "users", true)
        ])
    );
    let status = scratch.teeline(13, &["status", &id, "--at", "a", "--json"]);
    assert_eq!(status.json()["destinations"][0]["status"], "damaged");
}

#[test]
fn a_run_of_the_last_hour_is_left_alone_unless_it_is_named() {
    let scratch = Scratch::new();
    let id = with_backup(&scratch);
    lose(&scratch, &format!("a/{id}/manifest.json"));
    let skipped = scratch.teeline(3, &["repair", "--rebuild-manifest", "--at", "a"]);
    assert!(
        skipped.stdout.contains("skipped") && skipped.stderr.contains("may be going on"),
        "{skipped:?}"
    );
    scratch.teeline(0, &["repair", &id, "--rebuild-manifest", "--at", "a"]);
    assert_eq!(scratch.listed("a"), [id]);
}

/// At both destinations.
fn at_both<'a>(verb: &[&'a str]) -> Vec<&'a str> {
    [verb, &["--at", "a", "--at", "b"]].concat()
}

#[test]
fn copies_heal_each_other_and_what_was_damaged_is_kept() {
    let scratch = Scratch::new();
    let id = with_backup(&scratch);
    let files =
        ["users.jsonl.gz", "users.index", "manifest.json"].map(|file| format!("{id}/{file}"));
    let right = files
        .each_ref()
        .map(|file| scratch.read(&format!("a/{file}")));
    let mut damaged = right[0].clone();
    damaged[20] ^= 1;
    scratch.write(&format!("b/{}", files[0]), &damaged);
    lose(&scratch, &format!("b/{}", files[1]));
    lose(&scratch, &format!("a/{}", files[2]));
    scratch.teeline(13, &at_both(&["verify", &id]));
    let alone = scratch.teeline(13, &["repair", &id, "--at", "b"]);
    assert!(
        alone.stderr.contains("no destination that was named"),
        "{alone:?}"
    );

    let healed = scratch.teeline(0, &at_both(&["repair", &id]));
    for part in ["healed", "was damaged, moved to damaged/", "was missing"] {
        assert!(healed.stdout.contains(part), "{healed:?}");
    }
    for (file, right) in files.iter().zip(&right) {
        for at in ["a", "b"] {
            assert!(
                scratch.read(&format!("{at}/{file}")) == *right,
                "{at} {file}"
            );
        }
    }
    let kept = scratch.path(&format!("b/damaged/{}.damaged", files[0]));
    let kept = std::fs::read_dir(kept).unwrap().next().unwrap().unwrap();
    assert!(std::fs::read(kept.path()).unwrap() == damaged);
    // Nobody has to check it again for that to be known.
    let status = scratch.teeline(0, &at_both(&["status", &id, "--json"]));
    assert_eq!(status.json()["status"], "completed", "{status:?}");
    scratch.teeline(0, &at_both(&["verify", &id]));

    std::fs::remove_dir_all(scratch.path("b")).unwrap();
    scratch.teeline(1, &at_both(&["repair"]));
    std::fs::create_dir(scratch.path("b")).unwrap();
    let lacking = scratch.teeline(3, &at_both(&["repair", "--json"]));
    assert_eq!(statuses(&lacking.json()), ["whole", "absent"]);
    let filled = scratch.teeline(0, &at_both(&["repair", "--auto", "--json"]));
    assert_eq!(statuses(&filled.json()), ["whole", "copied"]);
    scratch.teeline(0, &["restore", &id, "--at", "b", "--target", "./out"]);
    assert_eq!(scratch.read("out/users.jsonl"), USERS.as_bytes());
}

#[test]
fn usage_is_refused_with_what_to_do() {
    let scratch = Scratch::new();
    let id = with_backup(&scratch);
    for (arguments, part) in [
        (&["repair", &id, "--auto", "--at", "a"][..], "--auto"),
        (
            &["repair", "--auto", "--rebuild-manifest", "--at", "a"],
            "--rebuild-manifest",
        ),
        (&["repair", "latest", "--rebuild-manifest"], "takes the id"),
        (
            &["repair", "--rebuild-manifest", "--at", "a", "--config", "b"],
            "--config",
        ),
    ] {
        let run = scratch.teeline(2, arguments);
        assert!(
            run.stdout.is_empty() && run.stderr.contains(part),
            "{arguments:?}\n{run:?}"
        );
    }
    let unknown = "full-2026-01-01T00-00-00-aaaaaaaaaa";
    let run = scratch.teeline(1, &["repair", unknown, "--rebuild-manifest", "--at", "a"]);
    assert!(run.stderr.contains(unknown), "{}", run.stderr);
    let dead = "dead=http://key:hidden@127.0.0.1:1/bucket/copies";
    let run = scratch.teeline(
        1,
        &[
            "repair",
            &id,
            "--rebuild-manifest",
            "--at",
            "a",
            "--at",
            dead,
        ],
    );
    assert!(
        run.stdout.contains("unreachable") && !format!("{run:?}").contains("hidden"),
        "{run:?}"
    );
    assert_eq!(run.stderr.matches("error: ").count(), 1, "{}", run.stderr);
}

#[cfg(feature = "embedded-s3")]
#[test]
fn a_database_has_its_manifest_back_in_a_folder_and_in_a_bucket() {
    let scratch = Scratch::new();
    scratch.write(
        "quickstart.toml",
        fs::read(shared::workspace().join("config/quickstart.toml")).unwrap(),
    );
    let teeline = |code: i32, arguments: &[&str]| {
        let mut command =
            scratch.command(&[arguments, &["--config", "quickstart.toml", "--json"]].concat());
        command.env("TEELINE__EMBEDDED_S3__SAMPLE__RECORDS", "60");
        Run::of(code, command.output().unwrap(), &format!("{arguments:?}")).json()
    };
    let id = teeline(0, &["backup"])["id"].as_str().unwrap().to_owned();
    let repair = ["repair", &id, "--rebuild-manifest"];
    let files = scratch.files("backups");
    let manifests: Vec<String> = files
        .iter()
        // The server's own files are named after the keys.
        .filter(|file| file.contains("/manifest.json"))
        .map(|file| format!("backups/{file}"))
        .collect();
    assert_eq!(manifests.len(), 2, "{manifests:?}");

    let lose_all = || manifests.iter().for_each(|file| lose(&scratch, file));
    let before = scratch.read(&format!("backups/local/{id}/manifest.json"));
    lose_all();
    let report = teeline(0, &repair);
    assert_eq!(statuses(&report), ["reconstructed"; 2], "{report}");
    assert!(scratch.read(&format!("backups/local/{id}/manifest.json")) == before);
    teeline(0, &["verify", "--all"]);

    // The one file whose digest is nowhere else is vouched for by the checksum.
    lose_all();
    let export = format!("backups/local/{id}/s3db.json");
    let text = String::from_utf8(scratch.read(&export)).unwrap();
    fs::remove_file(scratch.path(&export)).unwrap();
    scratch.write(&export, text.replace("us-east-1", "us-east-2"));
    let report = teeline(13, &repair);
    assert_eq!(statuses(&report), ["refused", "reconstructed"], "{report}");
    let error = report["runs"][0]["destinations"][0]["error"].to_string();
    assert!(error.contains("s3db.json, most likely"), "{error}");
    // With the other destination's manifest it is certain.
    let report = teeline(13, &repair);
    assert_eq!(statuses(&report), ["refused", "whole"], "{report}");
    let error = report["runs"][0]["destinations"][0]["error"].to_string();
    assert!(error.contains(&format!("{id}/s3db.json")), "{error}");
    scratch.write(&export, text);
    assert_eq!(statuses(&teeline(0, &repair)), ["copied", "whole"]);
    assert!(scratch.read(&format!("backups/local/{id}/manifest.json")) == before);
}
