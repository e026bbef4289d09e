//! Destinations that hold up the others: who they are, and what becomes of what they are yet to be sent.

use bytes::Bytes;
use teeline_core::{BackupError, DestinationId, ErrorReport, LagPolicy, Standing};
use tokio::time::{Duration, Instant};

use super::branch::{Branch, Fetching};
use super::{LOOK_EVERY, Tee};
use crate::messages::{SinkMessage, SupervisorMessage};
use crate::spool::Slot;

impl Tee {
    /// What of the budget is held for each destination: what it was handed and hasn't let go, and what it is yet to be sent.
    fn held_bytes(&self) -> Vec<u64> {
        let of = |branch: &Branch| {
            branch.account.leased_bytes() + self.held.leased_bytes_from(branch.next)
        };
        self.parts.branches.iter().map(of).collect()
    }

    /// A destination holds up the pass while the reader waits for the budget, most of which is held for it and not for
    /// everybody. One that spills does so from then on; another one that has done so for too long has fallen behind, as has
    /// one that spills for which there is no room.
    pub(super) fn look_for_laggards(&mut self) {
        let passed = self.looked_at.elapsed();
        self.looked_at = Instant::now();
        if !self.parts.budget.is_waited_for() {
            return;
        }
        let held = self.held_bytes();
        if held.iter().all(|bytes| self.parts.budget.is_mostly(*bytes)) {
            return;
        }
        let acked = self.parts.branches.iter().map(|branch| branch.acked_bytes);
        let fastest_bytes = acked.max().unwrap_or(0);
        let has_room = self.parts.spool.is_some() && !self.is_spool_full;
        for (branch, held_bytes) in self.parts.branches.iter_mut().zip(held) {
            if !self.parts.budget.is_mostly(held_bytes) || branch.is_known_behind {
                continue;
            }
            match branch.lag {
                LagPolicy::Block => continue,
                LagPolicy::Spill if has_room => {
                    branch.spills = true;
                    continue;
                }
                LagPolicy::Spill | LagPolicy::Detach => {}
            }
            // Time in which this thread, or the machine, stood still is nobody's fault.
            branch.held_up += passed.min(2 * LOOK_EVERY);
            let standing = Standing {
                acked_bytes: branch.acked_bytes,
                fastest_bytes,
                held_up_ms: millis(branch.held_up),
            };
            if standing.has_fallen_behind(millis(self.parts.lag_patience)) {
                branch.is_known_behind = true;
                let lag_bytes = self.read_bytes - branch.acked_bytes;
                branch.sink.do_send(SinkMessage::Lag(lag_bytes));
                self.parts
                    .supervisor
                    .do_send(SupervisorMessage::FellBehind(branch.id));
            }
        }
        self.send_what_may_be_sent();
    }

    /// Has what is held only for destinations that spill written to disk, as long as there is room. Where all do, it is held
    /// for those that the furthest of them is ahead of.
    pub(super) fn spool_what_others_have(&mut self) {
        let end = self.held.end();
        for branch in &mut self.parts.branches {
            branch.spills &= branch.next < end || branch.outstanding_steps > 0;
        }
        let (spilling, others): (Vec<&Branch>, Vec<&Branch>) =
            self.parts.branches.iter().partition(|branch| branch.spills);
        let next = spilling.iter().map(|branch| branch.next).min();
        let furthest = spilling.iter().map(|branch| branch.next).max();
        let others_have = others.iter().map(|branch| branch.next).min().or(furthest);
        let (Some(next), Some(others_have), Some(spool)) = (next, others_have, &self.parts.spool)
        else {
            return;
        };
        self.is_spool_full = false;
        for number in next.max(self.spooled_to)..others_have {
            let Some(held) = self.held.get_mut(number) else {
                return;
            };
            if let Some((payload, lease)) = held.to_be_spooled() {
                if !spool.keep(number, payload, lease) {
                    self.is_spool_full = true;
                    return;
                }
                held.is_on_its_way();
            }
            self.spooled_to = number + 1;
        }
    }

    /// A payload is on disk, and needs its memory no longer. Or it can't be: then nothing more can.
    pub(super) fn spooled(&mut self, step: u64, slot: Result<Slot, BackupError>) {
        let slot = slot.map_err(|error| self.spool_failed(&error)).ok();
        if let Some(held) = self.held.get_mut(step) {
            held.was_spooled(slot);
        }
    }

    fn spool_failed(&mut self, error: &BackupError) {
        tracing::warn!(%error, "slow destinations are waited for, or left behind: what they are yet to be sent can't be kept");
        self.parts.spool = None;
        self.held.none_is_on_its_way();
        for branch in &mut self.parts.branches {
            branch.spills = false;
            if branch.lag == LagPolicy::Spill {
                let error = ErrorReport::from(error);
                branch.sink.do_send(SinkMessage::SpoolFailed(error));
            }
        }
    }

    /// Sends what was read from disk.
    pub(super) fn fetched(
        &mut self,
        destination: DestinationId,
        fetched: Result<Bytes, BackupError>,
    ) {
        let branches = &mut self.parts.branches;
        let Some(branch) = branches.iter_mut().find(|branch| branch.id == destination) else {
            return;
        };
        branch.fetching = Fetching::No;
        let Some(held) = self.held.get(branch.next) else {
            return;
        };
        match fetched {
            Ok(payload) => {
                if branch.send(held.step_with(payload), held.bytes) {
                    branch.sink.do_send(SinkMessage::Spooled(held.bytes));
                }
            }
            Err(error) => branch.lose(error),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
