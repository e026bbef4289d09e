//! Comparing what a store gives with the digests of an index: by the driver at the end of a segment, and by whoever checks a
//! backup.

use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use teeline_core::{BackupError, ChunkEntry, Digest, Index, ObjectKey, Sink};

use crate::task::read_aside;

/// Reads every chunk of a data file and tells `compared`, in their order, which chunk it was (from 0) and whether its digest
/// is that of the index. As many reads are under way as the store is good for, and digests are made where they come in.
///
/// # Errors
/// Those of the reads. Fewer bytes than the index has are [`Class::Corrupt`](teeline_core::Class::Corrupt).
pub async fn compare_chunks(
    sink: &Arc<dyn Sink>,
    key: &ObjectKey,
    index: &Index,
    mut compared: impl FnMut(u32, &ChunkEntry, bool) + Send,
) -> Result<(), BackupError> {
    sink.drop_cached(key).await?;
    let reading = sink.capabilities().reading;
    let windows: Vec<_> = index
        .windows(reading.bytes)
        .map(|(range, chunks)| (range, chunks.to_vec()))
        .collect();
    let reads = stream::iter(windows).map(|(range, chunks)| {
        let (sink, key) = (Arc::clone(sink), key.clone());
        let read = async move {
            let bytes = sink.read(&key, range).await?;
            let are_equal: Vec<bool> = equal(&bytes, &chunks).collect();
            Ok((are_equal, chunks))
        };
        read_aside("a data file", read)
    });
    let mut reads = reads.buffered(reading.calls.max(1));
    let mut number = 0;
    while let Some((are_equal, chunks)) = reads.try_next().await? {
        for (is_equal, chunk) in are_equal.into_iter().zip(chunks) {
            compared(number, &chunk, is_equal);
            number += 1;
        }
    }
    Ok(())
}

/// Whether each of these chunks, which follow each other in `bytes`, is the one that the index has.
fn equal(bytes: &[u8], chunks: &[ChunkEntry]) -> impl Iterator<Item = bool> {
    let mut begin = 0;
    chunks.iter().map(move |chunk| {
        let end = usize::try_from(chunk.stored).map_or(usize::MAX, |stored| begin + stored);
        let stored = bytes.get(begin..end);
        begin = end;
        stored.is_some_and(|stored| Digest::of(stored) == chunk.blake3)
    })
}
