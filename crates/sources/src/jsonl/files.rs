//! Which files are resources, and how their bytes become lines.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::bufread::MultiGzDecoder;
use teeline_core::{BackupError, Class, Digest, plain_words};

use super::as_opened::AsOpened;

const READ_BYTES: usize = 128 << 10;
/// What is written to a file twice within this may have the same time, on the coarsest of file systems.
const TIMES_APART: Duration = Duration::from_secs(2);
/// The largest window that a zstd frame may ask for, as `zstd` itself has it without `--long=28` or more.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    /// Whether a file that begins with these bytes is packed so. What is cut short is found out by reading it.
    fn check_beginning(self, bytes: &[u8]) -> io::Result<()> {
        let Some(first) = bytes.first() else {
            // A decoder may take this for the end of the lines, but it is a file that was cut off at its start.
            let message = "a compressed file without a byte";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        };
        let begins = |beginning: &[u8]| bytes.iter().zip(beginning).all(|(a, b)| a == b);
        let (name, fits) = match self {
            Packing::Plain => return Ok(()),
            Packing::Gzip => ("gzip", begins(&[0x1f, 0x8b])),
            Packing::Zstd => {
                let frame = begins(&[0x28, 0xb5, 0x2f, 0xfd]);
                // Frames that are to be skipped begin with any of sixteen bytes.
                let skipped = first & 0xf0 == 0x50 && begins(&[*first, 0x2a, 0x4d, 0x18]);
                ("zstd", frame || skipped)
            }
        };
        match fits {
            true => Ok(()),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("its first bytes aren't those of {name}, though its name says that"),
            )),
        }
    }
}

/// A file that is a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResourceFile {
    pub(super) path: PathBuf,
    pub(super) resource: String,
    pub(super) packing: Packing,
}

/// The resources at `path`, sorted by name.
pub(super) fn find(path: &Path) -> Result<Vec<ResourceFile>, BackupError> {
    let metadata = fs::metadata(path).map_err(|error| read_error(path.display(), error))?;
    if metadata.is_dir() {
        return find_in_folder(path);
    }
    match ResourceFile::of(path)? {
        Some(file) => Ok(vec![file]),
        None => Err(BackupError::usage(
            path.display(),
            "its name doesn't say that it holds JSON lines",
        )
        .suggest("name it .jsonl or .ndjson, with .gz or .zst after it if it is compressed")),
    }
}

fn find_in_folder(folder: &Path) -> Result<Vec<ResourceFile>, BackupError> {
    let failed = |error| read_error(folder.display(), error);
    let mut files: HashMap<String, ResourceFile> = HashMap::new();
    let mut ignored = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let file = match path.is_dir() {
            true => None,
            false => ResourceFile::of(&path)?,
        };
        match file {
            None => ignored.push(path.display().to_string()),
            Some(file) => {
                if let Some(other) = files.insert(file.resource.clone(), file) {
                    return Err(two_files(&other, &path));
                }
            }
        }
    }
    if !ignored.is_empty() {
        ignored.sort_unstable();
        tracing::warn!(
            files = ignored.join(", "),
            "left out, since they aren't files of JSON lines"
        );
    }
    if files.is_empty() {
        return Err(BackupError::usage(
            folder.display(),
            "no file of JSON lines is in this folder",
        )
        .suggest("their names end in .jsonl or .ndjson, possibly with .gz or .zst"));
    }
    let mut files: Vec<_> = files.into_values().collect();
    files.sort_unstable_by(|a, b| a.resource.cmp(&b.resource));
    Ok(files)
}

fn two_files(one: &ResourceFile, path: &Path) -> BackupError {
    let mut both = [one.path.display().to_string(), path.display().to_string()];
    both.sort_unstable();
    let message = format!(
        "{} and {} are both the resource {:?}",
        both[0], both[1], one.resource
    );
    BackupError::usage("the folder", message).suggest("move one of them elsewhere, or rename it")
}

impl ResourceFile {
    /// The resource that a file is by its name; `None` for other files.
    ///
    /// # Errors
    /// Where the name is one of JSON lines, and not UTF-8, which names of resources are: a file of the data isn't left out.
    fn of(path: &Path) -> Result<Option<Self>, BackupError> {
        let Some(name) = path.file_name() else {
            return Ok(None);
        };
        let is_utf8 = name.to_str().is_some();
        let name = name.to_string_lossy();
        let (name, packing) = match cut_extension(&name, &[".gz"]) {
            Some(name) => (name, Packing::Gzip),
            None => match cut_extension(&name, &[".zst"]) {
                Some(name) => (name, Packing::Zstd),
                None => (&*name, Packing::Plain),
            },
        };
        let resource = cut_extension(name, &[".jsonl", ".ndjson"]);
        let Some(resource) = resource.filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        if !is_utf8 {
            let message = "its name isn't UTF-8, so no resource can be called so";
            return Err(BackupError::usage(path.display(), message)
                .suggest("rename the file, or move it elsewhere"));
        }
        Ok(Some(ResourceFile {
            path: path.to_owned(),
            resource: resource.to_owned(),
            packing,
        }))
    }

