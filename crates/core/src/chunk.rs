//! Blocks → chunks: compressed, decoded again and compared, digested.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::block::{Block, RECORD_BYTES_MAX, ResourceId};
use crate::buffers::Buffers;
use crate::codec::{Decoder, Encoder};
use crate::compress::Compression;
use crate::digest::Digest;
use crate::error::{BackupError, Class};
use crate::piece::Piece;
use crate::seal::{Context, SEALED_SUFFIX, Sealer, seal_rows};
use crate::stream::StreamPart;
use crate::validate::check_lines;

/// What the index says of a chunk. Chunks follow each other without gaps, so an offset is the sum of what precedes, the
/// prologue of the data file included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkEntry {
    /// Bytes as stored.
    pub stored: u64,
    /// Bytes after decoding.
    pub plain: u64,
    /// Records in it; for objects, those that begin in it.
    pub records: u32,
    /// BLAKE3 of the stored bytes.
    pub blake3: Digest,
}

/// What compression adds, at most, to a record of the largest size.
const STORED_SLACK_BYTES: u64 = 1 << 20;

/// How many bytes come of one at the most, in a data file of this name. Deflate makes no byte into more than 1,032; zstd makes
/// blocks of up to 128 KiB from four bytes (RFC 8878, section 3.1.1.2), brotli of up to 16 MiB (RFC 7932, section 9.2).
fn inflation_max(file: &str) -> u64 {
    let file = file.strip_suffix(SEALED_SUFFIX).unwrap_or(file);
    match file.rsplit_once('.') {
        Some((_, "gz" | "zz")) => 1_100,
        Some((_, "zst")) => 32 << 10,
        Some((_, "br")) => 4 << 20,
        _ => 1,
    }
}

/// What is granted to small chunks beside that.
const PLAIN_SLACK_BYTES: u64 = 64 << 10;

impl ChunkEntry {
    /// It as a piece of its data file, where it is the chunk of this number, from 0.
    pub fn piece(&self, number: u32) -> Piece {
        Piece {
            stored: self.stored,
            blake3: self.blake3,
            chunk: Some(number),
        }
    }

    /// Whether a chunk of this data file can have these sizes. By them memory is taken, before a byte of the chunk is read.
    pub(crate) fn is_possible_in(&self, file: &str) -> bool {
        let largest = RECORD_BYTES_MAX as u64 + STORED_SLACK_BYTES;
        let inflated = self.stored.saturating_mul(inflation_max(file));
        let plain_max = inflated.saturating_add(PLAIN_SLACK_BYTES).min(largest);
        self.stored <= largest && self.plain <= plain_max
    }
}

/// A chunk before it has a place.
#[derive(Debug, Clone)]
pub struct EncodedBlock {
    /// The resource of its records.
    pub resource: ResourceId,
    /// The number of its block in the resource.
    pub number: u64,
    /// What the index says of it.
    pub entry: ChunkEntry,
    /// The stored bytes.
    pub bytes: Bytes,
    /// What the end of the data file has to know of it.
    pub stream: StreamPart,
    /// Its part of the index: a gzip member of JSON lines, the entry and then the rows.
    pub index_fragment: Bytes,
}

/// One line of an index that describes a chunk.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ChunkLine {
    pub(crate) chunk: ChunkEntry,
}

/// What encoding a block consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodeStep {
    /// Lines are checked as their origin asks for it.
    Validate,
    /// The block is made smaller.
    Compress,
    /// What came of that is decoded and compared.
    Check,
    /// It is encrypted, where the backup is sealed.
    Seal,
    /// The chunk's digest.
    Hash,
    /// Its part of the index.
    Index,
}

impl EncodeStep {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            EncodeStep::Validate => "validate",
            EncodeStep::Compress => "compress",
            EncodeStep::Check => "decode and compare",
            EncodeStep::Seal => "seal",
            EncodeStep::Hash => "hash",
            EncodeStep::Index => "index",
        }
    }
}

/// Turns blocks into chunks; one a worker, since it keeps the compressor's memory.
pub struct BlockEncoder {
    compression: Compression,
    data: Option<Encoder>,
    index: Encoder,
    decoder: Decoder,
    /// What compressors write to; once that is copied to a chunk of its own size, the chunk is decoded there to be compared.
    room: Buffers,
    sealer: Option<Arc<Sealer>>,
}

