//! What is known of checks: `list`, `status`, `check`, and what `scrub` and `drill` leave and say.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod shared;

use shared::Scratch;

/// Two backups at `a` and `b`, and their ids, the older one first.
fn with_backups() -> (Scratch, [String; 2]) {
    let scratch = Scratch::new();
    let ids = [10, 20].map(|count| {
        let lines: String = (0..count).map(|id| format!("{{\"id\":{id}}}\n")).collect();
        scratch.write("in/users.jsonl", lines);
        let backup = ["backup", "--from", "in", "--to", "a", "--to", "b", "--json"];
        let made = scratch.teeline(0, &backup).json();
        made["id"].as_str().unwrap().to_owned()
    });
    (scratch, ids)
}

#[test]
fn lists_and_states_show_where_each_was_verified_and_how() {
    let (scratch, [older, newer]) = with_backups();
    let both = ["--at", "a", "--at", "b"];
    let shown = |verb: &[&str]| scratch.teeline(0, &[verb, &both[..]].concat()).stdout;
    let line = |text: &str, id: &str| {
        let mut lines = text.lines().filter(|line| line.trim().starts_with(id));
        let words = lines.next().unwrap().split_whitespace();
        words.collect::<Vec<_>>().join(" ")
    };
    assert!(line(&shown(&["list"]), &older).ends_with(" a, b -"));
    scratch.teeline(0, &["verify", &older, "--at", "a", "--at", "b"]);
    scratch.teeline(
        0,
        &["drill", &older, "--from", "b", "--at", "a", "--at", "b"],
    );
    scratch.teeline(0, &["verify", &newer, "--at", "a"]);
    let listed = shown(&["list"]);
    assert!(line(&listed, &older).ends_with("Z digest"), "{listed}");
    assert!(line(&listed, &newer).ends_with(" a, b -"), "{listed}");
    let status = shown(&["status", &older]);
    assert!(line(&status, "a ").contains("Z digest"), "{status}");
    assert!(line(&status, "b ").contains("Z restored"), "{status}");

    // What nobody has looked at is made today, and so isn't late.
    let check = ["check", "--max-unverified", "1d", "--at", "b"];
    scratch.teeline(0, &check);
    scratch.teeline(2, &["check", "--max-unverified", "soon", "--at", "b"]);
}

#[test]
fn a_scrub_finds_damage_says_what_repairs_it_and_is_remembered() {
    let (scratch, [older, newer]) = with_backups();
    scratch.flip_byte(&format!("b/{newer}/users.jsonl.gz"));
    let scrub = ["scrub", "--at", "a", "--at", "b", "--budget", "10MB"];
    let said = scratch.teeline(13, &scrub);
    assert!(said.stdout.contains("4 copies read"), "{}", said.stdout);
    let help = format!("help: `teeline repair {newer}`");
    assert!(said.stderr.contains(&help), "{}", said.stderr);
    let recent = [&scrub[..], &["--max-age", "1d"]].concat();
    let again = scratch.teeline(13, &recent);
    assert!(again.stdout.contains("0 copies read"), "{}", again.stdout);
    assert!(again.stderr.contains(&help), "{}", again.stderr);

    let status = |id: &str, code| scratch.teeline(code, &["status", id, "--at", "a", "--at", "b"]);
    assert!(
        status(&older, 0)
            .stdout
            .contains(&format!("{older} completed"))
    );
    let damaged = status(&newer, 13);
    assert!(
        damaged.stdout.contains(&format!("{newer} damaged")),
        "{}",
        damaged.stdout
    );
    assert!(
        damaged.stderr.contains("scrub found it damaged at "),
        "{}",
        damaged.stderr
    );
    scratch.teeline(13, &["check", "--at", "b"]);
    let listed = scratch
        .teeline(0, &["list", "--at", "a", "--at", "b"])
        .stdout;
    assert!(listed.contains("a, b (damaged)"), "{listed}");
    scratch.teeline(13, &["drill", &newer, "--at", "b"]);
    scratch.teeline(
        0,
        &["drill", &newer, "--from", "a", "--at", "a", "--at", "b"],
    );
}
