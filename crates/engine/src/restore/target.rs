//! Where a backup can be restored to.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use teeline_core::{BackupError, Target};
use teeline_sources::s3db::{Connection, RestoreMode, S3dbTarget, WriteBackOptions};

use super::folder::FolderTarget;
use super::writer::WriterTarget;
use crate::destination::{file_url, folder, scheme};

/// Where a backup is restored to.
#[non_exhaustive]
pub enum RestoreTarget {
    /// A folder: one `<resource>.jsonl` each.
    Folder(PathBuf),
    /// A database in the storage format of s3db.js.
    Database(Connection),
    /// A stream, for one resource: its lines.
    Writer(Box<dyn Write + Send>),
    /// A target of the host's own.
    Custom(Box<dyn Target>),
}

impl RestoreTarget {
    /// Reads a target as it is written on a command line: `-` for standard output, the connection string of a database,
    /// or a folder.
    ///
    /// # Errors
    /// Where a connection string is none. The message holds no secret.
    pub fn parse(text: &str) -> Result<Self, BackupError> {
        if text == "-" {
            return Ok(RestoreTarget::Writer(Box::new(std::io::stdout())));
        }
        let refused = |message: String| BackupError::usage("target", message);
        match scheme(text) {
            None => folder(text).map(RestoreTarget::Folder).map_err(refused),
            Some((scheme, _)) => match scheme.as_str() {
                "file" => file_url(text).map(RestoreTarget::Folder).map_err(refused),
                "s3" | "http" | "https" => text
                    .parse()
                    .map(RestoreTarget::Database)
                    .map_err(|error| BackupError::usage("target", error)),
                _ => Err(refused(format!("the scheme {scheme}:// isn't supported"))
                    .suggest("accepted: a folder, file:///path, s3://…, http(s)://… and -")),
            },
        }
    }

    /// Opens it as far as that can be done before the backup is known: what could never take one is refused.
    pub(super) async fn open(
        self,
        overwrite: bool,
        mode: Option<RestoreMode>,
    ) -> Result<Box<dyn Target>, BackupError> {
        if mode.is_some() && !matches!(self, RestoreTarget::Database(_)) {
            return Err(BackupError::usage(
                "mode",
                "goes with a database as target; files are written anew, or with --overwrite replaced",
            ));
        }
        Ok(match self {
            RestoreTarget::Folder(path) => Box::new(FolderTarget::open(path, overwrite).await?),
            RestoreTarget::Database(connection) => {
                let options = WriteBackOptions {
                    mode: mode.or(overwrite.then_some(RestoreMode::Merge)),
                    ..WriteBackOptions::default()
                };
                Box::new(S3dbTarget::new(connection, options))
            }
            RestoreTarget::Writer(writer) => Box::new(WriterTarget::new(writer)),
            RestoreTarget::Custom(target) => target,
        })
    }
}

/// Where it is, without secrets.
impl fmt::Display for RestoreTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreTarget::Folder(path) => write!(f, "{}", path.display()),
            RestoreTarget::Database(connection) => connection.fmt(f),
            RestoreTarget::Writer(_) => f.write_str("-"),
            RestoreTarget::Custom(target) => target.fmt(f),
        }
    }
}
