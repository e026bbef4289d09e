//! What this version's predecessors have written restores for ever: `tests/kept` has backups as they were written, in each compression,
//! of lines and of a database, sealed, and one that goes on from another, and what each restores to. They are never made anew; what
//! a later version of the format writes is added to them.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

mod shared;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use shared::{Scratch, workspace};

fn kept(name: &str) -> PathBuf {
    workspace().join("crates/cli/tests/kept").join(name)
}

/// Every file below a folder, by its path from there.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut contents = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(below) = folders.pop() {
        for entry in fs::read_dir(below).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                contents.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    contents
}

/// With the backups of the kept destination at `copies`, and their passphrase.
fn with_copies() -> Scratch {
    let scratch = Scratch::new();
    for (name, bytes) in contents(&kept("copies")) {
        scratch.write(&format!("copies/{}", name.display()), bytes);
    }
    scratch.write("passphrase", fs::read(kept("passphrase")).unwrap());
    fs::set_permissions(scratch.path("passphrase"), Permissions::from_mode(0o600)).unwrap();
    scratch
}

#[test]
fn what_earlier_versions_wrote_restores_to_the_byte() {
    let scratch = with_copies();
    let ids = scratch.listed("copies");
    assert_eq!(ids.len(), 9);
    for id in &ids {
        let (kind, _) = id.split_once('-').unwrap();
        let expected = match kind {
            "none" | "gzip" | "deflate" | "brotli" | "zstd" => "full",
            other => other,
        };
        let target = format!("./{kind}");
        let mut restore = vec!["restore", id, "--at", "copies", "--target", &target];
        if kind == "sealed" {
            restore.extend(["--passphrase-file", "passphrase"]);
        }
        scratch.teeline(0, &restore);
        let restored = contents(&scratch.path(kind));
        let expected = contents(&kept("expected").join(expected));
        assert!(restored.keys().eq(expected.keys()), "{id}: {restored:?}");
        for (name, bytes) in &expected {
            assert!(restored[name] == *bytes, "{id}: {}", name.display());
        }
    }
}

#[test]
fn what_earlier_versions_wrote_is_checked_gone_on_from_and_cleaned_up() {
    let scratch = with_copies();
    let ids = scratch.listed("copies");
    let verify = [
        "verify",
        "--all",
        "--deep",
        "--at",
        "copies",
        "--passphrase-file",
        "passphrase",
        "--allow-unsealed",
    ];
    scratch.teeline(0, &verify);
    for name in ["users.jsonl", "orders.jsonl"] {
        let bytes = fs::read(kept("expected/sealed").join(name)).unwrap();
        scratch.write(&format!("in/{name}"), bytes);
    }
    let back_up = [
        "backup",
        "incremental",
        "--from",
        "in",
        "--to",
        "copies",
        "--json",
    ];
    let report = scratch.teeline(0, &back_up).json();
    let parent = report["parent"]["id"].as_str().unwrap();
    assert!(ids.iter().any(|id| id == parent), "{report}");
    scratch.teeline(0, &["repair", "--at", "copies"]);
    let cleanup = [
        "cleanup",
        "--at",
        "copies",
        "--keep-count",
        "1",
        "--grace",
        "0s",
    ];
    scratch.teeline(0, &cleanup);
    let left = scratch.listed("copies");
    assert!(
        left.len() < ids.len() && left.iter().any(|id| id == parent),
        "{left:?}"
    );
    scratch.teeline(0, &["verify", "--all", "--at", "copies"]);
}
