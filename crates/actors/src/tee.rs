//! The tee: every destination gets the same steps in the same order, each at its own speed within its credits.
//!
//! A step is held until the slowest destination that is still in has been sent it; what is held is bounded by the budget:
//! the lease of a chunk is shared by the tee, until then, and by the accounts of the destinations that were sent it. What is
//! held only for destinations that spill goes to disk, and is read again when they are to be sent it.
//!
//! Invariants, per destination: acked ≤ sent ≤ read, and outstanding ≤ credits unless a
//! single step is larger.

mod branch;
mod laggards;

use std::sync::Arc;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient};
use teeline_core::{BackupError, Class, DestinationId, LagPolicy, ProgressEvent};
use tokio::time::{Duration, Instant};

pub(crate) use branch::{Branch, LANE_STEPS};

use crate::budget::Budget;
use crate::guard::{Alive, DeathGuard};
use crate::held::{HeldSteps, Payload};
use crate::messages::{SinkMessage, SupervisorMessage, TeeMessage};
use crate::spool::{SpoolQueue, fetch};
use crate::supervisor::Observer;
use branch::Fetching;

/// How often it is looked whether a destination holds up the pass.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What the tee is made of.
pub(crate) struct TeeParts {
    pub(crate) branches: Vec<Branch>,
    /// Bytes that a destination may have outstanding.
    pub(crate) window_bytes: u64,
    pub(crate) budget: Budget,
    pub(crate) lag_patience: Duration,
    /// Where what slow destinations are yet to be sent may wait.
    pub(crate) spool: Option<SpoolQueue>,
    /// Its own address.
    pub(crate) address: Recipient<TeeMessage>,
    pub(crate) supervisor: Recipient<SupervisorMessage>,
    pub(crate) observer: Observer,
    pub(crate) alive: Alive,
}

pub(crate) struct Tee {
    parts: TeeParts,
    held: HeldSteps,
    read_bytes: u64,
    looked_at: Instant,
    /// What is held only for destinations that spill goes to disk from this step on.
    spooled_to: u64,
    /// Whether there was no room, the last time that something was to go to disk.
    is_spool_full: bool,
    guard: DeathGuard,
}

impl Tee {
    pub(crate) fn new(parts: TeeParts) -> Self {
        let guard = DeathGuard::new(parts.supervisor.clone(), "tee", parts.alive.clone());
        Tee {
            parts,
            held: HeldSteps::default(),
            read_bytes: 0,
            looked_at: Instant::now(),
            spooled_to: 0,
            is_spool_full: false,
            guard,
        }
    }

    fn send_what_may_be_sent(&mut self) {
        let parts = &mut self.parts;
        for branch in &mut parts.branches {
            while let Some(held) = self.held.get(branch.next) {
                let may_be_sent = branch.has_credit_for(held.bytes, parts.window_bytes);
                if !may_be_sent || branch.is_fetching() {
                    break;
                }
                let lease = match &held.payload {
                    Payload::InMemory(lease) | Payload::OnItsWay(lease) => lease.as_ref(),
                    Payload::OnDisk(slot) => {
                        let (slot, to) = (Arc::clone(slot), parts.address.clone());
                        let task = fetch(slot, branch.id, to, parts.alive.clone());
                        branch.fetching = Fetching::UnderWay { _task: task };
                        break;
                    }
                };
                let handed = held.step.handed_to(&branch.account, lease);
                if !branch.send(handed, held.bytes) {
                    break;
                }
                assert!(branch.sent_bytes <= self.read_bytes, "sent ≤ read");
            }
        }
        self.spool_what_others_have();
        self.drop_what_all_have();
    }

    fn drop_what_all_have(&mut self) {
        let nexts = self.parts.branches.iter().map(|branch| branch.next);
        let slowest = nexts.min().unwrap_or(self.held.end());
        self.held.drop_before(slowest);
    }

    fn branch(&mut self, id: DestinationId) -> Option<&mut Branch> {
        let mut branches = self.parts.branches.iter_mut();
        branches.find(|branch| branch.id == id)
    }

    fn acked(&mut self, destination: DestinationId, bytes: u64) {
        let read_bytes = self.read_bytes;
        let Some(branch) = self.branch(destination) else {
            return;
        };
        branch.acked(bytes);
        let lag_bytes = read_bytes - branch.acked_bytes;
        branch.sink.do_send(SinkMessage::Lag(lag_bytes));
        let event = ProgressEvent::Acked {
            destination,
            bytes: branch.acked_bytes,
            lag_bytes,
        };
        (self.parts.observer)(event);
    }

    /// The reader gets no lease. Where every destination has done all that it was sent, and some still hold chunks, it never
    /// will: the budget is theirs for good. Otherwise somebody is at work, and whoever is too slow ends by a deadline.
    fn reader_starves(&self) {
        let branches = &self.parts.branches;
        let end = self.held.end();
        let at_work = |branch: &Branch| branch.outstanding_steps > 0 || branch.next < end;
        if branches.iter().any(at_work) || self.held.is_one_on_its_way() {
            return;
        }
        let keepers = branches.iter().filter(|branch| !branch.account.is_empty());
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
        self.parts
            .supervisor
            .do_send(SupervisorMessage::SourceFailed(error));
    }
}

impl Actor for Tee {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let branches = &self.parts.branches;
        let may_lag = |branch: &Branch| branch.lag != LagPolicy::Block;
        if branches.len() > 1 && branches.iter().any(may_lag) {
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
                self.held.push(step, lease);
            }
            TeeMessage::Starved => return self.reader_starves(),
            TeeMessage::Acked { destination, bytes } => self.acked(destination, bytes),
            TeeMessage::Spooled(step, slot) => self.spooled(step, slot),
            TeeMessage::Fetched(destination, fetched) => self.fetched(destination, fetched),
            TeeMessage::Detach(id) => self.parts.branches.retain(|branch| branch.id != id),
            TeeMessage::Stop => {
                self.guard.disarm();
                self.held.clear();
                self.parts.branches.clear();
                self.parts.spool = None;
                return ctx.stop();
            }
        }
        self.send_what_may_be_sent();
    }
}
