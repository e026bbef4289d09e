//! Buffers that are used again. A pass takes one for each block, one for what it becomes, and gives both back within
//! milliseconds, on other threads than it took them; allocators answer that by holding several times what is in use.
//!
//! Invariant: no buffer is in use twice; one is spare again when the last handle on its bytes is dropped.

use std::collections::TryReserveError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Larger buffers are few, and freed instead of kept.
const KEPT_BYTES_MAX: usize = 8 << 20;

/// More aren't kept. A budget bounds how many are in use at once.
const SPARES_MAX: usize = 64;

/// Buffers for one purpose, and so of similar sizes. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// A buffer of at least `bytes` bytes, whatever is in them.
    pub fn take(&self, bytes: usize) -> Vec<u8> {
        // New zeros take no memory before they are written to, and those that a buffer is made longer by do.
        self.spare(bytes).unwrap_or_else(|| vec![0; bytes])
    }

    /// As [`Buffers::take`], where what asks for it may ask for too much.
    ///
    /// # Errors
    /// Where there is no memory for so much.
    pub fn try_take(&self, bytes: usize) -> Result<Vec<u8>, TryReserveError> {
        if let Some(spare) = self.spare(bytes) {
            return Ok(spare);
        }
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(bytes)?;
        buffer.resize(bytes, 0);
        Ok(buffer)
    }

    /// The first `bytes` bytes of a buffer, which is spare again when the last handle on them is dropped.
    pub fn lend(&self, buffer: Vec<u8>, bytes: usize) -> Bytes {
        let lent = Lent {
            buffer,
            home: self.clone(),
        };
        Bytes::from_owner(lent).slice(..bytes)
    }

    /// The smallest that is large enough. Where none is, one is freed for the one that is to come.
    fn spare(&self, bytes: usize) -> Option<Vec<u8>> {
        let mut spares = lock(&self.0);
        let fitting = spares
            .iter()
            .enumerate()
            .filter(|(_, spare)| spare.len() >= bytes);
        match fitting.min_by_key(|(_, spare)| spare.len()) {
            Some((index, _)) => Some(spares.swap_remove(index)),
            None => {
                spares.pop();
                None
            }
        }
    }

    /// Takes a buffer back that nothing was lent of.
    pub fn put_back(&self, buffer: Vec<u8>) {
        let mut spares = lock(&self.0);
        if (1..=KEPT_BYTES_MAX).contains(&buffer.len()) && spares.len() < SPARES_MAX {
            spares.push(buffer);
        }
    }
}

struct Lent {
    buffer: Vec<u8>,
    home: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.put_back(std::mem::take(&mut self.buffer));
    }
}

/// Nothing panics while it holds the lock.
fn lock(spares: &Mutex<Vec<Vec<u8>>>) -> MutexGuard<'_, Vec<Vec<u8>>> {
    spares.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_spare_again_with_the_last_handle() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take(10);
        buffer[..3].copy_from_slice(b"abc");
        let lent = buffers.lend(buffer, 3);
        let part = lent.slice(1..);
        drop(lent);
        assert_eq!(&part[..], b"bc");
        assert_eq!(lock(&buffers.0).len(), 0);
        drop(part);
        assert_eq!(&buffers.take(5)[..3], b"abc", "the same again");
        assert_eq!(lock(&buffers.0).len(), 0);
    }

    #[test]
    fn what_is_kept_is_bounded_and_large_enough() {
        let buffers = Buffers::default();
        buffers.put_back(vec![0; KEPT_BYTES_MAX + 1]);
        assert_eq!(lock(&buffers.0).len(), 0);
        for _ in 0..2 * SPARES_MAX {
            buffers.put_back(vec![0; 10]);
        }
        assert_eq!(lock(&buffers.0).len(), SPARES_MAX);
        assert!(buffers.take(20).len() >= 20);
        assert_eq!(
            lock(&buffers.0).len(),
            SPARES_MAX - 1,
            "one has made room for it"
        );
    }

    #[test]
    fn the_smallest_that_fits_is_used_again() {
        let buffers = Buffers::default();
        for bytes in [30, 20, 40, 10] {
            buffers.put_back(vec![0; bytes]);
        }
        assert_eq!(buffers.take(15).len(), 20);
        assert_eq!(buffers.take(15).len(), 30);
    }
}
