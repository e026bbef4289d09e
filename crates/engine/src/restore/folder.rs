//! A folder as target: `<resource>.jsonl` for each resource, staged beside it and renamed as a whole. Where that can't be, since it is
//! the root of a mount, it is staged in it, and renamed file by file.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use teeline_core::{
    BackupError, Class, Frame, OBJECTS_NAME, Restoring, Stems, Target, layout, plain_words,
};
use tokio::fs::{self, File};

use super::staging::{NO_LINK, Staging, is_mounted, may_be_left, name_for};

/// A filesystem of some kinds is made with it.
const LOST_AND_FOUND: &str = "lost+found";

#[derive(Debug)]
pub(super) struct FolderTarget {
    /// The folder as it was named.
    named: PathBuf,
    /// The same with symbolic links followed: what is renamed takes the place of the folder, not of a link to it.
    folder: PathBuf,
    is_mounted: bool,
    overwrite: bool,
    staging: Option<Staging>,
    /// The file of each resource.
    names: HashMap<String, String>,
    open: Option<(String, Arc<std::fs::File>)>,
}

impl FolderTarget {
    /// The folder at `named`, which needs not be there yet.
    ///
    /// # Errors
    /// [`Class::Conflict`] where something else is.
    pub(super) async fn open(named: PathBuf, overwrite: bool) -> Result<Self, BackupError> {
        let refused = |message| {
            BackupError::new(Class::Conflict, "restore to", named.display(), message).suggest(
                "name a folder that is empty, or that isn't there yet; or - for standard output",
            )
        };
        let folder = match fs::canonicalize(&named).await {
            Ok(folder) => folder,
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(failed("restore to", &named, error));
            }
            Err(_) if fs::symlink_metadata(&named).await.is_ok() => {
                return Err(refused("it is a symbolic link that leads nowhere"));
            }
            // Fails only where there is no current folder; then so does the first use.
            Err(_) => std::path::absolute(&named).unwrap_or_else(|_| named.clone()),
        };
        let holds = async |above: &Path, name| fs::metadata(above.join(name)).await.is_ok();
        if holds(&folder, layout::MARKER).await {
            return Err(refused("backups are kept in it"));
        }
        for root in folder.ancestors().skip(1) {
            if !holds(root, layout::MARKER).await {
                continue;
            }
            for within in folder.ancestors().take_while(|within| *within != root) {
                let is_a_backups =
                    holds(within, layout::RUN_CLAIM).await || holds(within, layout::MANIFEST).await;
                if is_a_backups {
                    return Err(refused("it is in the folder of a backup"));
                }
                let name = within.file_name().and_then(|name| name.to_str());
                let is_own = name.is_some_and(|name| layout::FOLDERS.contains(&name));
                if is_own && within.parent() == Some(root) {
                    return Err(refused("teeline keeps what belongs to a destination in it"));
                }
            }
        }
        let there = fs::metadata(&folder).await;
        if there.is_ok_and(|there| !there.is_dir()) {
            return Err(refused("it is a file, and a restore needs a folder"));
        }
        let looked_at = folder.clone();
        let looked = tokio::task::spawn_blocking(move || is_mounted(&looked_at)).await;
        let is_mounted = looked.map_err(|error| failed("look at", &folder, error.into()))?;
        Ok(FolderTarget {
            named,
            folder,
            is_mounted,
            overwrite,
            staging: None,
            names: HashMap::new(),
            open: None,
        })
    }

    /// The staged file of that name, opened when it isn't the one that is open already.
    async fn file(&mut self, name: &str) -> Result<Arc<std::fs::File>, BackupError> {
        if self.open.as_ref().is_none_or(|(open, _)| open != name) {
            self.close().await?;
            let staging = self
                .staging
                .as_ref()
                .expect("begin comes before the first bytes");
            let path = staging.path().join(name);
            let file = fs::OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .custom_flags(NO_LINK)
                .open(&path)
                .await;
            let file = file.map_err(|error| failed("create", &path, error))?;
            self.open = Some((name.to_owned(), Arc::new(file.into_std().await)));
        }
        let (_, file) = self.open.as_ref().expect("opened above");
        Ok(Arc::clone(file))
    }

    fn file_name(&self, resource: &str) -> Result<String, BackupError> {
        self.names.get(resource).cloned().ok_or_else(|| {
            let message = "the manifest doesn't have it";
            BackupError::corrupt(format!("resource {resource:?}"), message)
        })
    }

    async fn close(&mut self) -> Result<(), BackupError> {
        let Some((name, file)) = self.open.take() else {
            return Ok(());
        };
        let synced = tokio::task::spawn_blocking(move || file.sync_all()).await;
        let synced = synced.unwrap_or_else(|error| Err(error.into()));
        synced.map_err(|error| failed("write", Path::new(&name), error))
    }

    async fn append(&mut self, name: &str, bytes: Bytes) -> Result<(), BackupError> {
        let path = self.folder.join(name);
        let file = self.file(name).await?;
        let written = tokio::task::spawn_blocking(move || (&*file).write_all(&bytes)).await;
        let written = written.unwrap_or_else(|error| Err(error.into()));
        written.map_err(|error| failed("write", &path, error))
    }

    /// What it is called.
    fn name(&self) -> String {
        let name = self.folder.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    async fn is_empty_or_absent(&self) -> Result<bool, BackupError> {
        match names_in(&self.folder).await {
            Ok(names) => Ok(names.iter().all(|name| self.passes_over(name))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Err(error) => Err(failed("read", &self.folder, error)),
        }
    }

    /// Whether it is nobody's data: what a filesystem is made with, and what restores that were killed have left.
    fn passes_over(&self, name: &OsStr) -> bool {
        let name = name.to_string_lossy();
        self.is_mounted && (name == LOST_AND_FOUND || may_be_left(&name, &self.name()))
    }

    /// Refuses a restore that would fail half-way: a file doesn't take a folder's place.
    async fn check_places(&self, names: &[OsString]) -> Result<(), BackupError> {
        for name in names {
            let place = self.folder.join(name);
            let there = fs::symlink_metadata(&place).await;
            if there.is_ok_and(|there| there.is_dir()) {
                let message = "it is a folder, where a file is to be restored";
                return Err(
                    BackupError::new(Class::Conflict, "replace", place.display(), message)
                        .suggest("move it elsewhere, or restore to another folder"),
                );
            }
        }
        Ok(())
    }

    /// Puts the staged folder, or each of its files, where it belongs.
    async fn publish(&self, staging: &Path) -> Result<(), BackupError> {
        let is_empty = self.is_empty_or_absent().await?;
        if !is_empty && !self.overwrite {
            return Err(self.not_empty());
        }
        if is_empty && !self.is_mounted {
            // Renaming onto an empty folder replaces it; onto one that was filled meanwhile it fails.
            match fs::rename(staging, &self.folder).await {
                Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                    return Err(self.not_empty());
                }
                renamed => renamed.map_err(|error| failed("rename", &self.folder, error))?,
            }
            return sync(parent(&self.folder)).await;
        }
        self.publish_files(staging, is_empty).await
    }

    /// Renames file by file. Where there was nothing before and one of them fails, nothing stays.
    async fn publish_files(&self, staging: &Path, was_empty: bool) -> Result<(), BackupError> {
        let names = names_in(staging)
            .await
            .map_err(|error| failed("read", staging, error))?;
        self.check_places(&names).await?;
        for (number, name) in names.iter().enumerate() {
            let place = self.folder.join(name);
            let renamed = match self.overwrite {
                true => fs::rename(staging.join(name), &place).await,
                false => rename_to_new(staging.join(name), place.clone()).await,
            };
            let Err(error) = renamed else {
                continue;
            };
            for placed in names[..number].iter().filter(|_| was_empty) {
                let back = fs::rename(self.folder.join(placed), staging.join(placed)).await;
                if let Err(error) = back {
                    tracing::warn!(target = %self, ?placed, %error, "what was half restored could not be taken back");
                }
            }
            return Err(match error.kind() {
                ErrorKind::AlreadyExists => self.not_empty(),
                _ => failed("rename", &place, error),
            });
        }
        fs::remove_dir(staging)
            .await
            .map_err(|error| failed("remove", staging, error))?;
        sync(&self.folder).await
    }

    fn not_empty(&self) -> BackupError {
        BackupError::new(
            Class::Conflict,
            "restore to",
            self,
            "the folder isn't empty",
        )
        .suggest("choose another folder, or --overwrite to replace the files of the same names")
    }
}

