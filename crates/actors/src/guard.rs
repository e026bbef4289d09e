//! Makes the death of an actor known that all destinations depend on: a panic drops the actor and with it its mailbox,
//! silently. Dropped while armed, the guard tells the supervisor, so that the run fails instead of waiting for ever. (The
//! actor of a destination reports its own end, `sink.rs`.)

use std::convert::Infallible;

use actix::Recipient;
use tokio::sync::mpsc;

use crate::messages::SupervisorMessage;

pub(crate) struct DeathGuard {
    supervisor: Recipient<SupervisorMessage>,
    actor: &'static str,
    armed: bool,
    _alive: Alive,
}

/// Held by whatever belongs to a pass. When the last one is dropped, nothing of the pass is left.
pub(crate) type Alive = mpsc::Sender<Infallible>;

impl DeathGuard {
    pub(crate) fn new(
        supervisor: Recipient<SupervisorMessage>,
        actor: &'static str,
        alive: Alive,
    ) -> Self {
        DeathGuard {
            supervisor,
            actor,
            armed: true,
            _alive: alive,
        }
    }

    pub(crate) fn disarm(&mut self) {
        self.armed = false;
    }
}

impl Drop for DeathGuard {
    fn drop(&mut self) {
        if self.armed {
            self.supervisor
                .do_send(SupervisorMessage::ActorDied(self.actor));
        }
    }
}
