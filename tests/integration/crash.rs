//! The real binary, killed, and its filesystem cut off: what is listed afterwards restores, and the next backup works.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use teeline_crashes::power_cuts::{available, cut};
use teeline_crashes::random_kills::kill;
use teeline_crashes::{Served, TeelineCommand};

const KILLS: u64 = 16;
const CUTS: u64 = 4;
const RECORDS: u32 = 60_000;

fn teeline(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_teeline"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn write_records(file: &Path) -> Vec<u8> {
    let mut state = 11u64;
    let mut lines = String::new();
    for number in 0..RECORDS {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        lines.push_str(&format!(
            "{{\"id\":{number},\"a\":\"{state:x}\",\"b\":\"{:x}\"}}\n",
            state.rotate_left(17)
        ));
    }
    std::fs::write(file, &lines).unwrap();
    lines.into_bytes()
}

/// With `TEELINE_TEST_S3` set to the URL of an empty bucket with keys, there; otherwise at a server of its own.
#[test]
fn sigkill_at_any_moment_leaves_whole_backups_only() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path()).unwrap();
    let other = std::env::var("TEELINE_TEST_S3").map(|bucket| format!("{bucket}/copies"));
    let place = other.unwrap_or_else(|_| served.place());
    let killed = kill(&command(), KILLS, 11, Some(&place));
    let killed = killed.unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(killed.kills > 0, "{killed:?}");
}

/// `cargo xtask power-cuts` does the same more often.
#[test]
#[allow(
    clippy::print_stderr,
    reason = "who runs this is told why it was left out"
)]
fn a_power_cut_at_any_moment_leaves_whole_backups_only() {
    for kind in ["ext4", "xfs"] {
        if let Err(missing) = available(kind) {
            eprintln!("{kind} is left out, since it can't be cut off here: {missing}");
            continue;
        }
        let cut = cut(&command(), kind, CUTS, 11);
        let cut = cut.unwrap_or_else(|wrong| panic!("{wrong}"));
        assert!(cut.during > 0, "{kind}: {cut:?}");
    }
}

fn command() -> TeelineCommand {
    TeelineCommand::new(env!("CARGO_BIN_EXE_teeline"))
}

fn check(destinations: &[&str], lines: &[u8], folder: &Path) {
    for destination in destinations {
        let verified = teeline(&["verify", "--all", "--at", destination, "--json"])
            .output()
            .unwrap();
        assert_eq!(
            verified.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&verified.stdout)
        );
        let target = folder.join("restored");
        let restored = teeline(&[
            "restore",
            "latest",
            "--at",
            destination,
            "--target",
            &target.display().to_string(),
        ]);
        let mut restored = restored;
        assert_eq!(restored.output().unwrap().status.code(), Some(0));
        assert!(
            std::fs::read(target.join("events.jsonl")).unwrap() == lines,
            "the same bytes"
        );
        std::fs::remove_dir_all(&target).unwrap();
        let listed = json(
            &teeline(&["list", "--at", destination, "--json"])
                .output()
                .unwrap(),
        );
        assert!(!listed["backups"].as_array().unwrap().is_empty());
    }
}

#[test]
fn a_copied_destination_is_a_destination() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let lines = write_records(&folder.path().join("events.jsonl"));
    let (source, one, copy) = (at("events.jsonl"), at("one"), at("copy"));
    assert!(
        teeline(&["backup", "--from", &source, "--to", &one])
            .output()
            .unwrap()
            .status
            .success()
    );
    assert!(
        Command::new("cp")
            .args(["-r", &one, &copy])
            .status()
            .unwrap()
            .success()
    );
    std::fs::remove_dir_all(&one).unwrap();
    check(&[&copy], &lines, folder.path());
}
