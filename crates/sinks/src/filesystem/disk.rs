//! The system calls on a root folder. Everything here blocks.
//!
//! The root is opened once, and whatever stands below it is reached from there (`openat2` with `RESOLVE_BENEATH` where the
//! system has it): a symbolic link that leads outside isn't followed, whoever puts it there and whenever.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, OpenOptions, OpenOptionsExt as _, ReadDir};
use rustix::fs::{Advice, Mode, OFlags, fadvise, fstatvfs, openat};
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
    /// Once it was there.
    opened: OnceLock<Dir>,
    modes: Modes,
    calls: Calls,
    /// Folders below the root that are known to be durable in the folders above them, up to the root.
    durable: Mutex<HashSet<PathBuf>>,
    /// What is read into.
    buffers: Buffers,
}

impl Disk {
    pub(super) fn new(root: PathBuf, modes: Modes, calls: Calls) -> Self {
        Disk {
            // Fails only where there is no current folder; a relative path then fails at its first use.
            root: std::path::absolute(&root).unwrap_or(root),
            opened: OnceLock::new(),
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

    /// Where an object is, for whoever is to look.
    pub(super) fn path(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(key.as_str())
    }

    fn dir(&self) -> io::Result<&Dir> {
        if let Some(dir) = self.opened.get() {
            return Ok(dir);
        }
        let dir = Dir::open_ambient_dir(&self.root, ambient_authority())?;
        Ok(self.opened.get_or_init(|| dir))
    }

    /// A folder below the root; `""` is the root.
    pub(super) fn folder(&self, below: &Path) -> io::Result<Dir> {
        match below.as_os_str().is_empty() {
            true => self.dir()?.try_clone(),
            false => self.dir()?.open_dir(below),
        }
    }

    /// What is in a folder below the root.
    pub(super) fn entries(&self, below: &Path) -> io::Result<ReadDir> {
        self.calls.before(DiskCall::List)?;
        match below.as_os_str().is_empty() {
            true => self.dir()?.entries(),
            false => self.dir()?.read_dir(below),
        }
    }

    /// What stands under a key, without following it where it is a link.
    pub(super) fn look_at(&self, key: &Path) -> io::Result<Metadata> {
        self.dir()?.symlink_metadata(key)
    }

    fn open(&self, key: &ObjectKey) -> io::Result<(File, u64)> {
        self.calls.before(DiskCall::Open)?;
        let mut options = OpenOptions::new();
        // Opening a pipe would wait for whoever writes to it.
        options.read(true);
        options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let file = self.dir()?.open_with(key.as_str(), &options)?.into_std();
        let metadata = file.metadata()?;
        check_kind(metadata.is_file(), metadata.is_dir())?;
        Ok((file, metadata.len()))
    }

    pub(super) fn read(&self, key: &ObjectKey, range: Range<u64>) -> Result<Bytes, BackupError> {
        let path = self.path(key);
        let failed = |error| failure("read", &path, error);
        let (file, held) = self.open(key).map_err(failed)?;
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
        let (mut file, held) = match self.open(key) {
            Ok(opened) => opened,
            Err(error) => {
                // Deleted in the meantime, a folder, or a link to elsewhere.
                let error = failed(error);
                return match error.class() {
                    Class::NotFound | Class::Corrupt => Ok(false),
                    _ => Err(error),
                };
            }
        };
        if held != bytes.len() as u64 {
            return Ok(false);
        }
        let mut stored = Vec::with_capacity(bytes.len());
        let reading = self.calls.before(DiskCall::Read);
        let read = reading.and_then(|()| file.read_to_end(&mut stored));
        read.map_err(failed)?;
        Ok(stored == bytes)
    }

    pub(super) fn head(&self, key: &ObjectKey) -> Result<ObjectMeta, BackupError> {
        let path = self.path(key);
        let failed = |error| failure("look at", &path, error);
        self.calls.before(DiskCall::Look).map_err(failed)?;
        let metadata = self.dir().and_then(|dir| dir.metadata(key.as_str()));
        let metadata = metadata.map_err(failed)?;
        check_kind(metadata.is_file(), metadata.is_dir()).map_err(failed)?;
        Ok(meta(key.clone(), &metadata))
    }

    pub(super) fn drop_cached(&self, key: &ObjectKey) -> Result<(), BackupError> {
        let path = self.path(key);
        let failed = |error| failure("drop from the cache", &path, error);
        let (file, _) = self.open(key).map_err(failed)?;
        self.calls.before(DiskCall::DropCached).map_err(failed)?;
        fadvise(&file, 0, None, Advice::DontNeed).map_err(|errno| failed(errno.into()))
    }

    pub(super) fn delete(&self, key: &ObjectKey) -> Result<(), BackupError> {
        let below = Path::new(key.as_str());
        let failed = |error| failure("delete", &self.path(key), error);
        let dir = match self.dir() {
            Err(error) if is_absence(&error) => return Ok(()),
            opened => opened.map_err(failed)?,
        };
        let removing = self.calls.before(DiskCall::Remove);
        match removing.and_then(|()| dir.remove_file(below)) {
            Ok(()) => {}
            Err(error) if is_absence(&error) || dir.is_dir(below) => return Ok(()),
            Err(error) => return Err(failed(error)),
        }
        // Folders that it leaves empty go too. Writers make them again where they lose this race.
        for folder in folders_above(below) {
            self.durable().remove(folder);
            if folder.as_os_str().is_empty() || dir.remove_dir(folder).is_err() {
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
    pub(super) fn check_space(
        &self,
        folder: &Dir,
        target: &Path,
        expected: u64,
    ) -> Result<(), BackupError> {
        let failed = |error| failure("look at", target, error);
        self.calls.before(DiskCall::Space).map_err(failed)?;
        let space = fstatvfs(folder).map_err(|errno| failed(errno.into()))?;
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

    /// Makes sure that a folder below the root is there, `""` being the root, without following symbolic links there.
    pub(super) fn make_folder(&self, below: &Path) -> Result<(), BackupError> {
        let failed = |error| failure("make", &self.root, error);
        self.check_root("make")?;
        if !self.root.is_dir() {
            self.make_root().map_err(failed)?;
        }
        let dir = self.dir().map_err(failed)?;
        let mut at = PathBuf::new();
        for component in below {
            at.push(component);
            self.make_one_folder(dir, &at)?;
        }
        Ok(())
    }

    fn make_one_folder(&self, dir: &Dir, at: &Path) -> Result<(), BackupError> {
        let shown = self.root.join(at);
        let refused = |message| BackupError::new(Class::Conflict, "make", shown.display(), message);
        let looking = self.calls.before(DiskCall::Look);
        match looking.and_then(|()| dir.symlink_metadata(at)) {
            Ok(there) if there.is_dir() => Ok(()),
            Ok(there) if there.is_symlink() => Err(refused(
                "it is a symbolic link, and those aren't followed in writing",
            )),
            Ok(_) => Err(refused(
                "it is a file, so no object can be written below it",
            )),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.durable().remove(at);
                match self.create_folder(dir, at) {
                    // Somebody else was faster.
                    Err(error) if error.kind() == ErrorKind::AlreadyExists && dir.is_dir(at) => {
                        Ok(())
                    }
                    made => made.map_err(|error| failure("make", &shown, error)),
                }
            }
            Err(error) => Err(failure("make", &shown, error)),
        }
    }

    /// Makes durable that the object `below` the root is in its folder, and its folder in those above it.
    pub(super) fn sync_folders_of(&self, below: &Path) -> Result<(), BackupError> {
        let Some(folder) = below.parent() else {
            return Ok(());
        };
        let sync = |folder: &Path| {
            let opened = self.folder(folder);
            let synced = opened.and_then(|opened| self.sync_folder(&opened));
            synced.map_err(|error| failure("make durable", &self.root.join(folder), error))
        };
        sync(folder)?;
        if self.durable().contains(folder) {
            return Ok(());
        }
        for above in folders_above(folder) {
            sync(above)?;
        }
        self.durable().insert(folder.to_owned());
        Ok(())
    }

    /// The root and what is missing above it, each durable in the folder above.
    fn make_root(&self) -> io::Result<()> {
        let above = self.root.ancestors();
        let missing: Vec<_> = above.take_while(|path| !path.is_dir()).collect();
        for folder in missing.into_iter().rev() {
            let (Some(above), Some(name)) = (folder.parent(), folder.file_name()) else {
                continue;
            };
            let above = Dir::open_ambient_dir(above, ambient_authority())?;
            match self.create_folder(&above, Path::new(name)) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
                made => made?,
            }
            match self.sync_folder(&above) {
                // One may write to a folder without the right to open it.
                Err(error) if error.kind() != ErrorKind::PermissionDenied => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn create_folder(&self, dir: &Dir, path: &Path) -> io::Result<()> {
        self.calls.before(DiskCall::MakeFolder)?;
        self.modes.create_folder(dir, path)
    }

    fn sync_folder(&self, folder: &Dir) -> io::Result<()> {
        self.calls.before(DiskCall::SyncFolder)?;
        // What it was opened for needn't be reading.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let readable = File::from(openat(folder, c".", flags, Mode::empty())?);
        match readable.sync_all() {
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

pub(super) fn meta(key: ObjectKey, metadata: &Metadata) -> ObjectMeta {
    let since_1970 = metadata
        .modified()
        .ok()
        .and_then(|time| time.into_std().duration_since(UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_millis()).ok());
    ObjectMeta {
        key,
        bytes: metadata.len(),
        modified_at: since_1970.map(Timestamp::from_unix_ms),
    }
}

/// The folders above what is `below` the root, from the nearest one up to the root, which is `""`.
fn folders_above(below: &Path) -> impl Iterator<Item = &Path> {
    below.ancestors().skip(1)
}

/// Only files are objects. A pipe or a device, of which there is no end, is nobody's.
fn check_kind(is_file: bool, is_folder: bool) -> io::Result<()> {
    match (is_file, is_folder) {
        (true, _) => Ok(()),
        (_, true) => Err(Errno::ISDIR.into()),
        _ => Err(io::Error::new(ErrorKind::InvalidData, "it is no file")),
    }
}
