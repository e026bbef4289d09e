//! One object, one file: a header that describes it, then its body.
//!
//! ```text
//! "teeS3ob1"            8 bytes
//! header room, LE u32   4 bytes
//! header, JSON          padded with spaces to the room
//! body                  to the end of the file
//! ```
//!
//! Header and body share a file so that publishing both is one rename. The header is written last,
//! since the ETag is known only then, into room reserved before the body.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use s3s::dto::Timestamp;
use serde::{Deserialize, Serialize};

use crate::attributes::Attributes;
use crate::checksums::Checksums;

const MAGIC: &[u8; 8] = b"teeS3ob1";
const FIXED_BYTES: u64 = 12;
/// Room for what isn't known before the body: ETag and checksums.
const LATE_BYTES: usize = 1024;
/// One read gets the whole header of nearly every object.
const FIRST_READ_BYTES: usize = 4096;
/// Attributes are limited to a few KiB; more can only be damage.
const HEADER_BYTES_MAX: u32 = 1 << 20;

/// What is known about an object besides its bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The key, so that a folder of objects can be understood without this program.
    pub(crate) key: String,
    /// Without quotes.
    pub(crate) etag: String,
    /// Whole seconds since the Unix epoch; HTTP dates have no more.
    pub(crate) modified_seconds: u64,
    #[serde(default)]
    pub(crate) attributes: Attributes,
    #[serde(default)]
    pub(crate) checksums: Checksums,
}

impl Header {
    /// A header for `key`, written at that time; ETag and checksums are still to be filled in.
    pub(crate) fn new(key: &str, attributes: Attributes, modified_seconds: u64) -> Header {
        Header {
            key: key.to_owned(),
            etag: String::new(),
            modified_seconds,
            attributes,
            checksums: Checksums::default(),
        }
    }

    /// When the object was written.
    pub(crate) fn modified(&self) -> Timestamp {
        timestamp(self.modified_seconds)
    }

    /// The bytes to reserve for this header.
    pub(crate) fn room(&self) -> io::Result<usize> {
        Ok(serde_json::to_vec(self)?.len() + LATE_BYTES)
    }
}

/// The moment `seconds` after the Unix epoch.
pub(crate) fn timestamp(seconds: u64) -> Timestamp {
    // Bounded, so that a damaged header can't overflow the calendar: this is the year 9999.
    Timestamp::from(UNIX_EPOCH + Duration::from_secs(seconds.min(253_402_300_799)))
}

/// A file being written in the staging folder; dropping it unpublished removes it.
#[derive(Debug)]
pub(crate) struct Draft {
    file: File,
    path: PathBuf,
    room: usize,
    published: bool,
}

impl Draft {
    /// Begins a file at `path`, which must not exist, with `room` bytes for the header.
    pub(crate) fn create(path: PathBuf, room: usize) -> io::Result<Draft> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)?;
        let mut draft = Draft {
            file,
            path,
            room,
            published: false,
        };
        draft
            .file
            .seek(SeekFrom::Start(FIXED_BYTES + room as u64))?;
        Ok(draft)
    }

    /// Appends to the body.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Appends the rest of `body` to the body, letting the kernel copy where it can.
    pub(crate) fn write_from(&mut self, body: &mut File) -> io::Result<u64> {
        io::copy(body, &mut self.file)
    }

    /// Completes the file with its header.
    pub(crate) fn seal(&mut self, header: &Header) -> io::Result<()> {
        let json = serde_json::to_vec(header)?;
        if json.len() > self.room {
            return Err(io::Error::other("the object's header outgrew its room"));
        }
        let room = u32::try_from(self.room).map_err(io::Error::other)?;
        let mut start = Vec::with_capacity(MAGIC.len() + 4 + self.room);
        start.extend_from_slice(MAGIC);
        start.extend_from_slice(&room.to_le_bytes());
        start.extend_from_slice(&json);
        start.resize(MAGIC.len() + 4 + self.room, b' ');
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&start)
    }

    /// Gives the file the name `to`, in place of whatever has it.
    pub(crate) fn replace(&mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        self.published = true;
        Ok(())
    }

    /// Gives the file the name `to`, unless something has it: then `AlreadyExists`.
    ///
    /// A hard link, because that is the one step that tests and takes a name at once on every
    /// file system; the staged name goes away on drop.
    pub(crate) fn link(&mut self, to: &Path) -> io::Result<()> {
        fs::hard_link(&self.path, to)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "a staged file is left behind");
        }
    }
}

