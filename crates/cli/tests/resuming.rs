//! A run that was killed is taken up again: what destinations have of it is kept, and the backup is the one that it would have
//! been.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]
#![cfg(unix)]

mod shared;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use shared::killed::{SLOW, everywhere, indexes, killed, number, resume, runs, with_records};
use shared::shop::Shop;
use shared::{Run, Scratch};

/// The data files of a run at a destination.
fn data(scratch: &Scratch, at: &str, id: &str) -> BTreeMap<String, Vec<u8>> {
    let files = scratch.files(&format!("{at}/{id}")).into_iter();
    let data = files.filter(|file| file.ends_with(".gz"));
    data.map(|file| (file.clone(), scratch.read(&format!("{at}/{id}/{file}"))))
        .collect()
}

/// A manifest without what follows from the id and the time: those, and the digests and sizes of what has them in it.
fn manifest(scratch: &Scratch, at: &str, id: &str) -> Value {
    let bytes = scratch.read(&format!("{at}/{id}/manifest.json"));
    let mut manifest: Value = serde_json::from_slice(&bytes).unwrap();
    for member in ["id", "startedAt", "blake3"] {
        manifest.as_object_mut().unwrap().remove(member);
    }
    for member in ["scanStartedAt", "scanEndedAt", "serverTime"] {
        manifest["source"].as_object_mut().unwrap().remove(member);
    }
    manifest["totals"]
        .as_object_mut()
        .unwrap()
        .remove("storedBytes");
    for attachment in manifest["attachments"].as_array_mut().unwrap() {
        attachment.as_object_mut().unwrap().remove("blake3");
    }
    let mut resources = manifest["resources"].take().as_array().unwrap().clone();
    resources.push(manifest["objects"].take());
    for resource in resources.iter_mut().filter(|resource| !resource.is_null()) {
        for segment in resource["segments"].as_array_mut().unwrap() {
            let segment = segment.as_object_mut().unwrap();
            segment.remove("indexBytes");
            segment.remove("indexBlake3");
        }
    }
    manifest["resources"] = resources.into();
    manifest
}

/// That a backup is what an uninterrupted run makes, at both destinations, and restores.
#[track_caller]
fn check_same(scratch: &Scratch, id: &str) {
    let typed = ["backup", "--config", "fast.toml", "--json"];
    let whole = scratch.teeline(0, &typed).json();
    let whole = whole["id"].as_str().unwrap();
    for at in ["a", "b"] {
        assert!(data(scratch, at, id) == data(scratch, at, whole), "{at}");
        assert_eq!(manifest(scratch, at, id), manifest(scratch, at, whole));
        scratch.teeline(0, &["verify", id, "--at", at]);
        scratch.teeline(0, &["restore", id, "--at", at, "--target", "./out"]);
        for file in ["events.jsonl", "users.jsonl"] {
            let (restored, source) = (format!("out/{file}"), format!("in/{file}"));
            assert!(scratch.read(&restored) == scratch.read(&source), "{file}");
        }
        std::fs::remove_dir_all(scratch.path("out")).unwrap();
    }
    let copies = ["a", "b"].map(|at| scratch.read(&format!("{at}/{id}/manifest.json")));
    assert_eq!(copies[0], copies[1], "the same at both");
}

#[test]
fn it_goes_on_where_somebody_lacks_something() {
    let scratch = with_records(SLOW);
    let id = killed(&scratch, "b", 2, &["backup", "--config", "c.toml"]).unwrap();
    let had = ["a", "b"].map(|at| data(&scratch, at, &id));
    let everywhere = everywhere(&scratch, &id);
    assert!(everywhere > 0 && scratch.listed("a").is_empty());

    let report = resume(&scratch, 0, &id);
    assert_eq!(
        (&report["id"], &report["status"]),
        (&id.as_str().into(), &"completed".into())
    );
    let resumed = &report["resumed"];
    assert_eq!(resumed["run"], id.as_str());
    assert_eq!(resumed["afreshBecause"], Value::Null);
    assert_eq!(resumed["from"]["resource"], "events");
    assert_eq!(
        number(&resumed["from"]["segment"]),
        everywhere + 1,
        "{resumed}"
    );
    assert!(
        number(&resumed["bytesNotRead"]) > everywhere << 20,
        "{resumed}"
    );
    for (at, had) in report["destinations"].as_array().unwrap().iter().zip(&had) {
        let bytes: usize = had.values().map(Vec::len).sum();
        assert_eq!(number(&at["keptBytes"]), bytes as u64, "{at}");
        assert!(number(&at["bytes"]) + number(&at["keptBytes"]) > number(&report["size"]) / 2);
        assert!(
            number(&at["bytes"]) < number(&report["size"]),
            "not all was sent again"
        );
    }
    let kept: u64 = had
        .iter()
        .flat_map(|had| had.values())
        .map(|file| file.len() as u64)
        .sum();
    assert_eq!(number(&resumed["bytesNotSent"]), kept);
    check_same(&scratch, &id);

    let again = scratch.teeline(2, &["backup", "--config", "fast.toml", "--resume", &id]);
    assert!(again.stderr.contains("it is complete"), "{}", again.stderr);
    let records = scratch.files("a/runs");
    let record = records.iter().find(|name| name.starts_with(&id)).unwrap();
    let record: Value = serde_json::from_slice(&scratch.read(&format!("a/runs/{record}"))).unwrap();
    assert_eq!(record["resumed"], *resumed);
}

