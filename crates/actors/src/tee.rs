//! The tee: every destination gets the same steps in the same order, each at its own speed within its credits.
//!
//! A step is held until the slowest destination that is still in has been sent it; what is held is bounded by the budget:
//! the lease of a chunk is shared by the tee, until then, and by the accounts of the destinations that were sent it.
//!
//! Invariants, per destination: acked ≤ sent ≤ read, and outstanding ≤ credits unless a
//! single step is larger.

use std::collections::VecDeque;
use std::sync::Arc;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient};
use teeline_core::{BackupError, Class, DestinationId, LagPolicy, ProgressEvent, Standing};
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant};

use crate::account::Account;
use crate::budget::{Budget, Lease};
use crate::guard::{Alive, DeathGuard};
use crate::messages::{LaneItem, SinkMessage, Step, SupervisorMessage, TeeMessage};
use crate::supervisor::Observer;

/// Steps that a lane holds at most.
pub(crate) const LANE_STEPS: usize = 64;

/// How often it is looked whether a destination holds up the pass.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The way to one destination.
pub(crate) struct Branch {
    pub(crate) id: DestinationId,
    pub(crate) lane: mpsc::Sender<LaneItem>,
    pub(crate) sink: Recipient<SinkMessage>,
    name: String,
    lag: LagPolicy,
    /// For how long it has held up the pass.
    held_up: Duration,
    /// Whether the supervisor knows that it has fallen behind.
    is_known_behind: bool,
    /// Closed with the branch, so that what its driver never lets go isn't counted for ever.
    account: Account,
    /// The number of the step that it is to be sent next.
    next: u64,
    outstanding_steps: usize,
    outstanding_bytes: u64,
    sent_bytes: u64,
    acked_bytes: u64,
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
            account: Account::default(),
            next: 0,
            outstanding_steps: 0,
            outstanding_bytes: 0,
            sent_bytes: 0,
            acked_bytes: 0,
        }
    }

    fn has_credit_for(&self, bytes: u64, window_bytes: u64) -> bool {
        let room = self.outstanding_steps < LANE_STEPS;
        room && (self.outstanding_bytes == 0 || self.outstanding_bytes + bytes <= window_bytes)
    }
}

/// A step that not every branch has been sent.
struct Held {
    step: Step,
    lease: Option<Arc<Lease>>,
}

pub(crate) struct Tee {
    branches: Vec<Branch>,
    window_bytes: u64,
    budget: Budget,
    lag_patience: Duration,
    looked_at: Instant,
    /// The first of them is numbered `first`.
    held: VecDeque<Held>,
    first: u64,
    read_bytes: u64,
    supervisor: Recipient<SupervisorMessage>,
    observer: Observer,
    guard: DeathGuard,
}

impl Tee {
    pub(crate) fn new(
        branches: Vec<Branch>,
        window_bytes: u64,
        (budget, lag_patience): (Budget, Duration),
        supervisor: Recipient<SupervisorMessage>,
        observer: Observer,
        alive: Alive,
    ) -> Self {
        let guard = DeathGuard::new(supervisor.clone(), "tee", alive);
        Tee {
            branches,
            window_bytes,
            budget,
            lag_patience,
            looked_at: Instant::now(),
            held: VecDeque::new(),
            first: 0,
            read_bytes: 0,
            supervisor,
            observer,
            guard,
        }
    }

    fn send_what_may_be_sent(&mut self) {
        for branch in &mut self.branches {
            while let Some(Held { step, lease }) = self
                .held
                .get(usize::try_from(branch.next - self.first).unwrap_or(usize::MAX))
            {
                let bytes = step.bytes();
                if !branch.has_credit_for(bytes, self.window_bytes) {
                    break;
                }
                let handed = step.handed_to(&branch.account, lease.as_ref());
                if branch.lane.try_send(LaneItem::Step(handed)).is_err() {
                    // The driver is gone and its actor says so to the supervisor, which detaches the branch.
                    break;
                }
                branch.next += 1;
                branch.outstanding_steps += 1;
                branch.outstanding_bytes += bytes;
                branch.sent_bytes += bytes;
                assert!(branch.sent_bytes <= self.read_bytes, "sent ≤ read");
            }
        }
        self.drop_what_all_have();
    }

    fn drop_what_all_have(&mut self) {
        let end = self.first + self.held.len() as u64;
        let slowest = self
            .branches
            .iter()
            .map(|branch| branch.next)
            .min()
            .unwrap_or(end);
        while self.first < slowest {
            self.held.pop_front();
            self.first += 1;
        }
    }

