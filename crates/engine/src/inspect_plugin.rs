//! What s3db.js's BackupPlugin left: which records can be had of it, and what it destroyed.
//!
//! Everything is read and nothing written. Archives are streamed, so an inspection takes little memory, whatever it
//! comes across.

mod findings;
mod judge;
mod report;
mod resources;
mod search;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use teeline_core::{BackupError, Class, ErrorReport};
use teeline_sources::s3db::plugin_archive::{
    ArchiveFault, PluginArchive, PluginManifest, read_plugin_archive,
};

pub use self::report::{
    ArchiveForm, Finding, FindingKind, InspectedArchive, InspectedBackup, InspectedBackupState,
    InspectedField, InspectedFile, InspectedManifest, InspectedPartition, InspectedResource,
    InspectedResourceState, PluginInspection,
};
use self::search::Found;
use crate::engine::Engine;
use crate::request::Cancel;

/// The plugin's manifests have a line for each resource.
const MANIFEST_BYTES_MAX: u64 = 4 << 20;

const SUGGESTION: &str = "make a backup that can be restored while the database is there, with its connection string in S3DB_URL: \
     `teeline backup full --connection-env S3DB_URL --to /var/backups/shop`; \
     then check it: `teeline verify latest --at /var/backups/shop`";

/// An inspection to be made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InspectPluginRequest {
    /// A folder, which is searched with all that is in it, or an `ID.backup` or `ID.manifest.json`.
    pub path: PathBuf,
    /// Ends the inspection early.
    pub cancel: Cancel,
}

impl InspectPluginRequest {
    /// An inspection of everything at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        InspectPluginRequest {
            path: path.into(),
            cancel: Cancel::new(),
        }
    }
}

impl Engine {
    /// Reads what s3db.js's BackupPlugin left, and says what can be had of it.
    ///
    /// # Errors
    /// Where the path can't be read, or nothing there is named like a backup of the plugin.
    pub async fn inspect_plugin(
        &self,
        request: InspectPluginRequest,
    ) -> Result<PluginInspection, BackupError> {
        let reading = async move {
            let subject = request.path.display().to_string();
            let done = tokio::task::spawn_blocking(move || inspect(&request)).await;
            done.unwrap_or_else(|error| {
                let message = "its reader failed";
                Err(BackupError::new(Class::Permanent, "inspect", subject, message).because(error))
            })
        };
        self.0.host.spawn(reading).await?
    }

    /// As [`Engine::inspect_plugin`], for hosts without an executor.
    ///
    /// # Errors
    /// As there.
    pub fn inspect_plugin_blocking(
        &self,
        request: InspectPluginRequest,
    ) -> Result<PluginInspection, BackupError> {
        futures::executor::block_on(self.inspect_plugin(request))
    }
}

fn inspect(request: &InspectPluginRequest) -> Result<PluginInspection, BackupError> {
    let search::Search { found, mut errors } = search::search(&request.path, &request.cancel)?;
    let mut backups = Vec::with_capacity(found.len());
    for found in found {
        let backup = BackupRead::of(found, &request.cancel, &mut errors);
        if request.cancel.is_cancelled() {
            return Err(BackupError::cancelled("the inspection"));
        }
        backups.push(judge::judge(&backup));
    }
    // One without a time comes last.
    backups.sort_by(|a, b| b.timestamp.cmp(&a.timestamp));
    let is_found = |backup: &InspectedBackup| {
        backup.status != InspectedBackupState::Foreign && !backup.findings.is_empty()
    };
    Ok(PluginInspection {
        path: request.path.display().to_string(),
        suggestion: backups.iter().any(is_found).then(|| SUGGESTION.to_owned()),
        backups,
        errors: errors.iter().map(ErrorReport::from).collect(),
    })
}

/// The files of a backup; absent ones that were found couldn't be read.
struct BackupRead {
    found: Found,
    /// Why its text is no manifest, where it isn't.
    manifest: Option<Result<PluginManifest, String>>,
    /// With the size of its file.
    archive: Option<(PluginArchive, u64)>,
}

impl BackupRead {
    fn of(found: Found, cancel: &Cancel, errors: &mut Vec<BackupError>) -> Self {
        let mut noted = |path: &Path, error| errors.push(read_error(path, error));
        let manifest = found.manifest.as_deref().and_then(|path| {
            let read = read_manifest(path);
            read.map_err(|error| noted(path, error)).ok()
        });
        let archive = found.archive.as_deref().and_then(|path| {
            let read = read_archive(path, cancel);
            read.map_err(|error| noted(path, error)).ok()
        });
        BackupRead {
            found,
            manifest,
            archive,
        }
    }
}

fn read_manifest(path: &Path) -> io::Result<Result<PluginManifest, String>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MANIFEST_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MANIFEST_BYTES_MAX {
        return Ok(Err(format!("more than {MANIFEST_BYTES_MAX} bytes")));
    }
    Ok(PluginManifest::parse(&bytes))
}

fn read_archive(path: &Path, cancel: &Cancel) -> io::Result<(PluginArchive, u64)> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut archive = read_plugin_archive(Cancellable { file, cancel });
    match archive.fault.take() {
        Some(ArchiveFault::Unreadable(error)) => Err(error),
        fault => {
            archive.fault = fault;
            Ok((archive, size))
        }
    }
}

/// A file that fails once it is cancelled.
struct Cancellable<'a> {
    file: File,
    cancel: &'a Cancel,
}

impl Read for Cancellable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.cancel.is_cancelled() {
            true => Err(io::Error::other("interrupted")),
            false => self.file.read(buffer),
        }
    }
}

fn read_error(path: &Path, error: io::Error) -> BackupError {
    let class = match error.kind() {
        io::ErrorKind::NotFound => Class::NotFound,
        _ => Class::Permanent,
    };
    let message = match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    };
    BackupError::new(class, "read", path.display(), message).because(error)
}

#[cfg(test)]
mod tests;
