//! Whether something is gone, where more is removed by that word than one call's is enough for.

use std::time::Duration;

use futures::TryStreamExt;
use teeline_core::{BackupError, Class, ObjectKey, Sink};

use crate::written::is_there;

/// So often is asked what a store's answers don't agree on.
const LOOKS_MAX: u32 = 4;
/// So long a list gets to come up with what was deleted, each time.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether there is none of these in a folder: each is asked for, and the folder listed. That they are absent may have been said by
/// somebody in between, who knows nothing of objects; no such word passes for a list. Where the list has what was denied both are
/// asked again after a while, since a list may be late.
///
/// # Errors
/// Where that can't be told; [`Class::Transient`] where the answers don't agree to the last.
pub async fn are_gone(
    sink: &dyn Sink,
    folder: &ObjectKey,
    keys: &[ObjectKey],
) -> Result<bool, BackupError> {
    let mut looks = 1;
    loop {
        for key in keys {
            if is_there(sink, key).await? {
                return Ok(false);
            }
        }
        match first_listed(sink, folder, keys).await? {
            None => return Ok(true),
            Some(listed) if looks == LOOKS_MAX => return Err(disagreed(sink, &listed)),
            Some(_) => tokio::time::sleep(PAUSE).await,
        }
        looks += 1;
    }
}

async fn first_listed(
    sink: &dyn Sink,
    folder: &ObjectKey,
    keys: &[ObjectKey],
) -> Result<Option<ObjectKey>, BackupError> {
    let mut listed = sink.list(Some(folder));
    while let Some(object) = listed.try_next().await? {
        if keys.contains(&object.key) {
            return Ok(Some(object.key));
        }
    }
    Ok(None)
}

fn disagreed(sink: &dyn Sink, key: &ObjectKey) -> BackupError {
    let subject = format!("{sink}: {key}");
    let message = "it is listed, and isn't there when it is asked for";
    BackupError::new(Class::Transient, "look for", subject, message).suggest(
        "try again later; where it stays so, something on the way to the store answers in its place",
    )
}
