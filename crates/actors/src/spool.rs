//! The spool: where what slow destinations are yet to be sent waits on disk, so that nobody waits for them.
//!
//! Its files have no names, so nothing is left of them when the process is gone, however it went. A file is given back when
//! the last payload in it is, and until then takes its part of the room, what was read back included. A payload takes part
//! in it as if it had the size of the smallest lease at least, so that their number is bounded as well.

use std::fs::{DirBuilder, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::Recipient;
use bytes::Bytes;
use teeline_core::{BackupError, Class, DestinationId, Digest};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::budget::{LEASE_BYTES_MIN, Lease};
use crate::guard::Alive;
use crate::messages::TeeMessage;
use crate::task::Blocking;

/// Once a file has so many bytes, another is begun.
const FILE_BYTES: u64 = 64 << 20;

/// Where payloads may wait on disk, and how much room there is.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    blocking: Blocking,
    room: Room,
    file: Arc<SpoolFile>,
}

/// The bytes of a spool that are taken.
#[derive(Debug, Clone)]
struct Room {
    taken: Arc<AtomicU64>,
    bytes_max: u64,
}

/// A part of the room, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    room: Room,
    bytes: u64,
}

#[derive(Debug)]
struct SpoolFile(Mutex<Written>);

#[derive(Debug)]
struct Written {
    file: File,
    bytes: u64,
    shares: Vec<Share>,
}

/// A payload on disk.
#[derive(Debug)]
pub(crate) struct Slot {
    file: Arc<SpoolFile>,
    offset: u64,
    bytes: usize,
    digest: Digest,
    blocking: Blocking,
}

impl Spool {
    /// A spool in `folder`, which is made where it isn't there, for `bytes_max` bytes at a time. It is written and read as
    /// `blocking` says; to open it blocks.
    ///
    /// # Errors
    /// Where no file can be made there.
    pub fn open(folder: &Path, bytes_max: u64, blocking: Blocking) -> Result<Self, BackupError> {
        make_folder(folder).map_err(|error| failed(folder, &error))?;
        Ok(Spool {
            folder: folder.to_owned(),
            blocking,
            room: Room {
                taken: Arc::default(),
                bytes_max,
            },
            file: SpoolFile::begin(folder)?,
        })
    }

    /// Keeps a payload.
    fn keep(&mut self, payload: &Bytes, share: Share) -> Result<Slot, BackupError> {
        if lock(&self.file.0).bytes >= FILE_BYTES {
            self.file = SpoolFile::begin(&self.folder)?;
        }
        let offset = self
            .file
            .append(payload, share)
            .map_err(|error| failed(&self.folder, &error))?;
        Ok(Slot {
            file: Arc::clone(&self.file),
            offset,
            bytes: payload.len(),
            digest: Digest::of(payload),
            blocking: self.blocking,
        })
    }
}

