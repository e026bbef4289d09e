//! Memory doesn't grow with the data: 2 GB of JSON lines to two folders stay below 128 MiB, in 64 MiB segments that
//! restore to the same bytes.

use std::io::Write;
use std::process::{Command, Stdio};

const BYTES: usize = 2_000_000_000;
const PEAK_KIB_MAX: u64 = 128 << 10;

/// Lines that compress well, so that two copies don't fill a disk, and that differ all the same.
fn block(number: u64, into: &mut Vec<u8>) {
    into.clear();
    for line in 0..4000u64 {
        let id = number * 4000 + line;
        let text = "the same words again and again, as in many a log, ".repeat(4);
        into.extend_from_slice(
            format!("{{\"id\":{id},\"level\":\"info\",\"text\":\"{text}\"}}\n").as_bytes(),
        );
    }
}

fn peak_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
#[cfg(target_os = "linux")]
fn two_gigabytes_to_two_folders_stay_below_128_mib() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let mut child = Command::new(env!("CARGO_BIN_EXE_teeline"))
        .args([
            "backup",
            "--from",
            "-",
            "--resource",
            "log",
            "--segment-bytes",
            "64MiB",
            "--level",
            "1",
        ])
        .args(["--to", &at("one"), "--to", &at("two"), "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let mut input = child.stdin.take().unwrap();
    let (mut written, mut number, mut peak) = (0, 0, 0);
    let mut lines = Vec::new();
    while written < BYTES {
        block(number, &mut lines);
        input.write_all(&lines).unwrap();
        written += lines.len();
        number += 1;
        peak = peak.max(peak_kib(pid).unwrap_or(0));
    }
    drop(input);
    while let Some(kib) = peak_kib(pid) {
        peak = peak.max(kib);
        if child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::yield_now();
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(peak > 0 && peak < PEAK_KIB_MAX, "{peak} KiB");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["recordCount"], number * 4000);
    assert_eq!(report["plainBytes"], written);

    let mut restore = Command::new(env!("CARGO_BIN_EXE_teeline"))
        .args(["restore", "latest", "--at", &at("two"), "--target", "-"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut restored = restore.stdout.take().unwrap();
    let mut found = Vec::new();
    for expected in 0..number {
        block(expected, &mut lines);
        found.resize(lines.len(), 0);
        std::io::Read::read_exact(&mut restored, &mut found).unwrap();
        assert!(found == lines, "block {expected}");
    }
    assert!(restore.wait().unwrap().success());
}
