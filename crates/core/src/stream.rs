//! The stream that a data file is. Gzip members and zstd frames are streams themselves, and one after the other they are one
//! as well. A stream of zlib or brotli is one from its first byte to its last, so there the file has bytes before its first chunk
//! (the prologue) and behind its last (the epilogue), without which no other decoder would read it whole.

use bytes::Bytes;
use zlib_rs::adler32::{adler32, adler32_combine};

use crate::compress::Compression;

/// The header of a zlib stream (RFC 1950, section 2.2): deflate, with a window of 32 KiB.
const ZLIB_HEADER: [u8; 2] = [0x78, 0x9c];

/// A last block of deflate, with nothing in it (RFC 1951, section 3.2.3).
pub(crate) const DEFLATE_END: [u8; 2] = [0x03, 0x00];

/// The bits of a brotli stream's window, 4 MiB (RFC 7932, section 9.1).
pub(crate) const BROTLI_WINDOW_BITS: u32 = 22;

/// The header of a brotli stream with that window, and an empty block of metadata, which ends at a byte.
pub(crate) const BROTLI_HEADER: [u8; 2] = [0x6b, 0x00];

/// A last block of brotli, with nothing in it.
pub(crate) const BROTLI_END: [u8; 1] = [0x03];

/// The Adler-32 of nothing.
const ADLER32_INITIAL: u32 = 1;

/// What a data file begins with, before its first chunk.
pub(crate) fn prologue(compression: Compression) -> &'static [u8] {
    match compression {
        Compression::None | Compression::Gzip { .. } | Compression::Zstd { .. } => &[],
        Compression::Deflate { .. } => &ZLIB_HEADER,
        Compression::Brotli { .. } => &BROTLI_HEADER,
    }
}

/// What the epilogue of a data file has to know of a block; blocks are encoded in parallel, so each has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamPart {
    /// Nothing.
    Independent,
    /// Its Adler-32.
    Adler32(u32),
}

impl StreamPart {
    pub(crate) fn of(compression: Compression, plain: &[u8]) -> Self {
        match compression {
            Compression::None
            | Compression::Gzip { .. }
            | Compression::Zstd { .. }
            | Compression::Brotli { .. } => StreamPart::Independent,
            Compression::Deflate { .. } => StreamPart::Adler32(adler32(ADLER32_INITIAL, plain)),
        }
    }
}

/// What a data file ends in, behind its last chunk; follows from its blocks.
pub(crate) struct Epilogue {
    compression: Compression,
    adler32: u32,
}

impl Epilogue {
    /// Of a file without blocks yet.
    pub(crate) fn new(compression: Compression) -> Self {
        Epilogue {
            compression,
            adler32: ADLER32_INITIAL,
        }
    }

    /// Adds the next block, of `plain_bytes` bytes.
    pub(crate) fn push(&mut self, part: StreamPart, plain_bytes: u64) {
        if let StreamPart::Adler32(of_block) = part {
            self.adler32 = adler32_combine(self.adler32, of_block, plain_bytes);
        }
    }

    /// Its bytes. Their number depends on the compression only.
    pub(crate) fn bytes(&self) -> Bytes {
        match self.compression {
            Compression::None | Compression::Gzip { .. } | Compression::Zstd { .. } => Bytes::new(),
            Compression::Deflate { .. } => {
                let checksum = self.adler32.to_be_bytes();
                [&DEFLATE_END[..], &checksum].concat().into()
            }
            Compression::Brotli { .. } => Bytes::from_static(&BROTLI_END),
        }
    }
}
