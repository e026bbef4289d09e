//! Walking a scene.

use std::fmt;
use std::time::{Duration, Instant};

use stateright::{Checker, CheckerBuilder, Expectation, HasDiscoveries, Model, Path};

use crate::model::{Action, Walk};
use crate::scene::Scene;
use crate::world::World;

/// What was found.
#[derive(Debug, Clone)]
pub struct Walked {
    /// Worlds that differ.
    pub worlds: usize,
    /// Steps between worlds.
    pub steps: usize,
    /// How long it took.
    pub took: Duration,
    /// What doesn't hold, each with the way there; and what never happened, though it should.
    pub broken: Vec<String>,
}

impl fmt::Display for Walked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Walked { worlds, steps, .. } = self;
        let seconds = self.took.as_secs_f64();
        write!(f, "{worlds} worlds, {steps} steps, {seconds:.1} s")
    }
}

/// Walks all of a scene, with so many threads; or until something doesn't hold. It goes deep first, for which it has to keep little.
pub fn walk(scene: Scene, threads: usize) -> Walked {
    let started = Instant::now();
    found(started, checker(scene, threads).spawn_dfs().join())
}

/// Walks a scene until something doesn't hold, and gives the shortest way there. It keeps every world that it has yet to go on from.
pub fn shortest(scene: Scene, threads: usize) -> Walked {
    let started = Instant::now();
    found(started, checker(scene, threads).spawn_bfs().join())
}

fn checker(scene: Scene, threads: usize) -> CheckerBuilder<Walk> {
    let checker = Walk(scene).checker().threads(threads);
    checker.finish_when(HasDiscoveries::AnyFailures)
}

fn found(started: Instant, checker: impl Checker<Walk>) -> Walked {
    let mut broken = Vec::new();
    for property in checker.model().properties() {
        match (checker.discovery(property.name), property.expectation) {
            (None, Expectation::Sometimes) => {
                broken.push(format!("it never happens: {}", property.name));
            }
            (Some(path), Expectation::Always) => {
                broken.push(format!("{}\n{}", property.name, way(path)));
            }
            _ => {}
        }
    }
    Walked {
        worlds: checker.unique_state_count(),
        steps: checker.state_count(),
        took: started.elapsed(),
        broken,
    }
}

fn way(path: Path<World, Action>) -> String {
    let steps = path.into_vec().into_iter();
    let steps: Vec<String> = steps.map(|(world, action)| step(&world, action)).collect();
    steps.join("\n")
}

fn step(world: &World, action: Option<Action>) -> String {
    match action {
        Some(Action::Janitor { janitor, call }) => {
            let task = world.janitors[janitor].tasks.last();
            format!("  janitor {janitor}: {task:?}, {call:?}")
        }
        Some(Action::Lane { run, at, call }) => {
            let lane = world.runs[run].lanes[at];
            format!("  run {run} at {at}: {lane:?}, {call:?}")
        }
        Some(action) => format!("  {action:?}"),
        None => format!("  then: {world:?}"),
    }
}
