//! Walking a scene.

use std::fmt;
use std::time::{Duration, Instant};

use stateright::{Checker, Model, Path};

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
    /// The longest of the shortest ways to a world.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// What doesn't hold, each with the shortest way there; and what never happened, though it should.
    pub broken: Vec<String>,
}

impl fmt::Display for Walked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Walked {
            worlds,
            steps,
            depth,
            ..
        } = self;
        let seconds = self.took.as_secs_f64();
        write!(
            f,
            "{worlds} worlds, {steps} steps, {depth} deep, {seconds:.1} s"
        )
    }
}

/// Walks all of a scene, with so many threads.
pub fn walk(scene: Scene, threads: usize) -> Walked {
    let started = Instant::now();
    let checker = Walk(scene).checker().threads(threads).spawn_bfs().join();
    let mut broken = Vec::new();
    for property in checker.model().properties() {
        match (checker.discovery(property.name), property.expectation) {
            (None, stateright::Expectation::Sometimes) => {
                broken.push(format!("it never happens: {}", property.name));
            }
            (Some(path), stateright::Expectation::Always) => {
                broken.push(format!("{}\n{}", property.name, way(path)));
            }
            _ => {}
        }
    }
    Walked {
        worlds: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        took: started.elapsed(),
        broken,
    }
}

fn way(path: Path<World, Action>) -> String {
    let steps = path.into_vec().into_iter();
    let steps: Vec<String> = steps
        .map(|(world, action)| match action {
            Some(action) => format!("  {action:?}"),
            None => format!("  then: {world:?}"),
        })
        .collect();
    steps.join("\n")
}
