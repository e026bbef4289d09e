//! What the tests of passes share: a source that gives what it is told to, and a pass with small blocks.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use bytes::Bytes;
use teeline_actors::{Budget, Executor, Pass, PassDestination, Verification};
use teeline_core::{
    Attachment, BackupError, BackupId, BackupType, Compression, CutLimits, DestinationId, Item,
    ObjectKey, Placed, PlanEntry, PlannedResource, RecordBatch, ResourceCounts, ResourceId,
    ResourceKind, RunHead, Scan, ScanPlan, Selection, Sink, Source, SourceKind, Strategy,
    StrategyKind, Timestamp,
};
use tokio::sync::watch;

/// Blocks are cut to this size.
pub(crate) const BLOCK_BYTES: usize = 64 << 10;

/// A source of one resource, `events`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records {
    /// The records, each without its newline.
    pub(crate) records: Vec<Vec<u8>>,
    /// Whole small files that it begins with.
    pub(crate) attachments: Vec<Attachment>,
}

impl Records {
    /// `count` records of `bytes` bytes that can't be made smaller.
    pub(crate) fn of(count: usize, bytes: usize) -> Self {
        let random = teeline_core::Random::new(3);
        let record = |_| {
            let digits =
                std::iter::repeat_with(|| b'a' + u8::try_from(random.below(26)).unwrap_or(0));
            digits.take(bytes).collect()
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
        };
        let records = self.records.clone().into_iter().map(|mut record| {
            record.push(b'\n');
            let batch = RecordBatch {
                ends: vec![record.len()],
                bytes: Bytes::from(record),
                ..RecordBatch::default()
            };
            Item::Records(ResourceId(0), batch)
        });
        let items = std::iter::once(Item::Begin(ResourceId(0))).chain(records);
        let end = Item::End(ResourceId(0), ResourceCounts::default());
        Ok(Box::new(Reading {
            plan,
            items: Box::new(items.chain([end])),
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
            required: false,
            sink,
            retries: Arc::new(AtomicU64::new(0)),
        });
    Pass {
        source: Arc::new(source),
        selection: Selection::everything(),
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
            },
            written_by: "a test".to_owned(),
        },
        path,
        epilogue: Box::new(|_| Ok(Vec::new())),
        verification: Verification::Read,
        limits: CutLimits {
            block_bytes: BLOCK_BYTES,
            record_bytes_max: 64 << 20,
        },
        window_bytes: 8 << 20,
        budget: budget.clone(),
        executor: Executor::Threads(2),
        clock: Arc::new(move || started_at),
        observer: Arc::new(|_| ()),
        cancel: watch::Sender::new(false).subscribe(),
    }
}
