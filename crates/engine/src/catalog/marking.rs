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
                let folded = published_marker::is_folded(marker);
                match published_marker::entry_of(marker).filter(|_| folded) {
                    Some(entry) => unfold(sink, &entry).await,
                    None => sink.delete(marker).await,
                }
            })
            .await
    }
}

/// Removes the markers of the backup whose entry has the key `entry`, which is an object then. Whoever removes a manifest does so before.
pub(crate) async fn remove_markers(sink: &dyn Sink, entry: &ObjectKey) -> Result<(), BackupError> {
    unfold(sink, entry).await?;
    let folders = [
        published_marker::folded_folder_of(entry)?,
        published_marker::folder_of(entry)?,
    ];
    for folder in &folders {
        let markers: Vec<ObjectMeta> = sink.list(Some(folder)).try_collect().await?;
        for marker in markers {
            sink.delete(&marker.key).await?;
        }
    }
    Ok(())
}
