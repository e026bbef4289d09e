//! `docs/reference/json.md` names every field that the command prints, and its examples are of the documented shape.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod plugin;
mod shared;

use std::collections::BTreeMap;

use serde_json::Value;
use shared::{Run, SMALL_BUDGET, Scratch, broken_at_the_end};

/// The tables of the document: section → field → type.
struct Documented(BTreeMap<String, BTreeMap<String, String>>);

impl Documented {
    fn read(text: &str) -> Self {
        let mut sections: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let mut section = String::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("## ") {
                section = name.to_owned();
            }
            if let Some((field, rest)) = line
                .strip_prefix("| `")
                .and_then(|row| row.split_once("` | "))
            {
                let (kind, meaning) = rest.split_once(" | ").unwrap();
                assert!(meaning.len() > 3, "{section}: `{field}` has no meaning");
                sections
                    .entry(section.clone())
                    .or_default()
                    .insert(field.to_owned(), kind.to_owned());
            }
        }
        Documented(sections)
    }

    /// Every member of `value`, which is at `path` in a document of `section`, has a row.
    fn check(&self, section: &str, path: &str, value: &Value) {
        match value {
            Value::Array(items) => items
                .iter()
                .for_each(|item| self.check(section, &format!("{path}[]"), item)),
            Value::Object(members) => {
                for (name, member) in members {
                    let path = if path.is_empty() {
                        name.clone()
                    } else {
                        format!("{path}.{name}")
                    };
                    let kind = self.0.get(section).and_then(|fields| fields.get(&path));
                    let kind = kind.unwrap_or_else(|| {
                        panic!("`{path}` of {section} is not documented: {member}")
                    });
                    let shared = kind
                        .split_once("](#")
                        .and_then(|(_, rest)| rest.split_once(')'));
                    match (shared, member) {
                        // Whatever somebody says of a backup.
                        (None, _) if kind.starts_with("values") => {}
                        // Described in a section of its own.
                        (Some((shared, _)), Value::Array(items)) => {
                            items.iter().for_each(|item| self.check(shared, "", item));
                        }
                        (Some((shared, _)), member) => self.check(shared, "", member),
                        (None, member) => self.check(section, &path, member),
                    }
                }
            }
            _ => {}
        }
    }
}

fn document() -> String {
    std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/reference/json.md"
    ))
    .unwrap()
}

#[test]
fn examples_are_of_the_documented_shape() {
    let text = document();
    let documented = Documented::read(&text);
    let mut examples = 0;
    for section in text.split("\n## ").skip(1) {
        let name = section.lines().next().unwrap();
        for example in section.split("```json\n").skip(1) {
            let example = example.split("```").next().unwrap();
            documented.check(name, "", &serde_json::from_str(example).unwrap());
            examples += 1;
        }
    }
    assert_eq!(examples, 23);
}

