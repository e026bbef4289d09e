//! Runs of every kind that are taken up again: encrypted and incremental ones, of other strategies, by schedules.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]
#![cfg(unix)]

mod shared;

use std::io::{BufRead, BufReader};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use shared::Scratch;
use shared::killed::{SLOW, everywhere, indexes, killed, number, resume, runs, with_records};
use teeline_embedded_s3::{Credentials, EmbeddedS3};

const BACKUP: [&str; 3] = ["backup", "--config", "c.toml"];

/// That a backup restores to what the source has, from both folders.
#[track_caller]
fn check_restores(scratch: &Scratch, id: &str, keys: &[&str]) {
    for at in ["a", "b"] {
        let verify = ["verify", id, "--at", at];
        scratch.teeline(0, &[&verify, keys].concat());
        let restore = ["restore", id, "--at", at, "--target", "./out"];
        scratch.teeline(0, &[&restore, keys].concat());
        for file in ["events.jsonl", "users.jsonl"] {
            let (restored, source) = (format!("out/{file}"), format!("in/{file}"));
            assert!(
                scratch.read(&restored) == scratch.read(&source),
                "{at}: {file}"
            );
        }
        std::fs::remove_dir_all(scratch.path("out")).unwrap();
    }
}

/// Why a run wasn't gone on with.
#[track_caller]
fn why_afresh(report: &Value) -> &str {
    assert_ne!(report["id"], report["resumed"]["run"]);
    report["resumed"]["afreshBecause"].as_str().unwrap()
}

#[test]
fn an_encrypted_one_goes_on_by_its_own_key_and_only_in_a_known_state() {
    let scratch = with_records(&format!("{SLOW}[encryption]\nkey_file = \"key\"\n"));
    for name in ["key", "other"] {
        scratch.teeline(0, &["key", "generate", "--out", name]);
    }
    let key = ["--key-file", "key"];
    let id = killed(&scratch, "b", 2, &BACKUP).unwrap();
    let everywhere = everywhere(&scratch, &id);
    let report = resume(&scratch, 0, &id);
    assert_eq!(report["id"], id.as_str(), "{report}");
    assert_eq!(
        number(&report["resumed"]["from"]["segment"]),
        everywhere + 1
    );
    assert!(number(&report["resumed"]["bytesNotSent"]) > 0);
    check_restores(&scratch, &id, &key);
    let deep = ["verify", &id, "--deep", "--at", "a", "--at", "b"];
    scratch.teeline(0, &[&deep, &key[..]].concat());

    // Nobody knows what was sealed after the last index, so what can't be told to be the same isn't sealed again.
    let id = killed(&scratch, "b", 2, &BACKUP).unwrap();
    scratch.write("in/users.jsonl", scratch.read("in/users.jsonl"));
    let report = resume(&scratch, 0, &id);
    assert!(
        why_afresh(&report).contains("users: whether it is as it was can't be told"),
        "{report}"
    );
    check_restores(&scratch, report["id"].as_str().unwrap(), &key);

    let id = killed(&scratch, "b", 1, &BACKUP).unwrap();
    let typed = [
        "backup",
        "--config",
        "fast.toml",
        "--resume",
        &id,
        "--json",
        "--key-file",
        "other",
    ];
    let report = scratch.teeline(0, &typed).json();
    assert!(
        why_afresh(&report).contains("it was sealed for others than are named now"),
        "{report}"
    );
}

#[test]
fn an_incremental_one_goes_on_from_the_same_backup() {
    let scratch = with_records(SLOW);
    let first = ["backup", "incremental", "--config", "fast.toml", "--json"];
    let parent = scratch.teeline(0, &first).json();
    let more = String::from_utf8(scratch.read("in/users.jsonl")).unwrap();
    let more = more.replace("\"a\":\"", "\"b\":\"x");
    for file in ["in/events.jsonl", "in/users.jsonl"] {
        let lines = [scratch.read(file), more.clone().into_bytes()].concat();
        scratch.write(file, lines);
    }
    let slow = ["backup", "incremental", "--config", "c.toml"];
    let id = killed(&scratch, "b", 2, &slow).unwrap();
    let report = resume(&scratch, 0, &id);
    assert_eq!(
        (&report["id"], &report["parent"]["id"]),
        (&id.as_str().into(), &parent["id"])
    );
    assert!(number(&report["resumed"]["bytesNotSent"]) > 0, "{report}");
    check_restores(&scratch, &id, &[]);
}

