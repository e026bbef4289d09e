//! What stands for a source that is only spoken of.

use std::fmt;

use async_trait::async_trait;
use teeline_core::{Attachment, BackupError, Placed, Scan, Selection, Source, SourceKind};

/// In requests that are only looked at, such as those of schedules whose source is named when they run: it refuses nothing that
/// another source might do, and can't be read.
#[derive(Debug, Clone, Default)]
pub struct UnreadSource {
    /// The kind and the name of the source that it stands for, where that is known.
    named: Option<(SourceKind, String)>,
}

impl UnreadSource {
    /// What stands for this source.
    pub fn of(source: &dyn Source) -> Self {
        UnreadSource {
            named: Some((source.kind(), source.to_string())),
        }
    }
}

impl fmt::Display for UnreadSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.named.as_ref().map(|(_, name)| name.as_str());
        f.write_str(name.unwrap_or("a source that isn't named yet"))
    }
}

#[async_trait]
impl Source for UnreadSource {
    fn kind(&self) -> SourceKind {
        let named = self.named.as_ref();
        named.map_or(SourceKind::Jsonl, |(kind, _)| *kind)
    }

    fn is_named(&self) -> bool {
        self.named.is_some()
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
