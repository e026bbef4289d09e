//! Keys of databases and destinations: wherever they land, nobody gets to see them.

mod shared;

use std::os::unix::fs::PermissionsExt;

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
    let by_file = ["backup", "--connection-file", "connection.txt", "--to", "a"];
    let refused = scratch.teeline(2, &by_file);
    assert!(refused.stderr.contains("chmod 600"), "{}", refused.stderr);
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(scratch.path("connection.txt"), private).unwrap();
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
        (&["status", url], 1, 0),
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

/// A secret in each setting that can hold one: the variable that brings it, and the secret.
const CANARIES: [(&str, &str); 9] = [
    ("SECRET_KEY", "canary-1-secret-key"),
    ("SESSION", "canary-2-session-token"),
    ("PASSPHRASE", "canary-3-passphrase-of-some-length"),
    (
        "DATABASE",
        "http://key:canary-4-connection@127.0.0.1:1/bucket",
    ),
    ("HOOK", "http://127.0.0.1:1/canary-5-path?canary-6-query=1"),
    ("SIGNED_BY", "whsec_Y2FuYXJ5LTctd2ViaG9vay1zZWNyZXQteA=="),
    ("PING", "http://127.0.0.1:1/canary-8-ping"),
    ("SERVER_KEY", "canary-9-server-key"),
    (
        "OTHER",
        "http://key:canary-10-inline@127.0.0.1:1/bucket/other",
    ),
];

const EVERY_SETTING: &str = r#"
[backup]
strategy = "any"
[source]
path = "in"
[encryption]
passphrase = "${PASSPHRASE}"
[destinations.near]
path = "near"
[destinations.far]
url = "http://127.0.0.1:1/bucket/far"
access_key_id = "visible"
secret_access_key = "${SECRET_KEY}"
session_token = "${SESSION}"
[destinations.other]
url = "${OTHER}"
[targets.back]
connection = "${DATABASE}"
[hooks.web]
url = "${HOOK}"
secret = "${SIGNED_BY}"
timeout_ms = 500
[hooks.monitor]
ping = "${PING}"
timeout_ms = 500
[schedules.nightly]
cron = "0 3 * * *"
[hooks.look]
command = ["sh", "-c", "cat > told.json; cat /proc/$PPID/cmdline /proc/$$/cmdline > words.txt"]
[embedded_s3]
root = "s3"
access_key = "visible"
secret_key = "${SERVER_KEY}"
"#;

#[test]
fn no_secret_of_any_setting_is_shown_kept_or_passed_on() {
    let scratch = with_input();
    scratch.write("all.toml", EVERY_SETTING);
    let broken = EVERY_SETTING.replace("secret = \"", "sercet = \"");
    scratch.write("broken.toml", broken);
    let untimely = EVERY_SETTING.replace("passphrase = \"", "algorithm = \"");
    scratch.write("untimely.toml", untimely);
    scratch.write("new.key", format!("hex:{}", "07".repeat(32)));
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(scratch.path("new.key"), private).unwrap();
    let no_secret_in = |text: &str, what: &str| {
        let found = CANARIES.iter().find(|(_, secret)| text.contains(secret));
        let part = (1..=10).find(|number| text.contains(&format!("canary-{number}-")));
        assert!(found.is_none() && part.is_none(), "{what}: {text}");
    };
    for arguments in [
        &["config", "check", "all.toml"][..],
        &["config", "check", "broken.toml"],
        &["config", "check", "untimely.toml"],
        &["backup", "--config", "all.toml"],
        &["backup", "--config", "all.toml", "--json"],
        &["list", "--config", "all.toml"],
        &["verify", "--config", "all.toml", "--deep"],
        &[
            "restore", "latest", "--config", "all.toml", "--target", "back",
        ],
        &[
            "restore", "latest", "--config", "all.toml", "--target", "./out",
        ],
        &["init", "--config", "all.toml"],
        &["status", "latest", "--config", "all.toml"],
        &["validate", "latest", "--config", "all.toml"],
        &["scrub", "--config", "all.toml", "--max-age", "1s"],
        &["drill", "--config", "all.toml"],
        &["check", "--config", "all.toml"],
        &["repair", "--config", "all.toml"],
        &["repair", "--config", "all.toml", "--auto"],
        &["sync", "--config", "all.toml"],
        &["backup", "incremental", "--config", "all.toml"],
        &["consolidate", "latest", "--config", "all.toml"],
        &["schedule", "list", "--config", "all.toml"],
        &["schedule", "run", "nightly", "--config", "all.toml"],
        &["schedule", "systemd", "--config", "all.toml"],
        &["key", "list", "--config", "all.toml"],
        &[
            "key",
            "rotate",
            "latest",
            "--config",
            "all.toml",
            "--new-key-file",
            "new.key",
        ],
        &["inspect-plugin", "all.toml"],
        &["cleanup", "--config", "all.toml", "--keep-count", "1"],
        &[
            "delete",
            "full-2026-11-23T02-00-00-k3j9x0q2mz",
            "--config",
            "all.toml",
        ],
    ] {
        let arguments = [arguments, &["--log-level", "trace"]].concat();
        let run = scratch.command(&arguments).envs(CANARIES).output().unwrap();
        let what = format!("{arguments:?}");
        no_secret_in(&String::from_utf8_lossy(&run.stdout), &what);
        no_secret_in(&String::from_utf8_lossy(&run.stderr), &what);
        // Each of them is understood.
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(!said.contains("Usage: "), "{what}: {said}");
    }
    assert!(!scratch.listed("near").is_empty());
    let words = String::from_utf8(scratch.read("words.txt")).unwrap();
    assert!(words.contains("--log-level"), "{words}");
    for name in scratch
        .files(".")
        .iter()
        .filter(|name| !name.starts_with("out/"))
    {
        no_secret_in(&String::from_utf8_lossy(&scratch.read(name)), name);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_crash_leaves_no_memory_on_disk() {
    let scratch = Scratch::new();
    scratch.write(
        "teeline.toml",
        "[source]\npath = \"in\"\n[schedules.seldom]\ncron = \"0 0 1 1 *\"\n",
    );
    scratch.write("in/users.jsonl", "{\"id\":1}\n");
    let mut child = scratch.start(&["run", "--config", "teeline.toml"]);
    // Once it says something it has begun.
    let mut first = [0];
    std::io::Read::read_exact(&mut child.stderr.take().unwrap(), &mut first).unwrap();
    let begun = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let core = begun
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let soft = core.unwrap().split_whitespace().nth(4);
    assert_eq!(soft, Some("0"), "{begun}");
}
