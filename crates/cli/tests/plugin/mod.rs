//! Backups as s3db.js's BackupPlugin leaves them.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::Write;

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};

use super::shared::Scratch;

pub(crate) const ID: &str = "full-2026-01-31T10-20-30-400Z-x1y2z3";

/// The two files of a backup, before they are written.
pub(crate) struct Backup {
    pub(crate) manifest: Value,
    pub(crate) archive: Value,
}

/// A backup of so many `users`, whose file becomes text by `text`.
pub(crate) fn backup(count: usize, text: fn(&[u8]) -> String) -> Backup {
    let line = |n| format!("{{\"id\":\"u{n:05}\",\"name\":\"Zoë {n}\"}}\n");
    let lines: String = (0..count).map(line).collect();
    let users = json!({
        "name": "users", "attributes": {}, "partitions": { "byName": { "fields": { "name": "string" } } },
        "timestamps": true, "recordCount": count, "exportFile": "users.jsonl.gz", "compression": "gzip",
        "format": "jsonl", "bytesWritten": lines.len(),
    });
    let export = json!({
        "version": "1.0", "backupType": "full", "exportedAt": "2026-01-31T10:20:32.175Z",
        "database": { "bucket": "shop" }, "resources": { "users": users },
    });
    let file = |name: &str, content: String| json!({ "name": name, "size": content.encode_utf16().count(), "content": content });
    Backup {
        manifest: json!({
            "type": "full", "timestamp": "2026-01-31T10:20:30.401Z", "resources": ["users"],
            "compression": "gzip", "encrypted": false, "s3db_version": "unknown",
        }),
        archive: json!({
            "version": "1.0", "created": "2026-01-31T10:20:32.176Z",
            "files": [
                file("users.jsonl.gz", text(&gzip(lines.as_bytes()))),
                file("s3db.json", format!("{export:#}")),
            ],
        }),
    }
}

impl Backup {
    pub(crate) fn write(&self, scratch: &Scratch, folder: &str) {
        let archive = self.archive.to_string();
        scratch.write(&format!("{folder}/{ID}.backup"), gzip(archive.as_bytes()));
        let manifest = format!("{:#}", self.manifest);
        scratch.write(&format!("{folder}/{ID}.manifest.json"), manifest);
    }
}

/// What the plugin does to the bytes of a file.
pub(crate) fn as_utf8(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What would have kept them.
pub(crate) fn as_latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// As Node makes it on Unix, whose number is 3.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let header = GzBuilder::new().operating_system(3);
    let mut encoder = header.write(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
