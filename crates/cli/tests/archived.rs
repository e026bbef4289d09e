//! A destination in an archive class, as a person uses it.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod shared;

use shared::{Run, Scratch};
use teeline_embedded_s3::{Credentials, EmbeddedS3};

fn server(scratch: &Scratch) -> EmbeddedS3 {
    let credentials = Credentials {
        access_key: "k".into(),
        secret_key: "hidden-secret".into(),
    };
    let server = EmbeddedS3::start(scratch.path("s3"), credentials).unwrap();
    server.create_bucket("bucket").unwrap();
    let config = format!(
        "[source]\npath = \"events.jsonl\"\n[destinations.archive]\n\
         url = \"http://k:hidden-secret@{}/bucket/backups\"\nstorage_class = \"GLACIER\"\n",
        server.address()
    );
    scratch.write("c.toml", config);
    scratch.write("events.jsonl", "{\"n\":1}\n{\"n\":2}\n");
    server
}

#[test]
fn what_is_archived_is_attested_thawed_and_restored() {
    let scratch = Scratch::new();
    let server = server(&scratch);
    let made = scratch
        .teeline(0, &["backup", "--config", "c.toml", "--json"])
        .json();
    assert_eq!(made["destinations"][0]["verified"], "attested");
    let id = made["id"].as_str().unwrap();

    let verify = scratch.teeline(0, &["verify", "--config", "c.toml"]);
    assert!(
        verify.stdout.contains("attested")
            && verify.stdout.contains("in 1 file archived, not read"),
        "{}",
        verify.stdout
    );
    let verify = scratch
        .teeline(0, &["verify", "--config", "c.toml", "--json"])
        .json();
    let copy = &verify["backups"][0]["destinations"][0];
    assert_eq!(
        (&copy["status"], &copy["attestedFiles"]),
        (&"attested".into(), &1.into())
    );

    let restore = [
        "restore", "latest", "--config", "c.toml", "--target", "./out",
    ];
    let refused = scratch.teeline(1, &restore);
    assert!(
        refused.stderr.contains("1 of 1 data files, "),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("--thaw asks for it"),
        "{}",
        refused.stderr
    );

    server.hold_thaws(true);
    let mut thaw = restore.to_vec();
    thaw.extend(["--thaw", "--thaw-days", "2", "--thaw-tier", "bulk"]);
    let asked = scratch.teeline(3, &thaw);
    let (_, command) = asked.stdout.split_once("to come back with:\n").unwrap();
    let again = format!(
        "restore {id} --config c.toml --target ./out --thaw --thaw-days 2 --thaw-tier bulk"
    );
    assert!(command.contains(&again), "{command}");
    assert!(!scratch.path("out").exists());

    server.hold_thaws(false);
    let typed: Vec<&str> = again.split(' ').chain(["--wait"]).collect();
    scratch.teeline(0, &typed);
    assert_eq!(scratch.read("out/events.jsonl"), b"{\"n\":1}\n{\"n\":2}\n");
}

#[test]
fn what_is_sealed_is_archived_alike() {
    let scratch = Scratch::new();
    let server = server(&scratch);
    let config = String::from_utf8(scratch.read("c.toml")).unwrap();
    scratch.write(
        "c.toml",
        format!("{config}[encryption]\nkey = \"${{KEY}}\"\n"),
    );
    server.record();
    let run = |arguments: &[&str]| {
        let mut command = scratch.command(arguments);
        command.env("KEY", format!("hex:{}", "5a".repeat(32)));
        Run::of(0, command.output().unwrap(), &format!("{arguments:?}"))
    };
    run(&["backup", "--config", "c.toml"]);
    let puts = server.recorded().into_iter();
    let puts: Vec<_> = puts.filter(|request| request.method == "PUT").collect();
    let archived: Vec<&str> = puts
        .iter()
        .filter(|put| put.header("x-amz-storage-class").is_some())
        .map(|put| put.path.as_str())
        .collect();
    // The one data file; keys, index and manifest are among the others.
    assert_eq!(archived.len(), 1, "{archived:?}");
    assert!(
        archived[0].ends_with(".sealed") && puts.len() > 5,
        "{archived:?}"
    );
    assert!(puts.iter().any(|put| put.path.contains("/keys/")));

    let verify = run(&["verify", "--config", "c.toml"]);
    assert!(
        verify.stdout.contains("in 1 file archived"),
        "{}",
        verify.stdout
    );
    run(&[
        "restore", "latest", "--config", "c.toml", "--target", "./out", "--thaw", "--wait",
    ]);
    assert_eq!(scratch.read("out/events.jsonl"), b"{\"n\":1}\n{\"n\":2}\n");
}

#[test]
fn a_thaw_that_makes_no_sense_is_refused() {
    let scratch = Scratch::new();
    for (arguments, part) in [
        (&["--thaw-days", "2"][..], "--thaw"),
        (&["--thaw", "--thaw-days", "0"], "--thaw-days"),
        (
            &["--thaw", "--thaw-tier", "slow"],
            "standard, bulk, expedited",
        ),
    ] {
        let mut typed = vec!["restore", "latest", "--at", "x", "--target", "./out"];
        typed.extend(arguments);
        let run = scratch.teeline(2, &typed);
        assert!(run.stderr.contains(part), "{}", run.stderr);
    }
}
