//! Deleting backups, by name and by rules.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod shared;

use shared::{Run, SMALL_BUDGET, Scratch, broken_at_the_end};

fn backup(scratch: &Scratch, arguments: &[&str]) -> String {
    let run = scratch.teeline(
        0,
        &[&["backup", "--from", "in.jsonl", "--json"], arguments].concat(),
    );
    run.json()["id"].as_str().unwrap().to_owned()
}

fn made(count: usize) -> (Scratch, Vec<String>) {
    let scratch = Scratch::new();
    scratch.write("in.jsonl", "{\"id\":1}\n{\"id\":2}\n");
    let ids = (0..count)
        .map(|_| backup(&scratch, &["--to", "a"]))
        .collect();
    (scratch, ids)
}

#[test]
fn a_dry_run_says_which_rules_keep_each_backup() {
    let (scratch, _) = made(3);
    // Newest first; which of the ids that began within a millisecond is the newest isn't said by when it was made.
    let ids = scratch.listed("a");
    let before = scratch.files("a");
    let run = scratch.teeline(
        0,
        &[
            "cleanup",
            "--at",
            "a",
            "--dry-run",
            "--keep-count",
            "2",
            "--keep-daily",
            "3",
        ],
    );
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 5, "{}", run.stdout);
    assert_eq!(lines[0], "a");
    assert!(
        lines[1].starts_with(&format!("  {}  kept", ids[0])),
        "{}",
        run.stdout
    );
    assert!(lines[1].contains("count 1, daily 2") && lines[1].ends_with("last-verified"));
    assert!(lines[2].ends_with("count 2"), "{}", run.stdout);
    assert_eq!(lines[3].trim(), format!("{}  would be withdrawn", ids[2]));
    assert_eq!(lines[4], "1 backup would be withdrawn, 2 kept");
    assert_eq!(scratch.files("a"), before);
}

#[test]
fn what_is_withdrawn_is_said_and_gone_for_every_command() {
    let (scratch, _) = made(2);
    let ids = scratch.listed("a");
    let run = scratch.teeline(0, &["cleanup", "--at", "a", "--keep-count", "1"]);
    assert!(
        run.stdout.contains(&format!("  {}  withdrawn\n", ids[1])),
        "{}",
        run.stdout
    );
    assert!(!run.stdout.contains(&ids[0]), "{}", run.stdout);
    assert!(
        run.stdout.ends_with("1 backup withdrawn, 1 kept\n"),
        "{}",
        run.stdout
    );
    assert_eq!(scratch.listed("a"), ids[..1]);
    let refused = scratch.teeline(1, &["restore", &ids[1], "--at", "a", "--target", "./out"]);
    assert!(
        refused
            .stderr
            .contains("was withdrawn from destination a at 2"),
        "{}",
        refused.stderr
    );
    assert!(
        refused
            .stderr
            .contains("help: as long as its files are there"),
        "{}",
        refused.stderr
    );
    let status = scratch.teeline(0, &["status", &ids[1], "--at", "a"]);
    assert!(
        status.stdout.contains("withdrawn at 2"),
        "{}",
        status.stdout
    );
    scratch.teeline(0, &["verify", "--all", "--at", "a"]);

    let waits = scratch.teeline(0, &["cleanup", "--at", "a", "--keep-count", "1"]);
    assert!(
        waits.stdout.contains("its files stay until 2"),
        "{}",
        waits.stdout
    );
    let files = |scratch: &Scratch, id: &str| {
        let files = scratch.files("a").into_iter();
        files.filter(|file| file.contains(id)).collect::<Vec<_>>()
    };
    assert!(files(&scratch, &ids[1]).len() > 3);
    let run = scratch.teeline(
        0,
        &["cleanup", "--at", "a", "--keep-count", "1", "--grace", "0s"],
    );
    assert!(
        run.stdout
            .contains(&format!("  {}  removed  4 files, ", ids[1])),
        "{}",
        run.stdout
    );
    assert_eq!(files(&scratch, &ids[1]).len(), 1);
    scratch.teeline(0, &["verify", "--all", "--at", "a"]);
}

