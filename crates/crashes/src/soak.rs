//! Weeks of use in minutes: backups of a source that changes, cleanups, syncs and repairs, in any order and any configuration, by
//! a command that is killed every now and then, over folders and an S3 server, the way to which breaks now and then; and one engine
//! that lives through all of it.
//! After each step, whatever a destination lists is restored from there alone and compared with what the source held.

mod steps;
mod usage;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use teeline_core::Random;

use crate::way::Way;
use crate::world::World;
use crate::{Served, TeelineCommand, Wrong};

pub use usage::Usage;

/// No soak is shorter, whatever the time.
const STEPS_MIN: usize = 6;
/// The folders that backups go to, beside the server.
const FOLDERS: [&str; 2] = ["a", "b"];

/// How long, and over what.
#[derive(Debug, Clone)]
pub struct Options {
    /// For so long, and until the step is done that goes on then.
    pub time: Duration,
    /// Decides what is done, but not at which moment the kills come.
    pub seed: u64,
    /// An empty place at an S3 server, as destinations are typed; without, a server over a folder is started.
    pub server: Option<String>,
}

/// What was done, and held.
#[derive(Debug, Clone, Default)]
pub struct Soaked {
    /// Steps, by what they were.
    pub steps: BTreeMap<&'static str, u64>,
    /// Commands that were killed.
    pub kills: u64,
    /// Copies that were restored from one destination alone and compared.
    pub restored: u64,
    /// What the process of the engine had in use after half of the steps of each sixth, at most.
    pub usage: Vec<Usage>,
}

/// Goes on for that time in `folder`, which is empty.
///
/// # Errors
/// With the first thing that doesn't hold, and the step after which it didn't.
pub fn soak(command: &TeelineCommand, folder: &Path, options: &Options) -> Result<Soaked, Wrong> {
    let served = match &options.server {
        Some(_) => None,
        None => Some(Served::start(&folder.join("s3"))?),
    };
    let place = options
        .server
        .clone()
        .or_else(|| served.as_ref().map(Served::place));
    let (way, bucket) = Way::to(&place.unwrap_or_default())?;
    let mut destinations: Vec<String> = FOLDERS.map(str::to_owned).to_vec();
    destinations.push(bucket);
    let world = World::new(command.clone(), folder, destinations)?;
    Soak {
        world,
        way,
        random: Random::new(options.seed),
        soaked: Soaked::default(),
    }
    .go_on_for(options.time)
}

struct Soak {
    world: World,
    way: Way,
    random: Random,
    soaked: Soaked,
}

impl Soak {
    fn go_on_for(mut self, time: Duration) -> Result<Soaked, Wrong> {
        let began = Instant::now();
        let mut usages = Vec::new();
        self.change_source()?;
        while usages.len() < STEPS_MIN || began.elapsed() < time {
            let name = self.step();
            self.way.is_smooth();
            let name = name?;
            *self.soaked.steps.entry(name).or_default() += 1;
            let after = |wrong| format!("after step {}, {name}: {wrong}", usages.len());
            let listed = self.world.check().map_err(after)?;
            self.soaked.restored += listed.iter().map(|at| at.len() as u64).sum::<u64>();
            usages.push(Usage::at_rest()?);
        }
        let last = self.world.back_up(&["full"])?;
        self.world.tidy(&last)?;
        let sixths = usages.chunks(usages.len().div_ceil(6));
        self.soaked.usage = sixths.map(Usage::median).collect();
        let third = usages.len() / 3;
        let [first, last] = [&usages[..third], &usages[usages.len() - third..]].map(Usage::median);
        match last.is_flat_after(&first) {
            true => Ok(self.soaked),
            false => Err(format!("it grows: first {first}, then {last}")),
        }
    }
}
