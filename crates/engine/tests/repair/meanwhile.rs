//! A repair of a run that goes on: both publish the same bytes, so neither harms the other.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use teeline::sinks::MemorySink;
use teeline::{BackupError, RepairRequest, RepairStatus, Sink, VerifyRequest, exit};
use teeline_core::{Capabilities, ObjectKey, ObjectMeta, Upload};
use tokio::sync::{Notify, Semaphore};

use crate::common::{assert_idle, objects, place, records, request};
use crate::{engine, statuses};

/// A store that holds a run up before it publishes.
#[derive(Debug, Clone)]
struct GatedSink {
    inner: MemorySink,
    reached: Arc<Notify>,
    gate: Arc<Semaphore>,
}

impl fmt::Display for GatedSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait::async_trait]
impl Sink for GatedSink {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn begin(&self, key: &ObjectKey, bytes: u64) -> Result<Box<dyn Upload>, BackupError> {
        self.inner.begin(key, bytes).await
    }
    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
        if key.as_str().starts_with("catalog/") {
            self.reached.notify_one();
            // Once it is open it stays so.
            drop(self.gate.acquire().await.unwrap());
        }
        self.inner.put(key, bytes).await
    }
    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        self.inner.read(key, range).await
    }
    async fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        self.inner.head(key).await
    }
    async fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.inner.drop_cached(key).await
    }
    fn list(&self, folder: Option<&ObjectKey>) -> BoxStream<'_, Result<ObjectMeta, BackupError>> {
        self.inner.list(folder)
    }
    async fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        self.inner.delete(key).await
    }
}

#[tokio::test]
async fn a_run_finds_its_own_manifest_there_and_is_content() {
    let engine = engine();
    let inner = MemorySink::new("one");
    let sink = GatedSink {
        inner: inner.clone(),
        reached: Arc::new(Notify::new()),
        gate: Arc::new(Semaphore::new(0)),
    };
    let run = engine.backup(request(&records(2500), &[place("one", sink.clone())]));
    let repair = async {
        sink.reached.notified().await;
        let to = [place("one", inner.clone())];
        let report = engine
            .repair(RepairRequest::rebuild_manifests(to.to_vec()))
            .await;
        let published = objects(&inner).await;
        sink.gate.add_permits(1);
        (report, published)
    };
    let (made, (repaired, published)) = tokio::join!(run, repair);
    assert_eq!(repaired.exit_code(), exit::DONE, "{repaired:?}");
    assert_eq!(statuses(&repaired), [RepairStatus::Reconstructed]);
    assert_eq!(made.exit_code(), exit::DONE, "{made:?}");
    assert!(made.destinations[0].error.is_none(), "{made:?}");
    assert_eq!(made.checksum, repaired.runs[0].destinations[0].checksum);
    assert!(published == objects(&inner).await, "nothing was added");
    let verified = engine
        .verify(VerifyRequest::new(vec![place("one", inner)]))
        .await;
    assert_eq!(verified.exit_code(), exit::DONE, "{verified:?}");
    assert_idle(&engine);
}
