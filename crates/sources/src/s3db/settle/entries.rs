//! What passes found, as lines of `_settled` on their way to whoever takes them.

use std::collections::HashSet;

use bytes::Bytes;
use teeline_core::{BackupError, Frame, Item, ResourceCounts, ResourceId, SettledCounts};

use super::super::bucket::Head;
use super::super::catalogue::Catalogue;
use super::super::fetch::{Line, frame};
use super::super::items::{Batch, Items};
use super::super::large::{Content, Opened};
use super::super::settled::SettledLine;
use super::super::source::ScanOptions;
use super::super::walk::record_of;

/// What a line is longer by than the line of a record in it: a key of 1,024 bytes, twice, with every byte escaped.
pub(super) const LINE_BYTES_SPARE: usize = 16 << 10;

/// Gives lines, and counts them.
pub(super) struct Entries {
    items: Items,
    id: ResourceId,
    batch: Batch,
    piece_bytes: usize,
    /// The resources whose records have lines.
    planned: HashSet<String>,
    pub(super) records: SettledCounts,
    pub(super) objects: SettledCounts,
    pub(super) kept_raw: u64,
}

impl Entries {
    pub(super) fn new(
        items: Items,
        id: ResourceId,
        planned: HashSet<String>,
        options: &ScanOptions,
    ) -> Self {
        Entries {
            items,
            id,
            batch: Batch::default(),
            // In base64 as long as a piece may be.
            piece_bytes: (options.piece_bytes / 4 * 3).max(1),
            planned,
            records: SettledCounts::default(),
            objects: SettledCounts::default(),
            kept_raw: 0,
        }
    }

    /// Lines so far, less those that go on with another one.
    pub(super) fn total(&self) -> u64 {
        self.records.total() + self.objects.total()
    }

    /// The place in the catalogue of the resource whose record this is, if it is to have a line.
    pub(super) fn resource_of(&self, key: &str, catalogue: &Catalogue) -> Option<usize> {
        let (name, _) = record_of(key).filter(|(name, _)| self.planned.contains(*name))?;
        let mut resources = catalogue.resources.iter();
        resources.position(|resource| resource.name == name)
    }

    pub(super) async fn record(
        &mut self,
        key: &str,
        line: Line,
        is_new: bool,
    ) -> Result<(), BackupError> {
        self.count(key, is_new);
        self.kept_raw += u64::from(line.kept_raw);
        let encoded = SettledLine::record(key, &line.line)?.encode()?;
        self.push(&encoded, line.row).await
    }

    /// Gives an object that came as a frame.
    pub(super) async fn frame(
        &mut self,
        frame: Vec<u8>,
        row: Vec<u8>,
        is_new: bool,
    ) -> Result<(), BackupError> {
        for frame in Frame::decode_all(Bytes::from(frame))? {
            self.count(&frame.header.key, is_new);
            let entry = SettledLine::about(&frame.header.key);
            let encoded = entry.with_piece(&frame).encode()?;
            self.push(&encoded, row.clone()).await?;
        }
        Ok(())
    }

    pub(super) async fn large(
        &mut self,
        key: &str,
        opened: Opened,
        is_new: bool,
    ) -> Result<(), BackupError> {
        match (opened.line, opened.object) {
            (Some(line), None) => self.record(key, line, is_new).await,
            (line, Some((head, content))) => {
                self.kept_raw += u64::from(line.is_some());
                self.object(key, line, &head, content, is_new).await
            }
            (None, None) => Ok(()),
        }
    }

    /// Gives an object in pieces, the first one with the line of the record that it is.
    pub(super) async fn object(
        &mut self,
        key: &str,
        line: Option<Line>,
        head: &Head,
        mut content: Content,
        is_new: bool,
    ) -> Result<(), BackupError> {
        self.count(key, is_new);
        self.flush().await?;
        let mut offset = 0;
        loop {
            let piece = content.next_piece(self.piece_bytes).await?;
            let first = offset == 0;
            let entry = match line.as_ref().filter(|_| first) {
                Some(line) => SettledLine::record(key, &line.line)?,
                None => SettledLine::about(key),
            };
            let length = piece.len() as u64;
            let piece = frame(key, head, offset, piece);
            let encoded = entry.with_piece(&piece).encode()?;
            let row = if first { head.row(key) } else { Vec::new() };
            self.items
                .give_piece(self.id, &encoded, row, !first)
                .await?;
            offset += length;
            if offset >= head.size || length == 0 {
                return Ok(());
            }
        }
    }

    /// Says that an object is gone.
    pub(super) async fn gone(&mut self, key: &str) -> Result<(), BackupError> {
        self.counts(key).deleted += 1;
        let encoded = SettledLine::gone(key).encode()?;
        self.push(&encoded, Vec::new()).await
    }

    pub(super) async fn end(mut self, counts: ResourceCounts) -> Result<(), BackupError> {
        self.flush().await?;
        self.items.give(Item::End(self.id, counts)).await
    }

    async fn push(&mut self, line: &[u8], row: Vec<u8>) -> Result<(), BackupError> {
        self.batch.push(line, row);
        match self.batch.is_full() {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<(), BackupError> {
        self.items.flush(self.id, &mut self.batch).await
    }

    fn count(&mut self, key: &str, is_new: bool) {
        let counts = self.counts(key);
        match is_new {
            true => counts.created += 1,
            false => counts.changed += 1,
        }
    }

    fn counts(&mut self, key: &str) -> &mut SettledCounts {
        match record_of(key).is_some_and(|(name, _)| self.planned.contains(name)) {
            true => &mut self.records,
            false => &mut self.objects,
        }
    }
}
