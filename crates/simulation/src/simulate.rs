//! Whole lives of backups by a seed: which faults there are, when a process dies, what is asked for, and in which order things
//! happen. The same seed is the same simulation.

use teeline::Digest;

use crate::life::{on_a_thread, panicked, watch_panics};
use crate::scenario::Scenario;
use crate::world::{Tally, World};

/// A simulation in which every promise was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulated {
    /// What happened.
    pub tally: Tally,
    /// Of all that happened, in order.
    pub trace: Digest,
}

/// A promise that was broken.
#[derive(Debug, Clone)]
pub struct Broken {
    /// The simulation.
    pub seed: u64,
    /// Which promise, and how.
    pub promise: String,
    /// All that happened, in order, where that was asked for.
    pub trace: Vec<String>,
}

/// Runs the simulation of a seed; with `keeps_trace`, all that happens is kept for [`Broken::trace`].
///
/// # Errors
/// The promise that is broken.
pub fn simulate(seed: u64, keeps_trace: bool) -> Result<Simulated, Broken> {
    watch_panics();
    let world = World::new(seed, keeps_trace);
    let run = || Scenario::new(seed, &world).run().and_then(|()| panicked());
    let result = on_a_thread(run);
    let (tally, digest, trace) = world.tell();
    match result {
        Ok(()) => Ok(Simulated {
            tally,
            trace: digest,
        }),
        Err(promise) => Err(Broken {
            seed,
            promise,
            trace,
        }),
    }
}
