//! Who may read a backup in a folder, whatever the umask is.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod shared;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use shared::{Run, Scratch};

/// The modes of everything that a backup made, files and folders apart.
fn made(scratch: &Scratch, umask: &str, settings: &str) -> (Vec<u32>, Vec<u32>) {
    let root = format!("to-{umask}");
    let config = format!(
        "[source]\npath = \"events.jsonl\"\n[backup]\npath = \"{{year}}\"\n[destinations.a]\npath = \"{root}/b\"\n{settings}"
    );
    scratch.write("teeline.toml", config);
    let teeline = scratch.command(&["backup", "--config", "teeline.toml"]);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "umask \"$1\" && shift && exec \"$@\"", "sh", umask])
        .arg(teeline.get_program())
        .args(teeline.get_args())
        .current_dir(scratch.path("."));
    Run::of(0, shell.output().unwrap(), settings);
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    collect(&scratch.path(&root), &mut files, &mut folders);
    for modes in [&mut files, &mut folders] {
        modes.sort_unstable();
        modes.dedup();
    }
    (files, folders)
}

fn collect(at: &Path, files: &mut Vec<u32>, folders: &mut Vec<u32>) {
    let mode = fs::metadata(at).unwrap().permissions().mode() & 0o777;
    if !at.is_dir() {
        files.push(mode);
        return;
    }
    folders.push(mode);
    for entry in fs::read_dir(at).unwrap() {
        collect(&entry.unwrap().path(), files, folders);
    }
}

#[test]
fn what_is_made_has_the_permissions_that_were_asked_for() {
    let scratch = Scratch::new();
    scratch.write("events.jsonl", "{\"n\":1}\n");
    for (umask, settings, files, folders) in [
        ("000", "", 0o600, 0o700),
        ("022", "", 0o600, 0o700),
        (
            "077",
            "permissions = \"644\"\ndirectory_permissions = \"755\"",
            0o644,
            0o755,
        ),
        (
            "007",
            "permissions = 420\ndirectory_permissions = 0o755",
            0o644,
            0o755,
        ),
        (
            "002",
            "permissions = \"0666\"\ndirectory_permissions = \"777\"",
            0o666,
            0o777,
        ),
    ] {
        let made = made(&scratch, umask, settings);
        assert_eq!(made, (vec![files], vec![folders]), "{umask} {settings}");
    }
}

#[test]
fn what_is_restored_is_for_its_owner() {
    let scratch = Scratch::new();
    scratch.write("events.jsonl", "{\"n\":1}\n");
    scratch.teeline(0, &["backup", "--from", "events.jsonl", "--to", "a"]);
    let target = "./new/folder";
    let asked = ["restore", "latest", "--at", "a", "--target", target];
    scratch.teeline(0, &asked);
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    collect(&scratch.path("new"), &mut files, &mut folders);
    assert_eq!((files, folders), (vec![0o600], vec![0o700; 2]));
}

#[test]
fn where_others_have_prepared_the_place_nothing_is_restored() {
    let scratch = Scratch::new();
    scratch.write("events.jsonl", "{\"n\":1}\n");
    scratch.teeline(0, &["backup", "--from", "events.jsonl", "--to", "a"]);
    let id = scratch.listed("a").remove(0);
    let staging = scratch.path(&format!(".new.{id}.restoring"));
    let asked = ["restore", "latest", "--at", "a", "--target", "./new"];
    std::fs::create_dir(&staging).unwrap();
    std::fs::set_permissions(&staging, Permissions::from_mode(0o777)).unwrap();
    let refused = scratch.teeline(1, &asked);
    assert!(refused.stderr.contains("others may use it"), "{refused:?}");

    std::fs::remove_dir(&staging).unwrap();
    let elsewhere = scratch.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &staging).unwrap();
    scratch.teeline(1, &asked);
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
    assert!(!scratch.path("new").exists());

    std::fs::remove_file(&staging).unwrap();
    scratch.teeline(0, &asked);
    assert_eq!(scratch.files("new"), ["events.jsonl"]);
}
