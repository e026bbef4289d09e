//! One world for a long time: backups that break off somehow, one after the other, over a source that goes on changing.

use std::fmt::Write;
use std::process::Child;
use std::time::{Duration, Instant};

use teeline_core::Random;

use crate::Wrong;
use crate::teeline_command::Ran;
use crate::world::{KEYS, World, words};

/// Each so manieth time somebody makes a backup in peace, or cleans up.
const PEACE_EVERY: u64 = 5;
const CLEANUP_EVERY: u64 = 8;
/// What a cleanup keeps at the most, links' parents aside.
const KEPT: usize = 3;
/// Records of the larger resource.
const RECORDS: u32 = 3_000;

/// A world, and how far it has come.
pub(crate) struct Life<'a> {
    pub(crate) world: World,
    random: &'a Random,
    /// How long a backup takes that nobody disturbs.
    whole: Duration,
    round: u64,
}

impl<'a> Life<'a> {
    /// Makes the first backup.
    pub(crate) fn begin(world: World, random: &'a Random) -> Result<Self, Wrong> {
        let mut life = Life {
            world,
            random,
            whole: Duration::ZERO,
            round: 0,
        };
        life.change_source()?;
        let begun = Instant::now();
        life.world.back_up(&["full"])?;
        life.whole = begun.elapsed();
        Ok(life)
    }

    /// Starts a backup of what the source holds by now, and gives the moment at which it is to break off.
    pub(crate) fn start_backup(&mut self) -> Result<(Child, Duration), Wrong> {
        self.round += 1;
        self.change_source()?;
        let options: &[&str] = match self.random.below(4) {
            0 => &["incremental"],
            1 => &["full", "--key-file", KEYS[0]],
            2 => &["full", "--compression", "zstd"],
            _ => &["full"],
        };
        let arguments = self.world.backup(options);
        let child = self
            .world
            .command()
            .prepared(self.world.folder(), &arguments)
            .spawn()
            .map_err(|error| error.to_string())?;
        // Some come to their end.
        let whole_us = u64::try_from(self.whole.as_micros()).unwrap_or(u64::MAX);
        let moment = self.random.below(whole_us.saturating_mul(6) / 5);
        Ok((child, Duration::from_micros(moment)))
    }

    /// What the backup that was started has said is true, everything is as it should be, and now and then somebody else is at
    /// work.
    pub(crate) fn go_on(&mut self, ran: &Ran) -> Result<(), Wrong> {
        match ran.code {
            Some(0) => drop(self.world.expect(ran)?),
            _ => self.world.expect_where_committed(ran)?,
        }
        self.world.learn()?;
        if self.round.is_multiple_of(PEACE_EVERY) {
            self.world.back_up(&["full"])?;
            self.world.learn()?;
        }
        if self.round.is_multiple_of(CLEANUP_EVERY) {
            let mut cleanup = words(&["cleanup", "--keep-count", &KEPT.to_string()]);
            cleanup.extend(words(&["--grace", "0s", "--dead-after", "0s", "--json"]));
            cleanup.extend(self.world.places("--at"));
            self.world.need_newest(KEPT)?;
            self.world.run(&cleanup, &[0])?;
            self.world.learn()?;
        }
        Ok(())
    }

    fn change_source(&self) -> Result<(), Wrong> {
        let round = self.round;
        let mut orders = String::new();
        for number in 0..RECORDS {
            let _ = writeln!(
                orders,
                "{{\"id\":{number},\"round\":{round},\"of\":\"{}\"}}",
                u64::from(number) * round
            );
        }
        let users = format!("{{\"id\":\"ada\",\"round\":{round}}}\n{{\"id\":\"bo\"}}\n");
        self.world
            .write_source(&[("orders.jsonl", orders), ("users.jsonl", users)])
    }
}
