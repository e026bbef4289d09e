//! A sample of lines: the beginning of each resource.

use std::fs;
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use teeline_core::{BackupError, SampleLimits, SampleShare};

use super::files::{Packing, ResourceFile, read_error};
use super::lines::{LineLimits, Lines};

/// Of short lines more than asked for are taken: less says little of how well they compress.
const BYTES_MIN: u64 = 4 << 20;

/// How much of a resource is in a sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Until {
    limits: SampleLimits,
    records: u64,
    bytes: u64,
}

impl Until {
    pub(super) fn new(limits: SampleLimits) -> Self {
        Until {
            limits,
            records: 0,
            bytes: 0,
        }
    }

    /// Whether that is enough.
    pub(super) fn is_reached(&self) -> bool {
        let enough = self.records >= self.limits.records && self.bytes >= BYTES_MIN;
        enough || self.bytes >= self.limits.bytes
    }

    /// Takes lines.
    pub(super) fn take(&mut self, records: usize, bytes: usize) {
        self.records += records as u64;
        self.bytes += bytes as u64;
    }
}

/// Reads the sample of a file, to know which share of the file it is. Blocks.
pub(super) fn measure(
    file: &ResourceFile,
    line_limits: LineLimits,
    limits: SampleLimits,
) -> Result<SampleShare, BackupError> {
    let label = file.path.display().to_string();
    let failed = |error| read_error(&label, error);
    let stored = fs::metadata(&file.path).map_err(failed)?.len();
    let taken = Arc::new(AtomicU64::new(0));
    let input = file.open_counted(Arc::clone(&taken)).map_err(failed)?;
    let lines = Lines::new(input, label.as_str().into(), line_limits);
    let packed = (file.packing != Packing::Plain).then_some(&*taken);
    share_of(lines, stored, packed, limits)
}

/// The same of lines in memory.
pub(super) fn measure_lines(
    lines: &Bytes,
    label: &Arc<str>,
    line_limits: LineLimits,
    limits: SampleLimits,
) -> Result<SampleShare, BackupError> {
    let input = Box::new(Cursor::new(lines.clone()));
    let stored = lines.len() as u64;
    let lines = Lines::new(input, Arc::clone(label), line_limits);
    share_of(lines, stored, None, limits)
}

/// Takes the sample of what is stored in so many bytes; `packed` counts those that were read where lines are packed.
fn share_of(
    mut lines: Lines,
    stored: u64,
    packed: Option<&AtomicU64>,
    limits: SampleLimits,
) -> Result<SampleShare, BackupError> {
    let mut until = Until::new(limits);
    let mut is_whole = false;
    while !until.is_reached() && !is_whole {
        match lines.next_batch()? {
            Some(batch) => until.take(batch.ends.len(), batch.bytes.len()),
            None => is_whole = true,
        }
    }
    let sampled = match is_whole {
        true => stored,
        false => packed.map_or(until.bytes, |packed| packed.load(Ordering::Relaxed)),
    };
    Ok(SampleShare {
        records: None,
        sampled_records: until.records,
        bytes: stored,
        sampled_bytes: sampled.min(stored),
        large_bytes: 0,
    })
}