#[test]
fn a_backup_is_deleted_by_its_id() {
    let (scratch, ids) = made(2);
    let run = scratch.teeline(0, &["delete", &ids[0], "--at", "a"]);
    assert!(
        run.stdout.starts_with(&format!(
            "{}\n  a  withdrawn  its files stay until 2",
            ids[0]
        )),
        "{}",
        run.stdout
    );
    assert_eq!(scratch.listed("a"), ids[1..]);
    let run = scratch.teeline(0, &["delete", &ids[0], "--at", "a", "--grace", "0s"]);
    assert!(
        run.stdout.contains("  a  removed  4 files, "),
        "{}",
        run.stdout
    );

    let unknown = "full-2026-01-01T00-00-00-aaaaaaaaaa";
    let run = scratch.teeline(1, &["delete", unknown, "--at", "a"]);
    assert!(
        run.stderr
            .contains(&format!("no destination has {unknown}")),
        "{}",
        run.stderr
    );
    assert_eq!(run.stdout, "");
    for (typed, part) in [
        (
            &["delete", "latest", "--at", "a"][..],
            "delete takes the id of a backup",
        ),
        (&["delete"], "required"),
        (
            &["delete", &ids[1], "--at", "a", "--grace", "1"],
            "digits and a unit",
        ),
        (
            &["cleanup", "--at", "a", "--keep-daily", "0"],
            "0 is not in",
        ),
        (
            &["cleanup", "--at", "a", "--keep-age", "7m"],
            "digits and a unit",
        ),
        (
            &["cleanup", "--at", "a", "--time-zone", "Berlin"],
            "not a time zone",
        ),
    ] {
        let run = scratch.teeline(2, typed);
        assert!(run.stderr.contains(part), "{typed:?}: {}", run.stderr);
    }
    let foreign = scratch.teeline(1, &["delete", "x", "--at", "a"]);
    assert!(
        foreign.stderr.contains("isn't the id of one"),
        "{}",
        foreign.stderr
    );
    assert_eq!(scratch.listed("a"), ids[1..]);
}

#[test]
fn what_a_failed_run_left_goes_by_any_spelling_of_its_place() {
    let scratch = Scratch::new();
    scratch.write("in.jsonl", broken_at_the_end());
    let backup = ["backup", "--from", "in.jsonl", "--to", "./a", "--json"];
    let run = scratch.teeline(1, &[&backup[..], &SMALL_BUDGET].concat());
    let id = run.json()["id"].clone();
    let id = id.as_str().unwrap();
    assert!(scratch.path("a").join(id).exists());
    scratch.teeline(0, &["delete", id, "--at", "a", "--grace", "0s"]);
    assert!(!scratch.path("a").join(id).exists());
}

#[test]
fn what_a_killed_run_left_goes_at_once_where_it_is_known_to_be_dead() {
    let (scratch, ids) = made(1);
    // As if it had been killed before it published anything: of that no record says anything.
    std::fs::remove_file(scratch.path("a").join(&ids[0]).join("manifest.json")).unwrap();
    for folder in ["catalog", "runs"] {
        std::fs::remove_dir_all(scratch.path("a").join(folder)).unwrap();
    }
    let delete = ["delete", &ids[0], "--at", "a", "--grace", "0s"];
    let refused = scratch.teeline(1, &delete);
    let advice = "nothing of it was touched for 1w, or with `--dead-after 0s`";
    assert!(refused.stderr.contains(advice), "{}", refused.stderr);
    assert!(scratch.path("a").join(&ids[0]).exists());
    scratch.teeline(0, &[&delete[..], &["--dead-after", "0s"]].concat());
    assert!(!scratch.path("a").join(&ids[0]).exists());
}

#[test]
fn a_configuration_says_what_is_kept_and_when() {
    let (scratch, _) = made(0);
    scratch.write(
        "c.toml",
        "time_zone = \"Europe/Berlin\"\n[source]\npath = \"in.jsonl\"\n[backup]\ncleanup = true\n\
         [retention]\npolicy = \"simple\"\ncount = 2\n\
         [destinations.a]\npath = \"a\"\n[destinations.b]\npath = \"b\"\n[destinations.b.retention]\ncount = 1\ngrace = \"0s\"\n",
    );
    let made: Vec<Run> = (0..4)
        .map(|_| scratch.teeline(0, &["backup", "--config", "c.toml"]))
        .collect();
    assert!(
        made[3].stdout.contains("\n  cleanup: a\n  full-"),
        "{}",
        made[3].stdout
    );
    assert_eq!(scratch.listed("a").len(), 2);
    assert_eq!(scratch.listed("b").len(), 1);
    let folders = std::fs::read_dir(scratch.path("b")).unwrap().count();
    assert_eq!(
        folders, 4,
        "one backup beside the catalogue, the records and the marker"
    );

    // What is typed holds for all; a backup that fails is followed by nothing.
    let run = scratch.teeline(
        0,
        &[
            "cleanup",
            "--config",
            "c.toml",
            "--keep-count",
            "1",
            "--json",
        ],
    );
    assert_eq!(run.json()["kept"].as_array().unwrap().len(), 1);
    scratch.write("broken.jsonl", "{\n");
    let failed = [
        "backup",
        "--config",
        "c.toml",
        "--from",
        "broken.jsonl",
        "--json",
    ];
    assert!(scratch.teeline(1, &failed).json()["cleanup"].is_null());
    assert_eq!(scratch.listed("a").len(), 1);
}
