//! The folder that a restore is staged in, before it is renamed to what was asked for: beside that, or in it where it is the root
//! of a mount.
//!
//! It has one name for a backup and a target, so that what a killed restore left is found by the next one and goes. What
//! tells a killed one from one that is under way is a lock on the folder: it ends with the process that holds it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use teeline_core::{BackupError, BackupId, Class};

use super::folder::failed;

/// A link is somebody else's way to have something written elsewhere.
pub(super) const NO_LINK: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// How often the folder may be gone again by the time that it is locked: each time another restore has ended.
const TRIES_MAX: u32 = 8;

/// What the folder is called, and what tries there what such folders are like.
const SUFFIXES: [&str; 2] = [".restoring", ".probe"];

/// A folder that is this restore's alone.
#[derive(Debug)]
pub(super) struct Staging {
    path: PathBuf,
    /// Held for as long as the folder is written.
    _lock: File,
}

impl Staging {
    /// Makes the folder, or takes over what a killed restore left, and empties it. Blocks.
    ///
    /// # Errors
    /// [`Class::Conflict`] where another restore is under way in it.
    pub(super) fn begin(path: PathBuf) -> Result<Self, BackupError> {
        for _ in 0..TRIES_MAX {
            if let Some(lock) = lock(&path)? {
                clear(&path).map_err(|error| failed("clear", &path, error))?;
                return Ok(Staging { path, _lock: lock });
            }
        }
        Err(under_way(&path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The name of the folder in which a backup is staged for a target that is called `target`.
pub(super) fn name_for(target: &str, backup: &BackupId) -> String {
    format!(".{target}.{backup}{}", SUFFIXES[0])
}

/// Whether a folder of this name may be what a restore to a target that is called `target` has left, of whichever backup.
pub(super) fn may_be_left(name: &str, target: &str) -> bool {
    let rest = name.strip_prefix('.');
    let rest = rest.and_then(|rest| rest.strip_prefix(target)?.strip_prefix('.'));
    rest.is_some_and(|rest| SUFFIXES.iter().any(|suffix| rest.ends_with(suffix)))
}

/// Whether a folder is the root of a mount: nothing can be renamed onto that, nor from beside it into it. Blocks.
pub(super) fn is_mounted(folder: &Path) -> bool {
    let device = |folder: &Path| fs::metadata(folder).map(|found| found.dev()).ok();
    let Some(own) = device(folder) else {
        return false;
    };
    let parent = folder.parent().unwrap_or(folder);
    device(parent).is_some_and(|above| above != own) || is_mount_root(folder)
}

/// The same of what is mounted from elsewhere on one device.
#[cfg(target_os = "linux")]
fn is_mount_root(folder: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let found = statx(CWD, folder, AtFlags::empty(), StatxFlags::empty());
    found.is_ok_and(|found| {
        let root = StatxAttributes::MOUNT_ROOT;
        found.stx_attributes.contains(root)
    })
}

#[cfg(not(target_os = "linux"))]
fn is_mount_root(_: &Path) -> bool {
    false
}

/// Locks the folder; `None` where it was renamed or removed before it was locked.
fn lock(path: &Path) -> Result<Option<File>, BackupError> {
    let is_new = make(path).map_err(|error| failed("create", path, error))?;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(NO_LINK)
        .open(path);
    let folder = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| failed("open", path, error))?,
    };
    match folder.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(under_way(path)),
        Err(TryLockError::Error(error)) => {
            return Err(failed("lock", path, error)
                .suggest("restore to a filesystem that has locks, and copy it from there"));
        }
    }
    let locked = folder
        .metadata()
        .map_err(|error| failed("look at", path, error))?;
    if !is_new {
        check_own(path, &locked)?;
    }
    let is_same = |there: fs::Metadata| (there.dev(), there.ino()) == (locked.dev(), locked.ino());
    match fs::symlink_metadata(path) {
        Ok(there) => Ok(Some(folder).filter(|_| is_same(there))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("look at", path, error)),
    }
}

/// Makes the folder; whether it wasn't there. What is restored is nobody else's to read until its owner says so.
fn make(path: &Path) -> io::Result<bool> {
    let mut private = DirBuilder::new();
    private.mode(0o700);
    if let Some(parent) = path.parent() {
        private.recursive(true).create(parent)?;
    }
    match private.recursive(false).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        made => made.map(|()| true),
    }
}

/// What a folder is like there that we make: not every filesystem keeps owners and permissions as they were asked for.
fn probe(beside: &Path) -> io::Result<fs::Metadata> {
    let probe = beside.with_extension(SUFFIXES[1].trim_start_matches('.'));
    // One that a killed restore has left is empty; what isn't is somebody's, and in the way.
    let _ = fs::remove_dir(&probe);
    DirBuilder::new().mode(0o700).create(&probe)?;
    let made = fs::symlink_metadata(&probe);
    fs::remove_dir(&probe)?;
    made
}

/// What somebody else has made, or may use, could have links in it, or be read by them.
fn check_own(path: &Path, folder: &fs::Metadata) -> Result<(), BackupError> {
    let whose = |folder: &fs::Metadata| (folder.uid(), folder.mode());
    let ours = probe(path).map_err(|error| failed("look at", path, error))?;
    if whose(folder) == whose(&ours) {
        return Ok(());
    }
    let message = "it was made by somebody else, or others may use it";
    Err(
        BackupError::new(Class::Permanent, "stage in", path.display(), message)
            .suggest("remove it, or restore to a folder in which only you can write"),
    )
}

fn clear(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

fn under_way(path: &Path) -> BackupError {
    let message = "another restore of this backup to this folder is under way";
    BackupError::new(Class::Conflict, "stage in", path.display(), message)
        .suggest("wait until it has ended, or restore to another folder")
}
