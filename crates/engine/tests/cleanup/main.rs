//! Deleting and cleaning up: what is kept and what goes, in two steps, wherever it breaks off.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[path = "../common/mod.rs"]
mod common;
mod crash;
mod deleted;
mod folded;
mod meanwhile;
mod runs;
mod stores;
mod withdrawn;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::{assert_idle, records, request};
use teeline::sinks::MemorySink;
use teeline::{
    BackupId, CleanupReport, CleanupRequest, DeleteReport, DeleteRequest, DestinationSpec, Engine,
    Removal, RestoreReport, RestoreRequest, RestoreTarget, Retention, RetentionPolicy, Sink, Span,
    Timestamp, VerifyRequest, Which, WhichBackups, exit,
};
use teeline_core::ObjectKey;

pub(crate) const HOUR_MS: i64 = 3_600_000;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

/// An engine whose clock is set by hand.
pub(crate) struct World {
    pub(crate) engine: Engine,
    now: Arc<AtomicI64>,
    pub(crate) lines: Vec<u8>,
}

impl World {
    /// At noon of 2026-11-23, a Monday.
    pub(crate) fn new() -> Self {
        Self::at("2026-11-23T12:00:00.000Z".parse().unwrap())
    }

    pub(crate) fn at(time: Timestamp) -> Self {
        let now = Arc::new(AtomicI64::new(time.unix_ms()));
        let clock = Arc::clone(&now);
        let engine = Engine::builder()
            .workers(1)
            .clock(Arc::new(move || {
                Timestamp::from_unix_ms(clock.load(Ordering::Relaxed))
            }))
            .build()
            .unwrap();
        World {
            engine,
            now,
            lines: records(1_000),
        }
    }

    /// The lines in a file, as long as its folder is there.
    pub(crate) fn file(&self) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        std::fs::write(&path, &self.lines).unwrap();
        (folder, path)
    }

    pub(crate) fn wait(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::Relaxed);
    }

    /// A backup that goes well.
    pub(crate) async fn backup(&self, to: &[DestinationSpec]) -> BackupId {
        let report = self.engine.backup(request(&self.lines, to)).await;
        assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
        report.id.unwrap()
    }

    /// So many, a day apart, the oldest first. It is a day after the last one then.
    pub(crate) async fn daily(&self, count: usize, to: &[DestinationSpec]) -> Vec<BackupId> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.backup(to).await);
            self.wait(DAY_MS);
        }
        ids
    }

    pub(crate) async fn cleanup(&self, at: &[DestinationSpec], rules: Retention) -> CleanupReport {
        let request = CleanupRequest::new(at.to_vec(), RetentionPolicy::new(rules));
        self.engine.cleanup(request).await
    }

    pub(crate) async fn delete(&self, at: &[DestinationSpec], id: &BackupId) -> DeleteReport {
        let request = DeleteRequest::new(at.to_vec(), id.clone());
        self.engine.delete(request).await
    }

    /// Without grace.
    pub(crate) async fn delete_at_once(
        &self,
        at: &[DestinationSpec],
        id: &BackupId,
    ) -> DeleteReport {
        let mut request = DeleteRequest::new(at.to_vec(), id.clone());
        request.retention.grace = Span::default();
        self.engine.delete(request).await
    }

    pub(crate) async fn listed(&self, at: &[DestinationSpec]) -> Vec<BackupId> {
        let report = self.engine.list(at).await;
        assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
        report.backups.into_iter().map(|listed| listed.id).collect()
    }

    pub(crate) async fn restore(&self, at: &[DestinationSpec], which: Which) -> RestoreReport {
        let folder = tempfile::tempdir().unwrap();
        let target = RestoreTarget::Folder(folder.path().join("restored"));
        let request = RestoreRequest::new(which, at.to_vec(), target);
        let report = self.engine.restore(request).await;
        if report.error.is_none() {
            let restored = std::fs::read(folder.path().join("restored/events.jsonl")).unwrap();
            assert!(restored == self.lines);
        }
        report
    }

    /// What is listed is exactly this, newest first, and whole.
    pub(crate) async fn assert_listed_and_whole(&self, at: &[DestinationSpec], ids: &[BackupId]) {
        assert_eq!(self.listed(at).await, ids);
        if !ids.is_empty() {
            let mut request = VerifyRequest::new(at.to_vec());
            request.which = WhichBackups::All;
            let verified = self.engine.verify(request).await;
            assert_eq!(verified.exit_code(), exit::DONE, "{verified:?}");
            let restored = self.restore(at, Which::Latest).await;
            assert_eq!(restored.id.as_ref(), Some(&ids[0]), "{restored:?}");
            assert_eq!(restored.exit_code(), exit::DONE, "{restored:?}");
        }
        assert_idle(&self.engine);
    }
}

pub(crate) fn daily(days: u64) -> Retention {
    Retention {
        daily: days,
        ..Retention::default()
    }
}

pub(crate) fn count(backups: u64) -> Retention {
    Retention {
        count: backups,
        ..Retention::default()
    }
}

pub(crate) fn keys_about(sink: &MemorySink, id: &BackupId) -> Vec<String> {
    let keys = sink.keys().into_iter().map(|key| key.to_string());
    keys.filter(|key| key.contains(id.as_str())).collect()
}

/// Whether only what withdrew it is left.
pub(crate) fn is_gone(sink: &MemorySink, id: &BackupId) -> bool {
    let left = keys_about(sink, id);
    left.len() == 1 && left[0].ends_with(&format!("{id}.withdrawn"))
}

pub(crate) fn removals(report: &CleanupReport) -> Vec<&Removal> {
    let removals = report.destinations.iter().flat_map(|at| &at.removals);
    removals.collect()
}

/// What a run writes last: one that was killed has written none of it.
pub(crate) const KILLED: [&str; 4] = ["manifest.json", ".published/", "runs/", "~0002.index"];

/// Takes every object away whose key has one of these in it.
pub(crate) async fn lose(sink: &MemorySink, parts: &[&str]) {
    for key in sink.keys() {
        if parts.iter().any(|part| key.as_str().contains(part)) {
            sink.delete(&key).await.unwrap();
        }
    }
}

pub(crate) fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}
