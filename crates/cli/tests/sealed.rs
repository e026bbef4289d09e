//! Encrypted backups on the command line: keys come from files, variables, descriptors and commands, and are shown nowhere.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod shared;

use std::os::unix::fs::PermissionsExt;

use shared::{Run, Scratch};

const PASSPHRASE: &str = "hidden horse battery";
const AT: [&str; 2] = ["--at", "copy"];

/// Lines to back up, a passphrase, a key and a pair.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("in/users.jsonl", "{\"id\":1,\"name\":\"plainly\"}\n");
    scratch.write("passphrase", format!("{PASSPHRASE}\n"));
    let only_mine = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(scratch.path("passphrase"), only_mine).unwrap();
    scratch.teeline(0, &["key", "generate", "--out", "key"]);
    let pair = ["key", "generate", "--x25519", "--out", "pair"];
    let recipient = scratch.teeline(0, &pair).stdout;
    scratch.write("recipient", recipient.trim());
    scratch
}

fn text(scratch: &Scratch, name: &str) -> String {
    String::from_utf8(scratch.read(name))
        .unwrap()
        .trim()
        .to_owned()
}

fn backed_up(scratch: &Scratch, keys: &[&str]) -> Run {
    let mut arguments = vec!["backup", "--from", "in", "--to", "copy=copy"];
    arguments.extend(keys);
    scratch.teeline(0, &arguments)
}

#[track_caller]
fn assert_restores(scratch: &Scratch, code: i32, keys: &[&str]) {
    let _ = std::fs::remove_dir_all(scratch.path("out"));
    let mut arguments = vec!["restore", "latest", "--target", "./out"];
    arguments.extend(AT.iter().chain(keys));
    scratch.teeline(code, &arguments);
    let restored = scratch.path("out/users.jsonl").is_file();
    assert_eq!(restored, code == 0, "{keys:?}");
}

#[test]
fn what_comes_next_is_opened_by_what_sealed_it() {
    let scratch = scratch();
    let made = backed_up(&scratch, &["--passphrase-file", "passphrase"]);
    let (_, next) = made.stdout.split_once("next:\n").unwrap();
    for line in next.lines() {
        let (_, arguments) = line.trim().split_once(' ').unwrap();
        let arguments: Vec<&str> = arguments.split(' ').collect();
        scratch.teeline(0, &arguments);
    }
    let id = scratch.listed("copy").remove(0);
    let restored = scratch.read(&format!("backups/restored/{id}/users.jsonl"));
    assert_eq!(restored, b"{\"id\":1,\"name\":\"plainly\"}\n");
}

#[test]
fn a_key_comes_from_wherever_it_is_kept() {
    let scratch = scratch();
    let recipient = text(&scratch, "recipient");
    backed_up(
        &scratch,
        &[
            "--passphrase-file",
            "passphrase",
            "--key-file",
            "key",
            "--recipient",
            &recipient,
        ],
    );
    assert_restores(&scratch, 12, &[]);
    assert_restores(&scratch, 0, &["--passphrase-file", "passphrase"]);
    assert_restores(&scratch, 0, &["--key-file", "key"]);
    assert_restores(&scratch, 0, &["--key-file", "pair"]);
    assert_restores(&scratch, 0, &["--key-command", "cat key"]);
    assert_restores(&scratch, 12, &["--passphrase-command", "echo another"]);
    assert_restores(&scratch, 2, &["--key-env", "NOT_SET"]);
    assert_restores(&scratch, 1, &["--key-command", "false"]);
    let restore = ["restore", "latest", "--target", "./by", "--at", "copy"];
    let by_variable = [&restore[..], &["--passphrase-env", "SECRET"]].concat();
    let run = scratch
        .command(&by_variable)
        .env("SECRET", PASSPHRASE)
        .output()
        .unwrap();
    Run::of(0, run, "a variable");
    let by_descriptor = [&restore[..], &["--overwrite", "--passphrase-fd", "0"]].concat();
    scratch.teeline_with(0, &by_descriptor, PASSPHRASE.as_bytes());
    // A key that others may read isn't one; and no option takes a secret itself.
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(scratch.path("key"), open).unwrap();
    assert_restores(&scratch, 2, &["--key-file", "key"]);
    assert_restores(&scratch, 2, &["--key", "x"]);
    assert_restores(&scratch, 2, &["--passphrase", "x"]);
}