#[async_trait]
impl Target for FolderTarget {
    fn is_staged(&self) -> bool {
        true
    }

    async fn check(&mut self, restoring: &Restoring) -> Result<(), BackupError> {
        if !self.overwrite && !self.is_empty_or_absent().await? {
            return Err(self.not_empty());
        }
        let mut stems = Stems::default();
        // The same names whichever resources are chosen. Those of the manifest aren't trusted with paths of this machine.
        for resource in &restoring.resources {
            let called = resource.restored_as.as_ref().unwrap_or(&resource.name);
            let name = format!("{}.jsonl", stems.take(called));
            self.names.insert(resource.name.clone(), name);
        }
        let lines = restoring.chosen().map(|(name, _)| self.file_name(name));
        let lines: Result<Vec<String>, _> = lines.collect();
        let catalogue = catalogue(restoring).map(|_| layout::DATABASE_CATALOGUE.to_owned());
        let names = lines?.into_iter().chain(catalogue).chain([objects_file()]);
        let names: Vec<OsString> = names.map(OsString::from).collect();
        self.check_places(&names).await
    }

    async fn begin(&mut self, restoring: &Restoring) -> Result<(), BackupError> {
        let place = match self.is_mounted {
            true => &self.folder,
            false => parent(&self.folder),
        };
        let staging = place.join(name_for(&self.name(), &restoring.backup));
        let begun = tokio::task::spawn_blocking(move || Staging::begin(staging)).await;
        let begun = begun.map_err(|error| failed("stage in", &self.folder, error.into()))?;
        self.staging = Some(begun?);
        for (resource, _) in restoring.chosen() {
            let name = self.file_name(resource)?;
            self.file(&name).await?;
        }
        if let Some(catalogue) = catalogue(restoring) {
            self.append(layout::DATABASE_CATALOGUE, catalogue.clone())
                .await?;
        }
        Ok(())
    }

