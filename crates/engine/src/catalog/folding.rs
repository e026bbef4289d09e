//! Folding: where a list is paid for by its length, an entry that has stood for long, and its marker, become one key that carries the
//! entry. Whoever changes anything about the backup unfolds it first, so that all else knows entries as objects only.
//!
//! Folding writes the key before the object goes, unfolding the object before the key goes. Each looks again when it has removed its own:
//! where both are at work, one of the two sees that the other was, and puts back what is missing.

use futures::{TryStreamExt, stream};
use teeline_actors::{folded, is_there, put_empty};
use teeline_core::{BackupError, BackupId, Class, ObjectKey, Sink, Timestamp, published_marker};

use super::{Asked, READS_AT_ONCE, located, read_whole};

/// The entry of a published backup that may be folded.
#[derive(Debug)]
pub(crate) struct Foldable {
    pub(crate) id: BackupId,
    pub(crate) began: Timestamp,
    /// When it was written, by the store's clock.
    pub(crate) written_at: Option<Timestamp>,
    pub(super) entry: ObjectKey,
    pub(super) markers: Vec<ObjectKey>,
    /// What it becomes.
    pub(super) folded: ObjectKey,
}

impl Asked {
    /// Folds those of the entries here that `wanted` is true for.
    pub(crate) async fn fold(&self, wanted: impl Fn(&Foldable) -> bool) -> Result<(), BackupError> {
        let sink = self.opened.sink.as_ref();
        let foldable = self.catalog.foldable.iter();
        stream::iter(foldable.filter(|entry| wanted(entry)).map(Ok))
            .try_for_each_concurrent(READS_AT_ONCE, |entry| fold(sink, entry))
            .await
    }
}

async fn fold(sink: &dyn Sink, foldable: &Foldable) -> Result<(), BackupError> {
    let Foldable {
        entry,
        markers,
        folded,
        ..
    } = foldable;
    put_empty(sink, folded).await?;
    if !is_there(sink, folded).await? {
        let message = "it was written, and isn't there";
        return Err(BackupError::new(
            Class::Permanent,
            "fold",
            located(sink, folded),
            message,
        ));
    }
    sink.delete(entry).await?;
    for marker in markers.iter().filter(|marker| *marker != folded) {
        sink.delete(marker).await?;
    }
    if is_there(sink, folded).await? {
        return Ok(());
    }
    put_back(sink, entry, folded).await
}

/// Makes an object again of a folded entry. What can't be understood stays.
pub(crate) async fn unfold(sink: &dyn Sink, entry: &ObjectKey) -> Result<(), BackupError> {
    let mut keys = folded(sink, entry).await?;
    keys.retain(|key| published_marker::unfolded([key]).is_some());
    for key in &keys {
        put_back(sink, entry, key).await?;
    }
    for key in &keys {
        sink.delete(key).await?;
    }
    for key in &keys {
        put_back(sink, entry, key).await?;
    }
    Ok(())
}

/// Writes the entry that a key carries, unless one is there.
async fn put_back(
    sink: &dyn Sink,
    entry: &ObjectKey,
    folded: &ObjectKey,
) -> Result<(), BackupError> {
    let Some((_, bytes)) = published_marker::unfolded([folded]) else {
        return Ok(());
    };
    if is_there(sink, entry).await? {
        return Ok(());
    }
    match sink.put(entry, bytes.clone()).await {
        Err(error) if error.class() == Class::Conflict => return Ok(()),
        put => put?,
    }
    match read_whole(sink, entry).await? == bytes {
        true => Ok(()),
        false => {
            let message = "what was read back is not what was written";
            Err(BackupError::corrupt(located(sink, entry), message))
        }
    }
}
