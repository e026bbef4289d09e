//! Puts numbered items back into their order.

use std::collections::BTreeMap;

use crate::block::Seq;

/// Holds items that came early until those before them have come. How many can be early is bounded by whoever numbers
/// them.
#[derive(Debug)]
pub struct Reorder<T> {
    next: Seq,
    early: BTreeMap<Seq, T>,
}

impl<T> Default for Reorder<T> {
    fn default() -> Self {
        Reorder {
            next: 0,
            early: BTreeMap::new(),
        }
    }
}

impl<T> Reorder<T> {
    /// Takes an item.
    ///
    /// # Panics
    /// Where a number comes twice: numbers are given once, by one reader.
    pub fn push(&mut self, seq: Seq, item: T) {
        let twice = seq < self.next || self.early.insert(seq, item).is_some();
        assert!(!twice, "item {seq} came twice");
    }

    /// The next item in order, if it has come.
    pub fn pop(&mut self) -> Option<T> {
        let item = self.early.remove(&self.next)?;
        self.next += 1;
        Some(item)
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.early.is_empty()
    }
}