#[test]
fn every_field_of_real_reports_is_documented() {
    let documented = Documented::read(&document());
    let scratch = Scratch::new();
    scratch.write("in/users.jsonl", "{\"id\":1}\n{\"id\":2}\n");
    scratch.write("in/events.jsonl", "{\"n\":1}\n");
    let check = |section: &str, run: Run| {
        let report = run.json();
        documented.check(section, "", &report);
        report
    };

    let dead = "dead=http://key:hidden@127.0.0.1:1/bucket/copies";
    let bench = ["bench", "--records", "100", "--repeats", "1", "--json"];
    let figures = check("bench", scratch.teeline(0, &bench));
    scratch.write("figures.json", figures.to_string());
    let again = [&bench[..], &["--compare", "figures.json"]].concat();
    check("bench", scratch.teeline(0, &again));
    let made = check(
        "backup",
        scratch.teeline(
            3,
            &[
                "backup",
                "--from",
                "in",
                "--to",
                "a",
                "--to",
                dead,
                "--strategy",
                "any",
                "--metadata",
                "ticket=OPS-7",
                "--json",
            ],
        ),
    );
    let id = made["id"].as_str().unwrap().to_owned();
    let second = check(
        "backup",
        scratch.teeline(
            0,
            &["backup", "--from", "in", "--to", "a", "--to", "b", "--json"],
        ),
    );
    check(
        "backup",
        scratch.teeline(
            1,
            &["backup", "--from", "none.jsonl", "--to", "a", "--json"],
        ),
    );
    check("list", scratch.teeline(0, &["list", "--at", "a", "--json"]));
    check(
        "list",
        scratch.teeline(1, &["list", "--at", "a", "--at", dead, "--json"]),
    );
    scratch.write("broken.jsonl", broken_at_the_end());
    let broken = ["backup", "--from", "broken.jsonl", "--to", "a"];
    scratch.teeline(1, &[&broken[..], &SMALL_BUDGET].concat());
    let failed = ["list", "--status", "failed", "--at", "a", "--json"];
    let failed = check("list", scratch.teeline(0, &failed));
    assert_eq!(failed["backups"].as_array().unwrap().len(), 2, "{failed}");
    check(
        "check",
        scratch.teeline(0, &["check", "--at", "b", "--json"]),
    );
    let few = [
        "check",
        "--at",
        "a",
        "--at",
        dead,
        "--min-count",
        "9",
        "--json",
    ];
    check("check", scratch.teeline(1, &few));
    let status = check(
        "status",
        scratch.teeline(0, &["status", &id, "--at", "a", "--json"]),
    );
    assert_eq!(status["runs"][0]["id"], id.as_str());
    assert_eq!(status["metadata"]["ticket"], "OPS-7");
    check(
        "status",
        scratch.teeline(
            1,
            &[
                "status",
                "full-2026-01-01T00-00-00-aaaaaaaaaa",
                "--at",
                "a",
                "--json",
            ],
        ),
    );
    check(
        "verify",
        scratch.teeline(0, &["verify", "--at", "a", "--at", "b", "--json"]),
    );
    let dry = ["backup", "--from", "in", "--to", "z", "--dry-run", "--json"];
    let judged = check("backup --dry-run", scratch.teeline(0, &dry));
    assert_eq!(judged["status"], "dry-run", "{judged}");
    assert!(!scratch.path("z").exists());
    let shown = scratch.teeline(0, &dry[..dry.len() - 1]).stdout;
    assert!(shown.contains("nothing was written"), "{shown}");
    let validate = ["validate", "--last", "1", "--at", "a", "--json"];
    check("validate", scratch.teeline(0, &validate));
    let validate = ["validate", "--at", "a", "--at", dead, "--json"];
    check("validate", scratch.teeline(1, &validate));
    let init = ["init", "--at", "a", "--at", dead, "--json"];
    let tried = check("init", scratch.teeline(1, &init));
    assert!(tried["destinations"][0]["promises"].is_object(), "{tried}");
    let scrub = ["scrub", "--budget", "1", "--at", "a", "--json"];
    let scrubbed = check("scrub", scratch.teeline(0, &scrub));
    assert_eq!(scrubbed["copies"].as_array().unwrap().len(), 1);
    let scrub = ["scrub", "--deep", "--at", "a", "--at", dead, "--json"];
    check("scrub", scratch.teeline(1, &scrub));
    check(
        "drill",
        scratch.teeline(0, &["drill", "--at", "a", "--json"]),
    );
    check(
        "drill",
        scratch.teeline(1, &["drill", "--at", dead, "--json"]),
    );
    let listed = check("list", scratch.teeline(0, &["list", "--at", "a", "--json"]));
    assert!(listed["backups"][0]["copies"][0]["lastVerified"].is_object());
    let sync = ["sync", "--at", "a", "--at", "c", "--json"];
    check("sync", scratch.teeline(0, &sync));
    check(
        "sync",
        scratch.teeline(3, &["sync", "--at", "a", "--at", dead, "--json"]),
    );
    check(
        "restore",
        scratch.teeline(
            0,
            &["restore", &id, "--at", "a", "--target", "./out", "--json"],
        ),
    );
    check(
        "restore",
        scratch.teeline(
            0,
            &[
                "restore",
                &id,
                "--at",
                "a",
                "--target",
                "./dry",
                "--dry-run",
                "--json",
            ],
        ),
    );

    let keys = scratch.teeline(0, &["key", "generate", "--out", "key", "--json"]);
    check("key generate", keys);
    let pair = check(
        "key generate",
        scratch.teeline(0, &["key", "generate", "--x25519", "--json"]),
    );
    let sealed = [
        "backup",
        "--from",
        "in",
        "--to",
        "sealed",
        "--key-file",
        "key",
        "--recipient",
        pair["recipient"].as_str().unwrap(),
    ];
    scratch.teeline(0, &sealed);
    scratch.teeline(0, &sealed);
    let verify = [
        "verify",
        "--at",
        "sealed",
        "--key-file",
        "key",
        "--deep",
        "--json",
    ];
    let verified = check("verify", scratch.teeline(0, &verify));
    let seal = &verified["backups"][0]["destinations"][0]["seal"];
    assert_eq!(
        (&seal["authentic"], &seal["previous"]),
        (&true.into(), &"present".into())
    );
    scratch.write("passphrase", "hidden");
    let of_key = |code, words: &[&str]| {
        let words = [&["key"], words, &["--at", "sealed", "--json"]].concat();
        check("key", scratch.teeline(code, &words))
    };
    let new = ["--new-passphrase-command", "cat passphrase"];
    of_key(12, &[&["add"], &new[..]].concat());
    of_key(0, &[&["add", "--key-file", "key"], &new[..]].concat());
    let listed = of_key(0, &["list"]);
    let name = &listed["backups"][0]["destinations"][0]["keys"][0]["name"];
    let id_of = listed["backups"][0]["id"].as_str().unwrap().to_owned();
    of_key(0, &["remove", &id_of, name.as_str().unwrap()]);

    scratch.flip_byte(&format!(
        "a/{}/users.jsonl.gz",
        second["id"].as_str().unwrap()
    ));
    let damaged = check(
        "verify",
        scratch.teeline(13, &["verify", "--at", "a", "--at", "b", "--json"]),
    );
    assert!(
        damaged["backups"][0]["destinations"][0]["damage"][0]["chunk"].is_number(),
        "{damaged}"
    );
    let avoided = check(
        "restore",
        scratch.teeline(
            3,
            &[
                "restore", "latest", "--at", "a", "--at", "b", "--target", "./out2", "--json",
            ],
        ),
    );
    assert!(!avoided["avoided"].as_array().unwrap().is_empty());

    let manifest = format!("b/{id}/manifest.json", id = second["id"].as_str().unwrap());
    std::fs::remove_file(scratch.path(&manifest)).unwrap();
    let repair = ["repair", "--rebuild-manifest", "--at", "b", "--json"];
    check("repair", scratch.teeline(3, &repair));
    let named = [&repair[..], &[second["id"].as_str().unwrap()]].concat();
    check("repair", scratch.teeline(0, &named));
    for lost in [&manifest, &manifest.replace("manifest.json", "users.index")] {
        std::fs::remove_file(scratch.path(lost)).unwrap();
    }
    let refused = check("repair", scratch.teeline(13, &named));
    assert!(
        refused["runs"][0]["destinations"][0]["missing"][0]["lastIndex"].is_boolean(),
        "{refused}"
    );

    let at_both = ["repair", second["id"].as_str().unwrap(), "--json"];
    let at_both = [&at_both[..], &["--at", "a", "--at", "b"]].concat();
    let healed = check("repair", scratch.teeline(0, &at_both));
    let healed = &healed["runs"][0]["destinations"];
    let healed = healed.as_array().unwrap().iter();
    let mut files = healed.flat_map(|at| at["files"].as_array().unwrap());
    assert!(files.any(|file| file["movedTo"].is_string()));

    let gone = second["id"].as_str().unwrap();
    // Found to be whole again, or it wouldn't be the last verified one.
    scratch.teeline(0, &["verify", gone, "--at", "a"]);
    let cleanup = ["cleanup", "--at", "a", "--keep-count", "1", "--json"];
    let said = check(
        "cleanup",
        scratch.teeline(0, &[&cleanup[..], &["--dry-run"]].concat()),
    );
    assert_eq!((&said["count"], &said["dryRun"]), (&1.into(), &true.into()));
    let done = check("cleanup", scratch.teeline(0, &cleanup));
    assert_eq!(done["deleted"], said["deleted"]);
    check(
        "cleanup",
        scratch.teeline(3, &[&cleanup[..], &["--at", dead]].concat()),
    );
    let withdrawn = check(
        "status",
        scratch.teeline(0, &["status", &id, "--at", "a", "--json"]),
    );
    assert_eq!(withdrawn["status"], "withdrawn");
    assert!(withdrawn["destinations"][0]["withdrawnAt"].is_string());
    let delete = ["delete", gone, "--at", "a", "--at", dead, "--json"];
    let deleted = check("delete", scratch.teeline(3, &delete));
    assert_eq!(deleted["destinations"][0]["status"], "withdrawn");
    let unknown = "full-2026-01-01T00-00-00-aaaaaaaaaa";
    check(
        "delete",
        scratch.teeline(1, &["delete", unknown, "--at", "a", "--json"]),
    );
    let cleaned = ["backup", "--from", "in", "--to", "a", "--cleanup", "--json"];
    let made = check("backup", scratch.teeline(0, &cleaned));
    assert_eq!(made["cleanup"]["count"], 0);

    plugin::backup(1000, plugin::as_utf8).write(&scratch, "plugin");
    let inspected = check(
        "inspect-plugin",
        scratch.teeline(13, &["inspect-plugin", "plugin", "--json"]),
    );
    assert_eq!(inspected["backups"][0]["findings"][0]["resource"], "users");

    scratch.write(
        "good.toml",
        "schedule = { daily = \"@daily\" }\n[source]\npath = \"in\"\n[destinations.a]\npath = \"a\"\n",
    );
    let scheduled = ["--config", "good.toml", "--json"];
    let backup = [&["backup", "--schedule", "daily"], &scheduled[..]].concat();
    let id = check("backup", scratch.teeline(0, &backup))["id"].clone();
    let status = ["status", id.as_str().unwrap(), "--at", "a", "--json"];
    check("status", scratch.teeline(0, &status));
    let list = [&["schedule", "list"], &scheduled[..]].concat();
    let listed = check("schedule list", scratch.teeline(0, &list));
    assert_eq!(listed["schedules"][0]["last"]["id"], id);
    let systemd = [&["schedule", "systemd"], &scheduled[..]].concat();
    check("schedule systemd", scratch.teeline(0, &systemd));
    scratch.write("bad.toml", "[backup]\nstratgy = \"any\"\n");
    check(
        "config check",
        scratch.teeline(0, &["config", "check", "good.toml", "--json"]),
    );
    check(
        "failure",
        scratch.teeline(2, &["config", "check", "bad.toml", "--json"]),
    );
    check(
        "failure",
        scratch.teeline(2, &["backup", "--nonsense", "--json"]),
    );
}

