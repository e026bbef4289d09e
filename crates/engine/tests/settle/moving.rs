//! A source that changes while it is read.

use std::fmt;

use teeline::{BackupError, Connection, S3dbSource, Source};
use teeline_core::chain::Base;
use teeline_core::{Attachment, Item, Placed, ResourceKind, Scan, ScanPlan, Selection, SourceKind};

use super::database::Database;

/// A source that becomes another one once it has been read.
pub(crate) struct Moving {
    pub(crate) inner: S3dbSource,
    pub(crate) becomes: Database,
}

struct MovingScan {
    inner: Box<dyn Scan>,
    /// Until it was made.
    change: Option<(Connection, Database)>,
}

#[async_trait::async_trait]
impl Source for Moving {
    fn kind(&self) -> SourceKind {
        self.inner.kind()
    }

    fn is_rereadable(&self) -> bool {
        true
    }

    fn describe(&self, placed: &Placed<'_>) -> Result<Vec<Attachment>, BackupError> {
        self.inner.describe(placed)
    }

    fn tells_changes(&self) -> bool {
        true
    }

    async fn scan(&self, selection: Selection) -> Result<Box<dyn Scan>, BackupError> {
        Ok(self.moving(self.inner.scan(selection).await?))
    }

    async fn scan_changes(
        &self,
        selection: Selection,
        base: Base,
    ) -> Result<Box<dyn Scan>, BackupError> {
        Ok(self.moving(self.inner.scan_changes(selection, base).await?))
    }
}

impl Moving {
    fn moving(&self, inner: Box<dyn Scan>) -> Box<dyn Scan> {
        Box::new(MovingScan {
            inner,
            change: Some((self.inner.connection().clone(), self.becomes.clone())),
        })
    }
}

#[async_trait::async_trait]
impl Scan for MovingScan {
    fn plan(&self) -> &ScanPlan {
        self.inner.plan()
    }

    async fn next(&mut self) -> Result<Option<Item>, BackupError> {
        let item = self.inner.next().await?;
        if let Some(Item::End(id, _)) = &item
            && self.plan().resources[id.0 as usize].kind == ResourceKind::Objects
            && let Some((at, becomes)) = self.change.take()
        {
            becomes.write(&at).await;
        }
        Ok(item)
    }
}

impl fmt::Debug for Moving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.inner, f)
    }
}

impl fmt::Display for Moving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}
