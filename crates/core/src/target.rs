//! The contract of a place that a backup is restored to.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::BackupError;
use crate::frame::Frame;
use crate::manifest::Manifest;

/// What is about to be restored.
#[derive(Debug, Clone)]
pub struct Restoring {
    /// The backup.
    pub manifest: Arc<Manifest>,
    /// The resources that were chosen, in the manifest's order.
    pub resources: Vec<String>,
    /// Whether that is every resource of the backup, so that what belongs to no resource is restored as well.
    pub everything: bool,
    /// The database's own `s3db.json`, where the source was a database.
    pub database_catalogue: Option<Bytes>,
}

/// A place that records are restored to. What it is given was verified before.
///
/// Calls come in this order: `check`, `begin`, then for each resource its lines, then the frames, then `finish`; or
/// `abort` at any point, after which nothing half-restored is to be seen where the target can help it.
#[async_trait]
pub trait Target: fmt::Debug + fmt::Display + Send {
    /// Whether what was written can be taken back until `finish`. Where not, every chunk is checked before the first one
    /// is written.
    fn is_staged(&self) -> bool;

    /// Whether the restore can be carried out here: the target is empty or may be overwritten, the backup is of a kind
    /// that it takes. Changes nothing.
    async fn check(&mut self, restoring: &Restoring) -> Result<(), BackupError>;

    /// Makes ready.
    async fn begin(&mut self, restoring: &Restoring) -> Result<(), BackupError>;

    /// Takes whole lines of a resource, each ending in a newline, in the backup's order.
    async fn lines(&mut self, resource: &str, lines: Bytes) -> Result<(), BackupError>;

    /// Takes pieces of objects, in the backup's order.
    async fn frames(&mut self, frames: Vec<Frame>) -> Result<(), BackupError>;

    /// Makes the restored data real.
    async fn finish(&mut self) -> Result<(), BackupError>;

    /// Takes back what can be taken back.
    async fn abort(&mut self) -> Result<(), BackupError>;
}
