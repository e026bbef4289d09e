//! Records → blocks: whole newline-terminated records of one resource, up to a size.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::buffers::Buffers;
use crate::error::{BackupError, Class};
use crate::index::LINE_BYTES_MAX;
use crate::validate::LineCheck;

/// The number of a resource within a pass: its place in the [`ScanPlan`](crate::ScanPlan).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceId(pub u32);

/// The place of an item in the pass: everything between reader and placer carries one, without gaps.
pub type Seq = u64;

/// Where the lines of a block come from, for errors that name the place, and what is to be checked of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineOrigin {
    /// The file, as the user named it.
    pub file: Arc<str>,
    /// The number of the first line, from 1.
    pub line: u64,
    /// What the lines have to be.
    pub check: LineCheck,
}

/// Whole records of one resource, before compression.
#[derive(Debug, Clone)]
pub struct Block {
    /// The resource of every record.
    pub resource: ResourceId,
    /// Its number in the resource, from 0.
    pub number: u64,
    /// How many records begin in it.
    pub records: u32,
    /// The records, each ending in a newline.
    pub bytes: Bytes,
    /// Rows for the index about these records: JSON lines, possibly none.
    pub rows: Bytes,
    /// Where the lines were read, where there are lines.
    pub origin: Option<LineOrigin>,
}

/// No limit on records may be larger: readers take no chunk of a larger record for one of ours.
pub const RECORD_BYTES_MAX: usize = 1 << 30;

/// Sizes that cutting keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutLimits {
    /// A block is closed before it would grow beyond this, unless one record is larger.
    pub block_bytes: usize,
    /// A record larger than this is an error.
    pub record_bytes_max: usize,
}

/// Cuts the records of one resource into blocks. The blocks depend on the records alone, not on how they arrive.
#[derive(Debug)]
pub struct Cutter {
    resource: ResourceId,
    limits: CutLimits,
    buffers: Buffers,
    records: u32,
    /// The records of the next block, in the first `filled` bytes.
    buffer: Vec<u8>,
    filled: usize,
    rows: Vec<u8>,
    origin: Option<LineOrigin>,
    records_cut: u64,
    blocks_cut: u64,
}

impl Cutter {
    /// A cutter without records, whose blocks are in `buffers`.
    pub fn new(resource: ResourceId, limits: CutLimits, buffers: Buffers) -> Self {
        Cutter {
            resource,
            limits,
            buffers,
            records: 0,
            buffer: Vec::new(),
            filled: 0,
            rows: Vec::new(),
            origin: None,
            records_cut: 0,
            blocks_cut: 0,
        }
    }

    /// As this one, behind records that were cut before, in so many blocks.
    #[must_use]
    pub fn behind(self, records_cut: u64, blocks_cut: u64) -> Self {
        Cutter {
            records_cut,
            blocks_cut,
            ..self
        }
    }

    /// Takes one record, with its newline, and its row of the index (empty: none). One that `continues` an object counts
    /// as no record. Where the block has no room for it, that is cut and returned instead, and the record is to be pushed
    /// again: whoever waits until the block has gone on holds no buffer for the next one meanwhile.
    ///
    /// # Errors
    /// Where the record is larger than `record_bytes_max`, or its row than readers of the index take; it names the record by
    /// its place.
    pub fn push(
        &mut self,
        record: &[u8],
        row: &[u8],
        origin: Option<&LineOrigin>,
        continues: bool,
    ) -> Result<Option<Block>, BackupError> {
        if record.len() > self.limits.record_bytes_max {
            return Err(record_too_large(
                self.subject(origin),
                self.limits.record_bytes_max,
            ));
        }
        if row.len() > LINE_BYTES_MAX {
            let message = format!("what the index is to say of it has {} bytes", row.len());
            let subject = self.subject(origin);
            return Err(BackupError::new(Class::Permanent, "read", subject, message));
        }
        if self.filled > 0 && self.filled + record.len() > self.limits.block_bytes {
            return Ok(Some(self.cut()));
        }
        if self.filled == 0 {
            self.buffer = self.buffers.take(self.limits.block_bytes.max(record.len()));
            self.origin = origin.cloned();
        }
        let end = self.filled + record.len();
        self.buffer[self.filled..end].copy_from_slice(record);
        self.filled = end;
        self.rows.extend_from_slice(row);
        self.records += u32::from(!continues);
        Ok(None)
    }

