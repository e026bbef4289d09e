//! Temporary keys that expire in the middle of a run: new ones are had once, whoever is refused, and the run goes on.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod shared;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use shared::{Run, Scratch};
use teeline_embedded_s3::{Credentials, EmbeddedS3};
use teeline_fault_proxy::{Answer, Fault, FaultProxy, Rule};

/// Gives other keys each time, and notes that it was asked.
const PROCESS: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
echo asked >> asked
number=$(wc -l < asked | tr -d ' ')
printf '{"Version":1,"AccessKeyId":"id","SecretAccessKey":"hidden-secret","SessionToken":"token-%s","Expiration":"2099-01-01T00:00:00Z"}' "$number"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn expired_keys_are_renewed_once_for_all_calls_that_were_refused() {
    let expired = Fault::Answer(Answer::error(400, "ExpiredToken"));
    assert_renewed_after(Rule::new("", "", expired).after(6)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_renewed_where_only_a_head_is_refused_which_has_no_words() {
    let refused = Fault::Answer(Answer::new(403, ""));
    assert_renewed_after(Rule::new("HEAD", "", refused)).await;
}

/// A backup whose first keys are refused by this rule has others once, and succeeds.
async fn assert_renewed_after(rule: Rule) {
    let scratch = Scratch::new();
    let credentials = Credentials {
        access_key: "id".into(),
        secret_key: "hidden-secret".into(),
    };
    let server = EmbeddedS3::start(scratch.path("s3"), credentials).unwrap();
    server.create_bucket("bucket").unwrap();
    let proxy = FaultProxy::start(&server.address().to_string()).await;
    let proxy = proxy.unwrap();
    proxy.add(rule.with_header("token-1"));

    scratch.write("keys.sh", PROCESS);
    let process = scratch.path("keys.sh");
    std::fs::set_permissions(&process, Permissions::from_mode(0o700)).unwrap();
    let profile = format!(
        "[profile rotating]\ncredential_process = {}\n",
        process.display()
    );
    scratch.write("config", profile);
    let lines = "{\"text\":\"one of many lines\"}\n".repeat(200_000);
    scratch.write("in/events.jsonl", lines);

    let place = format!(
        "s3://bucket/copy?endpoint={}&region=x&profile=rotating",
        proxy.endpoint()
    );
    let back_up = [
        "backup",
        "--from",
        "in",
        "--to",
        &place,
        "--segment-bytes",
        "1MiB",
        "--json",
    ];
    let mut command = scratch.command(&back_up);
    command.env("AWS_CONFIG_FILE", scratch.path("config"));
    command.env("AWS_SHARED_CREDENTIALS_FILE", scratch.path("none"));
    let run = Run::of(0, command.output().unwrap(), "a backup");
    assert!(proxy.hits() > 0, "the first keys have expired");
    let report = run.json();
    assert!(
        report["destinations"][0]["retries"].as_u64().unwrap() > 0,
        "{report}"
    );
    assert_eq!(scratch.read("asked"), b"asked\nasked\n");
    let shown = format!("{}{}", run.stdout, run.stderr);
    assert!(
        !shown.contains("hidden-secret") && !shown.contains("token-"),
        "{shown}"
    );

    let direct = format!("http://id:hidden-secret@{}/bucket/copy", server.address());
    scratch.teeline(0, &["verify", "latest", "--at", &direct]);
}
