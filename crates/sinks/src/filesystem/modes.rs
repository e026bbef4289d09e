//! Who may read what is written, as the mode bits of files and folders.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use cap_std::fs::{
    Dir, DirBuilder, DirBuilderExt as _, OpenOptions, OpenOptionsExt as _, Permissions,
    PermissionsExt as _,
};

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
    /// Makes a file in `folder` that isn't there yet, to be written.
    pub(super) fn create_file(self, folder: &Dir, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        options.mode(self.file.unwrap_or(FILE_DEFAULT));
        let file = folder.open_with(name, &options)?.into_std();
        if let Some(wanted) = self.file {
            let found = file.metadata()?.permissions().mode();
            let set = |mode| file.set_permissions(fs::Permissions::from_mode(mode));
            // Nobody but its owner has seen it: what is left behind is empty.
            correct(found, wanted, set).inspect_err(|_| drop(folder.remove_file(name)))?;
        }
        Ok(file)
    }

    /// Makes a folder at `path` below `dir` that isn't there yet.
    pub(super) fn create_folder(self, dir: &Dir, path: &Path) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        builder.mode(self.folder.unwrap_or(FOLDER_DEFAULT));
        dir.create_dir_with(path, &builder)?;
        if let Some(wanted) = self.folder {
            let found = dir.metadata(path)?.permissions().mode();
            correct(found, wanted, |mode| {
                dir.set_permissions(path, Permissions::from_mode(mode))
            })?;
        }
        Ok(())
    }
}

/// Sets what the umask has taken, and keeps what the folder above has passed on. Not every filesystem can, so it isn't tried
/// where nothing is to be changed.
fn correct(found: u32, wanted: u32, set: impl FnOnce(u32) -> io::Result<()>) -> io::Result<()> {
    if found & PERMISSIONS == wanted {
        return Ok(());
    }
    set(found & !PERMISSIONS | wanted)
}
