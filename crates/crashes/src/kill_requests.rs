//! Killed at every request to an S3 server that changes anything: one run for each before it takes effect and one after, until
//! a run ends by itself.
//!
//! The command has all its threads, so which request is the nth differs from run to run. Whatever a run waits for in that
//! moment, of the server and of two folders, breaks off with it.

use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use teeline_fault_proxy::Fault;

use crate::kill_points::{Killed, remove};
use crate::scenario::{in_parts, restore_scenario};
use crate::teeline_command::Ran;
use crate::way::Way;
use crate::world::World;
use crate::{Scenario, TeelineCommand, Wrong};

/// Requests of these methods change something.
const METHODS: [&str; 3] = ["PUT", "POST", "DELETE"];
/// So often it is looked whether the request has come.
const BETWEEN: Duration = Duration::from_millis(1);

/// When the kill comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The request never takes effect.
    Before,
    /// It has taken effect, and nobody has the answer.
    After,
}

/// What is killed at requests: what is killed at system calls, and a backup in parts in the place of a restore, which changes
/// nothing at a server.
pub fn scenarios() -> Vec<Scenario> {
    let restore = restore_scenario().name;
    let instead = |scenario: Scenario| match scenario.name == restore {
        true => in_parts(),
        false => scenario,
    };
    crate::scenarios().into_iter().map(instead).collect()
}

/// Kills each scenario at every `stride`th of its requests of each method, from the `first`, counted from 1.
///
/// # Errors
/// What didn't hold, and after which kill.
pub fn sweep(
    command: &TeelineCommand,
    scenario: &Scenario,
    (first, stride): (usize, usize),
    killed: &mut Killed,
) -> Result<(), Wrong> {
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let world = scenario.prepared(command, scratch.path(), true)?;
    let kinds = METHODS.iter().flat_map(|method| {
        [("before", Moment::Before), ("after", Moment::After)].map(|moment| (*method, moment))
    });
    for (method, (word, moment)) in kinds {
        for number in (first..).step_by(stride * scenario.every) {
            let folder = scratch.path().join("killed");
            let mut world = world.copied_to(&folder)?;
            let at = |wrong| {
                let name = scenario.name;
                format!("{name}, killed {word} {method} number {number}: {wrong}")
            };
            let is_killed = kill_at(&mut world, scenario, (method, moment), number).map_err(at)?;
            if is_killed {
                // What was on its way has taken effect when that server has ended, or never will.
                let _way = world.serve()?;
                world.go_on(scenario).map_err(at)?;
                *killed.entry((scenario.name, method)).or_default() += 1;
            }
            drop(world);
            remove(&folder)?;
            if !is_killed {
                break;
            }
        }
    }
    Ok(())
}

/// Runs the command, and says whether it was killed at this request, and hadn't ended before.
fn kill_at(
    world: &mut World,
    scenario: &Scenario,
    (method, moment): (&str, Moment),
    number: usize,
) -> Result<bool, Wrong> {
    let way = world.serve()?;
    let awaited = Awaited::on(&way, (method, moment), number);
    let arguments = (scenario.arguments)(world);
    let command = world.command().prepared(world.folder(), &arguments);
    let child = { command }.spawn().map_err(|error| error.to_string())?;
    awaited.kill(child, &way)
}

/// A request that is to be a run's last.
struct Awaited {
    moment: Moment,
    has_taken_effect: Arc<AtomicBool>,
    /// The answer is held back until it is dropped.
    _held: Sender<()>,
}

impl Awaited {
    fn on(way: &Way, (method, moment): (&str, Moment), number: usize) -> Self {
        let has_taken_effect = Arc::new(AtomicBool::new(false));
        let (held, let_go) = channel::<()>();
        let fault = match moment {
            Moment::Before => Fault::Silence,
            Moment::After => {
                let (effect, let_go) = (Arc::clone(&has_taken_effect), Mutex::new(let_go));
                Fault::change(move |_| {
                    effect.store(true, Ordering::SeqCst);
                    // That nobody sends anything any more is what it waits for.
                    let _ = let_go.lock().unwrap_or_else(PoisonError::into_inner).recv();
                })
            }
        };
        way.breaks_once(method, number.saturating_sub(1), fault);
        Awaited {
            moment,
            has_taken_effect,
            _held: held,
        }
    }

    fn has_come(&self, way: &Way) -> bool {
        match self.moment {
            Moment::Before => way.has_broken(),
            Moment::After => self.has_taken_effect.load(Ordering::SeqCst),
        }
    }

    /// Kills the run when the request has come; or the run has ended well before.
    fn kill(&self, mut child: Child, way: &Way) -> Result<bool, Wrong> {
        loop {
            if self.has_come(way) {
                child.kill().map_err(|error| error.to_string())?;
                child.wait().map_err(|error| error.to_string())?;
                return Ok(true);
            }
            if child
                .try_wait()
                .map_err(|error| error.to_string())?
                .is_some()
            {
                let output = child
                    .wait_with_output()
                    .map_err(|error| error.to_string())?;
                let ran = Ran::of(output);
                return match ran.code {
                    Some(0) => Ok(false),
                    _ => Err(format!("it ended with {ran:?}")),
                };
            }
            std::thread::sleep(BETWEEN);
        }
    }
}
