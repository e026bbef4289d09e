//! What the tests of passes share: a source that gives what it is told to, and a pass with small blocks.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fmt;
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use teeline_actors::{Budget, Executor, Pass, PassDestination, Verification};
use teeline_core::{
    Attachment, BackupError, BackupId, BackupType, Capabilities, Compression, CutLimits,
    DestinationId, Holdings, Item, LagPolicy, Metadata, ObjectKey, ObjectMeta, Partitions, Placed,
    PlanEntry, PlannedResource, Query, RecordBatch, ResourceCounts, ResourceId, ResourceKind,
    RunHead, Scan, ScanPlan, Selection, Sink, Source, SourceKind, Strategy, StrategyKind,
    Timestamp, Upload,
};
use teeline_sinks::MemorySink;
use tokio::sync::watch;

/// Blocks are cut to this size.
pub(crate) const BLOCK_BYTES: usize = 64 << 10;

/// A source of one resource, `events`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records {
    /// The records, each with its newline.
    pub(crate) records: Vec<Bytes>,
    /// Whole small files that it begins with.
    pub(crate) attachments: Vec<Attachment>,
    /// Whether it begins again before it ends, as no source may.
    pub(crate) begins_again: bool,
}

impl Records {
    /// `count` records of `bytes` bytes and a newline that can't be made smaller.
    pub(crate) fn of(count: usize, bytes: usize) -> Self {
        let random = teeline_core::Random::new(3);
        let record = |_| {
            let digits =
                std::iter::repeat_with(|| b'a' + u8::try_from(random.below(26)).unwrap_or(0));
            digits.take(bytes).chain([b'\n']).collect()
        };
        Records {
            records: (0..count).map(record).collect(),
            ..Records::default()
        }
    }
}

impl fmt::Display for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("records")
    }
}

#[async_trait]
impl Source for Records {
    fn kind(&self) -> SourceKind {
        SourceKind::Jsonl
    }
    fn is_rereadable(&self) -> bool {
        true
    }
    async fn scan(&self, _: Selection) -> Result<Box<dyn Scan>, BackupError> {
        let plan = ScanPlan {
            resources: vec![PlannedResource {
                kind: ResourceKind::Records("events".to_owned()),
                plain_bytes: None,
            }],
            attachments: self.attachments.clone(),
            ..ScanPlan::default()
        };
        let records = self.records.clone().into_iter().map(|record| {
            let batch = RecordBatch {
                ends: vec![record.len()],
                bytes: record,
                ..RecordBatch::default()
            };
            Item::Records(ResourceId(0), batch)
        });
        let items = std::iter::once(Item::Begin(ResourceId(0))).chain(records);
        let again = self.begins_again.then_some(Item::Begin(ResourceId(0)));
        let end = Item::End(ResourceId(0), ResourceCounts::default());
        Ok(Box::new(Reading {
            plan,
            items: Box::new(items.chain(again).chain([end])),
        }))
    }
    fn describe(&self, _: &Placed<'_>) -> Result<Vec<Attachment>, BackupError> {
        Ok(Vec::new())
    }
}

struct Reading {
    plan: ScanPlan,
    items: Box<dyn Iterator<Item = Item> + Send>,
}

#[async_trait]
impl Scan for Reading {
    fn plan(&self) -> &ScanPlan {
        &self.plan
    }
    async fn next(&mut self) -> Result<Option<Item>, BackupError> {
        Ok(self.items.next())
    }
}

