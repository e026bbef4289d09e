//! The system calls on a root folder. Everything here blocks.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use rustix::fs::{Advice, fadvise, statvfs};
use rustix::io::Errno;
use teeline_core::{BackupError, Buffers, Class, ObjectKey, ObjectMeta, Timestamp};

use super::calls::{Calls, DiskCall};
use super::failure::failure;
use super::modes::Modes;

/// What the names of temporary files begin with.
pub(super) const TEMPORARY: &str = ".tmp-";

/// What is worth reading of a large object at once. With 1 MiB a backup to four folders holds 4 MiB more, at the same speed.
pub(super) const READ_BYTES: usize = 512 << 10;

/// A root folder.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    modes: Modes,
    calls: Calls,
    /// Folders that are known to be durable in the folders above them, up to the root.
    durable: Mutex<HashSet<PathBuf>>,
    /// What is read into.
    buffers: Buffers,
}

impl Disk {
    pub(super) fn new(root: PathBuf, modes: Modes, calls: Calls) -> Self {
        Disk {
            // Fails only where there is no current folder; a relative path then fails at its first use.
            root: std::path::absolute(&root).unwrap_or(root),
            modes,
            calls,
            durable: Mutex::default(),
            buffers: Buffers::default(),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn modes(&self) -> Modes {
        self.modes
    }

    pub(super) fn calls(&self) -> &Calls {
        &self.calls
    }

    pub(super) fn path(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(key.as_str())
    }

    pub(super) fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        let path = self.path(key);
        let failed = |error| failure("read", &path, error);
        let (file, held) = self.open(&path).map_err(failed)?;
        let shorter = || {
            let message = format!(
                "shorter than expected: it holds {held} bytes, and bytes {} to {} were asked for",
                range.start, range.end
            );
            BackupError::new(Class::Corrupt, "read", path.display(), message)
        };
        // Before anything of that size is allocated.
        let length = range.end.checked_sub(range.start);
        let length = length.and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|_| range.end <= held).ok_or_else(shorter)?;

        // Of few sizes, so that they are used again.
        let mut buffer = self.buffers.take(length.next_multiple_of(READ_BYTES));
        let into = &mut buffer[..length];
        let reading = self.calls.before(DiskCall::Read);
        match reading.and_then(|()| file.read_exact_at(into, range.start)) {
            Ok(()) => Ok(self.buffers.lend(buffer, length)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(shorter()),
            Err(error) => Err(failed(error)),
        }
    }

    /// Whether an object holds exactly `bytes`.
    pub(super) fn holds(&self, key: &ObjectKey, bytes: &[u8]) -> Result<bool, BackupError> {
        let path = self.path(key);
        let failed = |error| failure("read", &path, error);
        let (mut file, held) = match self.open(&path) {
            Ok(opened) => opened,
            Err(error) => {
                // Deleted in the meantime, or a folder.
                let error = failed(error);
                return match error.class() {
                    Class::NotFound => Ok(false),
                    _ => Err(error),
                };
            }
        };
        if held != bytes.len() as u64 {
            return Ok(false);
        }
        let mut stored = Vec::with_capacity(bytes.len());
        let reading = self.calls.before(DiskCall::Read);
        reading
            .and_then(|()| file.read_to_end(&mut stored))
            .map_err(failed)?;
        Ok(stored == bytes)
    }

    pub(super) fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        let path = self.path(key);
        let failed = |error| failure("look at", &path, error);
        let looking = self.calls.before(DiskCall::Look);
        let metadata = looking.and_then(|()| fs::metadata(&path)).map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(Errno::ISDIR.into()));
        }
        Ok(meta(key.clone(), &metadata))
    }

    pub(super) fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError> {
        let path = self.path(key);
        let failed = |error| failure("drop from the cache", &path, error);
        let (file, _) = self.open(&path).map_err(failed)?;
        self.calls.before(DiskCall::DropCached).map_err(failed)?;
        fadvise(&file, 0, None, Advice::DontNeed).map_err(|errno| failed(errno.into()))
    }

    pub(super) fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        let path = self.path(key);
        let removing = self.calls.before(DiskCall::Remove);
        match removing.and_then(|()| fs::remove_file(&path)) {
            Ok(()) => {}
            Err(error) if is_absence(&error) || path.is_dir() => return Ok(()),
            Err(error) => return Err(failure("delete", &path, error)),
        }
        // Folders that it leaves empty go too. Writers make them again where they lose this race.
        for folder in self.folders_above(&path) {
            if folder == self.root {
                break;
            }
            self.durable().remove(folder);
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Refuses a root that is there and is no folder.
    pub(super) fn check_root(&self, operation: &str) -> Result<(), BackupError> {
        match fs::metadata(&self.root) {
            Ok(there) if !there.is_dir() => {
                let message = "it is a file, and a destination is a folder";
                let error =
                    BackupError::new(Class::Permanent, operation, self.root.display(), message);
                Err(error.suggest("name the folder that the backups are in"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses to begin what won't fit.
    pub(super) fn check_space(&self, target: &Path, expected: u64) -> Result<(), BackupError> {
        let folder = target.parent().unwrap_or(&self.root);
        let failed = |error| failure("look at", folder, error);
        self.calls.before(DiskCall::Space).map_err(failed)?;
        let space = statvfs(folder).map_err(|errno| failed(errno.into()))?;
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        // Some filesystems don't tell, and say that they have no blocks at all.
        if space.f_blocks == 0 || free >= expected {
            return Ok(());
        }
        let message = format!(
            "no space: {expected} bytes are expected, {free} are free on the filesystem of {}",
            self.root.display()
        );
        Err(
            BackupError::new(Class::Permanent, "begin", target.display(), message)
                .suggest("free some space, or choose another place"),
        )
    }

    /// Makes sure that a folder at or below the root is there, without following symbolic links below the root.
    pub(super) fn make_folder(&self, folder: &Path) -> Result<(), BackupError> {
        self.check_root("make")?;
        if !self.root.is_dir() {
            self.make_root()
                .map_err(|error| failure("make", &self.root, error))?;
        }
        let below = folder.strip_prefix(&self.root).unwrap_or(Path::new(""));
        let mut at = self.root.clone();
        for component in below {
            at.push(component);
            self.make_one_folder(&at)?;
        }
        Ok(())
    }

    fn make_one_folder(&self, at: &Path) -> Result<(), BackupError> {
        let refused = |message| BackupError::new(Class::Conflict, "make", at.display(), message);
        let looking = self.calls.before(DiskCall::Look);
        match looking.and_then(|()| fs::symlink_metadata(at)) {
            Ok(there) if there.is_dir() => Ok(()),
            Ok(there) if there.is_symlink() => Err(refused(
                "it is a symbolic link, and those aren't followed in writing",
            )),
            Ok(_) => Err(refused(
                "it is a file, so no object can be written below it",
            )),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.durable().remove(at);
                match self.create_folder(at) {
                    // Somebody else was faster.
                    Err(error) if error.kind() == ErrorKind::AlreadyExists && at.is_dir() => Ok(()),
                    made => made.map_err(|error| failure("make", at, error)),
                }
            }
            Err(error) => Err(failure("make", at, error)),
        }
    }

    /// Makes durable that `target` is in its folder, and its folder in those above it.
    pub(super) fn sync_folders_of(&self, target: &Path) -> Result<(), BackupError> {
        let Some(folder) = target.parent() else {
            return Ok(());
        };
        let sync = |folder: &Path| {
            self.sync_folder(folder)
                .map_err(|error| failure("make durable", folder, error))
        };
        sync(folder)?;
        if self.durable().contains(folder) {
            return Ok(());
        }
        for above in self.folders_above(folder) {
            sync(above)?;
        }
        self.durable().insert(folder.to_owned());
        Ok(())
    }

    /// The folders above `path`, from the nearest one up to the root.
    fn folders_above<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a Path> {
        let above = path.ancestors().skip(1);
        above.take_while(|folder| folder.starts_with(&self.root))
    }

    fn open(&self, path: &Path) -> io::Result<(File, u64)> {
        self.calls.before(DiskCall::Open)?;
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(Errno::ISDIR.into());
        }
        Ok((file, metadata.len()))
    }

    /// The root and what is missing above it, each durable in the folder above.
    fn make_root(&self) -> io::Result<()> {
        let above = self.root.ancestors();
        let missing: Vec<_> = above.take_while(|path| !path.is_dir()).collect();
        for folder in missing.into_iter().rev() {
            match self.create_folder(folder) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
                made => made?,
            }
            match folder.parent().map(|above| self.sync_folder(above)) {
                // One may write to a folder without the right to open it.
                Some(Err(error)) if error.kind() != ErrorKind::PermissionDenied => {
                    return Err(error);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.calls.before(DiskCall::MakeFolder)?;
        self.modes.create_folder(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.calls.before(DiskCall::SyncFolder)?;
        match File::open(folder)?.sync_all() {
            // Some filesystems have no such thing as a folder that isn't durable.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => Ok(()),
            result => result,
        }
    }

    fn durable(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        // It is only ever too small, so what a panic left is good enough.
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing is there under that path, be it that what should be a folder is a file.
pub(super) fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

pub(super) fn meta(key: ObjectKey, metadata: &fs::Metadata) -> ObjectMeta {
    let since_1970 = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_millis()).ok());
    ObjectMeta {
        key,
        bytes: metadata.len(),
        modified_at: since_1970.map(Timestamp::from_unix_ms),
    }
}
