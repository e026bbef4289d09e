//! Markers of published backups: making up for those that are missing, which an earlier version didn't write, or somebody who died or
//! got no answer; and removing them before what they stand for.

use bytes::Bytes;
use futures::{TryStreamExt, stream};
use teeline_actors::mark_published;
use teeline_core::{BackupError, BackupId, ObjectKey, ObjectMeta, Sink, published_marker};

use super::folding::unfold;
use super::{Asked, READS_AT_ONCE};

/// A published backup that isn't marked so.
#[derive(Debug)]
pub(super) struct Unmarked {
    pub(super) id: BackupId,
    pub(super) entry: ObjectKey,
    /// What its entry says.
    pub(super) document: Bytes,
}

impl Asked {
    /// Marks those of the published backups here that `wanted` is true for.
    pub(crate) async fn mark_published(
        &self,
        wanted: impl Fn(&BackupId) -> bool,
    ) -> Result<(), BackupError> {
        let sink = self.opened.sink.as_ref();
        let unmarked = self.catalog.unmarked.iter();
        stream::iter(unmarked.filter(|of| wanted(&of.id)).map(Ok))
            .try_for_each_concurrent(READS_AT_ONCE, |of| {
                mark_published(sink, &of.entry, &of.document)
            })
            .await
    }

    /// Removes the markers of what isn't published: what is shown by them can't be restored. What is only folded is an entry, and stays
    /// one.
    pub(crate) async fn remove_misleading_markers(&self) -> Result<(), BackupError> {
        let sink = self.opened.sink.as_ref();
        stream::iter(self.catalog.misleading.iter().map(Ok))
            .try_for_each_concurrent(READS_AT_ONCE, |marker| async move {
                let is_entry = published_marker::unfolded([marker]).is_some();
                match published_marker::entry_of(marker).filter(|_| is_entry) {
                    Some(entry) => unfold(sink, &entry).await,
                    None => sink.delete(marker).await,
                }
            })
            .await
    }
}

/// Removes the markers of the backup whose entry has the key `entry`. Whoever removes a manifest does so before.
pub(crate) async fn remove_markers(sink: &dyn Sink, entry: &ObjectKey) -> Result<(), BackupError> {
    remove_all(sink, &published_marker::folder_of(entry)?).await
}

/// Removes an entry, be it an object or folded.
pub(crate) async fn remove_entry(sink: &dyn Sink, entry: &ObjectKey) -> Result<(), BackupError> {
    sink.delete(entry).await?;
    remove_all(sink, &published_marker::folded_folder_of(entry)?).await
}

/// Takes back that a backup is marked as published, whose manifest is about to go, and which stays one: its entry is an object then. The
/// marker goes first: who folds an entry looks for that when the key is there.
pub(crate) async fn unmark(sink: &dyn Sink, entry: &ObjectKey) -> Result<(), BackupError> {
    remove_markers(sink, entry).await?;
    unfold(sink, entry).await
}

async fn remove_all(sink: &dyn Sink, folder: &ObjectKey) -> Result<(), BackupError> {
    let markers: Vec<ObjectMeta> = sink.list(Some(folder)).try_collect().await?;
    for marker in markers {
        sink.delete(&marker.key).await?;
    }
    Ok(())
}
