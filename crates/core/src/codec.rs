//! Bytes ↔ smaller bytes, a block at a time: each chunk is a whole gzip member (RFC 1952, section 2.2) or zstd frame
//! (RFC 8878, section 3), so chunks decode alone, and a file of them is a stream that every tool reads.

use std::fmt;

use bytes::Bytes;
use libdeflater::{CompressionLvl, Compressor, Decompressor};
use zstd::bulk;
use zstd::zstd_safe::{CParameter, compress_bound};

use crate::buffers::Buffers;
use crate::compress::Compression;
use crate::error::{BackupError, Class};

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
        };
        Ok(Some(Self::of(method)))
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

    /// `plain` as one gzip member or zstd frame.
    ///
    /// # Errors
    /// Never in practice: the room has the size that the library asks for.
    pub fn encode(&mut self, plain: &[u8]) -> Result<Bytes, BackupError> {
        let bytes_max = match &mut self.method {
            Method::Gzip(gzip) => gzip.gzip_compress_bound(plain.len()),
            Method::Zstd(_) => compress_bound(plain.len()),
        };
        let mut room = self.room.take(bytes_max);
        let stored = match &mut self.method {
            Method::Gzip(gzip) => gzip.gzip_compress(plain, &mut room).map_err(failed)?,
            Method::Zstd(zstd) => zstd
                .compress_to_buffer(plain, &mut room[..])
                .map_err(failed)?,
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
}

impl Decoder {
    /// A decoder for every compression.
    pub fn new() -> Self {
        Decoder {
            gzip: Decompressor::new(),
            zstd: None,
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
mod tests {
    use std::io::Read;

    use flate2::bufread::MultiGzDecoder;
    use proptest::prelude::*;

    use super::*;

    const PACKED: [Compression; 4] = [
        Compression::Gzip { level: 1 },
        Compression::Gzip { level: 12 },
        Compression::Zstd { level: 1 },
        Compression::Zstd { level: 19 },
    ];

    fn encode(compression: Compression, plain: &[u8]) -> Vec<u8> {
        let encoder = Encoder::new(compression).unwrap();
        encoder.unwrap().encode(plain).unwrap().to_vec()
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes(blocks in proptest::collection::vec(proptest::collection::vec(0_u8..4, 0..5000), 1..4)) {
            for compression in PACKED {
                let mut encoder = Encoder::new(compression).unwrap().unwrap();
                let (mut decoder, buffers) = (Decoder::new(), Buffers::default());
                for plain in &blocks {
                    let stored = encoder.encode(plain).unwrap();
                    let decoded = decoder.decode(compression, &stored, plain.len(), &buffers).unwrap();
                    prop_assert_eq!(&decoded[..], &plain[..]);
                }
            }
        }

        #[test]
        fn other_tools_read_the_chunks_as_one_stream(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 1..5)) {
            for compression in PACKED {
                let file: Vec<u8> = blocks.iter().flat_map(|plain| encode(compression, plain)).collect();
                let mut plain = Vec::new();
                match compression {
                    Compression::Zstd { .. } => zstd::stream::copy_decode(&file[..], &mut plain).unwrap(),
                    _ => { MultiGzDecoder::new(&file[..]).read_to_end(&mut plain).unwrap(); }
                }
                prop_assert_eq!(plain, blocks.concat());
            }
        }

        #[test]
        fn garbage_is_an_error(garbage in proptest::collection::vec(any::<u8>(), 0..500), expected in 1usize..1000) {
            for compression in PACKED {
                let result = Decoder::new().decode(compression, &garbage, expected, &Buffers::default());
                prop_assert_eq!(result.unwrap_err().class(), Class::Corrupt);
            }
        }
    }

    #[test]
    fn a_wrong_length_is_an_error() {
        for compression in PACKED.into_iter().chain([Compression::None]) {
            let stored = match compression {
                Compression::None => b"hello".to_vec(),
                packed => encode(packed, b"hello"),
            };
            let mut decoder = Decoder::new();
            let mut decode =
                |expected| decoder.decode(compression, &stored, expected, &Buffers::default());
            assert_eq!(decode(5).unwrap(), "hello");
            for expected in [0, 4, 6, usize::MAX] {
                assert!(decode(expected).is_err());
            }
        }
    }
}
