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

/// Bytes of a group of chunks or pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowBytes {
    /// As they are stored.
    pub stored: u64,
    /// After decoding.
    pub plain: u64,
}

/// Groups of what follows each other in a file from `begin` on, each (or one larger item) within `max`, with its range.
pub(crate) fn windows<'a, T>(
    items: &'a [T],
    size: impl Fn(&T) -> WindowBytes + 'a,
    begin: u64,
    max: WindowBytes,
) -> impl Iterator<Item = (Range<u64>, &'a [T])> {
    let (mut from, mut offset) = (0, begin);
    std::iter::from_fn(move || {
        let (mut to, begin) = (from, offset);
        let mut plain = 0_u64;
        while to < items.len() {
            let next = size(&items[to]);
            plain = plain.saturating_add(next.plain);
            let fits = offset - begin + next.stored <= max.stored && plain <= max.plain;
            if to > from && !fits {
                break;
            }
            offset += next.stored;
            to += 1;
        }
        let window = &items[from..to];
        from = to;
        (!window.is_empty()).then_some((begin..offset, window))
    })
}
