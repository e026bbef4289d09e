//! What the engine's tests share: records, stores that fail by plan, and the checks that end every test.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod watched;

use std::io::Cursor;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use teeline::sinks::{Fault, FaultPlan, FaultSink, MemorySink, Operation};
use teeline::{
    BackupError, BackupReport, BackupRequest, CustomSink, DestinationSpec, Engine, Executor,
    JsonlSource, Place, Resume, Sink, StrategyKind, Timestamp,
};
use teeline_core::{Capabilities, Digest, ObjectKey, ObjectMeta, Upload, published_marker};
use tokio::sync::watch;

/// `count` records of varying size, the same each time.
pub(crate) fn records(count: u64) -> Vec<u8> {
    let mut lines = Vec::new();
    let mut state = 7u64;
    for number in 0..count {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let text = format!("{state:x}").repeat(usize::try_from(state >> 60).unwrap_or(1) + 1);
        lines.extend_from_slice(format!("{{\"id\":{number},\"text\":\"{text}\"}}\n").as_bytes());
    }
    lines
}

pub(crate) fn source(lines: &[u8]) -> JsonlSource {
    JsonlSource::from_reader("events", Box::new(Cursor::new(lines.to_vec())))
}

/// An engine whose clock stands still and whose ids are the same each time.
pub(crate) fn engine(executor: Executor) -> Engine {
    let now: Timestamp = "2026-11-23T02:00:00.000Z".parse().expect("a time");
    Engine::builder()
        .executor(executor)
        .clock(Arc::new(move || now))
        .random(Arc::new(|bytes| {
            bytes.fill(3);
            Ok(())
        }))
        .build()
        .expect("an engine")
}

pub(crate) fn store(name: &str) -> (MemorySink, DestinationSpec) {
    let sink = MemorySink::new(name);
    let spec = place(name, sink.clone());
    (sink, spec)
}

pub(crate) fn failing(name: &str, fault: Fault) -> (MemorySink, DestinationSpec) {
    let sink = MemorySink::new(name);
    let faulty = FaultSink::new(Arc::new(sink.clone()), FaultPlan::new(1).with(fault));
    (sink, place(name, faulty))
}

pub(crate) fn place(name: &str, sink: impl Sink) -> DestinationSpec {
    DestinationSpec::new(name, Place::Sink(CustomSink::new(sink))).expect("a name")
}

/// Small blocks and segments, so that a few records make many of them.
pub(crate) fn request(lines: &[u8], destinations: &[DestinationSpec]) -> BackupRequest {
    let mut request = BackupRequest::new(source(lines), destinations.to_vec());
    request.block_bytes = Some(4 << 10);
    request.segment_bytes = 16 << 10;
    request
}

/// A backup of a file under `any`; a run that broke off is taken up at once.
pub(crate) async fn any_of(
    engine: &Engine,
    file: &Path,
    to: &[DestinationSpec],
    resume: Option<Resume>,
) -> BackupReport {
    let mut asked = request(&[], to);
    asked.source = Arc::new(JsonlSource::path(file));
    (asked.strategy, asked.resume) = (StrategyKind::Any, resume);
    asked.resume_quiet = Duration::from_millis(1);
    engine.backup(asked).await
}

/// Every object but what says something of one destination only: records of runs, and of checks.
pub(crate) async fn objects(sink: &MemorySink) -> Vec<(ObjectKey, Vec<u8>)> {
    let mut objects = Vec::new();
    for key in sink.keys().into_iter().filter(|key| {
        !["runs/", "verifications/"]
            .iter()
            .any(|own| key.as_str().starts_with(own))
    }) {
        let bytes = whole(sink, &key).await;
        objects.push((key, bytes.to_vec()));
    }
    objects
}

/// A stored document with so many bytes of nothing in it, by which its digest is right.
pub(crate) fn padded(document: &[u8], padding: u64) -> Vec<u8> {
    let end = document.windows(11).rposition(|at| at == b",\"blake3\":\"");
    let mut padded = document[..end.expect("it ends in its digest")].to_vec();
    padded.extend_from_slice(b",\"padding\":\"");
    padded.resize(
        padded.len() + usize::try_from(padding).expect("it fits"),
        b'x',
    );
    padded.push(b'"');
    let digest = Digest::of(&padded);
    padded.extend_from_slice(format!(",\"blake3\":\"{digest}\"}}\n").as_bytes());
    padded
}

/// Takes the markers of published backups away, so that listings ask for manifests.
pub(crate) async fn unmark(sink: &MemorySink) {
    for key in sink.keys() {
        if published_marker::entry_of(&key).is_some() {
            sink.delete(&key).await.expect("it can be deleted");
        }
    }
}

/// The bytes of an object.
pub(crate) async fn whole(sink: &MemorySink, key: &ObjectKey) -> bytes::Bytes {
    let size = sink.head(key).await.expect("it is there").bytes;
    sink.read(key, 0..size).await.expect("it is there")
}

pub(crate) fn assert_idle(engine: &Engine) {
    assert!(
        engine.is_idle(),
        "the budget is whole and nothing is under way"
    );
}

/// Is told of each upload, with the bytes that are expected, and of each read, before it.
type Spy = Arc<dyn Fn(Operation, &ObjectKey, u64) + Send + Sync>;

/// A store that somebody looks at.
pub(crate) struct SpySink {
    inner: MemorySink,
    spy: Spy,
    /// Uploads begin once this is true.
    gate: watch::Receiver<bool>,
}

impl SpySink {
    pub(crate) fn new(
        inner: MemorySink,
        spy: impl Fn(Operation, &ObjectKey, u64) + Send + Sync + 'static,
    ) -> Self {
        SpySink {
            inner,
            spy: Arc::new(spy),
            gate: watch::Sender::new(true).subscribe(),
        }
    }

    /// One whose uploads begin once `gate` is true.
    pub(crate) fn gated(inner: MemorySink, gate: watch::Receiver<bool>) -> Self {
        SpySink {
            gate,
            ..Self::new(inner, |_, _, _| ())
        }
    }
}

impl std::fmt::Debug for SpySink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.inner, f)
    }
}

impl std::fmt::Display for SpySink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.inner, f)
    }
}

#[async_trait::async_trait]
impl Sink for SpySink {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn begin(&self, key: &ObjectKey, bytes: u64) -> Result<Box<dyn Upload>, BackupError> {
        (self.spy)(Operation::Begin, key, bytes);
        // Nobody who could open it means that it is as it is.
        let _ = self.gate.clone().wait_for(|is_open| *is_open).await;
        self.inner.begin(key, bytes).await
    }
    async fn put(&self, key: &ObjectKey, bytes: bytes::Bytes) -> Result<(), BackupError> {
        self.inner.put(key, bytes).await
    }
    async fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<bytes::Bytes, BackupError> {
        (self.spy)(Operation::Read, key, range.end - range.start);
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