    /// What of the budget is held for each destination: what it was handed and hasn't let go, and what it is yet to be sent.
    fn held_bytes(&self) -> Vec<u64> {
        let leased = |held: &Held| held.lease.as_ref().map_or(0, |lease| lease.bytes());
        let unsent = |branch: &Branch| {
            let from = usize::try_from(branch.next - self.first).unwrap_or(usize::MAX);
            self.held.iter().skip(from).map(leased).sum::<u64>()
        };
        let branches = self.branches.iter();
        branches
            .map(|branch| branch.account.leased_bytes() + unsent(branch))
            .collect()
    }

    /// A destination holds up the pass while the reader waits for the budget, most of which is held for it and not for
    /// everybody. Whoever has done so for too long has fallen behind.
    fn look_for_laggards(&mut self) {
        let passed = self.looked_at.elapsed();
        self.looked_at = Instant::now();
        if !self.budget.is_waited_for() {
            return;
        }
        let held = self.held_bytes();
        if held.iter().all(|bytes| self.budget.is_mostly(*bytes)) {
            return;
        }
        let acked = self.branches.iter().map(|branch| branch.acked_bytes);
        let fastest_bytes = acked.max().unwrap_or(0);
        for (branch, held_bytes) in self.branches.iter_mut().zip(held) {
            let may_leave = branch.lag == LagPolicy::Detach && !branch.is_known_behind;
            if !may_leave || !self.budget.is_mostly(held_bytes) {
                continue;
            }
            // Time in which this thread, or the machine, stood still is nobody's fault.
            branch.held_up += passed.min(2 * LOOK_EVERY);
            let standing = Standing {
                acked_bytes: branch.acked_bytes,
                fastest_bytes,
                held_up_ms: millis(branch.held_up),
            };
            if standing.has_fallen_behind(millis(self.lag_patience)) {
                branch.is_known_behind = true;
                let lag_bytes = self.read_bytes - branch.acked_bytes;
                branch.sink.do_send(SinkMessage::Lag(lag_bytes));
                self.supervisor
                    .do_send(SupervisorMessage::FellBehind(branch.id));
            }
        }
    }

    fn acked(&mut self, destination: DestinationId, bytes: u64) {
        let Some(branch) = self
            .branches
            .iter_mut()
            .find(|branch| branch.id == destination)
        else {
            return;
        };
        branch.outstanding_steps -= 1;
        branch.outstanding_bytes -= bytes;
        branch.acked_bytes += bytes;
        assert!(branch.acked_bytes <= branch.sent_bytes, "acked ≤ sent");
        let lag_bytes = self.read_bytes - branch.acked_bytes;
        (self.observer)(ProgressEvent::Acked {
            destination,
            bytes: branch.acked_bytes,
            lag_bytes,
        });
        branch.sink.do_send(SinkMessage::Lag(lag_bytes));
    }

    /// The reader gets no lease. Where every destination has done all that it was sent, and some still hold chunks, it never
    /// will: the budget is theirs for good. Otherwise somebody is at work, and whoever is too slow ends by a deadline.
    fn reader_starves(&self) {
        let at_work = |branch: &Branch| branch.outstanding_steps > 0;
        if !self.held.is_empty() || self.branches.iter().any(at_work) {
            return;
        }
        let keepers = self
            .branches
            .iter()
            .filter(|branch| !branch.account.is_empty());
        let names: Vec<&str> = keepers.map(|branch| branch.name.as_str()).collect();
        if names.is_empty() {
            return;
        }
        let message = format!(
            "the budget is used up by bytes that were written to {}, and that its store keeps",
            names.join(", ")
        );
        let error = BackupError::new(Class::Permanent, "read", "the source", message).suggest(
            "a store must copy or release what it was given to write before the call returns",
        );
        self.supervisor
            .do_send(SupervisorMessage::SourceFailed(error));
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Actor for Tee {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let may_leave = |branch: &Branch| branch.lag == LagPolicy::Detach;
        if self.branches.len() > 1 && self.branches.iter().any(may_leave) {
            ctx.run_interval(LOOK_EVERY, |tee, _| tee.look_for_laggards());
        }
    }
}

impl Handler<TeeMessage> for Tee {
    type Result = ();

    fn handle(&mut self, message: TeeMessage, ctx: &mut Self::Context) {
        match message {
            TeeMessage::Step(step, lease) => {
                self.read_bytes += step.bytes();
                let lease = lease.map(Arc::new);
                self.held.push_back(Held { step, lease });
            }
            TeeMessage::Starved => return self.reader_starves(),
            TeeMessage::Acked { destination, bytes } => self.acked(destination, bytes),
            TeeMessage::Detach(id) => self.branches.retain(|branch| branch.id != id),
            TeeMessage::Stop => {
                self.guard.disarm();
                self.held.clear();
                self.branches.clear();
                return ctx.stop();
            }
        }
        self.send_what_may_be_sent();
    }
}
