//! Items of a scan on their way to whoever takes them.

use bytes::Bytes;
use teeline_core::{BackupError, Item, RecordBatch, ResourceId};
use tokio::sync::mpsc;

/// A batch is given once it holds this many bytes.
const BATCH_BYTES: usize = 512 << 10;

/// Where items are given to. Whoever takes them sets the pace.
#[derive(Clone)]
pub(super) struct Items(mpsc::Sender<Item>);

impl Items {
    /// What is given here comes out there. With room for one item whoever gives is one step ahead of whoever takes.
    pub(super) fn new() -> (Self, mpsc::Receiver<Item>) {
        let (sender, items) = mpsc::channel(1);
        (Items(sender), items)
    }

    pub(super) async fn give(&self, item: Item) -> Result<(), BackupError> {
        // The other end lives as long as this future does.
        self.0
            .send(item)
            .await
            .map_err(|_| BackupError::cancelled("the scan"))
    }

    /// Gives what is in a batch, and leaves it empty.
    pub(super) async fn flush(&self, id: ResourceId, batch: &mut Batch) -> Result<(), BackupError> {
        match batch.ends.is_empty() {
            true => Ok(()),
            false => self.give(Item::Records(id, batch.take())).await,
        }
    }

    /// Gives a record that may go on with the one before it.
    pub(super) async fn give_piece(
        &self,
        id: ResourceId,
        piece: &[u8],
        row: Vec<u8>,
        continues: bool,
    ) -> Result<(), BackupError> {
        let mut batch = Batch::default();
        batch.push(piece, row);
        let mut records = batch.take();
        records.continues = continues;
        self.give(Item::Records(id, records)).await
    }
}

/// Records on their way.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    rows: Vec<Vec<u8>>,
}

impl Batch {
    pub(super) fn push(&mut self, record: &[u8], row: Vec<u8>) {
        self.bytes.extend_from_slice(record);
        self.ends.push(self.bytes.len());
        self.rows.push(row);
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= BATCH_BYTES
    }

    pub(super) fn take(&mut self) -> RecordBatch {
        let Batch { bytes, ends, rows } = std::mem::take(self);
        RecordBatch {
            bytes: Bytes::from(bytes),
            ends,
            rows,
            origin: None,
            continues: false,
        }
    }
}
