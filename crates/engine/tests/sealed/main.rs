//! Sealed backups: what an onlooker can't read, who can open them, and what is noticed of who tampers with them.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../settle/database.rs"]
#[allow(dead_code, reason = "of what it was before, and not of what it became")]
mod database;
mod forged;
mod links;
#[cfg(unix)]
mod local_index;
mod recipients;
mod repaired;
mod site;
mod written;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::{assert_idle, records, request, store};
use teeline::sinks::MemorySink;
use teeline::{
    BackupReport, BackupRequest, DestinationSpec, Engine, KdfFunction, KeySecret, Keys, RawKey,
    Recipient, RestoreReport, RestoreRequest, RestoreTarget, Timestamp, VerifyReport,
    VerifyRequest, Which, exit,
};
use teeline_core::ObjectKey;

/// An engine whose clock goes on whenever it is looked at.
fn engine() -> Engine {
    let begin: Timestamp = "2026-11-23T02:00:00.000Z".parse().unwrap();
    let now = AtomicI64::new(begin.unix_ms());
    Engine::builder()
        .workers(2)
        .clock(Arc::new(move || {
            Timestamp::from_unix_ms(now.fetch_add(1, Ordering::Relaxed))
        }))
        .build()
        .unwrap()
}

fn key(byte: u8) -> KeySecret {
    KeySecret::parse(&RawKey::new([byte; 32]).to_text()).unwrap()
}

fn recipient(secret: &KeySecret) -> Recipient {
    // What it takes to guess a passphrase is nothing that these tests are about.
    let cheap = KdfFunction::Pbkdf2Sha256 { iterations: 1_000 };
    Recipient::of(secret, cheap)
}

fn keys(secrets: &[KeySecret]) -> Keys {
    Keys::new(secrets.to_vec())
}

/// A sealed backup at two destinations.
struct Made {
    engine: Engine,
    sinks: [MemorySink; 2],
    at: Vec<DestinationSpec>,
    lines: Vec<u8>,
    report: BackupReport,
}

/// Sealed for the holder of `key(1)`.
async fn made() -> Made {
    made_by(|_| ()).await
}

async fn made_by(change: impl FnOnce(&mut BackupRequest)) -> Made {
    let engine = engine();
    let lines = records(2500);
    let ((first, at_first), (second, at_second)) = (store("first"), store("second"));
    let at = vec![at_first, at_second];
    let mut asked = request(&lines, &at);
    asked.recipients = vec![recipient(&key(1))];
    change(&mut asked);
    let report = Box::pin(engine.backup(asked)).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    Made {
        engine,
        sinks: [first, second],
        at,
        lines,
        report,
    }
}

impl Made {
    fn file(&self, name: &str) -> ObjectKey {
        let path = self.report.folder.as_ref().unwrap();
        ObjectKey::new(format!("{path}/{name}")).unwrap()
    }

    /// The names of the files in the backup's folder at a destination.
    fn names(&self, destination: usize) -> Vec<String> {
        let folder = format!("{}/", self.report.folder.as_ref().unwrap());
        let keys = self.sinks[destination].keys().into_iter();
        keys.filter_map(|key| Some(key.as_str().strip_prefix(&folder)?.to_owned()))
            .collect()
    }

    async fn restore(&self, at: &[DestinationSpec], keys: Keys) -> (RestoreReport, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let target = RestoreTarget::Folder(folder.path().join("it"));
        let mut asked = RestoreRequest::new(Which::Latest, at.to_vec(), target);
        asked.keys = keys;
        let report = Box::pin(self.engine.restore(asked)).await;
        let lines = std::fs::read(folder.path().join("it/events.jsonl")).unwrap_or_default();
        assert!(
            report.exit_code() == exit::DONE
                || report.exit_code() == exit::DEGRADED
                || lines.is_empty()
        );
        assert_idle(&self.engine);
        (report, lines)
    }

    async fn assert_restores(&self, at: &[DestinationSpec], secret: &KeySecret) {
        let (report, lines) = self.restore(at, keys(std::slice::from_ref(secret))).await;
        assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
        assert!(lines == self.lines);
    }

    async fn verify(&self, keys: Keys, deep: bool) -> VerifyReport {
        let mut asked = VerifyRequest::new(self.at.clone());
        asked.keys = keys;
        asked.deep = deep;
        Box::pin(self.engine.verify(asked)).await
    }
}