    /// Bytes of its lines. What a compressed file holds only its end tells, if that.
    pub(super) fn plain_bytes(&self) -> Option<u64> {
        let metadata = fs::metadata(&self.path).ok()?;
        (self.packing == Packing::Plain && metadata.is_file()).then_some(metadata.len())
    }

    /// What state it is in: as long as that is the same, nobody has written to it, or put another one in its place. None where
    /// that can't be told: it is no file, or so young that it may be written to again without a trace.
    pub(super) fn state(&self) -> Option<Digest> {
        let metadata = fs::metadata(&self.path).ok()?;
        // Of a link that was put in its place and is as it was again, only itself says so.
        let named_at = changed_at(&fs::symlink_metadata(&self.path).ok()?)?;
        let (modified, changed) = (
            metadata.modified().ok()?,
            changed_at(&metadata)?.max(named_at),
        );
        let age = SystemTime::now()
            .duration_since(modified.max(changed))
            .ok()?;
        if !metadata.is_file() || age < TIMES_APART {
            return None;
        }
        let [modified, changed] = [modified, changed].map(|time| time.duration_since(UNIX_EPOCH));
        let (modified, changed) = (modified.ok()?.as_nanos(), changed.ok()?.as_nanos());
        let text = format!("{} {modified} {changed}", metadata.len());
        Some(Digest::of(text.as_bytes()))
    }

    /// Its lines, decompressed, without the first bytes of them; of a plain file, what it is now as well. A compressed one says
    /// itself whether it is whole.
    pub(super) fn open_at(
        &self,
        bytes: u64,
    ) -> io::Result<(Box<dyn Read + Send>, Option<AsOpened>)> {
        if self.packing == Packing::Plain {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(bytes))?;
            let file = Arc::new(file);
            let as_opened = AsOpened::of(&file);
            return Ok((Box::new(file), as_opened));
        }
        let mut lines = self.open_counted(Arc::default())?;
        let left_out = io::copy(&mut lines.by_ref().take(bytes), &mut io::sink())?;
        match left_out == bytes {
            true => Ok((lines, None)),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// The same; how many of a compressed file's bytes they were made of is counted.
    pub(super) fn open_counted(&self, count: Arc<AtomicU64>) -> io::Result<Box<dyn Read + Send>> {
        let file = File::open(&self.path)?;
        if self.packing == Packing::Plain {
            return Ok(Box::new(file));
        }
        let mut packed = Counted {
            inner: BufReader::with_capacity(READ_BYTES, file),
            count,
        };
        self.packing.check_beginning(packed.fill_buf()?)?;
        if self.packing == Packing::Gzip {
            return Ok(Box::new(MultiGzDecoder::new(packed)));
        }
        let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        Ok(Box::new(decoder))
    }
}

/// When a file, or what is said of it, was changed last. Nobody can set that; none where there is no such time.
#[cfg(unix)]
fn changed_at(metadata: &fs::Metadata) -> Option<SystemTime> {
    use std::os::unix::fs::MetadataExt;
    let seconds = u64::try_from(metadata.ctime()).ok()?;
    let nanoseconds = u32::try_from(metadata.ctime_nsec()).ok()?;
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
}

#[cfg(not(unix))]
fn changed_at(_: &fs::Metadata) -> Option<SystemTime> {
    None
}

/// Counts the bytes that are taken.
struct Counted {
    inner: BufReader<File>,
    count: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl BufRead for Counted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
        self.count.fetch_add(amount as u64, Ordering::Relaxed);
    }
}

fn cut_extension<'a>(name: &'a str, extensions: &[&str]) -> Option<&'a str> {
    extensions.iter().find_map(|extension| {
        let (rest, found) = name.split_at_checked(name.len().checked_sub(extension.len())?)?;
        found.eq_ignore_ascii_case(extension).then_some(rest)
    })
}

/// A failure to read `subject`, in words that help.
pub(super) fn read_error(subject: impl std::fmt::Display, error: io::Error) -> BackupError {
    let class = match error.kind() {
        io::ErrorKind::NotFound => Class::NotFound,
        _ => Class::Permanent,
    };
    let message = match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::UnexpectedEof => format!("it is cut short ({error})"),
        _ => plain_words(&error),
    };
    BackupError::new(class, "read", subject, message).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_resource_and_packing() {
        let of = |name: &str| {
            let file = ResourceFile::of(Path::new(name)).unwrap();
            file.map(|f| (f.resource, f.packing))
        };
        let found = |resource: &str, packing| Some((resource.to_owned(), packing));
        assert_eq!(of("/a/users.jsonl"), found("users", Packing::Plain));
        assert_eq!(of("a.b.ndjson.gz"), found("a.b", Packing::Gzip));
        assert_eq!(of("Ünï çöde.JSONL.zst"), found("Ünï çöde", Packing::Zstd));
        for other in [
            "users.json",
            ".jsonl",
            "users",
            "users.gz",
            "users.jsonl.bz2",
            "é",
            "ü.gz",
            "",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
