//! Comparing what a store gives with the digests of an index: by the driver at the end of a segment, and by whoever checks a
//! backup.

use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use teeline_core::{BackupError, Digest, Index, ObjectKey, Piece, Sink};

use crate::task::read_aside;

/// Reads every byte of a data file and tells `compared` of its pieces, in their order, whether their digests are those of the
/// index. As many reads are under way as the store is good for, and digests are made where they come in.
///
/// # Errors
/// Those of the reads. Fewer bytes than the index has are [`Class::Corrupt`](teeline_core::Class::Corrupt).
pub async fn compare_pieces(
    sink: &Arc<dyn Sink>,
    key: &ObjectKey,
    index: &Index,
    mut compared: impl FnMut(&Piece, bool) + Send,
) -> Result<(), BackupError> {
    sink.drop_cached(key).await?;
    let reading = sink.capabilities().reading;
    let windows = index.piece_windows(reading.bytes);
    let reads = stream::iter(windows).map(|(range, pieces)| {
        let (sink, key) = (Arc::clone(sink), key.clone());
        let read = async move {
            let bytes = sink.read(&key, range).await?;
            let are_equal: Vec<bool> = equal(&bytes, &pieces).collect();
            Ok((are_equal, pieces))
        };
        read_aside("a data file", read)
    });
    let mut reads = reads.buffered(reading.calls.max(1));
    while let Some((are_equal, pieces)) = reads.try_next().await? {
        for (is_equal, piece) in are_equal.into_iter().zip(pieces) {
            compared(&piece, is_equal);
        }
    }
    Ok(())
}

/// Whether each of these pieces, which follow each other in `bytes`, is the one that the index has.
fn equal(bytes: &[u8], pieces: &[Piece]) -> impl Iterator<Item = bool> {
    let mut begin = 0;
    pieces.iter().map(move |piece| {
        let end = usize::try_from(piece.stored).map_or(usize::MAX, |stored| begin + stored);
        let stored = bytes.get(begin..end);
        begin = end;
        stored.is_some_and(|stored| Digest::of(stored) == piece.blake3)
    })
}
