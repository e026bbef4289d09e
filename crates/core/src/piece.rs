//! What a data file consists of: stretches of it that each have a digest.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// What stands before the first chunk, or behind the last, is a few bytes.
const AROUND_BYTES_MAX: u64 = 64;

/// A stretch of a data file, with its digest. Pieces follow each other without gaps: where the compression has them a
/// prologue and an epilogue, between them the chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Bytes as stored.
    pub stored: u64,
    /// BLAKE3 of them.
    pub blake3: Digest,
    /// Which chunk it is, from 0; none for the prologue and the epilogue.
    #[serde(skip)]
    pub chunk: Option<u32>,
}

impl Piece {
    /// What stands around the chunks, where there is anything.
    pub(crate) fn around(bytes: &[u8]) -> Option<Self> {
        (!bytes.is_empty()).then(|| Piece {
            stored: bytes.len() as u64,
            blake3: Digest::of(bytes),
            chunk: None,
        })
    }

    /// Its size, where that is one of what stands around the chunks.
    pub(crate) fn stored_around(&self) -> Option<u64> {
        (self.stored <= AROUND_BYTES_MAX).then_some(self.stored)
    }
}

/// Groups of what follows each other in a file from `begin` on, each of up to `window_bytes` (or one larger item), with its
/// range.
pub(crate) fn windows<'a, T>(
    items: &'a [T],
    stored: impl Fn(&T) -> u64 + 'a,
    begin: u64,
    window_bytes: u64,
) -> impl Iterator<Item = (Range<u64>, &'a [T])> {
    let (mut from, mut offset) = (0, begin);
    std::iter::from_fn(move || {
        let (mut to, begin) = (from, offset);
        while to < items.len()
            && (to == from || offset - begin + stored(&items[to]) <= window_bytes)
        {
            offset += stored(&items[to]);
            to += 1;
        }
        let window = &items[from..to];
        from = to;
        (!window.is_empty()).then_some((begin..offset, window))
    })
}
