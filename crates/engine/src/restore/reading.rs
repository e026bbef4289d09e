//! Reading for a restore: the plain bytes of a backup's resources, and what of them is chosen.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use teeline_core::{BackupError, Frame, ResourceEntry};

use super::choice::{Choice, no_such_ids};
use crate::copies::Copies;

/// Windows that are read ahead of the target.
const READ_AHEAD: usize = 2;

/// Finds out whether there is a record of each chosen id, before anything is written.
pub(super) async fn find_ids(
    copies: &Arc<Copies>,
    chosen: &[&ResourceEntry],
    choice: &Choice,
) -> Result<(), BackupError> {
    let Some(mut missing) = choice.ids.clone() else {
        return Ok(());
    };
    for resource in chosen {
        let mut chunks = chunks(copies, resource);
        while let Some(window) = chunks.try_next().await? {
            for lines in window {
                Choice::find(&lines, &mut missing)?;
            }
        }
    }
    match missing.is_empty() {
        true => Ok(()),
        false => Err(no_such_ids(&missing)),
    }
}

pub(super) async fn count_chosen(
    copies: &Arc<Copies>,
    resource: &ResourceEntry,
    choice: &Choice,
) -> Result<u64, BackupError> {
    let mut count = 0;
    let mut chunks = chunks(copies, resource);
    while let Some(window) = chunks.try_next().await? {
        for lines in window {
            count += count_lines(&choice.lines(lines)?);
        }
    }
    Ok(count)
}

pub(super) async fn count_objects(
    copies: &Arc<Copies>,
    objects: &ResourceEntry,
    choice: &Choice,
) -> Result<u64, BackupError> {
    let mut count = 0;
    let mut chunks = chunks(copies, objects);
    while let Some(window) = chunks.try_next().await? {
        for bytes in window {
            count += count_first(&choice.frames(Frame::decode_all(bytes)?));
        }
    }
    Ok(count)
}

/// Reads all that will be written, so that damage is found before the first byte goes where it can't be taken back.
pub(super) async fn check_all(
    copies: &Copies,
    resources: &[&ResourceEntry],
) -> Result<(), BackupError> {
    for resource in resources {
        for segment in &resource.segments {
            for window in copies.windows(&resource.name, segment).await? {
                copies.read_stored(&resource.name, segment, &window).await?;
            }
        }
    }
    Ok(())
}

/// The plain bytes of every chunk of a resource, in order, some of them read ahead.
pub(super) fn chunks(
    copies: &Arc<Copies>,
    resource: &ResourceEntry,
) -> BoxStream<'static, Result<Vec<Bytes>, BackupError>> {
    let name: Arc<str> = resource.name.as_str().into();
    let (copies, its_name) = (Arc::clone(copies), Arc::clone(&name));
    let reader = Arc::clone(&copies);
    stream::iter(resource.segments.clone())
        .then(move |segment| {
            let (copies, name) = (Arc::clone(&copies), Arc::clone(&its_name));
            async move {
                let windows = copies.windows(&name, &segment).await?;
                let segment = Arc::new(segment);
                let of_segment = windows
                    .into_iter()
                    .map(move |window| Ok((Arc::clone(&segment), window)));
                Ok::<_, BackupError>(stream::iter(of_segment))
            }
        })
        .try_flatten()
        .map_ok(move |(segment, window)| {
            let (copies, name) = (Arc::clone(&reader), Arc::clone(&name));
            async move { copies.read(&name, &segment, &window).await }
        })
        .try_buffered(READ_AHEAD)
        .boxed()
}

/// Lines in a chunk of lines.
pub(super) fn count_lines(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Objects that begin among these pieces.
pub(super) fn count_first(frames: &[Frame]) -> u64 {
    let first = frames.iter().filter(|frame| frame.header.offset == 0);
    first.count() as u64
}