#[test]
fn it_is_taken_up_as_often_as_it_breaks_off_and_by_its_newest_name() {
    let scratch = with_records(SLOW);
    let id = killed(&scratch, "b", 1, &["backup", "--config", "c.toml"]).unwrap();
    let typed = ["backup", "--config", "c.toml", "--resume", &id];
    assert_eq!(killed(&scratch, "b", 2, &typed), None, "it is the same run");
    let everywhere = everywhere(&scratch, &id);
    let report = resume(&scratch, 0, "latest");
    assert_eq!(report["id"], id.as_str());
    assert_eq!(
        number(&report["resumed"]["from"]["segment"]),
        everywhere + 1,
        "{report}"
    );
    let marks = scratch.files(&format!("a/{id}"));
    assert!(marks.contains(&"resumed-0002.json".to_owned()), "{marks:?}");
    check_same(&scratch, &id);

    let new = resume(&scratch, 0, "latest");
    assert_eq!(new["resumed"], Value::Null, "there is none: {new}");
    scratch.teeline(0, &["delete", &id, "--at", "a", "--grace", "0s"]);
    assert!(
        scratch.files(&format!("a/{id}")).is_empty(),
        "all of it goes"
    );
}

#[test]
fn what_is_read_otherwise_is_begun_afresh() {
    let scratch = with_records(SLOW);
    let id = killed(&scratch, "b", 2, &["backup", "--config", "c.toml"]).unwrap();
    let events = String::from_utf8(scratch.read("in/events.jsonl")).unwrap();
    scratch.write(
        "in/events.jsonl",
        events.replacen("{\"id\":7,", "{\"id\":8,", 1),
    );
    let report = resume(&scratch, 0, &id);
    assert_ne!(report["id"], id.as_str());
    let why = report["resumed"]["afreshBecause"].as_str().unwrap();
    assert!(why.contains("events: its records aren't those"), "{why}");
    assert_eq!(report["resumed"]["run"], id.as_str());
    assert_eq!(scratch.listed("a"), [report["id"].as_str().unwrap()]);
    check_same(&scratch, report["id"].as_str().unwrap());

    // Written anew, but the same: it is read again, compared, and not sent again.
    let id = killed(&scratch, "b", 2, &["backup", "--config", "c.toml"]).unwrap();
    scratch.write("in/events.jsonl", scratch.read("in/events.jsonl"));
    let report = resume(&scratch, 0, &id);
    assert_eq!(report["id"], id.as_str(), "{report}");
    assert_eq!(number(&report["resumed"]["bytesNotRead"]), 0);
    assert!(number(&report["resumed"]["bytesNotSent"]) > 2 << 20);
    check_same(&scratch, &id);

    let id = killed(&scratch, "b", 1, &["backup", "--config", "c.toml"]).unwrap();
    let typed = [
        "backup",
        "--config",
        "fast.toml",
        "--resume",
        &id,
        "--level",
        "1",
    ];
    let run: Run = scratch.teeline(0, &typed);
    assert!(
        run.stdout
            .contains("it was begun otherwise than it is asked for now: compression"),
        "{}",
        run.stdout
    );
}

#[test]
fn what_can_not_be_taken_up_is_refused() {
    let scratch = Scratch::new();
    let id = "full-2026-11-23T02-00-00-k3j9x0q2mz";
    let from_a_pipe = ["backup", "--from", "-", "--to", "a", "--resume", id];
    let run = scratch.teeline_with(2, &from_a_pipe, b"{}\n");
    assert!(run.stderr.contains("standard input"), "{}", run.stderr);
    scratch.write("in/users.jsonl", "{\"id\":1}\n");
    let run = scratch.teeline(1, &["backup", "--from", "in", "--to", "a", "--resume", id]);
    assert!(run.stderr.contains("no run of this id"), "{}", run.stderr);
    let run = scratch.teeline(
        2,
        &[
            "backup",
            "--from",
            "in",
            "--to",
            "a",
            "--resume",
            "yesterday",
        ],
    );
    assert!(run.stderr.contains("latest is accepted"), "{}", run.stderr);
}