/// An object opened for reading, positioned at the start of its body.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) header: Header,
    /// Bytes of body.
    pub(crate) size: u64,
    pub(crate) file: File,
    body_offset: u64,
}

impl Opened {
    /// Opens the object file at `path`.
    pub(crate) fn open(path: &Path) -> io::Result<Opened> {
        let mut file = File::open(path)?;
        let mut start = Vec::with_capacity(FIRST_READ_BYTES);
        Read::by_ref(&mut file)
            .take(FIRST_READ_BYTES as u64)
            .read_to_end(&mut start)?;
        let damaged = || {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} is not an object file", path.display()),
            )
        };
        let Some((MAGIC, room)) = start.split_first_chunk::<8>() else {
            return Err(damaged());
        };
        let room = u32::from_le_bytes(*room.first_chunk().ok_or_else(damaged)?);
        if room > HEADER_BYTES_MAX {
            return Err(damaged());
        }
        let body_offset = FIXED_BYTES + u64::from(room);
        let missing = body_offset.saturating_sub(start.len() as u64);
        Read::by_ref(&mut file)
            .take(missing)
            .read_to_end(&mut start)?;
        let json = usize::try_from(body_offset)
            .ok()
            .and_then(|end| start.get(MAGIC.len() + 4..end))
            .ok_or_else(damaged)?;
        let header = serde_json::from_slice(json)?;
        let size = file.metadata()?.len().saturating_sub(body_offset);
        let mut opened = Opened {
            header,
            size,
            file,
            body_offset,
        };
        opened.seek(0)?;
        Ok(opened)
    }

    /// Moves to `offset` bytes into the body.
    pub(crate) fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.file
            .seek(SeekFrom::Start(self.body_offset + offset))
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_body_come_back_also_when_the_header_is_long() {
        let folder = tempfile::tempdir().expect("folder");
        for key_bytes in [1, 1024, 9000] {
            let mut header = Header::new(&"k".repeat(key_bytes), Attributes::default(), 0);
            let room = header.room().expect("room");
            let mut draft = Draft::create(folder.path().join("draft"), room).expect("create");
            draft.write(b"hello ").expect("write");
            draft.write(b"world").expect("write");
            header.etag = "e".repeat(40);
            draft.seal(&header).expect("seal");
            let path = folder.path().join("object");
            draft.replace(&path).expect("publish");
            drop(draft);

            let mut opened = Opened::open(&path).expect("open");
            assert_eq!(opened.header.key.len(), key_bytes);
            assert_eq!(opened.header.etag, header.etag);
            assert_eq!(opened.size, 11);
            opened.seek(6).expect("seek");
            let mut rest = String::new();
            opened.file.read_to_string(&mut rest).expect("read");
            assert_eq!(rest, "world");
        }
    }

    #[test]
    fn a_dropped_draft_leaves_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        drop(Draft::create(folder.path().join("draft"), 100).expect("create"));
        assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 0);
    }

    #[test]
    fn damaged_files_are_errors() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("object");
        let huge = [MAGIC.as_slice(), &[0xff; 4], b"{}"].concat();
        let short = [MAGIC.as_slice(), &[200, 0, 0, 0], b"{}"].concat();
        let no_json = [MAGIC.as_slice(), &[2, 0, 0, 0], b"[["].concat();
        for bytes in [
            b"".as_slice(),
            b"teeS3ob1",
            b"something else entirely",
            &huge,
            &short,
            &no_json,
        ] {
            fs::write(&path, bytes).expect("write");
            Opened::open(&path).expect_err("damaged");
        }
    }
}