#[test]
fn a_configuration_names_them_once() {
    let scratch = scratch();
    let recipient = text(&scratch, "recipient");
    scratch.write(
        "teeline.toml",
        format!(
            "[source]\npath = \"in\"\n[destinations.copy]\npath = \"copy\"\n[encryption]\npassphrase_file = \"passphrase\"\n\
             recipients = [\"{recipient}\"]\nkdf = \"pbkdf2-sha256\"\nkdf_iterations = 100000\n"
        ),
    );
    let config = ["--config", "teeline.toml"];
    let of = |words: &[&str]| scratch.teeline(0, &[words, &config[..]].concat());
    let made = of(&["backup", "full"]);
    assert!(
        made.stderr.contains("too few for a passphrase"),
        "{}",
        made.stderr
    );
    let checked = scratch
        .teeline(0, &["config", "check", "teeline.toml"])
        .stdout;
    assert!(
        checked.contains("for 1 secret and 1 recipient"),
        "{checked}"
    );
    of(&["verify", "--deep"]);
    of(&["restore", "latest", "--target", "./out"]);
    let listed = of(&["key", "list", "--json"]).json();
    let keys = listed["backups"][0]["destinations"][0]["keys"]
        .as_array()
        .unwrap();
    let kinds: Vec<_> = keys
        .iter()
        .map(|key| key["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["passphrase", "x25519"]);
    assert_eq!(keys[0]["kdf"]["iterations"], 600_000);
    assert_eq!(keys[1]["recipient"], recipient.as_str());
    assert_restores(&scratch, 0, &["--key-file", "pair"]);
    let listed = of(&["list", "--json"]).json();
    assert_eq!(listed["backups"][0]["sealed"], true);
}

#[test]
fn recipients_come_and_go() {
    let scratch = scratch();
    backed_up(&scratch, &["--key-file", "key"]);
    let key = |code, words: &[&str]| scratch.teeline(code, &[&["key"], words, &AT].concat());
    key(
        12,
        &[
            "add",
            "--key-file",
            "pair",
            "--new-passphrase-file",
            "passphrase",
        ],
    );
    key(2, &["add", "--key-file", "key"]);
    key(
        0,
        &[
            "add",
            "--key-file",
            "key",
            "--new-passphrase-file",
            "passphrase",
        ],
    );
    assert_restores(&scratch, 0, &["--passphrase-file", "passphrase"]);
    let recipient = text(&scratch, "recipient");
    key(
        0,
        &[
            "rotate",
            "--all",
            "--passphrase-file",
            "passphrase",
            "--recipient",
            &recipient,
        ],
    );
    assert_restores(
        &scratch,
        12,
        &["--passphrase-file", "passphrase", "--key-file", "key"],
    );
    assert_restores(&scratch, 0, &["--key-file", "pair"]);
    let listed = key(0, &["list"]).stdout;
    assert!(
        listed.contains(&recipient) && !listed.contains("passphrase"),
        "{listed}"
    );
    let id = &scratch.listed("copy")[0];
    let name = listed
        .split_whitespace()
        .find(|word| word.starts_with("x25519-"))
        .unwrap();
    let last = key(1, &["remove", id, name]);
    assert!(last.stderr.contains("the only one"), "{}", last.stderr);
    // A key that is there isn't written over.
    scratch.teeline(2, &["key", "generate", "--out", "key"]);
}

#[test]
fn no_secret_is_shown_or_stored() {
    let scratch = scratch();
    let recipient = text(&scratch, "recipient");
    let secrets = [
        PASSPHRASE.to_owned(),
        text(&scratch, "key")["base64:".len()..].to_owned(),
        text(&scratch, "pair")["x25519-secret:".len()..].to_owned(),
    ];
    let with = [
        "--passphrase-file",
        "passphrase",
        "--key-file",
        "key",
        "--key-file",
        "pair",
    ];
    let restore = |name| ["restore", "latest", "--target", name, "--at", "copy"];
    let backup = [
        "backup",
        "--from",
        "in",
        "--to",
        "copy=copy",
        "--recipient",
        &recipient,
    ];
    let cases: [(i32, Vec<&str>); 7] = [
        (0, [&backup[..], &with].concat()),
        (0, [&restore("./a")[..], &with].concat()),
        (
            12,
            [
                &restore("./b")[..],
                &["--passphrase-command", "echo another"],
            ]
            .concat(),
        ),
        (
            0,
            [&["verify", "--deep", "--at", "copy"][..], &with].concat(),
        ),
        (
            0,
            [
                &["key", "add", "--at", "copy", "--new-key-file", "key"][..],
                &with,
            ]
            .concat(),
        ),
        (2, [&restore("./c")[..], &["--key-file", "bad"]].concat()),
        (0, vec!["key", "list", "--at", "copy"]),
    ];
    // What isn't a key after all is shown no more than one that is.
    scratch.write("bad", format!("base64:{}!", secrets[1]));
    let only_mine = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(scratch.path("bad"), only_mine).unwrap();
    for (code, arguments) in &cases {
        for json in [false, true] {
            let mut arguments = arguments.clone();
            arguments.extend(["--log-level", "trace"]);
            if json {
                arguments.push("--json");
                let _ = std::fs::remove_dir_all(scratch.path("a"));
            }
            let run = scratch.teeline(*code, &arguments);
            let shown = format!("{}{}", run.stdout, run.stderr);
            for secret in &secrets {
                assert!(!shown.contains(secret.as_str()), "{arguments:?}\n{shown}");
            }
        }
    }
    for file in scratch.files("copy") {
        let stored = scratch.read(&format!("copy/{file}"));
        let stored = String::from_utf8_lossy(&stored);
        for secret in secrets.iter().map(String::as_str).chain(["plainly"]) {
            assert!(!stored.contains(secret), "{file}");
        }
    }
}

/// The newest backup of a host that has a public key only: whether it goes on from another one, and why not.
fn made(scratch: &Scratch, more: &[&str]) -> (bool, String) {
    let recipient = text(scratch, "recipient");
    let mut arguments = vec!["backup", "incremental", "--from", "in", "--to", "copy=copy"];
    arguments.extend(["--json", "--recipient", &recipient]);
    arguments.extend(more);
    let report = scratch.teeline(0, &arguments).json();
    let why = report["wholeBecause"].as_str().unwrap_or_default();
    (report["parent"].is_object(), why.to_owned())
}

const USUAL: &str = "state/teeline/local-index";

#[test]
fn a_host_that_can_not_read_goes_on_from_what_it_keeps_in_the_usual_folder() {
    let scratch = scratch();
    let (is_link, why) = made(&scratch, &[]);
    assert!(!is_link && why.contains("there is no backup"), "{why}");
    let kept = scratch.files(USUAL);
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(kept[0].ends_with(".index.sealed"), "{kept:?}");
    assert_eq!(kept[1], "local-index.key");
    for name in ["teeline", "teeline/local-index"] {
        let folder = std::fs::metadata(scratch.path("state").join(name)).unwrap();
        assert_eq!(folder.permissions().mode() & 0o777, 0o700, "{name}");
    }
    scratch.write("in/users.jsonl", "{\"id\":2,\"name\":\"newly\"}\n");
    assert_eq!(made(&scratch, &[]), (true, String::new()));
    assert_restores(&scratch, 0, &["--key-file", "pair"]);
    let restored = text(&scratch, "out/users.jsonl");
    assert_eq!(restored, "{\"id\":2,\"name\":\"newly\"}");

    // Another folder has nothing yet; and what is turned off isn't looked at.
    let (is_link, why) = made(&scratch, &["--local-index", "mine"]);
    assert!(
        !is_link && why.contains("no local index of them in mine"),
        "{why}"
    );
    assert!(made(&scratch, &["--local-index", "mine"]).0);
    let (is_link, why) = made(&scratch, &["--no-local-index"]);
    assert!(
        !is_link && why.contains("no local index of them is kept"),
        "{why}"
    );
    let refused = ["backup", "--from", "in", "--to", "copy", "--local-index"];
    scratch.teeline(2, &[&refused[..], &["mine", "--no-local-index"]].concat());
    scratch.teeline(2, &[&refused[..], &[""]].concat());

    // A damaged one is said, and costs a full backup.
    for name in scratch
        .files(USUAL)
        .iter()
        .filter(|name| name.ends_with("sealed"))
    {
        scratch.flip_byte(&format!("{USUAL}/{name}"));
    }
    let recipient = text(&scratch, "recipient");
    let arguments = ["backup", "incremental", "--from", "in", "--to", "copy=copy"];
    let run = scratch.teeline(0, &[&arguments[..], &["--recipient", &recipient]].concat());
    assert!(
        run.stderr.contains("warning: local index"),
        "{}",
        run.stderr
    );
    assert!(run.stdout.contains("can't be used"), "{}", run.stdout);
}

#[test]
fn a_host_that_can_read_keeps_no_local_index() {
    let scratch = scratch();
    backed_up(&scratch, &["--key-file", "key"]);
    backed_up(&scratch, &[]);
    let pair = text(&scratch, "recipient");
    backed_up(&scratch, &["--recipient", &pair, "--key-file", "pair"]);
    assert!(!scratch.path("state").exists());
}

#[test]
fn a_configuration_says_where_a_local_index_is_kept() {
    let scratch = scratch();
    let recipient = text(&scratch, "recipient");
    let with = |setting: &str| {
        scratch.write(
            "teeline.toml",
            format!(
                "[schedules.often]\ntype = \"incremental\"\ncron = \"0 * * * *\"\n[source]\npath = \"in\"\n[destinations.copy]\npath = \"copy\"\n\
                 [encryption]\nrecipients = [\"{recipient}\"]\n{setting}\n"
            ),
        );
    };
    let config = ["--config", "teeline.toml"];
    let linked = |words: &[&str]| {
        let run = scratch.teeline(0, &[words, &config[..], &["--json"]].concat());
        run.json()["parent"].is_object()
    };
    let by_schedule = ["schedule", "run", "often"];
    with("");
    assert!(!linked(&by_schedule) && linked(&by_schedule));
    with("local_index = false");
    assert!(!linked(&by_schedule) && !linked(&["backup", "incremental"]));
    with("local_index = \"mine\"\nlocal_index_key_file = \"key\"");
    assert!(!linked(&["backup", "incremental"]) && linked(&["backup", "incremental"]));
    let kept = scratch.files("mine");
    assert!(kept.len() == 2 && !kept.contains(&"local-index.key".to_owned()));
    // The key of backups isn't one for what is kept.
    with("local_index = \"other\"\nlocal_index_key_file = \"pair\"");
    let run = scratch.teeline(0, &[&["backup"], &config[..]].concat());
    assert!(run.stderr.contains("it opens the backup"), "{}", run.stderr);
    assert!(scratch.files("other").is_empty());
}
