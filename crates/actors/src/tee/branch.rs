//! The way to one destination.

use teeline_core::{BackupError, DestinationId, LagPolicy};
use tokio::sync::mpsc;
use tokio::time::Duration;
use tokio_util::task::AbortOnDropHandle;

use actix::Recipient;

use crate::account::Account;
use crate::messages::{LaneItem, SinkMessage, Step};

/// Steps that a lane holds at most.
pub(crate) const LANE_STEPS: usize = 64;

/// The way to one destination.
pub(crate) struct Branch {
    pub(crate) id: DestinationId,
    pub(crate) lane: mpsc::Sender<LaneItem>,
    pub(crate) sink: Recipient<SinkMessage>,
    pub(super) name: String,
    pub(super) lag: LagPolicy,
    /// For how long it has held up the pass.
    pub(super) held_up: Duration,
    /// Whether the supervisor knows that it has fallen behind.
    pub(super) is_known_behind: bool,
    /// Whether what it is yet to be sent goes to disk: from when it holds up the pass until it has caught up.
    pub(super) spills: bool,
    pub(super) fetching: Fetching,
    /// Closed with the branch, so that what its driver never lets go isn't counted for ever.
    pub(super) account: Account,
    /// The number of the step that it is to be sent next.
    pub(super) next: u64,
    pub(super) outstanding_steps: usize,
    pub(super) outstanding_bytes: u64,
    pub(super) sent_bytes: u64,
    pub(super) acked_bytes: u64,
}

/// Whether the payload of the next step is being read from disk.
pub(super) enum Fetching {
    No,
    UnderWay {
        /// Ends the reading with the branch.
        _task: AbortOnDropHandle<()>,
    },
    /// It couldn't be, so there is nothing more to send.
    Failed,
}

impl Branch {
    pub(crate) fn new(
        id: DestinationId,
        name: String,
        lag: LagPolicy,
        lane: mpsc::Sender<LaneItem>,
        sink: Recipient<SinkMessage>,
    ) -> Self {
        Branch {
            id,
            lane,
            sink,
            name,
            lag,
            held_up: Duration::ZERO,
            is_known_behind: false,
            spills: false,
            fetching: Fetching::No,
            account: Account::default(),
            next: 0,
            outstanding_steps: 0,
            outstanding_bytes: 0,
            sent_bytes: 0,
            acked_bytes: 0,
        }
    }

    /// One that spills has one step outstanding at a time: what it is sent is memory that others could have.
    pub(super) fn has_credit_for(&self, bytes: u64, window_bytes: u64) -> bool {
        let taken = self.outstanding_bytes.max(self.account.leased_bytes());
        let fits = !self.spills && taken + bytes <= window_bytes;
        self.outstanding_steps < LANE_STEPS && (self.outstanding_bytes == 0 || fits)
    }

    pub(super) fn is_fetching(&self) -> bool {
        !matches!(self.fetching, Fetching::No)
    }

    /// Sends a step that takes over so many bytes. `false` where the driver is gone: its actor says so to the supervisor,
    /// which detaches the branch.
    pub(super) fn send(&mut self, step: Step, bytes: u64) -> bool {
        if self.lane.try_send(LaneItem::Step(step)).is_err() {
            return false;
        }
        self.next += 1;
        self.outstanding_steps += 1;
        self.outstanding_bytes += bytes;
        self.sent_bytes += bytes;
        true
    }

    /// Says that what it was to be sent next can't be had any more.
    pub(super) fn lose(&mut self, error: BackupError) {
        self.fetching = Fetching::Failed;
        // A closed lane means that the driver has ended, for a reason of its own.
        let _ = self.lane.try_send(LaneItem::Lost(error));
    }

    pub(super) fn acked(&mut self, bytes: u64) {
        self.outstanding_steps -= 1;
        self.outstanding_bytes -= bytes;
        self.acked_bytes += bytes;
        assert!(self.acked_bytes <= self.sent_bytes, "acked ≤ sent");
    }
}
