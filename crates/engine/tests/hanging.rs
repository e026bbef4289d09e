//! A destination whose writes hang in the operating system: it is left behind, with what it holds.

mod common;

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use common::{assert_idle, place, records, request, store};
use futures::stream::BoxStream;
use teeline::sinks::{DeadlineSink, Deadlines, MemorySink};
use teeline::{
    BackupError, DestinationStatus, Engine, Executor, LagPolicy, Sink, StrategyKind, VerifyRequest,
};
use teeline_core::{Capabilities, ObjectKey, ObjectMeta, Upload};

/// A store whose writes hang on a blocking thread, each with its bytes, until the test ends.
#[derive(Debug)]
struct Hanging {
    inner: MemorySink,
    hung: Hung,
}

/// What keeps the threads waiting.
type Hung = Arc<Mutex<Vec<mpsc::Sender<()>>>>;

impl fmt::Display for Hanging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl Sink for Hanging {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn begin(&self, key: &ObjectKey, bytes: u64) -> Result<Box<dyn Upload>, BackupError> {
        let inner = self.inner.begin(key, bytes).await?;
        let hung = Arc::clone(&self.hung);
        Ok(Box::new(HangingUpload { inner, hung }))
    }
    async fn put(&self, key: &ObjectKey, bytes: Bytes) -> Result<(), BackupError> {
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

struct HangingUpload {
    inner: Box<dyn Upload>,
    hung: Hung,
}

#[async_trait]
impl Upload for HangingUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        let (keep, ended) = mpsc::channel();
        self.hung.lock().expect("no panic").push(keep);
        let hangs = move || {
            // Ends with the test, which is all that is waited for.
            let _ = ended.recv();
            drop(bytes);
        };
        tokio::task::spawn_blocking(hangs).await.expect("no panic");
        Ok(())
    }
    async fn commit(&mut self) -> Result<(), BackupError> {
        self.inner.commit().await
    }
    async fn abort(&mut self) -> Result<(), BackupError> {
        self.inner.abort().await
    }
}

#[tokio::test]
async fn a_run_goes_on_without_a_destination_whose_writes_hang() {
    let hung = Hung::default();
    for executor in [Executor::Threads(2), Executor::Inline] {
        let engine = Engine::builder()
            .executor(executor)
            .budget_bytes(1 << 20)
            .build()
            .expect("an engine");
        let hanging = Hanging {
            inner: MemorySink::new("hangs"),
            hung: Arc::clone(&hung),
        };
        let soon = Deadlines {
            call_base_ms: 20,
            ..Deadlines::default()
        };
        let hangs = place("hangs", DeadlineSink::new(Arc::new(hanging), soon));
        let (_, good) = store("good");
        // Larger than what the budget would have without what hangs.
        let mut lines = records(1000);
        lines.extend_from_slice(format!("\"{}\"\n", "x".repeat(2 << 20)).as_bytes());
        lines.extend_from_slice(&records(1000));
        let mut asked = request(&lines, &[hangs, good.clone()]);
        asked.strategy = StrategyKind::Any;
        // It would be left behind before its deadline.
        asked.lag = Some(LagPolicy::Block);
        let ended = tokio::time::timeout(Duration::from_secs(60), engine.backup(asked)).await;
        let report = ended.expect("the run ends");
        assert_eq!(report.exit_code(), 3, "{report:?}");
        let statuses = report.destinations.iter().map(|at| at.status);
        assert_eq!(
            statuses.collect::<Vec<_>>(),
            [DestinationStatus::Failed, DestinationStatus::Committed]
        );
        assert!(!hung.lock().expect("no panic").is_empty(), "calls hang");
        assert_idle(&engine);
        let verified = engine.verify(VerifyRequest::new(vec![good])).await;
        assert_eq!(verified.exit_code(), 0, "{verified:?}");
        hung.lock().expect("no panic").clear();
    }
}
