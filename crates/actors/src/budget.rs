//! The bytes that a pass may have in flight, leased block by block.
//!
//! Invariants: leased bytes ≤ capacity; a lease only shrinks; it is back when it is dropped. Who has a share of it then is
//! the business of `account.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use teeline_core::seal::TAG_BYTES;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// No lease is smaller, so that the number of chunks in flight is bounded as well.
pub const LEASE_BYTES_MIN: u64 = 64 << 10;

/// What a line of the index that describes a chunk takes at most.
const CHUNK_LINE_BYTES_MAX: usize = 256;

/// What a block of so many bytes is leased, with so many bytes of rows that the index is to say of it: the most that they
/// can take once they are encoded, and sealed.
pub fn block_lease_bytes(plain: usize, rows: usize) -> u64 {
    // Sealed rows are base64, of which compression leaves a little more than there was before.
    let rows = rows + rows / 16;
    encoded_bytes_max(plain + TAG_BYTES) + encoded_bytes_max(rows + CHUNK_LINE_BYTES_MAX)
}

/// Deflate stores what it can't compress, at 5 bytes for each 64 KiB or less, between a gzip header and trailer (RFC 1951
/// and 1952); zstd at 3 bytes for each 128 KiB, behind a header (RFC 8878).
fn encoded_bytes_max(plain: usize) -> u64 {
    plain as u64 + (plain as u64 / 4096) + 64
}

/// The budget of one engine, shared by its passes.
#[derive(Debug, Clone)]
pub struct Budget {
    bytes: Arc<Semaphore>,
    capacity: u32,
    waiting: Arc<AtomicUsize>,
    /// The most that was leased at once.
    peak: Arc<AtomicU64>,
}

/// A share of the budget.
#[derive(Debug)]
pub struct Lease(OwnedSemaphorePermit);

impl Budget {
    /// A budget of `capacity_bytes`, held between one smallest lease and 4 GiB.
    pub fn new(capacity_bytes: u64) -> Self {
        let capacity = u32::try_from(capacity_bytes.max(LEASE_BYTES_MIN)).unwrap_or(u32::MAX);
        Budget {
            bytes: Arc::new(Semaphore::new(capacity as usize)),
            capacity,
            waiting: Arc::default(),
            peak: Arc::default(),
        }
    }

    /// A lease of `bytes`, when they are free; first come, first served. One for more than the whole budget takes the
    /// whole, and so travels alone.
    pub async fn lease(&self, bytes: u64) -> Lease {
        let share = bytes.clamp(LEASE_BYTES_MIN, u64::from(self.capacity));
        let share = u32::try_from(share).unwrap_or(self.capacity);
        let _waiting = Waiting::begin(&self.waiting);
        let permit = Arc::clone(&self.bytes).acquire_many_owned(share).await;
        let free = self.bytes.available_permits() as u64;
        self.peak
            .fetch_max(u64::from(self.capacity) - free, Ordering::Relaxed);
        Lease(permit.expect("the semaphore of a budget is never closed"))
    }

    /// The most that was leased at once since this was last asked, in bytes.
    pub fn take_peak(&self) -> u64 {
        self.peak.swap(0, Ordering::Relaxed)
    }

    /// Whether no lease is out.
    pub fn is_whole(&self) -> bool {
        self.bytes.available_permits() == self.capacity as usize
    }

    /// Whether somebody waits for a lease.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether so many leased bytes are most of the budget.
    pub(crate) fn is_mostly(&self, leased_bytes: u64) -> bool {
        leased_bytes >= u64::from(self.capacity / 2)
    }

    /// Bytes that aren't leased.
    #[cfg(test)]
    pub(crate) fn free_bytes(&self) -> u64 {
        self.bytes.available_permits() as u64
    }
}

/// Somebody who waits, for as long as this is there.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lease {
    /// What it is for.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.num_permits() as u64
    }

    /// Gives back what is not needed for `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        let keep = usize::try_from(bytes.max(LEASE_BYTES_MIN)).unwrap_or(usize::MAX);
        let excess = self.0.num_permits().saturating_sub(keep);
        drop(self.0.split(excess));
    }
}

#[cfg(test)]
mod tests {
    use teeline_core::{Block, BlockEncoder, Compression, Random, ResourceId};

    use super::*;

    #[tokio::test]
    async fn a_lease_shrinks_and_does_not_grow() {
        let budget = Budget::new(1 << 20);
        let mut lease = budget.lease(900 << 10).await;
        lease.shrink_to(200 << 10);
        assert_eq!(budget.free_bytes(), (1 << 20) - (200 << 10));
        lease.shrink_to(300 << 10);
        assert_eq!(budget.free_bytes(), (1 << 20) - (200 << 10));
        lease.shrink_to(0);
        assert_eq!(budget.free_bytes(), (1 << 20) - LEASE_BYTES_MIN);
        drop(lease);
        assert!(budget.is_whole());
    }

    #[tokio::test]
    async fn more_than_the_whole_is_the_whole() {
        let budget = Budget::new(1 << 20);
        let lease = budget.lease(64 << 20).await;
        assert_eq!(budget.free_bytes(), 0);
        drop(lease);
        assert!(budget.is_whole());
    }

    #[test]
    fn a_block_and_its_rows_take_no_more_than_their_lease() {
        let random = Random::new(1);
        let sizes = [(0, 0), (1, 0), (70_000, 0), (10, 100_000), (70_000, 70_000)];
        let compressions = Compression::NAMES.map(|name| name.parse::<Compression>().unwrap());
        let cases = compressions
            .iter()
            .flat_map(|compression| sizes.map(|size| (*compression, size)));
        for (compression, (bytes, rows)) in cases {
            let noise = |length: usize| -> Vec<u8> {
                std::iter::repeat_with(|| random.next().to_le_bytes()[0])
                    .take(length)
                    .collect()
            };
            let block = Block {
                resource: ResourceId(0),
                number: 0,
                records: u32::MAX,
                bytes: noise(bytes).into(),
                rows: noise(rows).into(),
                origin: None,
            };
            let leased = block_lease_bytes(bytes, rows);
            let chunk = BlockEncoder::new(compression)
                .unwrap()
                .encode(block)
                .unwrap();
            let taken = chunk.bytes.len() + chunk.index_fragment.len();
            assert!(taken as u64 <= leased, "{taken} of {leased}");
            assert!(leased >= (bytes + rows) as u64);
        }
    }
}
