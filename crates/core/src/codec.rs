//! Bytes ↔ smaller bytes, a block at a time: each chunk is a whole gzip member (RFC 1952, section 2.2), zstd frame
//! (RFC 8878, section 3) or part of a stream of deflate or brotli, so chunks decode alone, and a file of them is one stream, with what
//! `stream.rs` puts around them.

use std::fmt;

use bytes::Bytes;
use libdeflater::{CompressionLvl, Compressor, Decompressor};
use zstd::bulk;
use zstd::zstd_safe::{CParameter, compress_bound};

use crate::buffers::Buffers;
use crate::compress::Compression;
use crate::error::{BackupError, Class};

mod brotli;
mod deflate;

use deflate::{Deflater, Inflater};

/// Compresses; keeps its working memory between calls.
pub struct Encoder {
    method: Method,
    /// What it writes to: how much of that it takes is known afterwards.
    room: Buffers,
    /// What that is copied to, so that what is on its way takes no more than its own size.
    buffers: Buffers,
}

/// Sizes of chunks are rounded up to this, so that a buffer of one does for the next.
const ROUND_BYTES: usize = 64 << 10;

enum Method {
    Gzip(Compressor),
    Zstd(bulk::Compressor<'static>),
    Deflate(Deflater),
    Brotli { level: u8 },
}

impl Encoder {
    /// An encoder; `None` where there is nothing to do.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub fn new(compression: Compression) -> Result<Option<Self>, BackupError> {
        let method = match compression {
            Compression::None => return Ok(None),
            Compression::Gzip { level } => Method::Gzip(gzip_compressor(level)),
            Compression::Zstd { level } => Method::Zstd(zstd_compressor(level).map_err(failed)?),
            Compression::Deflate { level } => Method::Deflate(Deflater::new(level)),
            Compression::Brotli { level } => Method::Brotli { level },
        };
        Ok(Some(Self::of(method)))
    }

    /// As this one, which writes to buffers that serve others as well while it doesn't.
    #[must_use]
    pub(crate) fn in_room(self, room: &Buffers) -> Self {
        Encoder {
            room: room.clone(),
            ..self
        }
    }

    /// An encoder of gzip for `level`, held between 1 and 12.
    pub fn gzip(level: u8) -> Self {
        Self::of(Method::Gzip(gzip_compressor(level)))
    }

    fn of(method: Method) -> Self {
        Encoder {
            method,
            room: Buffers::default(),
            buffers: Buffers::default(),
        }
    }

    /// `plain` as one gzip member, zstd frame or part of a stream.
    ///
    /// # Errors
    /// Never in practice: the room has the size that the library asks for.
    pub fn encode(&mut self, plain: &[u8]) -> Result<Bytes, BackupError> {
        let bytes_max = match &mut self.method {
            Method::Gzip(gzip) => gzip.gzip_compress_bound(plain.len()),
            Method::Zstd(_) => compress_bound(plain.len()),
            Method::Deflate(_) => Deflater::bytes_max(plain.len()),
            Method::Brotli { .. } => brotli::bytes_max(plain.len()),
        };
        let mut room = self.room.take(bytes_max);
        let stored = match &mut self.method {
            Method::Gzip(gzip) => gzip.gzip_compress(plain, &mut room).map_err(failed)?,
            Method::Zstd(zstd) => zstd
                .compress_to_buffer(plain, &mut room[..])
                .map_err(failed)?,
            Method::Deflate(deflate) => deflate
                .encode(plain, &mut room[..bytes_max])
                .map_err(failed)?,
            Method::Brotli { level } => brotli::encode(*level, plain, &mut room)?,
        };
        let mut buffer = self.buffers.take(stored.next_multiple_of(ROUND_BYTES));
        buffer[..stored].copy_from_slice(&room[..stored]);
        self.room.put_back(room);
        Ok(self.buffers.lend(buffer, stored))
    }
}

