//! What stands for a source that isn't named yet.

use std::fmt;

use async_trait::async_trait;
use teeline_core::{Attachment, BackupError, Placed, Scan, Selection, Source, SourceKind};

/// In requests that are only looked at, such as those of schedules whose source is named when they run: it refuses nothing that
/// another source might do, and can't be read.
#[derive(Debug, Clone, Copy)]
pub struct UnreadSource;

impl fmt::Display for UnreadSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a source that isn't named yet")
    }
}

#[async_trait]
impl Source for UnreadSource {
    fn kind(&self) -> SourceKind {
        SourceKind::Jsonl
    }

    fn is_rereadable(&self) -> bool {
        true
    }

    fn tells_changes(&self) -> bool {
        true
    }

    async fn scan(&self, _: Selection) -> Result<Box<dyn Scan>, BackupError> {
        Err(BackupError::usage("source", "nothing to back up is named"))
    }

    fn describe(&self, _: &Placed<'_>) -> Result<Vec<Attachment>, BackupError> {
        Ok(Vec::new())
    }
}
