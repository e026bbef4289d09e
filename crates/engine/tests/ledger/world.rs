//! An engine with a clock that is set by hand, and what it leaves in ledgers.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

use teeline::sinks::MemorySink;
use teeline::{
    BackupId, DestinationSpec, Engine, ScrubReport, ScrubRequest, Span, Timestamp, VerifyRequest,
    Which, WhichBackups,
};
use teeline_core::{ObjectKey, VerificationRecord, document};

use crate::common::{records, request, whole};

pub(crate) const DAY_MS: i64 = 86_400_000;

/// An engine with a clock that is set by hand.
pub(crate) struct World {
    pub(crate) engine: Engine,
    now_ms: Arc<AtomicI64>,
    pub(crate) scratch: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let began: Timestamp = "2026-11-01T02:00:00.000Z".parse().unwrap();
        let now_ms = Arc::new(AtomicI64::new(began.unix_ms()));
        let scratch = tempfile::tempdir().unwrap();
        World {
            engine: engine(&now_ms, scratch.path()),
            now_ms,
            scratch,
        }
    }

    /// Another engine by the same clock, as another process has it.
    pub(crate) fn another_engine(&self) -> Engine {
        engine(&self.now_ms, self.scratch.path())
    }

    pub(crate) fn after_days(&self, days: i64) {
        self.now_ms.fetch_add(days * DAY_MS, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.now_ms.load(Ordering::SeqCst))
    }

    pub(crate) async fn backed_up(&self, count: u64, to: &[DestinationSpec]) -> BackupId {
        self.made("full", count, to).await
    }

    pub(crate) async fn made(&self, kind: &str, count: u64, to: &[DestinationSpec]) -> BackupId {
        let mut request = request(&records(count), to);
        request.backup_type = kind.parse().unwrap();
        let report = self.engine.backup(request).await;
        assert_eq!(report.exit_code(), 0, "{report:?}");
        report.id.unwrap()
    }

    /// Verifies one backup, and says with which exit code.
    pub(crate) async fn verified(&self, id: &BackupId, at: &[DestinationSpec]) -> u8 {
        let report = self.engine.verify(verify(id, at)).await;
        report.exit_code()
    }

    pub(crate) async fn scrubbed(&self, budget: u64, at: &[DestinationSpec]) -> ScrubReport {
        let mut request = ScrubRequest::new(at.to_vec());
        request.budget_bytes = Some(budget);
        request.max_age = Some(Span::from_days(1));
        self.engine.scrub(request).await
    }
}

fn engine(now_ms: &Arc<AtomicI64>, temp_dir: &Path) -> Engine {
    let (clock, ids) = (Arc::clone(now_ms), AtomicU8::new(0));
    let built = Engine::builder()
        .workers(1)
        .temp_dir(temp_dir)
        .clock(Arc::new(move || {
            Timestamp::from_unix_ms(clock.load(Ordering::SeqCst))
        }))
        .random(Arc::new(move |bytes| {
            bytes.fill(ids.fetch_add(1, Ordering::SeqCst));
            Ok(())
        }))
        .build();
    built.unwrap()
}

pub(crate) fn verify(id: &BackupId, at: &[DestinationSpec]) -> VerifyRequest {
    let mut request = VerifyRequest::new(at.to_vec());
    request.which = WhichBackups::One(Which::Id(id.clone()));
    request
}

pub(crate) fn entries(sink: &MemorySink) -> Vec<ObjectKey> {
    let keys = sink.keys().into_iter();
    let is_entry = |key: &ObjectKey| key.as_str().starts_with("verifications/");
    keys.filter(is_entry).collect()
}

pub(crate) async fn only_entry(sink: &MemorySink) -> VerificationRecord {
    let keys = entries(sink);
    assert_eq!(keys.len(), 1, "{keys:?}");
    document::open("it", &whole(sink, &keys[0]).await).unwrap()
}

pub(crate) fn data_file(sink: &MemorySink, id: &BackupId) -> ObjectKey {
    let of_it = |key: &ObjectKey| {
        key.as_str().contains(id.as_str()) && key.as_str().ends_with("events.jsonl.gz")
    };
    sink.keys().into_iter().find(of_it).unwrap()
}

pub(crate) async fn flip(sink: &MemorySink, key: &ObjectKey) {
    let mut bytes = whole(sink, key).await.to_vec();
    bytes[20] ^= 1;
    sink.overwrite(key, &bytes);
}
