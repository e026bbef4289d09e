//! What is backed up, and where it is restored to: records in memory.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use teeline::sources::Io;
use teeline::{BackupError, BackupId, Class, JsonlSource, Sink, Source, Target};
use teeline_core::chain::Base;
use teeline_core::{
    Attachment, Frame, Item, ObjectKey, Placed, Random, RecordBatch, ResourceId, Restoring,
    ResumePoint, Scan, ScanPlan, Selection, SourceKind,
};

/// Lines that a source gives at once.
const BATCH_LINES: usize = 16;

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

/// Lines as a source may have them some time after `before`: more, fewer, others, or the same.
pub(crate) fn changed(random: &Random, number: u64, before: &Lines) -> Lines {
    let grows = random.below(4) > 0;
    let stays = [100, 100, 90, 30][usize::try_from(random.below(4)).unwrap_or(0)];
    let mut all = before.clone();
    for (resource, text) in &mut all {
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        let mut kept: Vec<u8> = Vec::new();
        for line in lines.filter(|_| random.below(100) < stays) {
            kept.extend_from_slice(line);
        }
        if grows {
            for _ in 0..random.below(12) {
                let filling = random.next();
                let line =
                    format!("{{\"run\":{number},\"in\":\"{resource}\",\"x\":\"{filling:x}\"}}\n");
                kept.extend_from_slice(line.as_bytes());
            }
        }
        *text = kept;
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

/// A source of lines, which gives a few of them at a time.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    source: Arc<JsonlSource>,
    /// After how many items something goes wrong, and what.
    pub(crate) fault: Option<(u64, SourceFault)>,
    /// What the source takes for each item.
    pub(crate) pause: Duration,
}

impl Records {
    /// A source that gives these lines, and doesn't go wrong.
    pub(crate) fn of(lines: &Lines) -> Self {
        let lines = lines.iter();
        let lines = lines.map(|(name, lines)| (name.clone(), Bytes::copy_from_slice(lines)));
        Records {
            source: Arc::new(JsonlSource::from_lines(lines).io(Io::Inline)),
            fault: None,
            pause: Duration::ZERO,
        }
    }

    fn read(&self, scan: Box<dyn Scan>) -> Box<dyn Scan> {
        Box::new(Reading {
            scan,
            waiting: VecDeque::new(),
            given: 0,
            records: self.clone(),
        })
    }
}

impl fmt::Display for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

#[async_trait]
impl Source for Records {
    fn kind(&self) -> SourceKind {
        self.source.kind()
    }

    fn is_rereadable(&self) -> bool {
        self.source.is_rereadable()
    }

    fn tells_changes(&self) -> bool {
        self.source.tells_changes()
    }

    async fn scan(&self, selection: Selection) -> Result<Box<dyn Scan>, BackupError> {
        Ok(self.read(self.source.scan(selection).await?))
    }

    async fn scan_changes(
        &self,
        selection: Selection,
        base: Base,
    ) -> Result<Box<dyn Scan>, BackupError> {
        Ok(self.read(self.source.scan_changes(selection, base).await?))
    }

    async fn scan_on(
        &self,
        selection: Selection,
        points: Vec<ResumePoint>,
    ) -> Result<Box<dyn Scan>, BackupError> {
        Ok(self.read(self.source.scan_on(selection, points).await?))
    }

    fn describe(&self, placed: &Placed<'_>) -> Result<Vec<Attachment>, BackupError> {
        self.source.describe(placed)
    }
}

struct Reading {
    scan: Box<dyn Scan>,
    /// What comes before the next item of the scan.
    waiting: VecDeque<Item>,
    given: u64,
    records: Records,
}

impl Reading {
    async fn item(&mut self) -> Result<Option<Item>, BackupError> {
        if self.waiting.is_empty() {
            match self.scan.next().await? {
                Some(Item::Records(id, batch)) => self.waiting.extend(in_parts(id, &batch)),
                other => return Ok(other),
            }
        }
        Ok(self.waiting.pop_front())
    }
}

/// Some lines at a time.
fn in_parts(id: ResourceId, batch: &RecordBatch) -> impl Iterator<Item = Item> + '_ {
    let begins = (0..batch.ends.len()).step_by(BATCH_LINES);
    begins.map(move |begin| {
        let end = batch.ends.len().min(begin + BATCH_LINES);
        Item::Records(id, batch.part(begin..end))
    })
}

#[async_trait]
impl Scan for Reading {
    fn plan(&self) -> &ScanPlan {
        self.scan.plan()
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
            _ => self.item().await,
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
pub(crate) async fn whole(sink: &dyn Sink, key: &ObjectKey) -> Result<Bytes, String> {
    let looked = sink.head(key).await.map_err(|error| error.to_string())?;
    let read = sink.read(key, 0..looked.bytes).await;
    read.map_err(|error| error.to_string())
}
