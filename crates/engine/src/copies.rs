//! Reading a backup from several copies at once: chunk by chunk from the first that has it right.
//!
//! Nothing leaves here that wasn't compared with a digest that leads back to the manifest. *Not found*, *transient* and
//! *corrupt* are told apart; a copy that fails transiently, after its retries, isn't asked again.

mod frozen;
mod opening;
mod seals;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use teeline_core::seal::{Context, SEALED_SUFFIX, SealedPlace, Sealer};
use teeline_core::{
    AttachmentEntry, BackupError, Buffers, CatalogEntry, ChunkEntry, Class, Decoder, Digest, Index,
    Manifest, ObjectKey, ObjectRow, SegmentEntry, WindowBytes,
};

use crate::check::{check_index, check_piece, damage};
use crate::files::{WholeFile, file_of};
use crate::open::Opened;
use crate::report::Damage;

pub(crate) use frozen::Frozen;
use seals::sealed_rows;

/// How much of a segment is read in one call, and decoded at once. What is very repetitive may unpack to a thousand times as much.
const WINDOW_MAX: WindowBytes = WindowBytes {
    stored: 1 << 20,
    plain: 8 << 20,
};

/// A backup, readable as long as each chunk is right at one destination.
pub(crate) struct Copies {
    pub(crate) manifest: Arc<Manifest>,
    /// BLAKE3 of it.
    pub(crate) checksum: Digest,
    /// Opens what is sealed.
    sealer: Option<Sealer>,
    copies: Vec<Copy>,
    avoided: Mutex<Vec<Damage>>,
    /// What chunks are decoded to.
    buffers: Buffers,
}

struct Copy {
    opened: Opened,
    /// Its folder, as the entry there says it. It is of nobody else's concern: whoever rules a destination chooses it.
    path: String,
    gone: AtomicBool,
    /// Data files that can't be read here before they are thawed.
    archived: Mutex<HashSet<ObjectKey>>,
}

impl Copy {
    fn key(&self, file: &str) -> Result<ObjectKey, BackupError> {
        file_of(&self.path, file)
    }

    fn note_archived(&self, key: &ObjectKey, is_archived: bool) {
        if let Ok(mut archived) = self.archived.lock() {
            match is_archived {
                true => archived.insert(key.clone()),
                false => archived.remove(key),
            };
        }
    }

    fn has_archived(&self, key: &ObjectKey) -> bool {
        self.archived
            .lock()
            .is_ok_and(|archived| archived.contains(key))
    }
}

/// Consecutive chunks of a segment.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub(crate) range: Range<u64>,
    pub(crate) first_chunk: u32,
    pub(crate) chunks: Vec<ChunkEntry>,
    /// Where the segment belongs, if it is sealed.
    place: Option<SealedPlace>,
}

impl Window {
    /// What it takes to hold it decoded.
    pub(crate) fn plain_bytes(&self) -> u64 {
        let plain = self.chunks.iter().map(|chunk| chunk.plain);
        plain.fold(0, u64::saturating_add)
    }
}

impl Copies {
    /// The copy of a backup at one destination, as the entry there says it; of a sealed one with what opens it.
    pub(crate) fn of_one(
        opened: Opened,
        entry: CatalogEntry,
        manifest: Manifest,
        sealer: Option<Sealer>,
    ) -> Self {
        Self::of([(opened, entry.path)], entry.checksum, manifest, sealer)
    }

    /// As [`Copies::of_one`], where several destinations have the same, each in a folder of its own.
    pub(crate) fn of(
        copies: impl IntoIterator<Item = (Opened, String)>,
        checksum: Digest,
        manifest: Manifest,
        sealer: Option<Sealer>,
    ) -> Self {
        let copies = copies.into_iter().map(|(opened, path)| Copy {
            opened,
            path,
            gone: AtomicBool::new(false),
            archived: Mutex::default(),
        });
        Copies {
            manifest: Arc::new(manifest),
            checksum,
            sealer,
            copies: copies.collect(),
            avoided: Mutex::default(),
            buffers: Buffers::default(),
        }
    }