#[test]
fn a_destination_that_is_dead_or_new_is_no_hindrance() {
    let dead = "[destinations.dead]\nurl = \"http://k:hidden@127.0.0.1:1/bucket/copies\"\n";
    let config = SLOW.replace(
        "[backup]\n",
        "[backup]\nstrategy = \"quorum:2\"\nlag = \"block\"\n",
    );
    let scratch = with_records(&format!("{config}{dead}"));
    let id = killed(&scratch, "b", 2, &BACKUP).unwrap();
    let everywhere = everywhere(&scratch, &id);
    let report = resume(&scratch, 3, &id);
    assert_eq!(report["id"], id.as_str(), "{report}");
    assert_eq!(
        number(&report["resumed"]["from"]["segment"]),
        everywhere + 1
    );
    assert_eq!(report["destinations"][2]["status"], "failed");
    check_restores(&scratch, &id, &[]);

    // What one has lost it gets again, and the other one isn't sent it.
    let id = killed(&scratch, "b", 2, &BACKUP).unwrap();
    std::fs::remove_dir_all(scratch.path(&format!("b/{id}"))).unwrap();
    let report = resume(&scratch, 3, &id);
    assert_eq!(report["id"], id.as_str(), "{report}");
    assert_eq!(number(&report["resumed"]["bytesNotRead"]), 0);
    assert!(
        number(&report["destinations"][0]["keptBytes"]) > 0,
        "{report}"
    );
    assert_eq!(number(&report["destinations"][1]["keptBytes"]), 0);
    check_restores(&scratch, &id, &[]);
}

#[test]
fn a_schedule_takes_up_what_it_had_begun() {
    let schedule = "[schedules.often]\ncron = \"* * * * * *\"\n";
    let scratch = with_records(&format!("{SLOW}{schedule}"));
    let id = killed(&scratch, "b", 2, &["run", "--config", "c.toml"]).unwrap();
    let mut child = scratch.start(&["run", "--config", "fast.toml"]);
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = stderr.lines().map(Result::unwrap);
    let ended = said.find(|line| line.contains(&id)).unwrap();
    assert!(ended.contains("often"), "{ended}");
    let sent = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    let rest: Vec<String> = said.collect();
    child.wait().unwrap();
    assert!(scratch.listed("a").contains(&id), "{ended}\n{rest:?}");
    check_restores(&scratch, &id, &[]);
    let records = scratch.files("b/runs");
    let record = records.iter().find(|name| name.starts_with(&id)).unwrap();
    let record: Value = serde_json::from_slice(&scratch.read(&format!("b/runs/{record}"))).unwrap();
    assert_eq!(
        (&record["schedule"], &record["resumed"]["run"]),
        (&"often".into(), &id.as_str().into())
    );
}

#[test]
fn one_that_was_interrupted_is_taken_up_as_well() {
    let scratch = with_records(SLOW);
    let mut child = scratch.start(&BACKUP);
    while indexes(&scratch, "b") < 2 {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let id = runs(&scratch).remove(0);
    let report = resume(&scratch, 0, "latest");
    assert_eq!(
        (&report["id"], &report["status"]),
        (&id.as_str().into(), &"completed".into())
    );
    assert!(number(&report["resumed"]["bytesNotRead"]) > 0, "{report}");
    check_restores(&scratch, &id, &[]);
    assert_eq!(scratch.listed("b"), [id.as_str()]);
    let failed = scratch
        .teeline(0, &["list", "--status", "failed", "--at", "a", "--json"])
        .json();
    assert_eq!(
        failed["backups"],
        serde_json::json!([]),
        "it didn't fail in the end"
    );
}

/// The numbers of the parts that a server was sent since it records.
fn parts_sent(server: &EmbeddedS3) -> Vec<u32> {
    let requests = server.recorded().into_iter();
    let parts = requests.filter(|request| request.method == "PUT");
    let number = |query: String| {
        let mut pairs = query.split('&');
        pairs.find_map(|pair| pair.strip_prefix("partNumber=")?.parse().ok())
    };
    parts.filter_map(|request| number(request.query)).collect()
}

#[test]
fn what_a_server_has_of_an_upload_is_not_sent_again() {
    let folder = Scratch::new();
    let credentials = Credentials {
        access_key: "k".into(),
        secret_key: "hidden-secret".into(),
    };
    let server = EmbeddedS3::start(folder.path("s3"), credentials).unwrap();
    server.create_bucket("bucket").unwrap();
    let url = format!(
        "url = \"http://k:hidden-secret@{}/bucket/b\"\n",
        server.address()
    );
    let config = SLOW.replace("path = \"b\"\n", &url).replace(
        "segment_bytes = \"1MiB\"\n",
        "segment_bytes = \"64MiB\"\ncompression = \"none\"\n",
    );
    let scratch = with_records(&config);
    let mut child = scratch.command(&BACKUP).spawn().unwrap();
    let has_a_part = || {
        let files = folder.files("s3");
        files.iter().any(|file| file.ends_with("part-00001"))
    };
    while !has_a_part() {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let id = runs(&scratch).pop().unwrap();

    server.record();
    let report = resume(&scratch, 0, &id);
    assert_eq!(report["id"], id.as_str(), "{report}");
    let sent = parts_sent(&server);
    assert!(!sent.is_empty() && !sent.contains(&1), "{sent:?}");
    scratch.write("b.toml", format!("[destinations.b]\n{url}"));
    let restore = ["restore", &id, "--config", "b.toml", "--target", "./out"];
    scratch.teeline(0, &restore);
    for file in ["events.jsonl", "users.jsonl"] {
        let (restored, source) = (format!("out/{file}"), format!("in/{file}"));
        assert!(scratch.read(&restored) == scratch.read(&source), "{file}");
    }
}
