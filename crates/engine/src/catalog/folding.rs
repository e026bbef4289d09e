//! Folding: where a list is paid for by its length, an entry that has stood for long, and its marker, become one key that carries the
//! entry. Whoever changes anything about the backup unfolds it first, so that all else knows entries as objects only; who removes one that
//! is withdrawn removes the key.
//!
//! Folding writes the key and then looks whether all is as it was: who takes a manifest away takes the marker away before, and looks for
//! the key after that. The key is there before the object goes, and unfolding writes the object before the key goes. Each looks again when
//! it has removed its own: where both are at work, one of the two sees that the other was, and puts back what is missing.

use futures::{StreamExt, stream};
use teeline_actors::{folded, is_there, put_empty, put_or_take_back};
use teeline_core::{
    BackupError, BackupId, CatalogEntry, Class, ObjectKey, Sink, Timestamp, document, layout,
    published_marker,
};

use super::{Asked, READS_AT_ONCE, located, read_bytes_of};

/// The entry of a published backup that may be folded.
#[derive(Debug)]
pub(crate) struct Foldable {
    pub(crate) id: BackupId,
    pub(crate) began: Timestamp,
    /// When it was written, by the store's clock.
    pub(crate) written_at: Option<Timestamp>,
    pub(super) entry: ObjectKey,
    /// What marks it as published.
    pub(super) markers: Vec<ObjectKey>,
    pub(super) manifest: ObjectKey,
    /// What it becomes.
    pub(super) folded: ObjectKey,
}

impl Asked {
    /// Whether there are any that `wanted` is true for.
    pub(crate) fn may_fold(&self, wanted: impl Fn(&Foldable) -> bool) -> bool {
        self.catalog.foldable.iter().any(wanted)
    }

    /// Folds those of the entries here that `wanted` is true for, also where one can't be.
    pub(crate) async fn fold(&self, wanted: impl Fn(&Foldable) -> bool) -> Result<(), BackupError> {
        let sink = self.opened.sink.as_ref();
        let wanted = self.catalog.foldable.iter().filter(|of| wanted(of));
        let folds: Vec<_> = wanted.map(|of| of.fold(sink)).collect();
        let folds = stream::iter(folds).buffer_unordered(READS_AT_ONCE);
        let folds: Vec<Result<(), BackupError>> = folds.collect().await;
        folds.into_iter().collect()
    }
}

impl Foldable {
    async fn fold(&self, sink: &dyn Sink) -> Result<(), BackupError> {
        put_empty(sink, &self.folded).await?;
        if !self.is_as_it_was(sink).await? {
            return self.take_back(sink).await;
        }
        let removed = self.remove(sink).await;
        // Also where that failed: it may have taken effect.
        if !is_there(sink, &self.folded).await? {
            put_back(sink, &self.entry, &self.folded).await?;
        }
        removed
    }

    /// Whether the key is listed, and the backup still marked, has its manifest, and isn't about to go.
    async fn is_as_it_was(&self, sink: &dyn Sink) -> Result<bool, BackupError> {
        if !folded(sink, &self.entry).await?.contains(&self.folded) {
            return Ok(false);
        }
        for key in self.markers.iter().chain([&self.manifest]) {
            if !is_there(sink, key).await? {
                return Ok(false);
            }
        }
        for key in [
            layout::withdrawal(&self.entry)?,
            layout::sweep(&self.entry)?,
        ] {
            if is_there(sink, &key).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Without an object the key is the entry: somebody else has folded it, and it stays.
    async fn take_back(&self, sink: &dyn Sink) -> Result<(), BackupError> {
        if is_there(sink, &self.entry).await? {
            sink.delete(&self.folded).await?;
            put_back(sink, &self.entry, &self.folded).await?;
        }
        Ok(())
    }

    async fn remove(&self, sink: &dyn Sink) -> Result<(), BackupError> {
        sink.delete(&self.entry).await?;
        for marker in &self.markers {
            sink.delete(marker).await?;
        }
        Ok(())
    }
}

/// Makes an object again of a folded entry. A key stays whose object is there and damaged.
pub(crate) async fn unfold(sink: &dyn Sink, entry: &ObjectKey) -> Result<(), BackupError> {
    for key in &folded(sink, entry).await? {
        if put_back(sink, entry, key).await? {
            sink.delete(key).await?;
            put_back(sink, entry, key).await?;
        }
    }
    Ok(())
}

/// Writes the entry that a key carries, unless one is there; whether one is there then that can be read. What can't be understood carries
/// none.
async fn put_back(
    sink: &dyn Sink,
    entry: &ObjectKey,
    folded: &ObjectKey,
) -> Result<bool, BackupError> {
    let Some((_, bytes)) = published_marker::unfolded([folded]) else {
        return Ok(false);
    };
    match read_bytes_of::<CatalogEntry>(sink, entry).await {
        Err(error) if error.class() == Class::NotFound => {}
        read => {
            let stands = document::open::<CatalogEntry>(&located(sink, entry), &read?);
            return Ok(stands.is_ok());
        }
    }
    let read_back = sink.capabilities().read_back.has_documents();
    match put_or_take_back(sink, entry, bytes, read_back).await {
        // Somebody else has written it just now.
        Err(error) if error.class() == Class::Conflict => Ok(true),
        written => written.map(|()| true),
    }
}
