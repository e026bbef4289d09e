//! Chunks, indexes and frames.

use bytes::Bytes;
use teeline_core::{Buffers, Compression, Decoder, Encoder, Frame, Index, WindowBytes};

use crate::parts::chosen;

/// How long a chunk says that it is: no more than what honest ones of inputs are.
const PLAIN_BYTES_MAX: usize = 1 << 16;
/// A window of an index, smaller than what chunks say of their sizes.
const WINDOW_BYTES: u64 = 1 << 10;
const WINDOW_MAX: WindowBytes = WindowBytes {
    stored: WINDOW_BYTES,
    plain: 4 * WINDOW_BYTES,
};

/// Takes the bytes of a chunk behind how long it is said to be, of an index or of frames.
pub(crate) fn chunk(input: &[u8]) {
    let Some((choice, rest)) = chosen(input) else {
        return;
    };
    match choice % 8 {
        0 => as_chunk(Compression::None, rest),
        1 => as_chunk(Compression::Gzip { level: 1 }, rest),
        2 => as_chunk(Compression::Zstd { level: 1 }, rest),
        3 => as_chunk(Compression::Deflate { level: 1 }, rest),
        4 => as_chunk(Compression::Brotli { level: 1 }, rest),
        5 => as_frames(rest),
        6 => as_index(rest),
        _ => {
            // The lines of one, packed as they are stored.
            let packed = Encoder::gzip(1).encode(rest);
            as_index(&packed.expect("a small text is packed"));
        }
    }
}

fn as_chunk(compression: Compression, input: &[u8]) {
    let Some((length, stored)) = input.split_at_checked(2) else {
        return;
    };
    let plain_bytes = usize::from(u16::from_be_bytes([length[0], length[1]]));
    debug_assert!(plain_bytes < PLAIN_BYTES_MAX);
    let decoded = Decoder::new().decode(compression, stored, plain_bytes, &Buffers::default());
    if let Ok(plain) = decoded {
        assert_eq!(plain.len(), plain_bytes);
    }
}

fn as_frames(bytes: &[u8]) {
    let Ok(frames) = Frame::decode_all(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    let written: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
    let again = Frame::decode_all(written.into()).expect("what was written is read");
    assert_eq!(frames, again);
    for frame in frames {
        let _ = frame.is_last();
    }
}

fn as_index(bytes: &[u8]) {
    let _ = Index::rows("an index", bytes);
    let Ok(index) = Index::parse("an index", bytes) else {
        return;
    };
    let chunks: usize = index
        .windows(WINDOW_MAX)
        .map(|(range, chunks)| {
            assert!(range.end <= index.sums.stored);
            chunks.len()
        })
        .sum();
    assert_eq!(chunks, index.chunks.len());
    let mut end = 0;
    for (range, pieces) in index.piece_windows(WINDOW_BYTES) {
        assert_eq!(range.start, end);
        assert!(!pieces.is_empty());
        end = range.end;
    }
    assert_eq!(end, index.sums.stored);
}
