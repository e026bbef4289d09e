//! The command as a person uses it: backup, list, status, verify and restore of JSON lines, exit codes and messages.

mod shared;

use std::io::Read;

use shared::Scratch;

const USERS: &str =
    "{\"id\":1,\"name\":\"Zoë\"}\n{\"id\":2,\"big\":12345678901234567890,\"x\":1e400}\n";
const EVENTS: &str = "{ \"spaces\" : [ 1 , 2 ] }\n{}\n{\"z\":1,\"a\":2}\n";

const UNKNOWN: &str = "full-2026-01-01T00-00-00-aaaaaaaaaa";
/// Nothing listens there.
const DEAD: &str = "dead=http://key:hidden-secret@127.0.0.1:1/bucket/copies";

fn with_input() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("in/users.jsonl", USERS);
    scratch.write("in/events.jsonl", EVENTS);
    scratch
}

#[test]
fn a_folder_comes_back_byte_for_byte() {
    let scratch = with_input();
    let made = scratch
        .teeline(
            0,
            &[
                "backup", "full", "--from", "in", "--to", "a", "--to", "two=b", "--json",
            ],
        )
        .json();
    let id = made["id"].as_str().unwrap();
    assert_eq!(made["status"], "completed");
    assert_eq!(made["recordCount"], 5);
    assert_eq!(made["resources"], serde_json::json!(["events", "users"]));
    for (destination, name) in made["destinations"]
        .as_array()
        .unwrap()
        .iter()
        .zip(["a", "two"])
    {
        assert_eq!(
            (&destination["name"], &destination["status"]),
            (&name.into(), &"committed".into())
        );
        assert_eq!(destination["verified"], "read");
    }
    assert_eq!(scratch.listed("a"), [id]);
    let status = scratch
        .teeline(0, &["status", id, "--at", "a", "--at", "b", "--json"])
        .json();
    assert_eq!(status["status"], "completed");
    assert_eq!(status["recordCount"], 5);
    let verified = scratch
        .teeline(
            0,
            &[
                "verify", "--all", "--deep", "--at", "a", "--at", "b", "--json",
            ],
        )
        .json();
    let contained = &verified["backups"][0]["destinations"][1]["contained"];
    assert_eq!(contained["records"], 5);
    assert_eq!(
        verified["backups"][0]["destinations"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    scratch.teeline(0, &["restore", "latest", "--at", "b", "--target", "./out"]);
    assert_eq!(scratch.read("out/users.jsonl"), USERS.as_bytes());
    assert_eq!(scratch.read("out/events.jsonl"), EVENTS.as_bytes());
    let refused = scratch.teeline(1, &["restore", "latest", "--at", "b", "--target", "./out"]);
    assert!(refused.stderr.contains("--overwrite"), "{}", refused.stderr);
    scratch.teeline(
        0,
        &[
            "restore",
            "latest",
            "--at",
            "b",
            "--target",
            "./out",
            "--overwrite",
        ],
    );
    scratch.teeline(
        0,
        &[
            "restore",
            id,
            "--at",
            "a",
            "--target",
            "./one",
            "--resources",
            "users",
        ],
    );
    assert_eq!(scratch.files("one"), ["users.jsonl"]);
    scratch.teeline(
        0,
        &["restore", id, "--at", "a", "--target", "./dry", "--dry-run"],
    );
    assert!(!scratch.path("dry").exists());
}

#[test]
fn single_records_come_back_and_resources_under_other_names() {
    let scratch = with_input();
    scratch.teeline(0, &["backup", "--from", "in", "--to", "a"]);
    let restore = |code, target: &str, more: &[&str]| {
        let arguments = [
            "restore", "latest", "--at", "a", "--json", "--target", target,
        ];
        scratch.teeline(code, &[&arguments[..], more].concat())
    };
    let chosen = [
        "--ids",
        "2",
        "--resources",
        "users",
        "--rename",
        "users=people",
    ];
    let made = restore(0, "./one", &chosen).json();
    assert_eq!(scratch.files("one"), ["people.jsonl"]);
    let second = USERS.split_inclusive('\n').nth(1).unwrap();
    assert_eq!(scratch.read("one/people.jsonl"), second.as_bytes());
    let restored = &made["restored"][0];
    assert_eq!(restored["name"], "users");
    assert_eq!(restored["restoredAs"], "people");
    let counts = [
        "recordsRestored",
        "totalRecords",
        "created",
        "replaced",
        "left",
        "deleted",
    ];
    assert_eq!(
        counts.map(|count| restored[count].as_u64().unwrap()),
        [1, 2, 1, 0, 0, 0]
    );
    let dry = restore(0, "./dry", &["--ids", "2", "--dry-run"]).json();
    assert_eq!(
        [0, 1].map(|of| dry["restored"][of]["recordsRestored"].as_u64().unwrap()),
        [0, 1]
    );
    let typed = [
        "restore",
        "latest",
        "--at",
        "a",
        "--target",
        "./said",
        "--rename",
        "users=people",
    ];
    let said = scratch.teeline(0, &typed).stdout;
    assert!(said.contains("users as people  2 records"), "{said}");

    for time in ["2026-11-24T12:00:00", "2026-11-24 12:00", "2026-11-31"] {
        let refused = restore(2, "./none", &["--at", time]);
        assert!(
            refused.stdout.contains("./2026-11-23"),
            "{time}: {refused:?}"
        );
    }

    for (code, more, said) in [
        (1, &["--ids", "2,nobody"][..], "nobody"),
        (2, &["--rename", "nobody=x"], "it has: events, users"),
        (
            2,
            &["--rename", "users=events"],
            "two resources would be called so",
        ),
        (2, &["--rename", "users=a/b"], "has no / "),
        (2, &["--rename", "users"], "users=people"),
        (
            2,
            &["--resources", "events", "--rename", "users=x"],
            "not to be restored",
        ),
        (2, &["--mode", "merge"], "a database as target"),
    ] {
        let refused = restore(code, "./none", more);
        let output = format!("{}{}", refused.stdout, refused.stderr);
        assert!(output.contains(said), "{more:?}: {output}");
        assert!(!scratch.path("none").exists(), "{more:?}");
    }
}

#[test]
fn people_are_told_where_it_is_and_what_comes_next() {
    let scratch = with_input();
    let made = scratch.teeline(0, &["backup", "--from", "in"]);
    let id = scratch.listed("backups").remove(0);
    for part in [
        &*id,
        "completed",
        "5 records of 2 resources",
        "records/s",
        "MB/s plain",
        "./backups/",
        "checksum",
        "reading it back",
        "next:",
    ] {
        assert!(made.stdout.contains(part), "{part}: {}", made.stdout);
    }
    // The commands work as they are printed.
    for line in made
        .stdout
        .lines()
        .skip_while(|line| *line != "next:")
        .skip(1)
    {
        let (_, arguments) = line.trim().split_once(' ').unwrap();
        let arguments: Vec<&str> = arguments.split(' ').collect();
        scratch.teeline(0, &arguments);
    }
    assert_eq!(
        scratch.read(&format!("backups/restored/{id}/users.jsonl")),
        USERS.as_bytes()
    );
    let shown = [
        scratch.teeline(0, &["list"]).stdout,
        scratch.teeline(0, &["status", &id]).stdout,
        scratch.teeline(0, &["verify", &id]).stdout,
    ];
    assert!(shown.iter().all(|text| text.contains(&id)), "{shown:?}");
    // Off a terminal progress is a line now and then.
    assert!(
        made.stderr.contains("reading users") && made.stderr.lines().count() < 12,
        "{}",
        made.stderr
    );
}

#[test]
fn standard_streams_carry_one_resource() {
    let scratch = Scratch::new();
    let backup = [
        "backup",
        "--from",
        "-",
        "--resource",
        "users",
        "--to",
        "a",
        "--json",
    ];
    let made = scratch.teeline_with(0, &backup, USERS.as_bytes()).json();
    assert_eq!(made["resources"], serde_json::json!(["users"]));
    let restored = scratch.teeline(0, &["restore", "latest", "--at", "a", "--target", "-"]);
    assert_eq!(restored.stdout, USERS);
    assert!(restored.stderr.contains("restored"), "{}", restored.stderr);
    // The report has to go elsewhere, and is still one document.
    let restored = scratch.teeline(
        0,
        &["restore", "latest", "--at", "a", "--target", "-", "--json"],
    );
    assert_eq!(restored.stdout, USERS);
    let report: serde_json::Value = serde_json::from_str(&restored.stderr).unwrap();
    assert_eq!(report["status"], "completed");

    let nameless = ["backup", "--from", "-", "--to", "b", "--json"];
    let made = scratch.teeline_with(0, &nameless, b"{}\n").json();
    assert_eq!(made["resources"], serde_json::json!(["stdin"]));
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let scratch = with_input();
    scratch.teeline(0, &["backup", "--from", "in", "--to", "a"]);
    for arguments in [
        &["list", "--at", "a"][..],
        &[
            "restore",
            "latest",
            "--at",
            "a",
            "--resources",
            "users",
            "--target",
            "-",
        ],
    ] {
        let mut child = scratch.start(arguments);
        drop(child.stdout.take());
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        assert_eq!(
            child.wait().unwrap().code(),
            Some(1),
            "{arguments:?}: {stderr}"
        );
        assert!(
            !stderr.contains("error") && !stderr.contains("panic"),
            "{arguments:?}: {stderr}"
        );
    }
}

#[test]
fn a_dead_destination_counts_as_the_strategy_has_it() {
    let scratch = with_input();
    let run = |code: i32, to: &str, strategy: &str| {
        let arguments = [
            "backup",
            "--from",
            "in",
            "--to",
            to,
            "--to",
            DEAD,
            "--strategy",
            strategy,
        ];
        scratch.teeline(code, &arguments)
    };
    let failed = run(1, "all", "all");
    assert!(
        failed.stderr.contains("error: destination dead: "),
        "{}",
        failed.stderr
    );
    assert!(scratch.listed("all").is_empty());
    let degraded = run(3, "any", "any");
    assert!(
        degraded.stdout.contains("but not everywhere"),
        "{}",
        degraded.stdout
    );
    assert_eq!(scratch.listed("any").len(), 1);
    run(1, "quorum", "quorum:2");
    assert!(scratch.listed("quorum").is_empty());
    // Whoever couldn't be asked is named, and what others said is shown.
    let listed = scratch.teeline(1, &["list", "--at", "any", "--at", DEAD]);
    assert!(
        listed.stdout.contains("full-") && listed.stderr.contains("destination dead"),
        "{listed:?}"
    );
}

#[test]
fn damage_is_named_and_avoided() {
    let scratch = with_input();
    let made = scratch
        .teeline(
            0,
            &["backup", "--from", "in", "--to", "a", "--to", "b", "--json"],
        )
        .json();
    scratch.flip_byte(&format!(
        "a/{}/users.jsonl.gz",
        made["id"].as_str().unwrap()
    ));
    let both = ["--at", "a", "--at", "b"];
    let found = scratch
        .teeline(13, &[&["verify", "latest", "--json"][..], &both].concat())
        .json();
    let copies = found["backups"][0]["destinations"].as_array().unwrap();
    assert_eq!(
        (&copies[0]["status"], &copies[1]["status"]),
        (&"damaged".into(), &"ok".into()),
        "{found}"
    );
    assert_eq!(copies[0]["damage"][0]["resource"], "users");
    assert_eq!(copies[0]["damage"][0]["chunk"], 0);
    let shown = scratch.teeline(13, &[&["verify"][..], &both].concat());
    assert!(
        shown.stderr.contains("users.jsonl.gz, chunk 0"),
        "{}",
        shown.stderr
    );
    let avoided = scratch.teeline(
        3,
        &[&["restore", "latest", "--target", "./out"][..], &both].concat(),
    );
    assert!(avoided.stderr.contains("avoided"), "{}", avoided.stderr);
    assert_eq!(scratch.read("out/users.jsonl"), USERS.as_bytes());
    scratch.teeline(
        13,
        &["restore", "latest", "--target", "./none", "--at", "a"],
    );
}

#[test]
fn what_is_unknown_is_a_failure() {
    let scratch = with_input();
    scratch.teeline(0, &["backup", "--from", "in", "--to", "a"]);
    for verb in [
        &["status", UNKNOWN][..],
        &["verify", UNKNOWN],
        &["restore", UNKNOWN, "--target", "./out"],
    ] {
        let run = scratch.teeline(1, &[verb, &["--at", "a"]].concat());
        assert!(
            run.stderr.contains("error: ") && run.stderr.contains(UNKNOWN),
            "{verb:?}: {}",
            run.stderr
        );
    }
    assert!(!scratch.path("out").exists());
    std::fs::create_dir(scratch.path("empty")).unwrap();
    assert!(scratch.listed("empty").is_empty());
    scratch.teeline(1, &["backup", "--from", "missing.jsonl", "--to", "a"]);
}

#[test]
fn usage_is_refused_with_what_to_do() {
    let scratch = with_input();
    for (arguments, part) in [
        (&["backup", "selective", "--from", "in"][..], "--resources"),
        (&["backup", "--from", "in", "--base", "full"], "incremental"),
        (
            &["backup", "incremental", "--from", "in", "--base", "first"],
            "accepted: last, full",
        ),
        (
            &["backup", "incremental", "--from", "in", "--since", "x"],
            "--since",
        ),
        (&["consolidate", "latest"], "takes the id"),
        (
            &[
                "restore",
                "--target",
                "./x",
                "--at",
                "2026-11-23",
                "--at",
                "2026-11-24",
            ],
            "no other time",
        ),
        (
            &["backup", "--from", "in", "--metadata", "=7"],
            "ticket=OPS-7",
        ),
        (&["backup", "Full!", "--from", "in"], "TYPE"),
        (&["backup"], "nothing to back up"),
        (
            &["backup", "--from", "in", "--strategy", "most"],
            "strategy",
        ),
        (
            &[
                "backup",
                "--from",
                "in",
                "--compression",
                "none",
                "--level",
                "3",
            ],
            "level",
        ),
        (
            &["backup", "--from", "in", "--segment-bytes", "1KiB"],
            "--segment-bytes",
        ),
        (&["backup", "--from", "in", "--level", "300"], "0..=19"),
        (
            &["backup", "--from", "in", "--workers", "64"],
            "--budget-bytes",
        ),
        (
            &["backup", "--from", "in", "--budget-bytes", "1MiB"],
            "--budget-bytes",
        ),
        (&["backup", "--from", "in", "--to", "ftp://x"], "ftp"),
        (
            &["backup", "--from", "in", "--to", "x", "--to", "./x"],
            "same location",
        ),
        (
            &[
                "backup",
                "--from",
                "in",
                "--executor",
                "inline",
                "--workers",
                "2",
            ],
            "--workers",
        ),
        (
            &["backup", "--connection-env", "NOT_SET_ANYWHERE"],
            "NOT_SET_ANYWHERE",
        ),
        (&["status", "latest"], "takes the id"),
        (&["restore", "latest"], "--target"),
        (
            &["restore", "latest", "--target", "ftp://x", "--at", "a"],
            "ftp",
        ),
        (&["list", "--at", "a", "--config", "b"], "--config"),
        (&["list", "--log-level", "=,="], "--log-level"),
        (&["list", "--log-level", "wran"], "it is no level"),
        (&["nonsense"], "nonsense"),
        (&[], "Usage"),
    ] {
        let run = scratch.teeline(2, arguments);
        assert!(
            run.stdout.is_empty() && run.stderr.contains(part),
            "{arguments:?}\n{run:?}"
        );
        if !arguments.is_empty() {
            let json = scratch
                .teeline(2, &[arguments, &["--json"]].concat())
                .json();
            let failure = if json["destinations"].is_array() {
                &json["error"]
            } else {
                &json
            };
            assert!(
                failure.to_string().contains("usage"),
                "{arguments:?}: {json}"
            );
        }
    }
    assert!(
        scratch
            .teeline(0, &["--help"])
            .stdout
            .contains("Exit codes")
    );
    assert!(
        scratch
            .teeline(0, &["--version"])
            .stdout
            .starts_with("teeline ")
    );
}

#[test]
fn a_wrong_configuration_is_named_by_file_line_and_key() {
    let scratch = with_input();
    scratch.write(
        "wrong.toml",
        "[source]\npath = \"in\"\n\n[backup]\nconcurrency = 0\n",
    );
    for verb in [
        &["backup", "--config"][..],
        &["list", "--config"],
        &["config", "check"],
    ] {
        let run = scratch.teeline(2, &[verb, &["wrong.toml"]].concat());
        assert!(
            run.stderr
                .starts_with("error: wrong.toml:5:1: `backup.concurrency`"),
            "{}",
            run.stderr
        );
    }
    scratch.teeline(2, &["list", "--config", "missing.toml"]);
    let json = scratch
        .teeline(2, &["list", "--config", "wrong.toml", "--json"])
        .json();
    assert_eq!(
        (&json["status"], &json["error"]["class"]),
        (&"failed".into(), &"usage".into())
    );
}

#[test]
fn options_win_over_the_configuration() {
    let scratch = with_input();
    let configuration = "[source]\npath = \"nowhere.jsonl\"\n[backup]\ncompression = \"none\"\n\
                         [destinations.one]\npath = \"one\"\n[destinations.two]\npath = \"two\"\n";
    scratch.write("teeline.toml", configuration);
    let arguments = [
        "backup",
        "weekly",
        "--config",
        "teeline.toml",
        "--from",
        "in",
        "--to",
        "two=other",
        "--to",
        "three",
        "--json",
    ];
    let made = scratch.teeline(0, &arguments).json();
    assert_eq!(made["type"], "weekly");
    let places: Vec<&str> = made["destinations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|to| to["location"].as_str().unwrap())
        .collect();
    assert_eq!(
        places
            .iter()
            .map(|place| place.rsplit('/').next().unwrap())
            .collect::<Vec<_>>(),
        ["one", "other", "three"]
    );
    let id = made["id"].as_str().unwrap();
    assert_eq!(
        scratch.read(&format!("one/{id}/users.jsonl")),
        USERS.as_bytes()
    );
    assert!(!scratch.path("two").exists());

    let mut command = scratch.command(&[
        "backup",
        "--config",
        "teeline.toml",
        "--from",
        "in",
        "--json",
        "--include",
        "us*",
    ]);
    let made = command
        .env("TEELINE__BACKUP__COMPRESSION", "gzip")
        .output()
        .unwrap();
    let made = shared::Run::of(0, made, "with a variable").json();
    assert_eq!(made["resources"], serde_json::json!(["users"]));
    assert!(
        scratch
            .path(&format!(
                "two/{}/users.jsonl.gz",
                made["id"].as_str().unwrap()
            ))
            .exists()
    );

    let checked = scratch.teeline(0, &["config", "check", "teeline.toml"]);
    assert!(
        checked.stdout.contains("can be used") && checked.stdout.contains("required"),
        "{}",
        checked.stdout
    );
}

#[test]
fn the_inline_executor_makes_the_same_files() {
    let scratch = with_input();
    let backup = |executor: &str| {
        let made = scratch
            .teeline(
                0,
                &[
                    "backup",
                    "--from",
                    "in",
                    "--to",
                    executor,
                    "--executor",
                    executor,
                    "--json",
                ],
            )
            .json();
        scratch.read(&format!(
            "{executor}/{}/users.jsonl.gz",
            made["id"].as_str().unwrap()
        ))
    };
    assert_eq!(backup("inline"), backup("threads"));
}
