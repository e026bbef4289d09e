//! Ctrl-C and SIGTERM: the first ends the run cleanly, the second the process.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]
#![cfg(unix)]

mod shared;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use shared::Scratch;

/// What a pipe holds that nobody reads, on Linux and elsewhere at the most.
const PIPE_BYTES: usize = 64 << 10;

/// Starts a backup of standard input that doesn't end, and waits until it reads.
fn reading(scratch: &Scratch, json: bool) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut arguments = vec!["backup", "--from", "-", "--resource", "users", "--to", "a"];
    arguments.extend(json.then_some("--json"));
    // Without progress lines, the log says when reading has begun.
    let mut child = scratch.start(&arguments);
    child
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"{\"id\":1}\n")
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    (child, stderr)
}

fn wait_for(stderr: &mut impl BufRead, part: &str) {
    let mut line = String::new();
    while !line.contains(part) {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "{part} never came");
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

#[test]
fn the_first_signal_ends_the_run_with_a_report_and_nothing_listed() {
    for name in ["-INT", "-TERM"] {
        let scratch = Scratch::new();
        let (mut child, mut stderr) = reading(&scratch, false);
        wait_for(&mut stderr, "begins");
        signal(&child, name);
        let mut said = String::new();
        stderr.read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
        assert!(said.contains("interrupted"), "{said}");
        assert!(scratch.listed("a").is_empty());
        assert!(
            scratch
                .files("a")
                .iter()
                .all(|file| !file.ends_with("manifest.json"))
        );
    }
}

#[test]
fn the_report_of_an_interrupted_run_is_json_too() {
    let scratch = Scratch::new();
    let (mut child, mut stderr) = reading(&scratch, true);
    // With --json nothing is said before the end; the first file shows that the run has begun.
    while scratch.files("a").is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        std::thread::yield_now();
    }
    signal(&child, "-INT");
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    let mut report = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut report)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{said}");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(
        (&report["status"], &report["error"]["class"]),
        (&"failed".into(), &"cancelled".into()),
        "{report}"
    );
}

/// A destination with a backup of more than a pipe holds.
fn with_backup() -> Scratch {
    let scratch = Scratch::new();
    scratch.write(
        "in/users.jsonl",
        "{\"text\":\"0123456789\"}\n".repeat(100_000),
    );
    scratch.teeline(0, &["backup", "--from", "in", "--to", "a"]);
    scratch
}

/// Starts a restore into a pipe that nobody reads on, and waits until it hangs in it.
fn hanging(mut restore: Command) -> Child {
    restore.args(["restore", "latest", "--at", "a", "--target", "-"]);
    let mut child = restore.stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 1];
    let stdout = child.stdout.as_mut().unwrap();
    stdout.read_exact(&mut first).unwrap();
    child
}

#[test]
fn the_second_signal_ends_a_run_that_hangs() {
    let scratch = with_backup();
    let mut command = scratch.command(&[]);
    command.stderr(Stdio::piped());
    let mut child = hanging(command);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    signal(&child, "-INT");
    wait_for(&mut stderr, "once more");
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn the_second_signal_ends_a_run_that_can_say_nothing_any_more() {
    let scratch = with_backup();
    let (_unread, mut full) = std::io::pipe().unwrap();
    full.write_all(&[b'\n'; PIPE_BYTES]).unwrap();
    let mut command = scratch.command(&[]);
    command.stderr(full);
    let mut child = hanging(command);
    // It can't say that it has heard the first one.
    for _ in 0..600 {
        signal(&child, "-TERM");
        if let Some(ended) = child.try_wait().unwrap() {
            assert_eq!(ended.code(), Some(130));
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill().unwrap();
    panic!("it doesn't end");
}