impl Room {
    /// A share for a payload of so many bytes, where there is one.
    fn share(&self, payload_bytes: u64) -> Option<Share> {
        let bytes = payload_bytes.max(LEASE_BYTES_MIN);
        let grown = |taken: u64| {
            let taken = taken.checked_add(bytes)?;
            (taken <= self.bytes_max).then_some(taken)
        };
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, grown)
            .ok()?;
        Some(Share {
            room: self.clone(),
            bytes,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

impl SpoolFile {
    fn begin(folder: &Path) -> Result<Arc<Self>, BackupError> {
        let file = tempfile::tempfile_in(folder).map_err(|error| failed(folder, &error))?;
        Ok(Arc::new(SpoolFile(Mutex::new(Written {
            file,
            bytes: 0,
            shares: Vec::new(),
        }))))
    }

    /// Writes to the end, and says where that was.
    fn append(&self, payload: &Bytes, share: Share) -> io::Result<u64> {
        let mut written = lock(&self.0);
        let offset = written.bytes;
        written.file.seek(SeekFrom::Start(offset))?;
        written.file.write_all(payload)?;
        written.bytes += payload.len() as u64;
        written.shares.push(share);
        Ok(offset)
    }
}

impl Slot {
    /// The payload, as it was.
    fn read(&self) -> Result<Bytes, BackupError> {
        let subject = "what waited on disk for a slow destination";
        let mut payload = vec![0; self.bytes];
        let mut written = lock(&self.file.0);
        written
            .file
            .seek(SeekFrom::Start(self.offset))
            .and_then(|_| written.file.read_exact(&mut payload))
            .map_err(|error| {
                BackupError::new(Class::Permanent, "read", subject, &error).because(error)
            })?;
        drop(written);
        match Digest::of(&payload) == self.digest {
            true => Ok(payload.into()),
            false => {
                let message = "the temporary folder gave other bytes than were written to it";
                Err(BackupError::corrupt(subject, message)
                    .suggest("check the disk of the temporary folder, or choose another one"))
            }
        }
    }
}

/// What the tee has of a spool.
pub(crate) struct SpoolQueue {
    room: Room,
    jobs: mpsc::UnboundedSender<Job>,
}

/// A payload to be kept, with its lease, so that what waits here is bounded by the budget.
struct Job {
    step: u64,
    payload: Bytes,
    _lease: Option<Arc<Lease>>,
    share: Share,
}

impl SpoolQueue {
    /// Starts the task that writes to `spool`. It tells the tee of each payload, and ends with its first error.
    pub(crate) fn start(spool: Spool, tee: Recipient<TeeMessage>, alive: Alive) -> Self {
        let (jobs, queue) = mpsc::unbounded_channel();
        let room = spool.room.clone();
        tokio::spawn(async move {
            keep_all(spool, queue, &tee).await;
            drop(alive);
        });
        SpoolQueue { room, jobs }
    }

    /// Has the payload of a step kept, where there is room for it.
    pub(crate) fn keep(&self, step: u64, payload: Bytes, lease: Option<Arc<Lease>>) -> bool {
        let Some(share) = self.room.share(payload.len() as u64) else {
            return false;
        };
        let job = Job {
            step,
            payload,
            _lease: lease,
            share,
        };
        self.jobs.send(job).is_ok()
    }
}

async fn keep_all(
    mut spool: Spool,
    mut queue: mpsc::UnboundedReceiver<Job>,
    tee: &Recipient<TeeMessage>,
) {
    while let Some(job) = queue.recv().await {
        let step = job.step;
        let (blocking, bytes) = (spool.blocking, job.payload.len());
        let kept = blocking.run_in_time("the temporary folder", bytes, move || {
            let kept = spool.keep(&job.payload, job.share);
            (spool, kept)
        });
        let kept = match kept.await {
            Ok((same, kept)) => {
                spool = same;
                kept
            }
            Err(error) => {
                tee.do_send(TeeMessage::Spooled(step, Err(error)));
                return;
            }
        };
        let is_last = kept.is_err();
        tee.do_send(TeeMessage::Spooled(step, kept));
        if is_last {
            return;
        }
    }
}

/// Reads what a destination is to be sent next, and tells the tee. It ends when it is dropped.
///
/// It takes no lease: what others are yet to be sent may hold the whole budget, and wait for this destination to have what
/// comes before. One payload for each destination that spills is memory beside the budget.
pub(crate) fn fetch(
    slot: Arc<Slot>,
    destination: DestinationId,
    tee: Recipient<TeeMessage>,
    alive: Alive,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let blocking = slot.blocking;
        let bytes = slot.bytes;
        let read = blocking.run_in_time("the temporary folder", bytes, move || slot.read());
        let fetched = read.await.and_then(|payload| payload);
        tee.do_send(TeeMessage::Fetched(destination, fetched));
        drop(alive);
    }))
}

/// Private to its owner, where it is made.
fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn failed(folder: &Path, error: &io::Error) -> BackupError {
    let message = error.to_string();
    BackupError::new(Class::Permanent, "spool to", folder.display(), message).suggest(
        "engine.temp_dir (--temp-dir) names a folder on a disk with room for what slow destinations are yet to be sent",
    )
}

/// A panic while it is held is an error of that call; what was written before is as it was.
fn lock(written: &Mutex<Written>) -> MutexGuard<'_, Written> {
    written.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_come_back_as_they_were_and_their_room_with_the_last_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("made");
        let mut spool = Spool::open(&inner, 10 * LEASE_BYTES_MIN, Blocking::Aside).unwrap();
        let room = spool.room.clone();
        let payloads: Vec<Bytes> = (0..10u8)
            .map(|n| vec![n; 1000 * usize::from(n)].into())
            .collect();
        let slots: Vec<Slot> = payloads
            .iter()
            .map(|payload| {
                let share = room.share(payload.len() as u64).expect("room");
                spool.keep(payload, share).unwrap()
            })
            .collect();
        assert!(room.share(1).is_none(), "a small one takes a share as well");
        for (slot, payload) in slots.iter().zip(&payloads).rev() {
            assert_eq!(slot.read().unwrap(), payload);
        }
        assert_eq!(std::fs::read_dir(&inner).unwrap().count(), 0, "no names");
        drop(slots);
        assert!(room.share(1).is_none(), "the file may get more");
        drop(spool);
        assert!(room.share(10 * LEASE_BYTES_MIN).is_some());
    }

    #[test]
    fn a_changed_byte_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 1 << 20, Blocking::Aside).unwrap();
        let share = spool.room.share(5).unwrap();
        let slot = spool.keep(&Bytes::from_static(b"bytes"), share).unwrap();
        {
            let mut written = lock(&slot.file.0);
            written.file.seek(SeekFrom::Start(2)).unwrap();
            written.file.write_all(b"T").unwrap();
        }
        assert_eq!(slot.read().unwrap_err().class(), Class::Corrupt);
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a file");
        std::fs::write(&file, "").unwrap();
        let error = Spool::open(&file.join("below"), 1 << 20, Blocking::Aside).unwrap_err();
        assert!(error.to_string().contains("a file/below"), "{error}");
        assert!(error.suggestion().unwrap().contains("--temp-dir"));
    }
}
