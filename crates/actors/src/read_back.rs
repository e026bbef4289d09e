//! Comparing what a store gives with the digests of an index: by the driver at the end of a segment, and by whoever checks a
//! backup.

use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use teeline_core::{BackupError, Digest, Digester, Index, ObjectKey, Piece, Sink, document};

use crate::task::read_aside;

/// How many times what is worth reading in one call is streamed in one go: so much that the way there and back hardly counts.
const CALLS_OF_A_WINDOW: u64 = 4;

/// How much is read in one call where only a digest counts.
const PIECE_BYTES: u64 = 8 << 20;

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
    let share = index.sums.stored / reading.calls.max(1) as u64;
    let window_max = reading.bytes.saturating_mul(CALLS_OF_A_WINDOW);
    let windows = index.piece_windows(share.clamp(reading.bytes, window_max));
    let reads = stream::iter(windows).map(|(range, pieces)| {
        let (sink, key) = (Arc::clone(sink), key.clone());
        let read = async move {
            let mut comparison = Comparison::with(&pieces);
            let mut stream = sink.stream(&key, range);
            while let Some(bytes) = stream.try_next().await? {
                comparison.push(&bytes);
            }
            Ok((comparison.end(), pieces))
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

/// The digest of an object that is read whole elsewhere, of which no more than a piece is held here: many are read at once, and whoever
/// rules a destination says how large they are.
///
/// # Errors
/// Those of the reads. What is larger than may be read whole is [`Class::Corrupt`](teeline_core::Class::Corrupt).
pub async fn digest_of_whole(sink: &dyn Sink, key: &ObjectKey) -> Result<Digest, BackupError> {
    let bytes = sink.head(key).await?.bytes;
    if bytes > document::BYTES_MAX {
        return Err(document::too_large(&format!("{sink}: {key}"), bytes));
    }
    let mut digester = Digester::default();
    let mut read = 0;
    while read < bytes {
        let end = bytes.min(read + PIECE_BYTES);
        digester.push(&sink.read(key, read..end).await?);
        read = end;
    }
    Ok(digester.finish())
}

/// Bytes, as they come, beside the pieces that they should be, which follow each other.
struct Comparison<'a> {
    pieces: &'a [Piece],
    /// What was found of the pieces before the current one.
    are_equal: Vec<bool>,
    current: Digester,
    /// How much of the current one came.
    came: u64,
}

impl<'a> Comparison<'a> {
    fn with(pieces: &'a [Piece]) -> Self {
        Comparison {
            pieces,
            are_equal: Vec::with_capacity(pieces.len()),
            current: Digester::default(),
            came: 0,
        }
    }

    fn push(&mut self, mut bytes: &[u8]) {
        while let Some(piece) = self.pieces.get(self.are_equal.len()) {
            let lacks = usize::try_from(piece.stored - self.came).unwrap_or(usize::MAX);
            let (of_it, rest) = bytes.split_at(lacks.min(bytes.len()));
            self.current.push(of_it);
            self.came += of_it.len() as u64;
            if self.came < piece.stored {
                return;
            }
            let digest = std::mem::take(&mut self.current).finish();
            self.are_equal.push(digest == piece.blake3);
            self.came = 0;
            bytes = rest;
        }
    }

    /// Whether each is what it should be. What hasn't come isn't.
    fn end(mut self) -> Vec<bool> {
        self.push(&[]);
        self.are_equal.resize(self.pieces.len(), false);
        self.are_equal
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use teeline_core::Digest;

    use super::*;

    fn pieces_of(bytes: &[u8], sizes: &[usize]) -> Vec<Piece> {
        let mut rest = bytes;
        let piece = |size: &usize| {
            let (of_it, after) = rest.split_at(*size);
            rest = after;
            Piece {
                stored: of_it.len() as u64,
                blake3: Digest::of(of_it),
                chunk: None,
            }
        };
        sizes.iter().map(piece).collect()
    }

    fn compared(pieces: &[Piece], bytes: &[u8], cut_at: usize) -> Vec<bool> {
        let mut comparison = Comparison::with(pieces);
        for part in bytes.chunks(cut_at) {
            comparison.push(part);
        }
        comparison.end()
    }

    proptest! {
        #[test]
        fn pieces_are_told_apart_however_they_come(
            sizes in proptest::collection::vec(0_usize..40, 1..20),
            cut_at in 1_usize..100,
            damaged_at in any::<proptest::sample::Index>(),
            kept in any::<proptest::sample::Index>(),
        ) {
            let length: usize = sizes.iter().sum();
            let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
            let pieces = pieces_of(&bytes, &sizes);
            prop_assert!(compared(&pieces, &bytes, cut_at).iter().all(|is_equal| *is_equal));
            prop_assume!(length > 0);

            let ends: Vec<usize> = sizes.iter().scan(0, |end, size| {
                *end += size;
                Some(*end)
            }).collect();
            let at = damaged_at.index(length);
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            let expected: Vec<bool> = ends.iter().zip(&sizes).map(|(end, size)| !(end - size..*end).contains(&at)).collect();
            prop_assert_eq!(compared(&pieces, &damaged, cut_at), expected);

            let kept = kept.index(length);
            let expected: Vec<bool> = ends.iter().map(|end| *end <= kept).collect();
            prop_assert_eq!(compared(&pieces, &bytes[..kept], cut_at), expected);
        }
    }
}
