//! The objects below a folder, one after the other. Everything here blocks.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::{DirEntry, ReadDir};
use teeline_core::{BackupError, ObjectKey, ObjectMeta};

use super::disk::{Disk, TEMPORARY, is_absence, meta};
use super::draft::is_draft;
use super::failure::failure;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Find {
    Objects,
    /// Temporary files of objects that aren't ones yet.
    Drafts,
}

/// Objects below a folder, or what isn't one yet. What is deleted meanwhile may be missing; what can't be ours (temporary files, links, names
/// that are no keys) is passed over.
pub(super) struct Walk {
    disk: Arc<Disk>,
    /// Folders below the root that are to be opened.
    ahead: Vec<PathBuf>,
    open: Option<(PathBuf, ReadDir)>,
    find: Find,
}

impl Walk {
    pub(super) fn new(disk: Arc<Disk>, folder: Option<&ObjectKey>, find: Find) -> Self {
        let start = folder.map_or_else(PathBuf::new, |folder| folder.as_str().into());
        Walk {
            disk,
            ahead: vec![start],
            open: None,
            find,
        }
    }

    /// What stands in the open folder under one name, if that is an object.
    fn look(&mut self, folder: &Path, entry: &DirEntry) -> io::Result<Option<ObjectMeta>> {
        let name = entry.file_name();
        let kind = entry.file_type()?;
        if kind.is_dir() && !is_temporary(&name) {
            self.ahead.push(folder.join(&name));
        }
        let is_found = match self.find {
            Find::Objects => !is_temporary(&name),
            Find::Drafts => name.to_str().is_some_and(is_draft),
        };
        if !kind.is_file() || !is_found {
            return Ok(None);
        }
        let metadata = entry.metadata()?;
        let path = folder.join(&name);
        let key = path.to_str().and_then(|path| ObjectKey::new(path).ok());
        Ok(key.map(|key| meta(key, &metadata)))
    }
}

impl Walk {
    fn failed(&self, folder: &Path, error: io::Error) -> BackupError {
        failure("list", &self.disk.root().join(folder), error)
    }
}

impl Iterator for Walk {
    type Item = Result<ObjectMeta, BackupError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((folder, entries)) = &mut self.open else {
                let folder = self.ahead.pop()?;
                match self.disk.entries(&folder) {
                    Ok(entries) => self.open = Some((folder, entries)),
                    Err(error) if is_absence(&error) => {
                        // Nothing is below a folder that isn't there; but where the root is a file, no folder is meant.
                        if let Err(error) = self.disk.check_root("list") {
                            return Some(Err(error));
                        }
                    }
                    Err(error) => return Some(Err(self.failed(&folder, error))),
                }
                continue;
            };
            let Some(entry) = entries.next() else {
                self.open = None;
                continue;
            };
            let folder = folder.clone();
            match entry.and_then(|entry| self.look(&folder, &entry)) {
                Ok(Some(meta)) => return Some(Ok(meta)),
                Ok(None) => {}
                Err(error) if is_absence(&error) => {}
                Err(error) => {
                    // The system may give the same error for ever.
                    self.open = None;
                    return Some(Err(self.failed(&folder, error)));
                }
            }
        }
    }
}

fn is_temporary(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes())
}
