//! Killed at random moments, at work for folders and an S3 server at the same time, again and again over the same
//! destinations.

use teeline_core::Random;

use crate::life::Life;
use crate::teeline_command::Ran;
use crate::world::World;
use crate::{TeelineCommand, Wrong};

/// What many kills came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Killed {
    /// Kills that came before the command had ended.
    pub kills: u64,
    /// Commands that had ended by themselves.
    pub ended: u64,
}

/// Starts a backup `rounds` times and kills it some time later, as `seed` has it; `place` is a destination beside two
/// folders, such as a bucket's URL.
///
/// # Errors
/// What didn't hold, and after which kill.
pub fn kill(
    command: &TeelineCommand,
    rounds: u64,
    seed: u64,
    place: Option<&str>,
) -> Result<Killed, Wrong> {
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut destinations = vec!["one".to_owned(), "two".to_owned()];
    destinations.extend(place.map(str::to_owned));
    let world = World::new(command.clone(), scratch.path(), destinations)?;
    let random = Random::new(seed);
    let mut life = Life::begin(world, &random)?;
    let mut killed = Killed::default();
    for round in 0..rounds {
        let (mut child, moment) = life.start_backup()?;
        // The moment is what is tested, not something that is waited for.
        std::thread::park_timeout(moment);
        child.kill().map_err(|error| error.to_string())?;
        let output = child
            .wait_with_output()
            .map_err(|error| error.to_string())?;
        let ran = Ran::of(output);
        let about = |wrong| format!("seed {seed}, kill {round}: {wrong}");
        match ran.code {
            None => killed.kills += 1,
            Some(0) => killed.ended += 1,
            Some(_) => return Err(about(format!("it ended with {ran:?}"))),
        }
        life.go_on(&ran).map_err(about)?;
    }
    Ok(killed)
}
