//! What a restore is asked for: which backup, from where, and where to.

use std::io::Write;
use std::path::PathBuf;

use teeline_core::{BackupError, Target};
use teeline_sources::s3db::{Connection, RestoreMode};

use crate::destination::DestinationSpec;
use crate::request::{Cancel, Which};

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
        if ["s3://", "http://", "https://"]
            .iter()
            .any(|scheme| text.starts_with(scheme))
        {
            return text
                .parse()
                .map(RestoreTarget::Database)
                .map_err(|error| BackupError::usage("target", error));
        }
        if let Some((scheme, _)) = text
            .split_once("://")
            .filter(|(scheme, _)| *scheme != "file")
        {
            return Err(BackupError::usage(
                "target",
                format!(
                    "unknown scheme {scheme:?}; accepted: a folder, file://, s3://, http://, https:// and -"
                ),
            ));
        }
        Ok(RestoreTarget::Folder(PathBuf::from(
            text.strip_prefix("file://").unwrap_or(text),
        )))
    }
}

/// A restore to be made.
#[non_exhaustive]
pub struct RestoreRequest {
    /// Which backup.
    pub which: Which,
    /// Where its copies are, the preferred first.
    pub destinations: Vec<DestinationSpec>,
    /// Where to.
    pub target: RestoreTarget,
    /// Whether what is at the target may be overwritten; no.
    pub overwrite: bool,
    /// What becomes of objects that are in a database already; without, there must be none, unless it may be overwritten,
    /// which is [`RestoreMode::Merge`].
    pub mode: Option<RestoreMode>,
    /// Names of the resources to restore; empty for all.
    pub resources: Vec<String>,
    /// Ids of the records to restore; empty for all.
    pub ids: Vec<String>,
    /// What resources are to be called instead of their names in the backup.
    pub renames: Vec<(String, String)>,
    /// Whether only to say what would be done; no.
    pub dry_run: bool,
    /// Ends the restore early.
    pub cancel: Cancel,
}

impl RestoreRequest {
    /// A restore of everything, to a target that must be empty.
    pub fn new(which: Which, destinations: Vec<DestinationSpec>, target: RestoreTarget) -> Self {
        RestoreRequest {
            which,
            destinations,
            target,
            overwrite: false,
            mode: None,
            resources: Vec::new(),
            ids: Vec::new(),
            renames: Vec::new(),
            dry_run: false,
            cancel: Cancel::new(),
        }
    }
}