    /// Reads from the copies of another one as well, where that is the same backup.
    pub(crate) fn join(&mut self, other: Copies) {
        if other.checksum == self.checksum {
            self.copies.extend(other.copies);
        }
    }

    /// What was passed over so far.
    pub(crate) fn avoided(&self) -> Vec<Damage> {
        self.avoided
            .lock()
            .map(|avoided| avoided.clone())
            .unwrap_or_default()
    }

    /// A whole small file of the backup, as it was before it was sealed.
    pub(crate) async fn attachment(&self, entry: &AttachmentEntry) -> Result<Bytes, BackupError> {
        let stored = self.whole(WholeFile::attachment(entry), None).await?;
        let Some(sealer) = &self.sealer else {
            return Ok(stored);
        };
        let name = entry.file.strip_suffix(SEALED_SUFFIX);
        let context = Context::File(name.unwrap_or(&entry.file));
        sealer.open(&entry.file, context, &stored)
    }

    /// What the index of a segment says of objects.
    pub(crate) async fn rows(
        &self,
        resource: &str,
        segment: &SegmentEntry,
    ) -> Result<Vec<ObjectRow>, BackupError> {
        let file = WholeFile::index(segment);
        let bytes = self.whole(file, Some(resource)).await?;
        match &self.sealer {
            None => Index::rows(&segment.index, &bytes),
            Some(sealer) => sealed_rows(sealer, &segment.index, &bytes),
        }
    }

    /// The index of a segment, cut into windows.
    pub(crate) async fn windows(
        &self,
        resource: &str,
        segment: &SegmentEntry,
    ) -> Result<Vec<Window>, BackupError> {
        let bytes = self
            .whole(WholeFile::index(segment), Some(resource))
            .await?;
        let index = match &self.sealer {
            None => Index::parse(&segment.index, &bytes)?,
            Some(sealer) => sealer.open_index(&segment.index, &bytes)?,
        };
        check_index(&self.manifest, segment, &index)?;
        let mut first_chunk = 0;
        let windows = index.windows(WINDOW_MAX).map(|(range, chunks)| {
            let window = Window {
                range,
                first_chunk,
                chunks: chunks.to_vec(),
                place: index.seal,
            };
            first_chunk += u32::try_from(chunks.len()).unwrap_or(u32::MAX);
            window
        });
        Ok(windows.collect())
    }

    /// The plain bytes of each chunk of a window.
    pub(crate) async fn read(
        &self,
        resource: &str,
        segment: &SegmentEntry,
        window: &Window,
    ) -> Result<Vec<Bytes>, BackupError> {
        let stored = self.read_stored(resource, segment, window).await?;
        let compression = self.manifest.plan.compression;
        let mut decoder = Decoder::new();
        let mut plain = Vec::with_capacity(stored.len());
        for (number, (chunk, bytes)) in (window.first_chunk..).zip(window.chunks.iter().zip(stored))
        {
            let bytes = self.unseal(segment, window, number, bytes)?;
            let expected = usize::try_from(chunk.plain).unwrap_or(usize::MAX);
            plain.push(decoder.decode(compression, &bytes, expected, &self.buffers)?);
        }
        Ok(plain)
    }

    /// The stored bytes of each chunk of a window, verified.
    pub(crate) async fn read_stored(
        &self,
        resource: &str,
        segment: &SegmentEntry,
        window: &Window,
    ) -> Result<Vec<Bytes>, BackupError> {
        let mut found: Vec<Option<Bytes>> = vec![None; window.chunks.len()];
        let mut failure = None;
        for copy in &self.copies {
            if copy.gone.load(Ordering::Relaxed) {
                continue;
            }
            let filled = match copy.key(&segment.file) {
                Ok(key) if copy.has_archived(&key) => continue,
                Ok(key) => self.fill(copy, &key, resource, window, &mut found).await,
                Err(error) => Err(error),
            };
            failure = filled.err().or(failure);
            if found.iter().all(Option::is_some) {
                return Ok(found.into_iter().flatten().collect());
            }
        }
        Err(no_copy(failure, resource, &segment.file))
    }