#[cfg(unix)]
#[test]
fn runs_of_schedules_are_documented() {
    use std::io::{BufRead, BufReader};

    let documented = Documented::read(&document());
    let scratch = Scratch::new();
    scratch.write("in/users.jsonl", "{\"id\":1}\n");
    scratch.write(
        "c.toml",
        "[schedules.often]\ncron = \"* * * * * *\"\n[source]\npath = \"in\"\n[destinations.a]\npath = \"a\"\n",
    );
    let mut running = shared::running::Running::start_with(&scratch, &["--json"]);
    let mut lines = BufReader::new(running.child.stdout.take().unwrap()).lines();
    let ran: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    documented.check("run", "", &ran);
    documented.check("backup", "", &ran["report"]);
    running.terminate();
}

#[cfg(feature = "embedded-s3")]
#[test]
fn links_are_documented() {
    let documented = Documented::read(&document());
    let scratch = Scratch::new();
    let check = |section: &str, arguments: &[&str]| {
        let run = scratch.teeline(0, &[arguments, &["--json"]].concat());
        documented.check(section, "", &run.json());
        run.json()["id"].as_str().map(str::to_owned)
    };
    scratch.write("in/users.jsonl", "{\"id\":1}\n");
    let backup = ["backup", "incremental", "--from", "in", "--to", "a"];
    let full = check("backup", &backup).unwrap();
    let link = check("backup", &backup).unwrap();
    check("list", &["list", "--at", "a"]);
    check("status", &["status", &link, "--at", "a"]);
    check("backup", &["consolidate", &link, "--at", "a"]);
    check("delete", &["delete", &full, "--cascade", "--at", "a"]);
}