#[test]
fn one_that_goes_on_is_left_alone_and_no_two_take_it_up() {
    let scratch = with_records(&SLOW.replace("resume_quiet_ms = 20", "resume_quiet_ms = 1000"));
    let mut running = scratch.start(&["backup", "--config", "c.toml", "--json"]);
    while indexes(&scratch, "b") < 1 {
        assert!(running.try_wait().unwrap().is_none(), "it ended early");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let id = runs(&scratch).remove(0);
    let typed = ["backup", "--config", "fast.toml", "--resume", &id];
    let refused = scratch.teeline(1, &typed);
    assert!(
        refused.stderr.contains("something is still written to it"),
        "{}",
        refused.stderr
    );
    running.kill().unwrap();
    running.wait().unwrap();

    let both = [0, 1].map(|_| scratch.start(&typed));
    let ended = both.map(|child| child.wait_with_output().unwrap());
    let mut codes = ended.each_ref().map(|output| output.status.code().unwrap());
    codes.sort_unstable();
    let said = ended.map(|output| String::from_utf8(output.stderr).unwrap());
    assert_eq!(codes[1], 1, "no two take it up: {said:?}");
    for lost in said.iter().filter(|said| said.contains("error")) {
        assert!(
            lost.contains("another process has taken it up") || lost.contains("still written"),
            "{lost}"
        );
    }
    if codes[0] != 0 {
        // Each has seen the other, and left it alone.
        scratch.teeline(0, &typed);
    }
    check_same(&scratch, &id);
}

#[test]
fn of_a_database_what_is_whole_everywhere_is_not_read_again() {
    let shop = Shop::open_an_hour_later();
    shop.bucket("copies");
    let (scratch, database) = (&shop.scratch, shop.database("shop"));
    let bucket = shop.database("copies");
    let bucket = bucket.replace("?forcePathStyle=true", "/backups");
    let config = format!(
        "[backup]\nresume_quiet_ms = 20\n[source]\nconnection = \"{database}\"\n[destinations.a]\npath = \"a\"\n\
         [destinations.bucket]\nurl = \"{bucket}\"\n"
    );
    scratch.write("fast.toml", &config);
    scratch.write(
        "c.toml",
        format!("{config}bytes_per_second_max = \"16KiB\"\n"),
    );
    let slow = ["backup", "--config", "c.toml"];
    let id = killed(scratch, "s3", 2, &slow).unwrap();
    let before = shop.requests_to("shop");
    let report = resume(scratch, 0, &id);
    let resumed_by = shop.requests_to("shop") - before;
    assert_eq!(report["id"], id.as_str(), "{report}");
    assert_eq!(report["recordCount"], 120);
    assert!(
        number(&report["resumed"]["bytesNotRead"]) > 10_000,
        "{report}"
    );
    for destination in report["destinations"].as_array().unwrap() {
        assert!(number(&destination["keptBytes"]) > 0, "{destination}");
        assert_eq!(destination["status"], "committed");
    }
    let before = shop.requests_to("shop");
    let typed = ["backup", "--config", "fast.toml", "--json"];
    let whole = scratch.teeline(0, &typed).json();
    let made_by = shop.requests_to("shop") - before;
    assert!(
        resumed_by < made_by,
        "{resumed_by} requests, {made_by} for all"
    );
    let whole = whole["id"].as_str().unwrap();
    assert!(data(scratch, "a", &id) == data(scratch, "a", whole));
    assert_eq!(manifest(scratch, "a", &id), manifest(scratch, "a", whole));
    scratch.teeline(0, &["verify", "--all", "--config", "fast.toml"]);

    let id = killed(scratch, "s3", 2, &slow).unwrap();
    let files = scratch.files("s3");
    let is_customer = |file: &&String| file.contains("resource=customers+/data+/id=");
    let customer = files.iter().find(is_customer).unwrap();
    std::fs::remove_file(scratch.path(&format!("s3/{customer}"))).unwrap();
    let report = resume(scratch, 0, &id);
    assert_ne!(report["id"], id.as_str());
    let why = report["resumed"]["afreshBecause"].as_str().unwrap();
    assert!(why.contains("customers: its records aren't those"), "{why}");
    assert_eq!(report["recordCount"], 119);
}
