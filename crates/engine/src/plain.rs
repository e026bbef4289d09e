//! What the data files of a backup hold, decoded chunk by chunk.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use teeline_actors::read_aside;
use teeline_core::{BackupError, ResourceEntry};

use crate::copies::Copies;

/// Windows that are read and decoded ahead of whoever takes them.
const READ_AHEAD: usize = 4;

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
            let read = async move { copies.read(&name, &segment, &window).await };
            // A task of its own, so that chunks are decoded side by side.
            read_aside("the backup", read)
        })
        .try_buffered(READ_AHEAD)
        .map_ok(|window| stream::iter(window.into_iter().map(Ok)))
        .try_flatten()
        .boxed()
}

/// Lines in a chunk of lines.
pub(crate) fn count_lines(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}
