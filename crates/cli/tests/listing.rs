//! `teeline list`: what is asked for, and what can't be.

mod shared;

use shared::{SMALL_BUDGET, Scratch, broken_at_the_end};

#[test]
fn what_is_listed_is_what_was_asked_for() {
    let scratch = Scratch::new();
    scratch.write("in.jsonl", "{\"id\":1}\n");
    scratch.write("broken.jsonl", broken_at_the_end());
    let make = |code: i32, label: &str, from: &str| {
        let backup = ["backup", label, "--from", from, "--json"];
        let report = scratch.teeline(code, &[&backup[..], &SMALL_BUDGET].concat());
        report.json()["id"].as_str().unwrap_or_default().to_owned()
    };
    let made: Vec<String> = ["full", "weekly", "weekly-own"]
        .iter()
        .map(|label| make(0, label, "in.jsonl"))
        .collect();
    let failed = make(1, "full", "broken.jsonl");
    for ticket in ["ticket=7", "ticket=8"] {
        let said = ["backup", "said", "--from", "in.jsonl", "--metadata", ticket];
        scratch.teeline(0, &said);
    }

    let listed = |options: &[&str]| -> Vec<String> {
        let report = scratch.teeline(0, &[&["list", "--json"], options].concat());
        let report = report.json();
        let backups = report["backups"].as_array().cloned().unwrap_or_default();
        let id = |listed: &serde_json::Value| listed["id"].as_str().unwrap_or_default().to_owned();
        backups.iter().map(id).collect()
    };
    let said = |options: &[&str]| listed(&[&["--metadata", "ticket=7"], options].concat()).len();
    assert_eq!(
        (said(&[]), said(&["--limit", "1"])),
        (1, 1),
        "only what counts is counted"
    );
    assert_eq!(said(&["--metadata", "ticket=8"]), 0);
    assert_eq!(said(&["--status", "failed"]), 0);
    assert_eq!(listed(&["--type", "said"]).len(), 2);
    let listed = |options: &[&str]| {
        let mut ids = listed(options);
        ids.retain(|id| !id.starts_with("said"));
        ids
    };
    assert_eq!(listed(&[]).len(), 3);
    assert_eq!(listed(&["--limit", "4"]).len(), 2);
    assert_eq!(listed(&["--type", "weekly"]), made[1..2]);
    assert_eq!(listed(&["--prefix", "weekly"]).len(), 2);
    assert_eq!(listed(&["--until", "2020-02-29"]).len(), 0);
    assert_eq!(listed(&["--since", "2020-02-29"]).len(), 3);
    assert_eq!(listed(&["--end-date", "2020-02-29"]).len(), 0);
    assert_eq!(listed(&["--start-date", "2020-02-29"]).len(), 3);
    assert_eq!(listed(&["--status", "failed"]), [failed.as_str()]);
    let text = scratch.teeline(0, &["list", "--status", "failed"]).stdout;
    assert!(
        text.contains(&failed) && text.contains("broken.jsonl, line 40001"),
        "{text}"
    );
    assert!(!text.contains("RECORDS"), "{text}");
}

#[test]
fn what_can_not_be_listed_is_refused_by_its_name() {
    let scratch = Scratch::new();
    for (options, said) in [
        (
            &["--since", "yesterday"][..],
            "--since: neither a day nor a time",
        ),
        (
            &["--until", "2024-02-30"],
            "--until: neither a day nor a time",
        ),
        (
            &["--since", "2025-01-01", "--until", "2024-12-31"],
            "--until: 2024-12-31T23:59:59.999Z is before 2025-01-01",
        ),
        (&["--type", "Full"], "--type: not a backup type"),
        (&["--limit", "0"], "--limit"),
        (&["--status", "degraded"], "completed, failed"),
    ] {
        let refused = scratch.teeline(2, &[&["list"], options].concat());
        assert!(refused.stderr.contains(said), "{options:?}: {refused:?}");
    }
}