/// A pass of `source` to stores called `0`, `1` and so on, none of them required.
pub(crate) fn pass(source: Records, budget: &Budget, sinks: Vec<Arc<dyn Sink>>) -> Pass {
    let kind = StrategyKind::Any;
    let strategy = Strategy::new(kind, &vec![false; sinks.len()]).expect("destinations");
    let backup_type: BackupType = "full".parse().expect("a type");
    let started_at = Timestamp::from_unix_ms(1_795_399_200_000);
    let id = BackupId::new(&backup_type, started_at, &[3; 10]);
    let path = ObjectKey::new(id.to_string()).expect("a key");
    let destinations = sinks
        .into_iter()
        .enumerate()
        .map(|(number, sink)| PassDestination {
            id: DestinationId(number),
            name: number.to_string(),
            location: sink.to_string(),
            required: false,
            lag: LagPolicy::Block,
            sink,
            retries: Arc::new(AtomicU64::new(0)),
            holdings: Holdings::default(),
        });
    Pass {
        source: Arc::new(source),
        selection: Selection::everything(),
        base: None,
        resuming: None,
        destinations: destinations.collect(),
        strategy,
        head: RunHead {
            id,
            backup_type,
            started_at,
            path: path.to_string(),
            plan: PlanEntry {
                strategy: kind.to_string(),
                destinations: Vec::new(),
                compression: Compression::None,
                block_bytes: BLOCK_BYTES as u64,
                segment_bytes: 1 << 20,
                include: Vec::new(),
                exclude: Vec::new(),
                partitions: Partitions::default(),
                query: Query::default(),
                seal: None,
            },
            parent: None,
            since: None,
            consolidates: None,
            metadata: Metadata::default(),
            written_by: "a test".to_owned(),
        },
        path,
        sealing: None,
        prologue: Box::new(|_| Ok(())),
        epilogue: Box::new(|_| Ok(Vec::new())),
        verification: Verification::Read,
        limits: CutLimits {
            block_bytes: BLOCK_BYTES,
            record_bytes_max: 64 << 20,
        },
        window_bytes: 8 << 20,
        budget: budget.clone(),
        lag_patience: Duration::from_secs(10),
        spool: None,
        starved_after: Duration::from_millis(50),
        executor: Executor::Threads(2),
        clock: Arc::new(move || started_at),
        observer: Arc::new(|_| ()),
        cancel: watch::Sender::new(false).subscribe(),
    }
}

/// What a store does with the bytes that it is given to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// It keeps a handle on them until they are committed.
    UntilCommit,
    /// It fails, and keeps them for ever: what is left of a call into the operating system that hangs.
    AfterFailure,
}

/// A store that keeps handles on what it is given to write.
#[derive(Debug)]
pub(crate) struct Keeper {
    inner: MemorySink,
    keeping: Keeping,
    kept: Kept,
}

/// The bytes that a [`Keeper`] keeps.
pub(crate) type Kept = Arc<Mutex<Vec<Bytes>>>;

impl Keeper {
    pub(crate) fn new(keeping: Keeping, kept: &Kept) -> Self {
        Keeper {
            inner: MemorySink::new("keeper"),
            keeping,
            kept: Arc::clone(kept),
        }
    }
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl Sink for Keeper {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn begin(&self, key: &ObjectKey, bytes: u64) -> Result<Box<dyn Upload>, BackupError> {
        Ok(Box::new(KeeperUpload {
            inner: self.inner.begin(key, bytes).await?,
            keeping: self.keeping,
            kept: Arc::clone(&self.kept),
        }))
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

struct KeeperUpload {
    inner: Box<dyn Upload>,
    keeping: Keeping,
    kept: Kept,
}

#[async_trait]
impl Upload for KeeperUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        self.kept.lock().expect("no panic").push(bytes.clone());
        match self.keeping {
            Keeping::UntilCommit => self.inner.write(bytes).await,
            Keeping::AfterFailure => Err(BackupError::new(
                teeline_core::Class::Permanent,
                "write",
                "a disk",
                "it hangs",
            )),
        }
    }
    async fn commit(&mut self) -> Result<(), BackupError> {
        self.kept.lock().expect("no panic").clear();
        self.inner.commit().await
    }
    async fn abort(&mut self) -> Result<(), BackupError> {
        self.inner.abort().await
    }
}