#[test]
fn what_had_changed_is_documented_and_said() {
    let documented = Documented::read(&document());
    let scratch = Scratch::new();
    let configuration = shared::workspace().join("config/quickstart.toml");
    scratch.write("quickstart.toml", std::fs::read(configuration).unwrap());
    let teeline = |arguments: &[&str]| {
        let mut command = scratch.command(&[arguments, &["--config", "quickstart.toml"]].concat());
        command.env("TEELINE__EMBEDDED_S3__SAMPLE__RECORDS", "60");
        Run::of(0, command.output().unwrap(), &format!("{arguments:?}"))
    };
    let said = "settled after 1 more pass: nothing had changed\n";
    assert!(teeline(&["backup", "--settle"]).stdout.contains(said));
    let made = teeline(&["backup", "--settle=2", "--json"]).json();
    documented.check("backup", "", &made);
    assert_eq!(
        (&made["settle"]["outcome"], &made["settle"]["passes"]),
        (&"settled".into(), &1.into())
    );
    let id = made["id"].as_str().unwrap();
    let status = teeline(&["status", id, "--json"]).json();
    documented.check("status", "", &status);
    assert_eq!(status["source"]["settle"], made["settle"]);
    assert!(teeline(&["status", id]).stdout.contains(said));
    assert_eq!(
        teeline(&["backup", "--settle=0", "--json"]).json()["settle"],
        Value::Null
    );

    scratch.write("in.jsonl", "{}\n");
    let refused = scratch.teeline(2, &["backup", "--from", "in.jsonl", "--settle"]);
    assert!(refused.stderr.contains("--settle"), "{refused:?}");
    let refused = scratch.teeline(2, &["backup", "--from", "in.jsonl", "--settle=101"]);
    assert!(refused.stderr.contains("0..=100"), "{refused:?}");
}

