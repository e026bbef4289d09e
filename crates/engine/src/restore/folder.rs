//! A folder as target: `<resource>.jsonl` for each resource, staged beside it and renamed as a whole.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use teeline_core::{BackupError, Class, Frame, OBJECTS_NAME, Restoring, Stems, Target, layout};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;

#[derive(Debug)]
pub(super) struct FolderTarget {
    folder: PathBuf,
    overwrite: bool,
    staging: Option<PathBuf>,
    /// The file of each resource.
    names: HashMap<String, String>,
    open: Option<(String, File)>,
}

impl FolderTarget {
    pub(super) fn new(folder: PathBuf, overwrite: bool) -> Self {
        FolderTarget {
            folder,
            overwrite,
            staging: None,
            names: HashMap::new(),
            open: None,
        }
    }

    /// The staged file of that name, opened when it isn't the one that is open already.
    async fn file(&mut self, name: &str) -> Result<&mut File, BackupError> {
        if self.open.as_ref().is_none_or(|(open, _)| open != name) {
            self.close().await?;
            let staging = self
                .staging
                .as_ref()
                .expect("begin comes before the first bytes");
            let path = staging.join(name);
            let file = fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .await;
            self.open = Some((
                name.to_owned(),
                file.map_err(|error| failed("create", &path, error))?,
            ));
        }
        Ok(&mut self.open.as_mut().expect("opened above").1)
    }

    fn file_name(&self, resource: &str) -> Result<String, BackupError> {
        self.names.get(resource).cloned().ok_or_else(|| {
            let message = "the manifest doesn't have it";
            BackupError::corrupt(format!("resource {resource:?}"), message)
        })
    }

    async fn close(&mut self) -> Result<(), BackupError> {
        let Some((name, mut file)) = self.open.take() else {
            return Ok(());
        };
        let fail = |error| failed("write", Path::new(&name), error);
        file.flush().await.map_err(fail)?;
        file.sync_all().await.map_err(fail)
    }

    async fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), BackupError> {
        let folder = self.folder.clone();
        let file = self.file(name).await?;
        file.write_all(bytes)
            .await
            .map_err(|error| failed("write", &folder.join(name), error))
    }

    async fn is_empty_or_absent(&self) -> Result<bool, BackupError> {
        match fs::read_dir(&self.folder).await {
            Ok(mut entries) => {
                let first = entries.next_entry().await;
                Ok(first
                    .map_err(|error| failed("read", &self.folder, error))?
                    .is_none())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(failed("read", &self.folder, error)),
        }
    }

    /// Puts the staged folder, or each of its files, where it belongs.
    async fn publish(&self, staging: &Path) -> Result<(), BackupError> {
        if self.is_empty_or_absent().await? {
            // Renaming onto an empty folder replaces it; onto one that was filled meanwhile it fails.
            fs::rename(staging, &self.folder)
                .await
                .map_err(|error| failed("rename", &self.folder, error))?;
        } else {
            let mut entries = fs::read_dir(staging)
                .await
                .map_err(|error| failed("read", staging, error))?;
            while let Some(entry) = entries
                .next_entry()
                .await
                .map_err(|error| failed("read", staging, error))?
            {
                let place = self.folder.join(entry.file_name());
                fs::rename(entry.path(), &place)
                    .await
                    .map_err(|error| failed("rename", &place, error))?;
            }
            fs::remove_dir(staging)
                .await
                .map_err(|error| failed("remove", staging, error))?;
            sync(&self.folder).await?;
        }
        sync(parent(&self.folder)).await
    }
}

#[async_trait]
impl Target for FolderTarget {
    fn is_staged(&self) -> bool {
        true
    }

    async fn check(&mut self, _: &Restoring) -> Result<(), BackupError> {
        if self.overwrite || self.is_empty_or_absent().await? {
            return Ok(());
        }
        Err(BackupError::new(
            Class::Conflict,
            "restore to",
            &self,
            "the folder isn't empty",
        )
        .suggest("choose another folder, or --overwrite to replace the files of the same names"))
    }

    async fn begin(&mut self, restoring: &Restoring) -> Result<(), BackupError> {
        let name = self
            .folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let staging = parent(&self.folder).join(format!(".{name}.{}.restoring", restoring.backup));
        if let Err(error) = fs::remove_dir_all(&staging).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(failed("remove", &staging, error));
        }
        fs::create_dir_all(&staging)
            .await
            .map_err(|error| failed("create", &staging, error))?;
        self.staging = Some(staging);
        let mut stems = Stems::default();
        // The same names whichever resources are chosen. Those of the manifest aren't trusted with paths of this machine.
        for resource in &restoring.resources {
            let called = resource.restored_as.as_ref().unwrap_or(&resource.name);
            let name = format!("{}.jsonl", stems.take(called));
            self.names.insert(resource.name.clone(), name);
        }
        for (resource, _) in restoring.chosen() {
            let name = self.file_name(resource)?;
            self.file(&name).await?;
        }
        if let Some(catalogue) = restoring
            .database_catalogue
            .as_ref()
            .filter(|_| restoring.is_everything())
        {
            self.append(layout::DATABASE_CATALOGUE, catalogue).await?;
        }
        Ok(())
    }

    async fn lines(&mut self, resource: &str, lines: Bytes) -> Result<(), BackupError> {
        let name = self.file_name(resource)?;
        self.append(&name, &lines).await
    }

    async fn frames(&mut self, frames: Vec<Frame>) -> Result<(), BackupError> {
        for frame in frames {
            self.append(&format!("{OBJECTS_NAME}.frames"), &frame.encode())
                .await?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), BackupError> {
        self.close().await?;
        let Some(staging) = self.staging.clone() else {
            return Ok(());
        };
        sync(&staging).await?;
        self.publish(&staging).await?;
        self.staging = None;
        Ok(())
    }

    async fn abort(&mut self) -> Result<(), BackupError> {
        self.open = None;
        match self.staging.take() {
            Some(staging) => fs::remove_dir_all(&staging)
                .await
                .map_err(|error| failed("remove", &staging, error)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for FolderTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.folder.display())
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

fn failed(operation: &str, path: &Path, error: std::io::Error) -> BackupError {
    BackupError::new(Class::Permanent, operation, path.display(), &error).because(error)
}
