//! What the data files of a backup hold, decoded chunk by chunk.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryFutureExt, TryStreamExt};
use teeline_actors::read_aside;
use teeline_core::{BackupError, ResourceEntry};
use tokio::sync::Semaphore;

use crate::copies::Copies;

/// Windows that are read and decoded ahead of whoever takes them.
const READ_AHEAD: usize = 4;

/// Their decoded bytes, of a resource; a larger window is the only one.
const AHEAD_BYTES: u32 = 32 << 20;

/// The lines of a resource's data files, chunk by chunk.
pub(crate) fn all_lines(
    copies: &Arc<Copies>,
    resource: ResourceEntry,
) -> BoxStream<'static, Result<Bytes, BackupError>> {
    let chunks = plain(copies, &resource);
    let state = (chunks, resource, 0);
    stream::try_unfold(state, |(mut chunks, resource, read)| async move {
        if let Some(lines) = chunks.try_next().await? {
            let read = read + count_lines(&lines);
            return Ok(Some((lines, (chunks, resource, read))));
        }
        if read == resource.records {
            return Ok(None);
        }
        let message = format!(
            "{read} records were read, the manifest has {}",
            resource.records
        );
        let subject = format!("resource {}", resource.name);
        Err(BackupError::corrupt(subject, message))
    })
    .boxed()
}

/// The plain bytes of every chunk of a resource, in order, some of them read ahead.
pub(crate) fn plain(
    copies: &Arc<Copies>,
    resource: &ResourceEntry,
) -> BoxStream<'static, Result<Bytes, BackupError>> {
    let name: Arc<str> = resource.name.as_str().into();
    let (copies, its_name) = (Arc::clone(copies), Arc::clone(&name));
    let reader = Arc::clone(&copies);
    let room = Arc::new(Semaphore::new(AHEAD_BYTES as usize));
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
        // Taken one after the other, so that no window waits for what a later one has.
        .and_then(move |(segment, window)| {
            let room = Arc::clone(&room);
            async move {
                let plain = u32::try_from(window.plain_bytes()).unwrap_or(AHEAD_BYTES);
                let taken = room.acquire_many_owned(plain.min(AHEAD_BYTES)).await;
                let taken = taken.map_err(|_| BackupError::cancelled("reading the backup"))?;
                Ok((segment, window, taken))
            }
        })
        .map_ok(move |(segment, window, taken)| {
            let (copies, name) = (Arc::clone(&reader), Arc::clone(&name));
            let read = async move { copies.read(&name, &segment, &window).await };
            // A task of its own, so that chunks are decoded side by side.
            read_aside("the backup", read).map_ok(|chunks| (chunks, taken))
        })
        .try_buffered(READ_AHEAD)
        .map_ok(|(chunks, taken)| {
            stream::iter(chunks).map(move |chunk| {
                // Until the last one has been asked for.
                let _room = &taken;
                Ok(chunk)
            })
        })
        .try_flatten()
        .boxed()
}

/// Lines in a chunk of lines.
pub(crate) fn count_lines(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}