#[test]
fn known_damage_and_places_without_backups_are_documented() {
    let documented = Documented::read(&document());
    let scratch = Scratch::new();
    scratch.write("in/users.jsonl", "{\"id\":1}\n{\"id\":2}\n");
    scratch.write("empty/notes.txt", "no backup");
    let made = ["backup", "--from", "in", "--to", "a", "--json"];
    let made = scratch.teeline(0, &made).json();
    let id = made["id"].as_str().unwrap();
    scratch.flip_byte(&format!("a/{id}/users.jsonl.gz"));
    scratch.teeline(13, &["verify", "--at", "a"]);
    let scrub = ["scrub", "--max-age", "1d", "--at", "a", "--at", "empty"];
    let report = scratch.teeline(13, &[&scrub[..], &["--json"]].concat());
    let report = report.json();
    documented.check("scrub", "", &report);
    assert_eq!(report["known"][0]["id"], id, "{report}");
    assert_eq!(report["warnings"][0]["destination"], "empty", "{report}");
    for command in ["sync", "repair"] {
        let report = scratch.teeline(0, &[command, "--at", "empty", "--json"]);
        let report = report.json();
        documented.check(command, "", &report);
        assert_eq!(report["warnings"][0]["destination"], "empty", "{report}");
    }
    let said = scratch.teeline(13, &scrub).stdout;
    assert!(
        said.contains("warning: empty: no backup is listed at"),
        "{said}"
    );
    let said = scratch.teeline(1, &["scrub", "--at", "empty"]);
    assert!(
        said.stderr.contains("no destination has any"),
        "{}",
        said.stderr
    );
}
