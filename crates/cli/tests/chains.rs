//! Incremental backups as a person makes them: what is said, restored, needed, consolidated and deleted.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod shared;

use serde_json::Value;
use shared::Scratch;

/// A full backup and two links to it, at two places: their ids, the oldest first.
fn with_chain() -> (Scratch, [String; 3]) {
    let scratch = Scratch::new();
    let mut lines = String::new();
    let ids = ["full", "incremental", "incremental"].map(|backup_type| {
        let number = lines.len();
        lines.push_str(&format!("{{\"id\":{number}}}\n"));
        scratch.write("in/users.jsonl", &lines);
        let arguments = [
            "backup",
            backup_type,
            "--from",
            "in",
            "--to",
            "a",
            "--to",
            "b",
        ];
        let made = scratch.teeline(0, &[&arguments[..], &["--json"]].concat());
        made.json()["id"].as_str().unwrap().to_owned()
    });
    (scratch, ids)
}

fn lines(scratch: &Scratch, file: &str) -> usize {
    let text = String::from_utf8(scratch.read(file)).unwrap();
    text.lines().count()
}

#[test]
fn a_link_says_what_it_goes_on_from_and_restores_from_any_place() {
    let (scratch, [full, first, second]) = with_chain();
    let list = scratch.teeline(0, &["list", "--at", "a"]).stdout;
    assert!(list.contains("GOES ON FROM"), "{list}");
    let status = scratch.teeline(0, &["status", &second, "--at", "b"]);
    let chain = format!("from {full}, {first}");
    assert!(status.stdout.contains(&chain), "{}", status.stdout);
    scratch.teeline(0, &["verify", "--all", "--deep", "--at", "a", "--at", "b"]);
    for (at, target) in [("a", "./from-a"), ("b", "./from-b")] {
        scratch.teeline(0, &["restore", &second, "--at", at, "--target", target]);
        assert_eq!(lines(&scratch, &format!("{target}/users.jsonl")), 3);
    }
    scratch.teeline(0, &["restore", &first, "--at", "a", "--target", "./first"]);
    assert_eq!(lines(&scratch, "first/users.jsonl"), 2);

    scratch.write("in/users.jsonl", "{\"id\":\"new\"}\n");
    let said = scratch.teeline(0, &["backup", "incremental", "--from", "in", "--to", "a"]);
    let expected = format!("goes on from {second}\n  of the records 1 new, 0 changed, 3 gone");
    assert!(said.stdout.contains(&expected), "{}", said.stdout);
}

#[test]
fn a_time_is_taken_with_and_without_at() {
    let (scratch, [_, first, _]) = with_chain();
    let status = scratch.teeline(0, &["status", &first, "--at", "a", "--json"]);
    let began = status.json()["timestamp"].as_str().unwrap().to_owned();
    for (number, arguments) in [
        vec!["restore", &began, "--at", "a"],
        vec!["restore", "--at", &began, "--at", "a"],
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("./out-{number}");
        let run = scratch.teeline(
            0,
            &[&arguments[..], &["--target", &target, "--json"]].concat(),
        );
        assert_eq!(run.json()["id"], first.as_str());
        assert_eq!(lines(&scratch, &format!("{target}/users.jsonl")), 2);
    }
    let early = ["restore", "2020-01-01", "--at", "a", "--target", "./none"];
    let run = scratch.teeline(1, &early);
    assert!(
        run.stderr.contains("had begun at 2020-01-01"),
        "{}",
        run.stderr
    );
}

#[test]
fn what_is_needed_goes_with_what_needs_it() {
    let (scratch, [full, first, second]) = with_chain();
    let refused = scratch.teeline(1, &["delete", &full, "--at", "a", "--at", "b"]);
    assert!(refused.stderr.contains("--cascade"), "{}", refused.stderr);
    assert_eq!(scratch.listed("a").len(), 3);

    let consolidate = ["consolidate", &second, "--at", "a", "--at", "b", "--json"];
    let made: Value = scratch.teeline(0, &consolidate).json();
    assert_eq!(made["recordCount"], 3);
    let whole = made["id"].as_str().unwrap();
    let alone = scratch.teeline(2, &["consolidate", &full, "--at", "a"]);
    assert!(alone.stderr.contains("restored alone"), "{}", alone.stderr);

    let delete = ["delete", &full, "--cascade", "--at", "a", "--at", "b"];
    let deleted = scratch.teeline(0, &delete).stdout;
    assert!(
        deleted.contains(&first) && deleted.contains(&second),
        "{deleted}"
    );
    for at in ["a", "b"] {
        assert_eq!(scratch.listed(at), [whole]);
    }
    scratch.teeline(0, &["restore", "latest", "--at", "b", "--target", "./out"]);
    assert_eq!(lines(&scratch, "out/users.jsonl"), 3);
}

#[test]
fn a_new_destination_gets_the_chain_and_one_that_can_not_has_it_all_made_whole() {
    let (scratch, [full, first, second]) = with_chain();
    let to_new = ["--from", "in", "--to", "a", "--to", "c"];
    let arguments = [&["backup", "incremental"][..], &to_new, &["--json"]].concat();
    let made = scratch.teeline(0, &arguments).json();
    assert_eq!(made["parent"]["id"], second.as_str());
    let link = made["id"].as_str().unwrap().to_owned();
    assert_eq!(scratch.listed("c"), [link, second, first, full.clone()]);

    // At `b` the full one was withdrawn, and isn't copied there again.
    let withdrawn = ["delete", &full, "--cascade", "--at", "b"];
    scratch.teeline(0, &withdrawn);
    let to_both = ["--from", "in", "--to", "a", "--to", "b"];
    let arguments = [&["backup", "incremental"][..], &to_both].concat();
    let said = scratch.teeline(0, &arguments).stdout;
    assert!(said.contains("was withdrawn from b"), "{said}");
    scratch.teeline(0, &["restore", "latest", "--at", "b", "--target", "./out"]);
    assert_eq!(lines(&scratch, "out/users.jsonl"), 3);
}
