//! The steps that not every destination has been sent, numbered in the order of the pass.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::budget::Lease;
use crate::messages::Step;
use crate::spool::Slot;

/// A step that not every destination has been sent.
pub(crate) struct Held {
    /// Without its payload, where that is on disk.
    pub(crate) step: Step,
    /// Bytes that it hands over.
    pub(crate) bytes: u64,
    pub(crate) payload: Payload,
}

/// Where the payload of a step is.
pub(crate) enum Payload {
    /// In memory, with the lease of a chunk.
    InMemory(Option<Arc<Lease>>),
    /// Still in memory, on its way to disk.
    OnItsWay(Option<Arc<Lease>>),
    OnDisk(Arc<Slot>),
}

/// All of them; the first is numbered `first`.
#[derive(Default)]
pub(crate) struct HeldSteps {
    steps: VecDeque<Held>,
    first: u64,
}

impl HeldSteps {
    /// A chunk without a byte holds nothing of the budget: it isn't written to disk, so others would wait until the slowest is
    /// sent it.
    pub(crate) fn push(&mut self, step: Step, lease: Option<Lease>) {
        let lease = lease.filter(|_| step.bytes() > 0);
        self.steps.push_back(Held {
            bytes: step.bytes(),
            step,
            payload: Payload::InMemory(lease.map(Arc::new)),
        });
    }

    /// The number of the step that comes next.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.steps.len() as u64
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Held> {
        self.steps.get(self.index(number)?)
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Held> {
        let index = self.index(number)?;
        self.steps.get_mut(index)
    }

    pub(crate) fn drop_before(&mut self, number: u64) {
        while self.first < number && self.steps.pop_front().is_some() {
            self.first += 1;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.drop_before(u64::MAX);
    }

    /// What the steps from this one on have of the budget.
    pub(crate) fn leased_bytes_from(&self, number: u64) -> u64 {
        let from = self.index(number).unwrap_or(0);
        self.steps.iter().skip(from).map(Held::leased_bytes).sum()
    }

    /// Whether a payload is being written to disk.
    pub(crate) fn is_one_on_its_way(&self) -> bool {
        let on_its_way = |held: &Held| matches!(held.payload, Payload::OnItsWay(_));
        self.steps.iter().any(on_its_way)
    }

    /// What is on its way to disk doesn't arrive.
    pub(crate) fn none_is_on_its_way(&mut self) {
        for held in &mut self.steps {
            held.was_spooled(None);
        }
    }

    fn index(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }
}

impl Held {
    /// The payload of one that is in memory, not empty, and not yet on its way to disk; with its lease.
    pub(crate) fn to_be_spooled(&self) -> Option<(Bytes, Option<Arc<Lease>>)> {
        let Payload::InMemory(lease) = &self.payload else {
            return None;
        };
        let payload = self.step.payload().filter(|payload| !payload.is_empty())?;
        Some((payload.clone(), lease.clone()))
    }

    pub(crate) fn is_on_its_way(&mut self) {
        if let Payload::InMemory(lease) = &mut self.payload {
            self.payload = Payload::OnItsWay(lease.take());
        }
    }

    /// Where the payload went, or that it stays where it is.
    pub(crate) fn was_spooled(&mut self, slot: Option<Slot>) {
        let Payload::OnItsWay(lease) = &mut self.payload else {
            return;
        };
        match slot {
            Some(slot) => {
                if let Some(payload) = self.step.payload_mut() {
                    *payload = Bytes::new();
                }
                self.payload = Payload::OnDisk(Arc::new(slot));
            }
            None => self.payload = Payload::InMemory(lease.take()),
        }
    }

    /// The step, with the payload that was read from disk.
    pub(crate) fn step_with(&self, payload: Bytes) -> Step {
        let mut step = self.step.clone();
        if let Some(place) = step.payload_mut() {
            *place = payload;
        }
        step
    }

    fn leased_bytes(&self) -> u64 {
        match &self.payload {
            Payload::InMemory(Some(lease)) | Payload::OnItsWay(Some(lease)) => lease.bytes(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    #[tokio::test]
    async fn what_is_empty_holds_nothing_of_the_budget() {
        let budget = Budget::new(1 << 20);
        let mut held = HeldSteps::default();
        for (bytes, is_whole) in [(&b""[..], true), (b"x", false)] {
            let lease = budget.lease(0).await;
            held.push(Step::Claim(Bytes::from_static(bytes)), Some(lease));
            assert_eq!(budget.is_whole(), is_whole);
        }
        held.clear();
        assert!(budget.is_whole());
    }
}