impl BlockEncoder {
    /// An encoder for one compression.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub fn new(compression: Compression) -> Result<Self, BackupError> {
        let index_level = match compression {
            Compression::Gzip { level } => level,
            Compression::None
            | Compression::Zstd { .. }
            | Compression::Deflate { .. }
            | Compression::Brotli { .. } => Compression::GZIP_LEVEL_DEFAULT,
        };
        let room = Buffers::default();
        Ok(BlockEncoder {
            compression,
            data: Encoder::new(compression)?.map(|data| data.in_room(&room)),
            index: Encoder::gzip(index_level).in_room(&room),
            decoder: Decoder::new(),
            room,
            sealer: None,
        })
    }

    /// As this one, of chunks that are sealed; none where they aren't.
    #[must_use]
    pub fn sealing(self, sealer: Option<Arc<Sealer>>) -> Self {
        BlockEncoder { sealer, ..self }
    }

    /// Encodes one block. What leaves here has been decoded again and was equal to the block.
    ///
    /// # Errors
    /// Where a line isn't what it was to be, or the encoder is wrong.
    pub fn encode(&mut self, block: Block) -> Result<EncodedBlock, BackupError> {
        self.encode_in_steps(block, |_| ())
    }

    /// As [`BlockEncoder::encode`]; tells `done` when each of its steps is.
    ///
    /// # Errors
    /// As [`BlockEncoder::encode`].
    pub fn encode_in_steps(
        &mut self,
        block: Block,
        mut done: impl FnMut(EncodeStep),
    ) -> Result<EncodedBlock, BackupError> {
        if let Some(origin) = &block.origin {
            check_lines(&block.bytes, origin)?;
        }
        done(EncodeStep::Validate);
        let bytes = match &mut self.data {
            None => block.bytes.clone(),
            Some(encoder) => {
                let stored = encoder.encode(&block.bytes)?;
                done(EncodeStep::Compress);
                self.check_encoded(&stored, &block.bytes)?;
                done(EncodeStep::Check);
                stored
            }
        };
        let bytes = match &self.sealer {
            None => bytes,
            Some(sealer) => {
                let sealed = seal_checked(sealer, &block, &bytes)?;
                done(EncodeStep::Seal);
                sealed
            }
        };
        let entry = ChunkEntry {
            stored: bytes.len() as u64,
            plain: block.bytes.len() as u64,
            records: block.records,
            blake3: Digest::of(&bytes),
        };
        let stream = StreamPart::of(self.compression, &block.bytes);
        done(EncodeStep::Hash);
        let index_fragment = self.index_fragment(entry, &block)?;
        done(EncodeStep::Index);
        Ok(EncodedBlock {
            resource: block.resource,
            number: block.number,
            entry,
            bytes,
            stream,
            index_fragment,
        })
    }

    fn check_encoded(&mut self, stored: &[u8], plain: &[u8]) -> Result<(), BackupError> {
        let decoded = self
            .decoder
            .decode(self.compression, stored, plain.len(), &self.room)?;
        if decoded == plain {
            return Ok(());
        }
        let message =
            "a chunk decodes to other bytes than went in; memory or processor may be at fault";
        Err(BackupError::new(
            Class::Permanent,
            "compress",
            "a block",
            message,
        ))
    }

    fn index_fragment(&mut self, entry: ChunkEntry, block: &Block) -> Result<Bytes, BackupError> {
        let mut lines = json_line(&ChunkLine { chunk: entry });
        match &self.sealer {
            None => lines.extend_from_slice(&block.rows),
            Some(sealer) => {
                let place = (block.resource, block.number);
                lines.extend(seal_rows(sealer, place, &block.rows, &mut self.index)?);
            }
        }
        self.index.encode(&lines)
    }
}

/// A chunk, sealed for its place; it has been opened again, and was equal.
fn seal_checked(sealer: &Sealer, block: &Block, chunk: &[u8]) -> Result<Bytes, BackupError> {
    let context = Context::Chunk {
        resource: block.resource,
        number: block.number,
    };
    let sealed = sealer.seal(context, chunk);
    if sealer.open("a chunk", context, &sealed)? == chunk {
        return Ok(sealed);
    }
    let message =
        "a chunk opens to other bytes than were sealed; memory or processor may be at fault";
    Err(BackupError::new(
        Class::Permanent,
        "seal",
        "a block",
        message,
    ))
}

/// `value` as one line of JSON.
pub(crate) fn json_line<T: Serialize>(value: &T) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("types of this crate have string keys only");
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_has_one_buffer_to_write_to() {
        for compression in [
            Compression::Gzip { level: 5 },
            Compression::Zstd { level: 3 },
        ] {
            let mut encoder = BlockEncoder::new(compression).unwrap();
            for number in 0..3 {
                let block = Block {
                    resource: ResourceId(0),
                    number,
                    records: 1,
                    bytes: Bytes::from(vec![b'x'; 100_000]),
                    rows: Bytes::from_static(b"{}\n"),
                    origin: None,
                };
                encoder.encode(block).unwrap();
            }
            assert!(encoder.room.take(1).len() >= 100_000);
            assert_eq!(encoder.room.take(1).len(), 1, "there is no other");
        }
    }

    #[test]
    fn what_compresses_best_is_possible_and_more_is_not() {
        let block = Block {
            resource: ResourceId(0),
            number: 0,
            records: 1,
            bytes: Bytes::from(vec![b' '; 8 << 20]),
            rows: Bytes::new(),
            origin: None,
        };
        for (compression, file, inflation) in [
            (Compression::Gzip { level: 12 }, "a.jsonl.gz", 900),
            (Compression::Zstd { level: 19 }, "a.jsonl.zst", 20_000),
            (Compression::Deflate { level: 9 }, "a.jsonl.zz", 900),
            (Compression::Brotli { level: 11 }, "a.jsonl.br", 300_000),
            (Compression::None, "a.jsonl", 0),
        ] {
            let mut encoder = BlockEncoder::new(compression).unwrap();
            let entry = encoder.encode(block.clone()).unwrap().entry;
            assert!(entry.is_possible_in(file) && entry.plain > inflation * entry.stored);
        }
        let is_possible = |stored, plain, file| {
            let entry = ChunkEntry {
                stored,
                plain,
                records: 1,
                blake3: Digest::of(b""),
            };
            entry.is_possible_in(file)
        };
        assert!(is_possible(0, 0, "a.jsonl.gz"));
        for file in [
            "a.jsonl.gz",
            "a.jsonl.zst",
            "a.jsonl.zz",
            "a.jsonl.br",
            "a.jsonl",
        ] {
            for (stored, plain) in [
                (2 << 20, 2 << 30),
                (2 << 30, 2 << 30),
                (u64::MAX, 0),
                (u64::MAX, u64::MAX),
                (1, u64::MAX),
            ] {
                assert!(!is_possible(stored, plain, file), "{stored} {plain} {file}");
            }
        }
        assert!(!is_possible(20, 100_000, "a.jsonl.gz"));
        assert!(is_possible(20, 100_000, "a.jsonl.zst"));
        assert!(!is_possible(1 << 20, 2 << 20, "a.jsonl"));
    }
}
