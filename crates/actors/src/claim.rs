//! Whose a backup's id is at a destination: its root is marked, the id claimed, and the claim told from another one later.

use bytes::Bytes;
use teeline_core::document::Document;
use teeline_core::{
    BackupError, Class, DestinationMarker, Digest, ObjectKey, RunClaim, Sink, Timestamp, document,
    layout,
};

use crate::entry::read_up_to;
use crate::read_back::digest_of_whole;
use crate::written::{is_there, put_checked};

/// The claim of a run, as it stands at a destination. Whoever claims the id anew after a sweep, by the same bytes, makes another
/// one: the store's clock tells, where it has one. So whoever has written files, or compared them, finds out before publishing
/// whether some may have been swept since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimed(Option<Timestamp>);

impl Claimed {
    /// The one in a folder, where there is one.
    ///
    /// # Errors
    /// Where that can't be told.
    pub async fn find(sink: &dyn Sink, folder: &ObjectKey) -> Result<Option<Self>, BackupError> {
        match sink.head(&folder.join(layout::RUN_CLAIM)?).await {
            Ok(found) => Ok(Some(Claimed(found.modified_at))),
            Err(error) if error.class() == Class::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Marks a destination's root, where that wasn't done before, and claims a backup's id there, for its folder.
///
/// # Errors
/// [`Class::Conflict`] where another claim is there.
pub async fn claim(
    sink: &dyn Sink,
    folder: &ObjectKey,
    claim: Bytes,
    read_back: bool,
) -> Result<Claimed, BackupError> {
    mark(sink).await?;
    let key = folder.join(layout::RUN_CLAIM)?;
    let written = put_checked(sink, &key, claim, read_back).await;
    let is_damaged = |error: &BackupError| error.class() == Class::Corrupt;
    if written.as_ref().is_err_and(is_damaged) && is_no_claim(sink, &key).await {
        // It says nothing to anybody, and would be in the way of whoever claims the id again.
        sink.delete(&key).await.ok();
    }
    written?;
    let found = sink.head(&key).await?;
    Ok(Claimed(found.modified_at))
}

/// Whether what stands there is nobody's claim, the same each time that it is read: another's may stand there where a store
/// lets it be replaced. What isn't of the size that the store says is damaged on its way.
async fn is_no_claim(sink: &dyn Sink, key: &ObjectKey) -> bool {
    let read = async {
        sink.drop_cached(key).await?;
        let size = sink.head(key).await?.bytes;
        let bytes = read_up_to(sink, key, RunClaim::BYTES_MAX).await?;
        let is_whole = bytes.len() as u64 == size;
        let is_claim = document::open::<RunClaim>(key.as_str(), &bytes).is_ok();
        Ok::<_, BackupError>((is_whole && !is_claim).then(|| Digest::of(&bytes)))
    };
    let Ok(Some(digest)) = read.await else {
        return false;
    };
    let again = async {
        sink.drop_cached(key).await?;
        digest_of_whole(sink, key).await
    };
    again.await.is_ok_and(|again| again == digest)
}

/// Marks a destination's root, where that wasn't done before.
///
/// # Errors
/// Where something else is there under the marker's name.
pub async fn mark(sink: &dyn Sink) -> Result<(), BackupError> {
    let marker = layout::marker()?;
    let bytes = document::seal(&DestinationMarker {});
    match sink.put(&marker, bytes).await {
        Err(error) if error.class() == Class::Conflict => {
            let found = read_up_to(sink, &marker, DestinationMarker::BYTES_MAX).await?;
            document::open::<DestinationMarker>(&format!("{sink}: {marker}"), &found).map_err(
                |error| {
                    error.suggest(format!(
                        "if the backups there are teeline's, remove {marker}: the next backup makes it again"
                    ))
                },
            )?;
        }
        other => other?,
    }
    Ok(())
}

/// The key of the number by which somebody else takes the run up; of what is no attempt there is none.
pub(crate) fn next_number(
    folder: &ObjectKey,
    attempt: Option<u32>,
) -> Result<Option<ObjectKey>, BackupError> {
    let next = attempt.map(|attempt| layout::resumption(attempt.saturating_add(1)));
    next.map(|name| folder.join(&name)).transpose()
}

/// A run that is taken up again belongs to whoever did that, and not to who had it before.
pub(crate) async fn refuse_taken_up(
    sink: &dyn Sink,
    folder: &ObjectKey,
    attempt: Option<u32>,
) -> Result<(), BackupError> {
    let Some(next) = next_number(folder, attempt)? else {
        return Ok(());
    };
    if !is_there(sink, &next).await? {
        return Ok(());
    }
    let subject = format!("{sink}: {folder}");
    let message = "the run was taken for dead, and has been taken up by another process";
    Err(BackupError::new(Class::Permanent, "publish", subject, message)
        .suggest("`teeline list` shows what came of it; a process that sleeps for long is taken for dead"))
}
