//! Keys of databases and destinations: wherever they land, nobody gets to see them.

mod shared;

use shared::Scratch;

const SECRET: &str = "hidden-secret";
const URL: &str = "http://AKIAKEY:hidden-secret@127.0.0.1:1/bucket/place";
/// Nothing listens there.
const DEAD: &str = "dead=http://key:hidden-secret@127.0.0.1:1/bucket/copies";

fn with_input() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("in/users.jsonl", "{\"id\":1}\n");
    scratch
}

/// Nothing that was written anywhere holds the secret, nor any name.
#[track_caller]
fn assert_none_stored(scratch: &Scratch) {
    let kept = scratch.files(".").into_iter();
    for name in kept.filter(|name| name != "connection.txt") {
        let stored = scratch.read(&name);
        let held = String::from_utf8_lossy(&stored).contains(SECRET) || name.contains(SECRET);
        assert!(!held, "{name}");
    }
}

#[test]
fn secrets_are_never_printed_and_warned_of_once() {
    let scratch = with_input();
    let url = URL;
    scratch.write("connection.txt", url);
    scratch.write(
        "teeline.toml",
        "[source]\nconnection = \"${PLACE}\"\n[destinations.far]\nurl = \"${PLACE}/backups\"\n",
    );
    for (arguments, code, warnings) in [
        (&["backup", "--connection", url, "--to", "a"][..], 1, 1),
        (&["backup", "--connection", url, "--to", DEAD], 1, 1),
        (
            &[
                "backup",
                "--connection",
                "ftp://k:hidden-secret@x",
                "--to",
                "a",
            ],
            2,
            1,
        ),
        (
            &["backup", "--connection-file", "connection.txt", "--to", "a"],
            1,
            0,
        ),
        (&["backup", "--connection-env", "PLACE", "--to", "a"], 1, 0),
        (&["backup", "--from", "in", "--to", DEAD], 1, 1),
        (&["backup", "--config", "teeline.toml"], 1, 0),
        (&["config", "check", "teeline.toml"], 0, 0),
        (&["list", "--at", DEAD], 1, 1),
        (&["restore", "latest", "--at", DEAD, "--target", url], 1, 1),
        (&["backup", url], 2, 0),
        (&["status", url], 2, 0),
        (&["list", url], 2, 0),
        (&["list", "--to", url], 2, 0),
    ] {
        for json in [false, true] {
            let mut arguments = arguments.to_vec();
            arguments.extend(["--log-level", "trace"]);
            arguments.extend(json.then_some("--json"));
            let run = scratch
                .command(&arguments)
                .env("PLACE", url)
                .output()
                .unwrap();
            let run = shared::Run::of(code, run, &format!("{arguments:?}"));
            let printed = format!("{}{}", run.stdout, run.stderr);
            assert!(!printed.contains(SECRET), "{arguments:?}\n{printed}");
            // Refused arguments end the command before anything is looked at.
            if code != 2 {
                assert_eq!(
                    run.stderr.matches("warning: ").count(),
                    warnings,
                    "{arguments:?}\n{printed}"
                );
            }
            if json {
                run.json();
            }
        }
    }
    assert_none_stored(&scratch);
}

#[test]
fn a_connection_string_in_any_other_option_is_neither_shown_nor_kept() {
    let scratch = with_input();
    let backup = ["backup", "--from", "in", "--to", "a"];
    for option in [
        "--from",
        "--include",
        "--exclude",
        "--connection-env",
        "--connection-file",
        "--config",
        "--strategy",
        "--compression",
        "--level",
        "--concurrency",
        "--segment-bytes",
        "--verification",
        "--resource",
        "--log-level",
    ] {
        let arguments = match option {
            "--from" => vec!["backup", "--to", "a"],
            "--connection-env" | "--connection-file" => vec!["backup", "--to", "a"],
            "--resource" => vec!["backup", "--from", "-", "--to", "a"],
            _ => backup.to_vec(),
        };
        for url in [URL, "s3:/AKIAKEY:hidden-secret@bucket/place"] {
            for json in [false, true] {
                let mut arguments = [&arguments[..], &[option, url]].concat();
                arguments.extend(json.then_some("--json"));
                let run = scratch.command(&arguments).output().unwrap();
                let printed = format!("{run:?}");
                assert!(!printed.contains(SECRET), "{arguments:?}\n{printed}");
                // A filter of logs may name anything.
                if option != "--log-level" {
                    shared::Run::of(2, run, &format!("{arguments:?}"));
                }
            }
        }
    }
    assert_none_stored(&scratch);
    let refused = scratch.teeline(2, &["backup", "--from", URL, "--to", "a"]);
    assert!(
        refused.stderr.contains("--connection-env"),
        "{}",
        refused.stderr
    );
}
