//! Lost manifests: made again byte for byte where every file is there and right, refused by name where one isn't.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]

#[path = "../common/mod.rs"]
mod common;
mod meanwhile;
mod passed_over;
mod rebuilt;
mod recorded;
mod refused;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::{assert_idle, objects, records, request, store, whole};
use teeline::sinks::MemorySink;
use teeline::{
    BackupId, CopyState, DestinationSpec, Digest, Engine, RepairReport, RepairRequest,
    RepairStatus, RepairedCopy, RestoreRequest, RestoreTarget, Sink, Timestamp, VerifyRequest,
    Which, exit,
};
use teeline_core::{ObjectKey, document, published_marker};

/// An engine whose clock goes on whenever it is looked at: records are told apart by when they were left.
pub(crate) fn engine() -> Engine {
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

/// A backup at two destinations.
pub(crate) struct Made {
    pub(crate) engine: Engine,
    pub(crate) sinks: [MemorySink; 2],
    pub(crate) at: Vec<DestinationSpec>,
    pub(crate) lines: Vec<u8>,
    pub(crate) id: BackupId,
    pub(crate) checksum: Digest,
}

pub(crate) async fn made() -> Made {
    let engine = engine();
    let lines = records(2500);
    let ((first, at_first), (second, at_second)) = (store("first"), store("second"));
    let at = vec![at_first, at_second];
    let report = engine.backup(request(&lines, &at)).await;
    assert_eq!(report.exit_code(), exit::DONE, "{report:?}");
    Made {
        engine,
        sinks: [first, second],
        at,
        lines,
        id: report.id.unwrap(),
        checksum: report.checksum.unwrap(),
    }
}

impl Made {
    pub(crate) fn file(&self, name: &str) -> ObjectKey {
        ObjectKey::new(format!("{}/{name}", self.id)).unwrap()
    }

    /// The one object at the first destination whose key contains `part`, and isn't a marker.
    pub(crate) fn key(&self, part: &str) -> ObjectKey {
        let keys = self.sinks[0].keys();
        let is_marker = |key: &ObjectKey| published_marker::entry_of(key).is_some();
        let is_it = |key: &ObjectKey| key.as_str().contains(part) && !is_marker(key);
        let mut found = keys.into_iter().filter(is_it);
        let key = found.next().unwrap();
        assert_eq!(found.next(), None);
        key
    }

    pub(crate) async fn lose(&self, destination: usize, keys: &[&ObjectKey]) {
        for key in keys {
            self.sinks[destination].head(key).await.unwrap();
            self.sinks[destination].delete(key).await.unwrap();
        }
    }

    pub(crate) async fn repair(&self, destinations: &[DestinationSpec]) -> RepairReport {
        let request = RepairRequest::rebuild_manifests(destinations.to_vec());
        self.engine.repair(request).await
    }

    pub(crate) async fn repair_named(&self, destinations: &[DestinationSpec]) -> RepairReport {
        let mut request = RepairRequest::rebuild_manifests(destinations.to_vec());
        request.id = Some(self.id.clone());
        self.engine.repair(request).await
    }

    /// Takes the manifest away at the first destination, where that must be noticed.
    pub(crate) async fn lose_and_notice(&self) {
        self.lose(0, &[&self.file("manifest.json")]).await;
        let status = self.engine.status(&self.at[..1], &self.id).await;
        let copy = &status.destinations[0];
        assert_eq!(copy.status, CopyState::Damaged, "{status:?}");
        let error = copy.error.as_ref().unwrap();
        assert!(error.message.contains(self.id.as_str()), "{error:?}");
        let suggestion = error.suggestion.as_ref().unwrap();
        assert!(suggestion.contains("repair"), "{suggestion}");
    }

    /// Repairs the first destination, which must be refused and stay as it is.
    pub(crate) async fn refused(&self) -> RepairedCopy {
        let before = objects(&self.sinks[0]).await;
        let report = self.repair_named(&self.at[..1]).await;
        assert_eq!(report.exit_code(), exit::DAMAGED, "{report:?}");
        let copy = report.runs[0].destinations[0].clone();
        assert_eq!(copy.status, RepairStatus::Refused, "{report:?}");
        assert_eq!(copy.checksum, None);
        assert!(
            before == objects(&self.sinks[0]).await,
            "nothing is written"
        );
        copy
    }

    /// The backup at these destinations is listed, verifies and restores.
    pub(crate) async fn assert_whole(&self, destinations: &[DestinationSpec]) {
        let verified = self
            .engine
            .verify(VerifyRequest::new(destinations.to_vec()))
            .await;
        assert_eq!(verified.exit_code(), exit::DONE, "{verified:?}");
        let folder = tempfile::tempdir().unwrap();
        let target = RestoreTarget::Folder(folder.path().join("restored"));
        let restored = self
            .engine
            .restore(RestoreRequest::new(
                Which::Latest,
                destinations.to_vec(),
                target,
            ))
            .await;
        assert_eq!(restored.exit_code(), exit::DONE, "{restored:?}");
        assert!(std::fs::read(folder.path().join("restored/events.jsonl")).unwrap() == self.lines);
        assert_idle(&self.engine);
    }
}

pub(crate) fn statuses(report: &RepairReport) -> Vec<RepairStatus> {
    let copies = report.runs.iter().flat_map(|run| &run.destinations);
    copies.map(|copy| copy.status).collect()
}

pub(crate) async fn reseal<D: document::Document>(
    sink: &MemorySink,
    key: &ObjectKey,
    change: impl FnOnce(&mut D),
) {
    let mut document = document::open("it", &whole(sink, key).await).unwrap();
    change(&mut document);
    sink.overwrite(key, &document::seal(&document));
}
