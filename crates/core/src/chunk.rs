//! Blocks → chunks: compressed, decoded again and compared, digested.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::block::{Block, RECORD_BYTES_MAX, ResourceId};
use crate::compress::{Compression, Decoder, GzipEncoder};
use crate::digest::Digest;
use crate::error::{BackupError, Class};
use crate::validate::check_json_lines;

/// What the index says of a chunk. Chunks follow each other without gaps, so an offset is the sum of what precedes.
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

/// Deflate makes no byte into more than 1,032.
const INFLATION_MAX: u64 = 1_100;

/// What is granted to small chunks beside [`INFLATION_MAX`].
const PLAIN_SLACK_BYTES: u64 = 64 << 10;

impl ChunkEntry {
    /// Whether a chunk can have these sizes. By them memory is taken, before a byte of the chunk is read.
    pub(crate) fn is_possible(&self) -> bool {
        let largest = RECORD_BYTES_MAX as u64 + STORED_SLACK_BYTES;
        let inflated = self.stored.saturating_mul(INFLATION_MAX);
        let plain_max = inflated.saturating_add(PLAIN_SLACK_BYTES).min(largest);
        self.stored <= largest && self.plain <= plain_max
    }
}

/// A chunk before it has a place.
#[derive(Debug, Clone)]
pub struct EncodedBlock {
    /// The resource of its records.
    pub resource: ResourceId,
    /// What the index says of it.
    pub entry: ChunkEntry,
    /// The stored bytes.
    pub bytes: Bytes,
    /// Its part of the index: a gzip member of JSON lines, the entry and then the rows.
    pub index_fragment: Bytes,
}

/// One line of an index that describes a chunk.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ChunkLine {
    pub(crate) chunk: ChunkEntry,
}

/// Turns blocks into chunks; one a worker, since it keeps the compressor's memory.
pub struct BlockEncoder {
    compression: Compression,
    gzip: GzipEncoder,
    decoder: Decoder,
}

impl BlockEncoder {
    /// An encoder for one compression.
    pub fn new(compression: Compression) -> Self {
        let level = match compression {
            Compression::Gzip { level } => level,
            Compression::None => Compression::GZIP_LEVEL_DEFAULT,
        };
        BlockEncoder {
            compression,
            gzip: GzipEncoder::new(level),
            decoder: Decoder::new(),
        }
    }

    /// Encodes one block. What leaves here has been decoded again and was equal to the block.
    ///
    /// # Errors
    /// Where a line that was to be checked is no JSON, or the encoder is wrong.
    pub fn encode(&mut self, block: Block) -> Result<EncodedBlock, BackupError> {
        if let Some(origin) = &block.origin {
            check_json_lines(&block.bytes, origin)?;
        }
        let bytes = match self.compression {
            Compression::None => block.bytes.clone(),
            Compression::Gzip { .. } => self.compress_checked(&block.bytes)?,
        };
        let entry = ChunkEntry {
            stored: bytes.len() as u64,
            plain: block.bytes.len() as u64,
            records: block.records,
            blake3: Digest::of(&bytes),
        };
        let index_fragment = self.index_fragment(entry, &block.rows)?;
        Ok(EncodedBlock {
            resource: block.resource,
            entry,
            bytes,
            index_fragment,
        })
    }

    fn compress_checked(&mut self, plain: &[u8]) -> Result<Bytes, BackupError> {
        let stored = self.gzip.encode(plain)?;
        let decoded = self
            .decoder
            .decode(self.compression, &stored, plain.len())?;
        if decoded == plain {
            Ok(Bytes::from(stored))
        } else {
            let message =
                "a chunk decodes to other bytes than went in; memory or processor may be at fault";
            Err(BackupError::new(
                Class::Permanent,
                "compress",
                "a block",
                message,
            ))
        }
    }

    fn index_fragment(&mut self, entry: ChunkEntry, rows: &[u8]) -> Result<Bytes, BackupError> {
        let mut lines = json_line(&ChunkLine { chunk: entry });
        lines.extend_from_slice(rows);
        Ok(Bytes::from(self.gzip.encode(&lines)?))
    }
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
    fn what_compresses_best_is_possible_and_more_is_not() {
        let block = Block {
            resource: ResourceId(0),
            records: 1,
            bytes: Bytes::from(vec![b' '; 8 << 20]),
            rows: Bytes::new(),
            origin: None,
        };
        let mut encoder = BlockEncoder::new(Compression::Gzip { level: 12 });
        let entry = encoder.encode(block).unwrap().entry;
        assert!(entry.is_possible() && entry.plain > 900 * entry.stored);
        let with = |stored, plain| ChunkEntry {
            stored,
            plain,
            ..entry
        };
        assert!(with(0, 0).is_possible());
        for (stored, plain) in [
            (20, 100_000),
            (entry.stored, 2 * entry.plain),
            (2 << 20, 2 << 30),
            (2 << 30, 2 << 30),
            (u64::MAX, 0),
            (u64::MAX, u64::MAX),
            (1, u64::MAX),
        ] {
            assert!(!with(stored, plain).is_possible(), "{stored} {plain}");
        }
    }
}
