//! What is backed up, and where it is restored to: records in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use teeline::sinks::MemorySink;
use teeline::{BackupError, BackupId, Class, Sink, Source, Target};
use teeline_core::{
    Attachment, Frame, Item, ObjectKey, Placed, PlannedResource, Random, RecordBatch,
    ResourceCounts, ResourceId, ResourceKind, Restoring, Scan, ScanPlan, Selection, SourceKind,
};

/// Lines by the names of their resources.
pub(crate) type Lines = BTreeMap<String, Vec<u8>>;

/// Lines of one to three resources, `bytes` in all or a little more, unlike those of any other `number`.
pub(crate) fn lines(random: &Random, number: u64, bytes: usize) -> Lines {
    let resources = 1 + random.below(3);
    let mut all = Lines::new();
    for resource in 0..resources {
        let share = bytes / usize::try_from(resources).unwrap_or(1);
        let mut text = String::new();
        // Resources without records are resources as well.
        while text.len() < share && (share > 64 || resource == 0) {
            let filling = random.next();
            let line = text.len();
            // Writing to a string doesn't fail.
            let _ = writeln!(
                text,
                "{{\"run\":{number},\"at\":{line},\"x\":\"{filling:x}\"}}"
            );
        }
        all.insert(format!("resource-{resource}"), text.into_bytes());
    }
    all
}

/// How a source goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceFault {
    /// It fails.
    Fails,
    /// Its code panics.
    Panics,
}

/// A source of lines.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    pub(crate) lines: Arc<Lines>,
    /// After how many items something goes wrong, and what.
    pub(crate) fault: Option<(u64, SourceFault)>,
    /// What the source takes for each item.
    pub(crate) pause: Duration,
}

impl Records {
    /// A source that gives these lines, and doesn't go wrong.
    pub(crate) fn of(lines: &Arc<Lines>) -> Self {
        Records {
            lines: Arc::clone(lines),
            fault: None,
            pause: Duration::ZERO,
        }
    }
}

impl fmt::Display for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("records in memory")
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
        let planned = |name: &String| PlannedResource {
            kind: ResourceKind::Records(name.clone()),
            plain_bytes: None,
        };
        let mut items = Vec::new();
        for (number, lines) in (0..).zip(self.lines.values()) {
            let id = ResourceId(number);
            items.push(Item::Begin(id));
            items.extend(batches(lines).map(|batch| Item::Records(id, batch)));
            items.push(Item::End(id, ResourceCounts::default()));
        }
        Ok(Box::new(Reading {
            plan: ScanPlan {
                resources: self.lines.keys().map(planned).collect(),
                ..ScanPlan::default()
            },
            items: items.into_iter(),
            given: 0,
            records: self.clone(),
        }))
    }

    fn describe(&self, _: &Placed<'_>) -> Result<Vec<Attachment>, BackupError> {
        Ok(Vec::new())
    }
}

/// Some lines at a time.
fn batches(lines: &[u8]) -> impl Iterator<Item = RecordBatch> {
    let lines: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    let batches: Vec<RecordBatch> = lines.chunks(16).map(batch).collect();
    batches.into_iter()
}

fn batch(lines: &[&[u8]]) -> RecordBatch {
    let ends = lines.iter().scan(0, |end, line| {
        *end += line.len();
        Some(*end)
    });
    RecordBatch {
        ends: ends.collect(),
        bytes: Bytes::from(lines.concat()),
        ..RecordBatch::default()
    }
}

struct Reading {
    plan: ScanPlan,
    items: std::vec::IntoIter<Item>,
    given: u64,
    records: Records,
}

#[async_trait]
impl Scan for Reading {
    fn plan(&self) -> &ScanPlan {
        &self.plan
    }

    async fn next(&mut self) -> Result<Option<Item>, BackupError> {
        if !self.records.pause.is_zero() {
            tokio::time::sleep(self.records.pause).await;
        }
        self.given += 1;
        match self.records.fault {
            Some((at, fault)) if at == self.given => match fault {
                SourceFault::Fails => Err(BackupError::new(
                    Class::Permanent,
                    "read",
                    "records in memory",
                    "injected fault: the source fails",
                )),
                SourceFault::Panics => panic!("injected fault: the source panics"),
            },
            _ => Ok(self.items.next()),
        }
    }
}

/// What came out of a restore. A clone is the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Restored(Arc<Mutex<Emitted>>);

/// What a target was given, whether the restore ended well or not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Emitted {
    /// The backup, once it is known.
    pub(crate) backup: Option<BackupId>,
    /// The lines of each resource of it.
    pub(crate) lines: Lines,
    /// Whether that is all.
    pub(crate) is_finished: bool,
}

impl Restored {
    /// What was given so far.
    pub(crate) fn emitted(&self) -> Emitted {
        self.with(|emitted| emitted.clone())
    }

    fn with<T>(&self, look: impl FnOnce(&mut Emitted) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

#[async_trait]
impl Target for Restored {
    fn is_staged(&self) -> bool {
        true
    }

    async fn check(&mut self, _: &Restoring) -> Result<(), BackupError> {
        Ok(())
    }

    async fn begin(&mut self, restoring: &Restoring) -> Result<(), BackupError> {
        self.with(|emitted| {
            emitted.backup = Some(restoring.backup.clone());
            let chosen = restoring.chosen();
            emitted.lines = chosen
                .map(|(name, _)| (name.to_owned(), Vec::new()))
                .collect();
        });
        Ok(())
    }

    async fn lines(&mut self, resource: &str, lines: Bytes) -> Result<(), BackupError> {
        self.with(|emitted| {
            let of_resource = emitted.lines.entry(resource.to_owned()).or_default();
            of_resource.extend_from_slice(&lines);
        });
        Ok(())
    }

    async fn frames(&mut self, _: Vec<Frame>) -> Result<(), BackupError> {
        let message = "a backup of lines has no objects";
        Err(BackupError::corrupt("frames", message))
    }

    async fn finish(&mut self) -> Result<(), BackupError> {
        self.with(|emitted| emitted.is_finished = true);
        Ok(())
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        Ok(())
    }
}

/// The bytes of an object.
pub(crate) async fn whole(sink: &MemorySink, key: &ObjectKey) -> Result<Bytes, String> {
    let looked = sink.head(key).await.map_err(|error| error.to_string())?;
    let read = sink.read(key, 0..looked.bytes).await;
    read.map_err(|error| error.to_string())
}
