//! Data files in archive classes: which of them no copy gives now, and having them thawed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};
use teeline_core::{
    Availability, BackupError, BackupId, Class, ObjectKey, ResourceEntry, SegmentEntry, Sink, Thaw,
};

use super::Copies;

/// How many files are asked about at once.
const CALLS: usize = 8;

/// The data files that no copy gives now.
pub(crate) struct Frozen {
    backup: BackupId,
    files: Vec<FrozenFile>,
    /// Of so many files that were looked at.
    files_all: usize,
}

/// A data file, at the first destination that has it archived.
struct FrozenFile {
    destination: String,
    sink: Arc<dyn Sink>,
    key: ObjectKey,
    bytes: u64,
    is_thawing: bool,
}

impl Copies {
    /// Looks at what has to be read to restore these resources: their data files, and those of what belongs to none.
    pub(crate) async fn frozen(&self, resources: &[&ResourceEntry]) -> Result<Frozen, BackupError> {
        let manifest = &self.manifest;
        let others = manifest.objects.iter().chain(&manifest.deleted);
        let others = others.chain(&manifest.settled);
        let entries = resources.iter().copied().chain(others);
        self.frozen_of(entries).await
    }

    /// Looks at what has to be read to go on from the backup, besides indexes.
    pub(crate) async fn frozen_changes(&self) -> Result<Frozen, BackupError> {
        let manifest = &self.manifest;
        let changes = manifest.deleted.iter().chain(&manifest.settled);
        self.frozen_of(changes.chain(&manifest.lines)).await
    }

    async fn frozen_of(
        &self,
        entries: impl Iterator<Item = &ResourceEntry>,
    ) -> Result<Frozen, BackupError> {
        let manifest = &self.manifest;
        let segments: Vec<SegmentEntry> = entries
            .flat_map(|entry| entry.segments.iter().cloned())
            .collect();
        let files_all = segments.len();
        let looks: Vec<BoxFuture<'_, _>> = segments
            .into_iter()
            .map(|segment| self.look(segment).boxed())
            .collect();
        let found: Vec<Option<FrozenFile>> =
            stream::iter(looks).buffered(CALLS).try_collect().await?;
        Ok(Frozen {
            backup: manifest.id.clone(),
            files: found.into_iter().flatten().collect(),
            files_all,
        })
    }

    /// A destination that gives no answer is left to whoever reads.
    async fn look(&self, segment: SegmentEntry) -> Result<Option<FrozenFile>, BackupError> {
        let mut first = None;
        for copy in &self.copies {
            if copy.gone.load(Ordering::Relaxed) {
                continue;
            }
            let Ok(key) = copy.key(&segment.file) else {
                continue;
            };
            let Ok(found) = copy.opened.sink.availability(&key).await else {
                continue;
            };
            copy.note_archived(&key, found != Availability::Readable);
            if found == Availability::Readable {
                return Ok(None);
            }
            first.get_or_insert_with(|| FrozenFile {
                destination: copy.opened.name.clone(),
                sink: Arc::clone(&copy.opened.sink),
                key,
                bytes: segment.stored_bytes,
                is_thawing: found == Availability::Thawing,
            });
        }
        Ok(first)
    }
}

impl Frozen {
    /// These and those of another backup that is needed as well.
    pub(crate) fn with(mut self, other: Frozen) -> Self {
        self.files.extend(other.files);
        self.files_all += other.files_all;
        self
    }

    /// Whether every file can be read.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether it takes no more than time.
    pub(crate) fn is_thawing(&self) -> bool {
        self.files.iter().all(|file| file.is_thawing)
    }

    /// Asks for those that nobody has asked for.
    pub(crate) async fn thaw(&self, thaw: Thaw) -> Result<(), BackupError> {
        let archived = self.files.iter().filter(|file| !file.is_thawing);
        let calls: Vec<BoxFuture<'_, _>> = archived
            .map(|file| file.sink.thaw(&file.key, thaw))
            .collect();
        stream::iter(calls)
            .buffered(CALLS)
            .try_for_each(|()| std::future::ready(Ok(())))
            .await
    }

    /// Why nothing can be restored yet.
    pub(crate) fn error(&self) -> BackupError {
        let names: BTreeSet<&str> = self
            .files
            .iter()
            .map(|file| file.destination.as_str())
            .collect();
        let names = Vec::from_iter(names).join(", ");
        let bytes: u64 = self.files.iter().map(|file| file.bytes).sum();
        let (count, all) = (self.files.len(), self.files_all);
        let what = format!("{count} of {all} data files, {bytes} bytes,");
        let error =
            |message: String| BackupError::new(Class::Archived, "read", &self.backup, message);
        if self.is_thawing() {
            return error(format!("{what} are being thawed at {names}")).suggest(
                "come back with the same command when that is done, or have it wait: --wait",
            );
        }
        error(format!("{what} are archived at {names}, and must be thawed to be read")).suggest(
            "--thaw asks for it, for some days (--thaw-days) and at some speed (--thaw-tier), which costs; \
             --wait waits for it",
        )
    }
}
