//! An object that isn't one yet: a temporary file beside its place. Everything here blocks.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::{Dir, MetadataExt as _};
use rustix::fs::{RenameFlags, renameat_with};
use rustix::io::Errno;
use teeline_core::{BackupError, Class, ObjectKey};

use super::calls::{DiskCall, DiskFault};
use super::disk::{Disk, TEMPORARY};
use super::failure::failure;

/// How often a temporary file is tried to be made, where others delete the folder or have the name.
const CREATE_ATTEMPTS: u32 = 16;

/// A temporary file; dropped, it is gone.
pub(super) struct Draft {
    disk: Arc<Disk>,
    /// Where it stands, and is to stand.
    folder: Dir,
    file: File,
    temporary: String,
    key: ObjectKey,
    /// The same, for messages.
    target: PathBuf,
    length: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// It stands under its key, and may not be durable there yet.
    Published,
    Committed,
    /// What the file holds is unknown.
    Spoilt,
}

impl Draft {
    pub(super) fn create(disk: &Arc<Disk>, key: &ObjectKey) -> Result<Self, BackupError> {
        let target = disk.path(key);
        if key
            .as_str()
            .split('/')
            .any(|name| name.starts_with(TEMPORARY))
        {
            let message = format!("names that begin with {TEMPORARY} are for temporary files");
            return Err(BackupError::usage(target.display(), message));
        }
        let (folder, temporary, file) = create_beside(disk, key, &target)?;
        Ok(Draft {
            disk: Arc::clone(disk),
            folder,
            file,
            temporary,
            key: key.clone(),
            target,
            length: 0,
            state: State::Open,
        })
    }

    /// Refuses to go on with what won't fit.
    pub(super) fn check_space(&self, expected: u64) -> Result<(), BackupError> {
        self.disk.check_space(&self.folder, &self.target, expected)
    }

    /// Makes durable what stands under its key, whoever wrote it.
    pub(super) fn sync_folders(&self) -> Result<(), BackupError> {
        self.disk.sync_folders_of(self.below())
    }

    fn below(&self) -> &Path {
        Path::new(self.key.as_str())
    }

    /// Adds bytes. A repetition after a failure overwrites what the first try left.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        if self.state != State::Open {
            return Err(self.ended());
        }
        let failed = |error| failure("write", &self.target, error);
        let fault = self.disk.calls().fault(DiskCall::Write);
        let taken = match fault {
            None => bytes,
            Some(DiskFault::ShortWrite) => &bytes[..bytes.len() / 2],
            Some(DiskFault::Errno(_)) => &[],
        };
        self.file.write_all_at(taken, self.length).map_err(failed)?;
        if let Some(fault) = fault {
            return Err(failed(fault.error()));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Makes it durable and visible. After a failure it goes on where it stopped.
    pub(super) fn commit(&mut self) -> Result<(), BackupError> {
        match self.state {
            State::Committed => return Ok(()),
            State::Published => {}
            State::Spoilt => return Err(self.ended()),
            State::Open => {
                self.make_durable()?;
                self.publish()?;
            }
        }
        self.sync_folders()?;
        self.state = State::Committed;
        Ok(())
    }

    fn make_durable(&mut self) -> Result<(), BackupError> {
        // A failed write may have left bytes behind the end.
        let (file, calls) = (&self.file, self.disk.calls());
        let synced = calls
            .before(DiskCall::Truncate)
            .and_then(|()| file.set_len(self.length))
            .and_then(|()| calls.before(DiskCall::Sync))
            .and_then(|()| file.sync_all());
        synced.map_err(|error| {
            // The system reports a page that it couldn't write once, and then forgets it: a second try would succeed
            // without having written it.
            self.state = State::Spoilt;
            failure("make durable", &self.target, error)
        })
    }

    fn publish(&mut self) -> Result<(), BackupError> {
        let renaming = self.disk.calls().before(DiskCall::Rename);
        let (folder, name) = (&self.folder, self.key.file_name());
        let moved = renaming.and_then(|()| move_without_replacing(folder, &self.temporary, name));
        match moved {
            Ok(()) => {}
            // On a network share the first try may have taken effect although it failed.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && self.is_published() => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let message = "it exists already, and objects are written once";
                return Err(BackupError::new(
                    Class::Conflict,
                    "write",
                    self.target.display(),
                    message,
                ));
            }
            Err(error) => return Err(failure("publish", &self.target, error)),
        }
        self.state = State::Published;
        Ok(())
    }

    /// Whether what stands under the key is this very file.
    fn is_published(&self) -> bool {
        let ours = self.file.metadata();
        let ours = ours.map(|metadata: fs::Metadata| (metadata.dev(), metadata.ino()));
        let theirs = self.disk.look_at(self.below());
        let theirs = theirs.map(|metadata| (metadata.dev(), metadata.ino()));
        matches!((ours, theirs), (Ok(ours), Ok(theirs)) if ours == theirs)
    }

    fn ended(&self) -> BackupError {
        let message = "the upload has ended or failed, and can't go on";
        BackupError::new(Class::Permanent, "write", self.target.display(), message)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Published by a rename, it isn't there any more. Where it can't be removed it is ignored by all readers, and
        // nobody is left to tell.
        self.folder.remove_file(&self.temporary).ok();
    }
}

/// Whether a temporary file of ours may be called so.
pub(super) fn is_draft(name: &str) -> bool {
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let number = name.strip_prefix(TEMPORARY);
    number.is_some_and(|number| number.len() == 16 && number.bytes().all(is_hex))
}

fn create_beside(
    disk: &Disk,
    key: &ObjectKey,
    target: &Path,
) -> Result<(Dir, String, File), BackupError> {
    let below = Path::new(key.as_str()).parent().unwrap_or(Path::new(""));
    let mut attempts = 0;
    loop {
        disk.make_folder(below)?;
        let name = format!("{TEMPORARY}{:016x}", RandomState::new().hash_one(()));
        let created = disk.folder(below).and_then(|folder| {
            disk.calls().before(DiskCall::Create)?;
            let file = disk.modes().create_file(&folder, &name)?;
            Ok((folder, file))
        });
        attempts += 1;
        match created {
            Ok((folder, file)) => return Ok((folder, name, file)),
            Err(error)
                if attempts < CREATE_ATTEMPTS
                    && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists) => {}
            Err(error) => return Err(failure("begin", target, error)),
        }
    }
}

fn move_without_replacing(folder: &Dir, from: &str, to: &str) -> io::Result<()> {
    match renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        // Not every filesystem can, NFS for one; those have hard links.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            folder.hard_link(from, folder, to)?;
            // Where the second name can't be removed now, the draft tries again when it is dropped.
            folder.remove_file(from).ok();
            Ok(())
        }
        result => Ok(result?),
    }
}
