//! What is stored at a destination, as anybody may have written it, on its way to a terminal.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[path = "../../engine/tests/common/forged.rs"]
mod forged;
mod shared;

use std::path::PathBuf;

use forged::{change, lead_to, seal};
use serde_json::{Value, json};
use shared::Scratch;

/// What clears a screen, goes back to the beginning of a line, and looks like a line of ours.
const HOSTILE: &str = "it\u{1b}[2J\u{9b}1A\r\nFORGED line\u{7}\0";

#[derive(Debug, Clone, Copy)]
enum Document {
    Manifest,
    Claim,
    Entry,
    Record,
    Ledger,
}

/// Where a document has text that anybody may have written.
const PLACES: [(Document, &str); 21] = [
    (Document::Manifest, "/resources/0/name"),
    (Document::Manifest, "/resources/0/stem"),
    (Document::Manifest, "/resources/0/segments/0/file"),
    (Document::Manifest, "/resources/0/segments/0/index"),
    (Document::Manifest, "/source/kind"),
    (Document::Manifest, "/source/location"),
    (Document::Manifest, "/plan/destinations/0/name"),
    (Document::Manifest, "/writtenBy"),
    (Document::Manifest, "/metadata"),
    (Document::Manifest, "/plan/partitions"),
    (Document::Manifest, "/version"),
    (Document::Claim, "/resources/0/name"),
    (Document::Claim, "/path"),
    (Document::Claim, "/id"),
    (Document::Entry, "/path"),
    (Document::Entry, "/id"),
    (Document::Record, "/destinations/0/name"),
    (Document::Record, "/destinations/0/location"),
    (Document::Record, "/destinations/0/error"),
    (Document::Record, "/id"),
    (Document::Ledger, "/id"),
];

struct Case {
    scratch: Scratch,
    id: String,
}

impl Case {
    fn new() -> Self {
        let scratch = Scratch::new();
        scratch.write("in.jsonl", "{\"id\":1}\n");
        let made = ["backup", "--from", "in.jsonl", "--to", "a", "--json"];
        let id = scratch.teeline(0, &made).json()["id"]
            .as_str()
            .unwrap()
            .to_owned();
        scratch.teeline(0, &["verify", "--at", "a"]);
        Case { scratch, id }
    }

    fn path(&self, document: Document) -> PathBuf {
        let only = |folder: &str| {
            let names = self.scratch.files(folder);
            self.scratch.path(folder).join(&names[0])
        };
        match document {
            Document::Manifest => self.scratch.path(&format!("a/{}/manifest.json", self.id)),
            Document::Claim => self.scratch.path(&format!("a/{}/run.json", self.id)),
            Document::Entry => only("a/catalog"),
            Document::Record => only("a/runs"),
            Document::Ledger => only("a/verifications"),
        }
    }

    fn forge(&self, document: Document, pointer: &str) {
        let sealed = change(&self.path(document), |it| {
            let (above, name) = pointer.rsplit_once('/').unwrap();
            it.pointer_mut(above).unwrap()[name] = match name {
                "error" => {
                    json!({ "class": "permanent", "message": HOSTILE, "suggestion": HOSTILE })
                }
                "metadata" => json!({ HOSTILE: HOSTILE }),
                "partitions" => json!({ HOSTILE: [HOSTILE] }),
                _ => Value::from(HOSTILE),
            };
        });
        if matches!(document, Document::Manifest) {
            lead_to(&self.path(Document::Entry), &sealed);
        }
        // So that a listing reads it as well.
        let mut marker = self.path(Document::Entry).into_os_string();
        marker.push(".published");
        std::fs::remove_dir_all(marker).unwrap();
    }

    /// Runs a command, however it ends.
    fn assert_prints_nothing_of_it(&self, arguments: &[&str], what: &str) {
        let output = self.scratch.command(arguments).output().unwrap();
        let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        for text in printed {
            let raw = text.chars().find(|c| c.is_control() && *c != '\n');
            assert_eq!(raw, None, "{what}: {arguments:?}\n{text}");
            let forged = text.lines().find(|line| line.starts_with("FORGED"));
            assert_eq!(forged, None, "{what}: {arguments:?}\n{text}");
        }
    }
}

#[test]
fn nothing_stored_reaches_a_terminal_as_it_is() {
    for (document, pointer) in PLACES {
        let case = Case::new();
        case.forge(document, pointer);
        let what = format!("{document:?} {pointer}");
        for arguments in [
            &["list", "--at", "a"][..],
            &["list", "--at", "a", "--status", "failed"],
            &["status", &case.id, "--at", "a"],
            &["verify", "--at", "a", "--deep", "--log-level", "trace"],
            &["restore", "latest", "--at", "a", "--target", "out"],
            &["cleanup", "--at", "a", "--keep-count", "1", "--dry-run"],
            &["repair", "--rebuild-manifest", "--at", "a"],
        ] {
            case.assert_prints_nothing_of_it(arguments, &what);
        }
    }
}

/// What a withdrawal says of who it is about.
#[test]
fn a_withdrawal_is_shown_as_anything_else_is() {
    let case = Case::new();
    let withdrawal = json!({
        "format": "teeline-withdrawal", "version": 1, "id": case.id, "path": HOSTILE,
        "withdrawnAt": "2026-11-26T00:00:00.000Z", "reason": "deleted",
    });
    let mut key = case.path(Document::Entry).into_os_string();
    key.push(".withdrawn");
    std::fs::write(key, seal(withdrawal)).unwrap();
    for arguments in [
        &["list", "--at", "a"][..],
        &["status", &case.id, "--at", "a"],
        &["cleanup", "--at", "a", "--keep-count", "1"],
        &["delete", &case.id, "--at", "a", "--yes"],
    ] {
        case.assert_prints_nothing_of_it(arguments, "withdrawal");
    }
}
