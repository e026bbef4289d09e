//! An entry of a catalogue, wherever it stands: in an object, or folded into a key.

use bytes::Bytes;
use futures::TryStreamExt;
use teeline_core::document::Document;
use teeline_core::{BackupError, CatalogEntry, Class, ObjectKey, Sink, published_marker};

/// The bytes of the entry with this key, which may be folded.
///
/// # Errors
/// [`Class::NotFound`] where it is neither; [`Class::Corrupt`] where what it was folded into can't be understood.
pub async fn read_entry(sink: &dyn Sink, key: &ObjectKey) -> Result<Bytes, BackupError> {
    let absent = match read_object(sink, key).await {
        Err(error) if error.class() == Class::NotFound => error,
        read => return read,
    };
    let folded = folded(sink, key).await?;
    if let Some((_, bytes)) = published_marker::unfolded(&folded) {
        return Ok(bytes);
    }
    if folded.is_empty() {
        // Whoever unfolds it writes the object before the keys go.
        return match read_object(sink, key).await {
            Err(error) if error.class() == Class::NotFound => Err(absent),
            read => read,
        };
    }
    let message = "what it was folded into isn't an entry";
    Err(BackupError::corrupt(format!("{sink}: {key}"), message))
}

/// The keys that the entry with this key was folded into: one, or none.
///
/// # Errors
/// Where they can't be listed.
pub async fn folded(sink: &dyn Sink, key: &ObjectKey) -> Result<Vec<ObjectKey>, BackupError> {
    let folder = published_marker::folded_folder_of(key)?;
    let objects = sink.list(Some(&folder)).map_ok(|object| object.key);
    objects.try_collect().await
}

async fn read_object(sink: &dyn Sink, key: &ObjectKey) -> Result<Bytes, BackupError> {
    read_up_to(sink, key, CatalogEntry::BYTES_MAX).await
}

/// The bytes of a stored document; of one that is larger than it may be, one more than that.
pub(crate) async fn read_up_to(
    sink: &dyn Sink,
    key: &ObjectKey,
    bytes_max: u64,
) -> Result<Bytes, BackupError> {
    let size = sink.head(key).await?.bytes.min(bytes_max + 1);
    sink.read(key, 0..size).await
}
