//! The bytes that a pass may have in flight, leased block by block.
//!
//! Invariants: leased bytes ≤ capacity; a lease only shrinks; it is back when it is dropped. Who has a share of it then is
//! the business of `account.rs`.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// No lease is smaller, so that the number of chunks in flight is bounded as well.
pub const LEASE_BYTES_MIN: u64 = 64 << 10;

/// The budget of one engine, shared by its passes.
#[derive(Debug, Clone)]
pub struct Budget {
    bytes: Arc<Semaphore>,
    capacity: u32,
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
        }
    }

    /// A lease of `bytes`, when they are free; first come, first served. One for more than the whole budget takes the
    /// whole, and so travels alone.
    pub async fn lease(&self, bytes: u64) -> Lease {
        let share = bytes.clamp(LEASE_BYTES_MIN, u64::from(self.capacity));
        let share = u32::try_from(share).unwrap_or(self.capacity);
        let permit = Arc::clone(&self.bytes).acquire_many_owned(share).await;
        Lease(permit.expect("the semaphore of a budget is never closed"))
    }

    /// Whether no lease is out.
    pub fn is_whole(&self) -> bool {
        self.bytes.available_permits() == self.capacity as usize
    }

    /// Bytes that aren't leased.
    #[cfg(test)]
    pub(crate) fn free_bytes(&self) -> u64 {
        self.bytes.available_permits() as u64
    }

    /// How many chunks can be in flight at once.
    pub fn chunks_max(&self) -> usize {
        usize::try_from(u64::from(self.capacity) / LEASE_BYTES_MIN)
            .unwrap_or(usize::MAX)
            .max(1)
    }
}

impl Lease {
    /// Gives back what is not needed for `bytes`.
    pub fn shrink_to(&mut self, bytes: u64) {
        let keep = usize::try_from(bytes.max(LEASE_BYTES_MIN)).unwrap_or(usize::MAX);
        let excess = self.0.num_permits().saturating_sub(keep);
        drop(self.0.split(excess));
    }
}

#[cfg(test)]
mod tests {
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
}
