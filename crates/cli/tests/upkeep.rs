//! Schedules of what makes no backup, and two runners of one configuration.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]
#![cfg(unix)]

mod shared;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};

use serde_json::Value;
use shared::Scratch;
use shared::running::Running;

const REST: &str =
    "[source]\npath = \"in\"\n[destinations.a]\npath = \"a\"\n[destinations.b]\npath = \"b\"\n";

fn configured(schedules: &[(&str, &str)]) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("in/users.jsonl", "{\"id\":1}\n{\"id\":2}\n");
    let mut text = String::new();
    for (name, more) in schedules {
        text.push_str(&format!(
            "[schedules.{name}]\ncron = \"* * * * * *\"\n{more}\n"
        ));
    }
    scratch.write("c.toml", text + REST);
    scratch
}

#[test]
fn two_runners_never_do_the_same_and_leave_nothing_in_each_others_way() {
    let scratch = configured(&[("each-second", "type = \"often\"")]);
    let mut runners = [(); 2].map(|()| (Running::start(&scratch), BTreeSet::new()));
    let (mut done, mut left) = (0, 0);
    while done < 4 || left < 2 {
        for (running, begun) in &mut runners {
            let line = running.wait_for_one_of(&["begins, for ", "is left for "]);
            match line.split_once("begins, for ") {
                Some((_, time)) => {
                    assert!(begun.insert(time.to_owned()), "{time} twice by one");
                    done += 1;
                }
                None => left += 1,
            }
        }
    }
    let [(first, by_first), (second, by_second)] = runners;
    let both: Vec<_> = by_first.intersection(&by_second).collect();
    assert!(both.is_empty(), "{both:?}");
    first.terminate();

    // One is killed in its tracks. The next that starts here goes on, with nothing to clear away.
    let mut second = second;
    second.wait_for("begins, for ");
    second.child.kill().unwrap();
    second.child.wait().unwrap();
    let mut third = Running::start(&scratch);
    third.wait_for("completed");
    let (code, said) = third.terminate();
    assert!(matches!(code, Some(0 | 130)), "{code:?} {said}");
    scratch.teeline(0, &["verify", "--all", "--at", "a", "--at", "b"]);
}

#[test]
fn each_run_is_a_document_on_a_line() {
    let kinds = ["full", "verify", "validate", "scrub", "drill", "cleanup"];
    let types = kinds.map(|kind| (kind, format!("type = \"{kind}\"")));
    let schedules = types.each_ref().map(|(name, text)| (*name, text.as_str()));
    let scratch = configured(&schedules);
    let mut running = Running::start_with(&scratch, &["--json"]);
    let stdout = BufReader::new(running.child.stdout.take().unwrap());
    let mut seen = BTreeSet::new();
    for line in stdout.lines().take(200) {
        let ran: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!(ran["schedule"], ran["type"], "{ran}");
        assert!(ran["scheduledAt"].as_str().unwrap() <= ran["endedAt"].as_str().unwrap());
        assert!(ran["report"].is_object(), "{ran}");
        if ran["exitCode"] == 0 {
            assert_eq!(ran["status"], "completed", "{ran}");
            seen.insert(ran["type"].as_str().unwrap().to_owned());
        }
        if seen.len() == kinds.len() {
            break;
        }
    }
    assert_eq!(seen.len(), kinds.len(), "{seen:?}");
    running.terminate();
    let list = ["schedule", "list", "--config", "c.toml", "--json"];
    let listed = scratch.teeline(0, &list).json();
    for schedule in listed["schedules"].as_array().unwrap() {
        assert!(schedule["last"].is_object(), "{schedule}");
    }
}

#[test]
fn what_makes_no_backup_is_run_by_its_name_and_by_systemd() {
    let scratch = configured(&[
        ("nightly", ""),
        ("drill", "type = \"drill\"\nfrom = \"b\""),
        ("scrub", "type = \"scrub\"\nbudget = \"1GB\""),
    ]);
    let run =
        |code, name: &str| scratch.teeline(code, &["schedule", "run", name, "--config", "c.toml"]);
    run(1, "drill");
    assert!(run(0, "nightly").stdout.contains("completed"));
    let said = run(0, "drill").stdout;
    assert!(said.contains("from b alone, which has 1 backup"), "{said}");
    assert!(run(0, "scrub").stdout.contains("2 copies read"));
    let backup = ["backup", "--schedule", "drill", "--config", "c.toml"];
    let refused = scratch.teeline(2, &backup).stderr;
    assert!(
        refused.contains("help: `teeline schedule run drill` does that"),
        "{refused}"
    );
    let systemd = ["schedule", "systemd", "--config", "c.toml"];
    let units = scratch.teeline(0, &systemd).stdout;
    for part in [
        "Description=teeline drill by the schedule drill\n",
        " schedule run drill --config ",
        " backup --schedule nightly --resume latest --config ",
    ] {
        assert!(units.contains(part), "{part}\n{units}");
    }
    run(2, "weekly");
}