    /// Takes from `copy` what is still missing of a window. The error is of the first chunk that it couldn't give.
    async fn fill(
        &self,
        copy: &Copy,
        key: &ObjectKey,
        resource: &str,
        window: &Window,
        found: &mut [Option<Bytes>],
    ) -> Result<(), BackupError> {
        let sink = copy.opened.sink.as_ref();
        let nothing_yet = found.iter().all(Option::is_none);
        let whole = match nothing_yet {
            true => match sink.read(key, window.range.clone()).await {
                Err(error) if error.class() == Class::Archived => {
                    copy.note_archived(key, true);
                    return Err(error);
                }
                // One that gives less than it was asked for is asked for each chunk.
                read => read
                    .ok()
                    .filter(|bytes| bytes.len() as u64 == window.range.end - window.range.start),
            },
            false => None,
        };
        let mut result = Ok(());
        let mut begin = window.range.start;
        for (index, (number, chunk)) in (window.first_chunk..).zip(&window.chunks).enumerate() {
            let range = begin..begin + chunk.stored;
            begin = range.end;
            if found[index].is_some() {
                continue;
            }
            let read = match &whole {
                Some(bytes) => {
                    let at = |offset: u64| {
                        usize::try_from(offset - window.range.start).unwrap_or(usize::MAX)
                    };
                    Ok(bytes.slice(at(range.start)..at(range.end)))
                }
                None => sink.read(key, range).await,
            };
            let piece = chunk.piece(number);
            let checked = read.and_then(|bytes| check_piece(sink.to_string(), key, &piece, bytes));
            match checked {
                Ok(bytes) => found[index] = Some(bytes),
                Err(error) if error.class() == Class::NotFound => {
                    self.avoid(copy, key.as_str(), Some(resource), None, &error);
                    return Err(error);
                }
                Err(error) => {
                    self.avoid(copy, key.as_str(), Some(resource), Some(number), &error);
                    if error.class().is_retriable() {
                        copy.gone.store(true, Ordering::Relaxed);
                        return Err(error);
                    }
                    if result.is_ok() {
                        result = Err(error);
                    }
                }
            }
        }
        result
    }

    async fn whole(
        &self,
        file: WholeFile<'_>,
        resource: Option<&str>,
    ) -> Result<Bytes, BackupError> {
        let mut failure = None;
        for copy in &self.copies {
            if copy.gone.load(Ordering::Relaxed) {
                continue;
            }
            match file.read(copy.opened.sink.as_ref(), &copy.path).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => {
                    let at = format!("{}/{}", copy.path, file.name);
                    self.avoid(copy, &at, resource, None, &error);
                    if error.class().is_retriable() {
                        copy.gone.store(true, Ordering::Relaxed);
                    }
                    failure = Some(error);
                }
            }
        }
        Err(no_copy(
            failure,
            resource.unwrap_or("the backup"),
            file.name,
        ))
    }

    fn avoid(
        &self,
        copy: &Copy,
        file: &str,
        resource: Option<&str>,
        chunk: Option<u32>,
        error: &BackupError,
    ) {
        let damage = damage(&copy.opened.name, file, resource, chunk, error);
        tracing::warn!(destination = copy.opened.name, file, ?chunk, %error, "a copy is avoided");
        if let Ok(mut avoided) = self.avoided.lock()
            && !avoided.contains(&damage)
        {
            avoided.push(damage);
        }
    }
}

fn no_copy(failure: Option<BackupError>, resource: &str, file: &str) -> BackupError {
    let class = failure.as_ref().map_or(Class::NotFound, BackupError::class);
    // What is missing from a backup that is listed is damage, whatever the store calls it.
    let class = if class == Class::NotFound {
        Class::Corrupt
    } else {
        class
    };
    let message = match &failure {
        Some(error) => format!("no destination has a right copy; the last one: {error}"),
        None => "no destination that can be asked has a copy".to_owned(),
    };
    let suggestion = match class {
        Class::Archived => {
            "have it thawed (--thaw), or restore from a further destination with --at"
        }
        _ => {
            "`teeline verify` shows what is damaged where; restore from a further destination with --at"
        }
    };
    BackupError::new(class, "read", format!("{resource} ({file})"), message).suggest(suggestion)
}