    /// The last block: never empty, but for a resource without records, so that it has a file and an index as well.
    pub fn finish(mut self) -> Block {
        self.cut()
    }

    fn cut(&mut self) -> Block {
        self.records_cut += u64::from(self.records);
        let number = self.blocks_cut;
        self.blocks_cut += 1;
        Block {
            resource: self.resource,
            number,
            records: std::mem::take(&mut self.records),
            bytes: self.buffers.lend(
                std::mem::take(&mut self.buffer),
                std::mem::take(&mut self.filled),
            ),
            rows: Bytes::from(std::mem::take(&mut self.rows)),
            origin: self.origin.take(),
        }
    }

    fn subject(&self, origin: Option<&LineOrigin>) -> String {
        match origin {
            Some(LineOrigin { file, line, .. }) => format!("{file}, line {line}"),
            None => format!("record {}", self.records_cut + u64::from(self.records) + 1),
        }
    }
}

/// The failure of a record, `subject`, that is larger than records may be.
pub fn record_too_large(subject: impl fmt::Display, record_bytes_max: usize) -> BackupError {
    let message = format!("it is longer than the {record_bytes_max} bytes that a record may have");
    BackupError::new(Class::Permanent, "read", subject, message)
        .suggest("raise backup.record_bytes_max in the configuration, or leave the record out")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_hold_the_records_in_order_and_keep_to_their_size(
            sizes in proptest::collection::vec(0usize..300, 0..200),
            block_bytes in 1usize..500,
        ) {
            let limits = CutLimits { block_bytes, record_bytes_max: 1000 };
            let mut cutter = Cutter::new(ResourceId(0), limits, Buffers::default());
            let records: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(index, size)| {
                let mut record = vec![b'a' + u8::try_from(index % 26).unwrap(); *size];
                record.push(b'\n');
                record
            }).collect();
            let mut blocks = Vec::new();
            for record in &records {
                while let Some(block) = cutter.push(record, b"", None, false).unwrap() {
                    blocks.push(block);
                }
            }
            blocks.push(cutter.finish());
            prop_assert_eq!(blocks.iter().map(|b| b.records as usize).sum::<usize>(), records.len());
            let joined: Vec<u8> = blocks.iter().flat_map(|b| b.bytes.to_vec()).collect();
            prop_assert_eq!(joined, records.concat());
            for block in &blocks {
                prop_assert!(block.records == 1 || block.bytes.len() <= block_bytes);
                prop_assert!(records.is_empty() || block.bytes.last() == Some(&b'\n'));
            }
        }
    }

    #[test]
    fn the_next_block_takes_no_buffer_before_the_one_before_has_gone_on() {
        let limits = CutLimits {
            block_bytes: 6,
            record_bytes_max: 20,
        };
        let mut cutter = Cutter::new(ResourceId(0), limits, Buffers::default());
        assert!(cutter.push(b"abcd\n", b"", None, false).unwrap().is_none());
        let block = cutter.push(b"e\n", b"", None, false).unwrap().unwrap();
        assert_eq!(&block.bytes[..], b"abcd\n");
        drop(block);
        assert!(cutter.push(b"e\n", b"", None, false).unwrap().is_none());
        assert_eq!(&cutter.buffer[..5], b"e\ncd\n", "the same buffer again");
        assert_eq!(&cutter.finish().bytes[..], b"e\n");
    }

    #[test]
    fn a_record_that_is_too_large_is_named() {
        let limits = CutLimits {
            block_bytes: 10,
            record_bytes_max: 20,
        };
        let mut cutter = Cutter::new(ResourceId(0), limits, Buffers::default());
        cutter.push(b"{}\n", b"", None, false).unwrap();
        let error = cutter.push(&[b'x'; 21], b"", None, false).unwrap_err();
        assert!(error.to_string().contains("record 2"), "{error}");
        let row = [b'x'; LINE_BYTES_MAX + 1];
        let error = cutter.push(b"{}\n", &row, None, false).unwrap_err();
        assert!(error.to_string().contains("record 2"), "{error}");
        let origin = LineOrigin {
            file: "a.jsonl".into(),
            line: 7,
            check: LineCheck::Json,
        };
        let error = cutter
            .push(&[b'x'; 21], b"", Some(&origin), false)
            .unwrap_err();
        assert!(error.to_string().contains("a.jsonl, line 7"), "{error}");
    }
}