    async fn lines(&mut self, resource: &str, lines: Bytes) -> Result<(), BackupError> {
        let name = self.file_name(resource)?;
        self.append(&name, lines).await
    }

    async fn frames(&mut self, frames: Vec<Frame>) -> Result<(), BackupError> {
        for frame in frames {
            self.append(&objects_file(), frame.encode().into()).await?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), BackupError> {
        self.close().await?;
        let Some(staging) = &self.staging else {
            return Ok(());
        };
        sync(staging.path()).await?;
        self.publish(staging.path()).await?;
        self.staging = None;
        Ok(())
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        self.open = None;
        // The lock goes with it, when the folder has gone.
        match self.staging.take() {
            Some(staging) => fs::remove_dir_all(staging.path())
                .await
                .map_err(|error| failed("remove", staging.path(), error)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for FolderTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.named.display())
    }
}

fn parent(folder: &Path) -> &Path {
    match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

async fn sync(folder: &Path) -> Result<(), BackupError> {
    let opened = File::open(folder)
        .await
        .map_err(|error| failed("open", folder, error))?;
    opened
        .sync_all()
        .await
        .map_err(|error| failed("sync", folder, error))
}

/// Renames a file to where nothing is. Where the filesystem can't refuse to replace, it is looked before.
async fn rename_to_new(from: PathBuf, to: PathBuf) -> std::io::Result<()> {
    let renamed = tokio::task::spawn_blocking(move || {
        match renameat_with(CWD, &from, CWD, &to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match to.symlink_metadata() {
                Ok(_) => Err(ErrorKind::AlreadyExists.into()),
                Err(_) => std::fs::rename(&from, &to),
            },
            renamed => renamed.map_err(Into::into),
        }
    });
    renamed.await?
}

/// The names of the files in a folder.
async fn names_in(folder: &Path) -> std::io::Result<Vec<OsString>> {
    let mut entries = fs::read_dir(folder).await?;
    let mut names = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        names.push(entry.file_name());
    }
    Ok(names)
}

/// The database's own catalogue, where all of it is restored.
fn catalogue(restoring: &Restoring) -> Option<&Bytes> {
    restoring
        .database_catalogue
        .as_ref()
        .filter(|_| restoring.is_everything())
}

fn objects_file() -> String {
    format!("{OBJECTS_NAME}.frames")
}

pub(super) fn failed(operation: &str, path: &Path, error: std::io::Error) -> BackupError {
    let words = plain_words(&error);
    BackupError::new(Class::Permanent, operation, path.display(), words).because(error)
}
