//! Moving a damaged object out of its place: it is copied below `damaged/`, the copy is compared, and only then the object is
//! removed where it stood. So nothing is lost, whatever breaks off in between; who comes next finds the copy, or makes it again.

use std::ops::Range;

use bytes::Bytes;
use futures::TryStreamExt;
use teeline_core::{
    BackupError, BackupId, Class, Digest, DigestOfDigests, ObjectKey, Sink, layout,
};

use crate::catalog::located;
use crate::open::Opened;

/// So much is read at once. Digests of windows make the name of a copy, so this stays as it is.
const WINDOW_BYTES: u64 = 4 << 20;
/// A store that keeps no copy right isn't asked for more of them at a time.
const COPIES_MADE_MAX: usize = 4;

/// What was moved aside, or is about to be.
pub(crate) struct Kept {
    /// Where it is kept.
    pub(crate) key: ObjectKey,
    /// Of what stands in its place, and is kept.
    digest: Digest,
}

impl Kept {
    /// Whether it is these bytes.
    pub(crate) fn is(&self, bytes: &Bytes) -> bool {
        let mut digest = DigestOfDigests::default();
        for window in windows(bytes.len() as u64) {
            let [begin, end] = [window.start, window.end].map(|at| usize::try_from(at).ok());
            let part = begin
                .zip(end)
                .and_then(|(begin, end)| bytes.get(begin..end));
            digest.push(Digest::of(part.unwrap_or_default()));
        }
        digest.finish() == self.digest
    }
}

/// Moves a damaged object out of its place. Gives where it is kept.
///
/// # Errors
/// As of [`keep_damaged`]; where it can't be removed.
pub(crate) async fn set_aside(
    opened: &Opened,
    key: &ObjectKey,
    is_right: impl AsyncFnOnce(&Kept) -> Result<bool, BackupError>,
) -> Result<ObjectKey, BackupError> {
    let kept = keep_damaged(opened, key, is_right).await?;
    clear(opened, key).await?;
    Ok(kept)
}

/// Copies a damaged object that is about to be removed. Gives where it is kept. By then what stands there is known for certain, so it is
/// judged once more: what only the way to the store damages, each time, stays.
///
/// # Errors
/// [`Class::Transient`] where it is right after all.
pub(crate) async fn keep_damaged(
    opened: &Opened,
    key: &ObjectKey,
    is_right: impl AsyncFnOnce(&Kept) -> Result<bool, BackupError>,
) -> Result<ObjectKey, BackupError> {
    let kept = keep(opened, key).await?;
    if is_right(&kept).await? {
        // A copy of what is right is in nobody's way.
        opened.sink.delete(&kept.key).await.ok();
        let message =
            "what stands there is right, and came damaged each time that it was read before";
        let error = BackupError::new(
            Class::Transient,
            "read",
            located(opened.sink.as_ref(), key),
            message,
        );
        return Err(error
            .suggest("the way to this destination damages data: see to that, and repair again"));
    }
    Ok(kept.key)
}

/// What was moved aside of a backup.
pub(crate) async fn keys(opened: &Opened, id: &BackupId) -> Result<Vec<ObjectKey>, BackupError> {
    let folder = ObjectKey::new(layout::DAMAGED)?;
    let objects = opened.sink.list(Some(&folder)).map_ok(|object| object.key);
    objects
        .try_filter(|key| std::future::ready(was_of(key, id)))
        .try_collect()
        .await
}

/// Whether what is kept under this key stood in a backup's folder, or is its entry in the catalogue or a record of it.
pub(crate) fn was_of(kept: &ObjectKey, id: &BackupId) -> bool {
    let Some(key) = layout::damaged_at(kept) else {
        return false;
    };
    let in_its_folder = key.as_str().split('/').any(|name| name == id.as_str());
    let of_it = layout::catalog_entry_id(&key).or_else(|| layout::run_record_id(&key));
    in_its_folder || of_it.as_ref() == Some(id)
}

/// Copies what stands under a key, unless that was done before. The copy has the same bytes.
async fn keep(opened: &Opened, key: &ObjectKey) -> Result<Kept, BackupError> {
    let sink = opened.sink.as_ref();
    let digest = digest_of(sink, key).await?;
    let mut name = digest;
    let mut made = 0;
    // What earlier repairs have left that was damaged in turn doesn't count: the store may have been mended since.
    while made < COPIES_MADE_MAX {
        let kept = layout::damaged(key, name)?;
        match sink.head(&kept).await {
            Ok(_) => {}
            Err(error) if error.class() == Class::NotFound => {
                copy(sink, key, &kept).await?;
                made += 1;
            }
            Err(error) => return Err(error),
        }
        if is_copy(sink, key, &kept, digest).await? {
            return Ok(Kept { key: kept, digest });
        }
        // It was damaged in turn. Nothing is written twice, so the next one has another name.
        name = Digest::of(name.as_bytes());
    }
    let message = "no copy of it is what it is itself, so it isn't moved";
    Err(BackupError::corrupt(located(sink, key), message).suggest(
        "the disk, the store or the way to it damages data; check it before trusting it again",
    ))
}

async fn is_copy(
    sink: &dyn Sink,
    key: &ObjectKey,
    kept: &ObjectKey,
    digest: Digest,
) -> Result<bool, BackupError> {
    match sink.capabilities().read_back.has_data() {
        true => Ok(digest_of(sink, kept).await? == digest),
        false => Ok(sink.head(kept).await?.bytes == sink.head(key).await?.bytes),
    }
}

/// Removes what was kept from where it stood.
pub(crate) async fn clear(opened: &Opened, key: &ObjectKey) -> Result<(), BackupError> {
    opened.sink.delete(key).await.map_err(asking_for_the_right)
}

/// An error of deleting what is in the way of a right object.
pub(crate) fn asking_for_the_right(error: BackupError) -> BackupError {
    let suggestion = format!(
        "a damaged object is moved to {}/ and then written again, which takes the right to delete objects at this destination",
        layout::DAMAGED
    );
    match error.class().is_retriable() {
        true => error,
        false => error.suggest(suggestion),
    }
}

async fn copy(sink: &dyn Sink, key: &ObjectKey, kept: &ObjectKey) -> Result<(), BackupError> {
    let bytes = sink.head(key).await?.bytes;
    let mut upload = sink.begin(kept, bytes).await?;
    let copied = async {
        for range in windows(bytes) {
            upload.write(sink.read(key, range).await?).await?;
        }
        upload.commit().await
    };
    let copied = copied.await;
    if copied.is_err() {
        // Why it failed says more than why nothing could be freed.
        let _ = upload.abort().await;
    }
    copied
}

async fn digest_of(sink: &dyn Sink, key: &ObjectKey) -> Result<Digest, BackupError> {
    sink.drop_cached(key).await?;
    let mut digest = DigestOfDigests::default();
    for range in windows(sink.head(key).await?.bytes) {
        digest.push(Digest::of(&sink.read(key, range).await?));
    }
    Ok(digest.finish())
}

fn windows(bytes: u64) -> impl Iterator<Item = Range<u64>> {
    let count = bytes.div_ceil(WINDOW_BYTES);
    (0..count).map(move |number| {
        let begin = number * WINDOW_BYTES;
        begin..bytes.min(begin + WINDOW_BYTES)
    })
}