fn gzip_compressor(level: u8) -> Compressor {
    let level = CompressionLvl::new(i32::from(level.clamp(1, 12))).unwrap_or_default();
    Compressor::new(level)
}

fn zstd_compressor(level: u8) -> std::io::Result<bulk::Compressor<'static>> {
    let mut compressor = bulk::Compressor::new(i32::from(level.clamp(1, 19)))?;
    // For who reads the files without their index: it costs a thousandth.
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    Ok(compressor)
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> BackupError {
    BackupError::new(Class::Permanent, "compress", "a block", "failed").because(error)
}

/// Decompresses chunks whose plain length is known.
pub struct Decoder {
    gzip: Decompressor,
    /// Made when the first frame is to be decoded.
    zstd: Option<bulk::Decompressor<'static>>,
    /// Made when the first part of a deflate stream is.
    inflater: Option<Inflater>,
}

impl Decoder {
    /// A decoder for every compression.
    pub fn new() -> Self {
        Decoder {
            gzip: Decompressor::new(),
            zstd: None,
            inflater: None,
        }
    }

    /// Decodes one chunk of `plain_bytes` bytes, to one of these buffers.
    ///
    /// # Errors
    /// [`Class::Corrupt`] where the bytes aren't a chunk of that length; [`Class::Permanent`] where there is no memory for
    /// one.
    pub fn decode(
        &mut self,
        compression: Compression,
        stored: &[u8],
        plain_bytes: usize,
        buffers: &Buffers,
    ) -> Result<Bytes, BackupError> {
        if compression == Compression::None && stored.len() != plain_bytes {
            return Err(wrong_length(stored.len(), plain_bytes));
        }
        let buffer = buffers.try_take(plain_bytes);
        let mut buffer =
            buffer.map_err(|error| no_memory(format!("its {plain_bytes} bytes"), error))?;
        let decoded = self.decode_to(compression, stored, &mut buffer[..plain_bytes])?;
        match decoded == plain_bytes {
            true => Ok(buffers.lend(buffer, plain_bytes)),
            false => Err(wrong_length(decoded, plain_bytes)),
        }
    }

    /// Decodes to `room`, which has the size of what is expected; gives how many bytes there were.
    fn decode_to(
        &mut self,
        compression: Compression,
        stored: &[u8],
        room: &mut [u8],
    ) -> Result<usize, BackupError> {
        match compression {
            Compression::None => {
                room.copy_from_slice(stored);
                Ok(stored.len())
            }
            Compression::Gzip { .. } => self
                .gzip
                .gzip_decompress(stored, room)
                .map_err(|error| undecodable("gzip member", error)),
            Compression::Zstd { .. } => self
                .zstd()?
                .decompress_to_buffer(stored, room)
                .map_err(|error| undecodable("zstd frame", error)),
            Compression::Deflate { .. } => self
                .inflater
                .get_or_insert_with(Inflater::new)
                .decode(stored, room),
            Compression::Brotli { .. } => brotli::decode(stored, room),
        }
    }

    fn zstd(&mut self) -> Result<&mut bulk::Decompressor<'static>, BackupError> {
        let decompressor = match self.zstd.take() {
            Some(decompressor) => decompressor,
            None => bulk::Decompressor::new().map_err(|error| no_memory("a decoder", error))?,
        };
        Ok(self.zstd.insert(decompressor))
    }
}

fn no_memory(
    what: impl fmt::Display,
    error: impl std::error::Error + Send + Sync + 'static,
) -> BackupError {
    let message = format!("there is no memory for {what}");
    BackupError::new(Class::Permanent, "decode", "a chunk", message).because(error)
}

fn undecodable(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> BackupError {
    let message = format!("not a {what} of the expected size");
    BackupError::corrupt("a chunk", message).because(error)
}

fn wrong_length(decoded: usize, expected: usize) -> BackupError {
    let message = format!("{decoded} bytes decoded, {expected} expected");
    BackupError::corrupt("a chunk", message)
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
