//! Who may read what is written, as the mode bits of files and folders.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

const FILE_DEFAULT: u32 = 0o600;
const FOLDER_DEFAULT: u32 = 0o700;
/// Who may read, write and run.
const PERMISSIONS: u32 = 0o777;

/// What files and folders are made with, from 0 to `0o777`. What is there already stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Modes {
    /// Of files. `None`: `0o600`, of which the process's umask may take something.
    pub file: Option<u32>,
    /// Of folders, the root among them. `None`: `0o700`, likewise.
    pub folder: Option<u32>,
}

impl Modes {
    /// Makes a file that isn't there yet, to be written.
    pub(super) fn create_file(self, path: &Path) -> io::Result<File> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(self.file.unwrap_or(FILE_DEFAULT))
            .open(path)?;
        if let Some(wanted) = self.file {
            let found = file.metadata()?.permissions();
            let set = |permissions| file.set_permissions(permissions);
            // Nobody but its owner has seen it: what is left behind is empty.
            correct(found, wanted, set).inspect_err(|_| drop(fs::remove_file(path)))?;
        }
        Ok(file)
    }

    /// Makes a folder that isn't there yet.
    pub(super) fn create_folder(self, path: &Path) -> io::Result<()> {
        DirBuilder::new()
            .mode(self.folder.unwrap_or(FOLDER_DEFAULT))
            .create(path)?;
        if let Some(wanted) = self.folder {
            let found = fs::metadata(path)?.permissions();
            correct(found, wanted, |permissions| {
                fs::set_permissions(path, permissions)
            })?;
        }
        Ok(())
    }
}

/// Sets what the umask has taken, and keeps what the folder above has passed on. Not every filesystem can, so it isn't tried
/// where nothing is to be changed.
fn correct(
    found: Permissions,
    wanted: u32,
    set: impl FnOnce(Permissions) -> io::Result<()>,
) -> io::Result<()> {
    let mode = found.mode();
    if mode & PERMISSIONS == wanted {
        return Ok(());
    }
    set(Permissions::from_mode(mode & !PERMISSIONS | wanted))
}
