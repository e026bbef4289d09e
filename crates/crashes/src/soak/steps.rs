//! What happens in a soak.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use teeline::{BackupId, BackupRequest, JsonlSource, exit};

use super::Soak;
use crate::Wrong;
use crate::files::files;
use crate::teeline_command::Ran;
use crate::world::{KEYS, SOURCE, words};

/// A command that is killed is so within this time, which is about what one takes.
const KILL_MS_MAX: u64 = 400;
/// One in so many commands is killed.
const KILLED_OF: u64 = 3;
/// A resource has at most so many records.
const RECORDS_MAX: u64 = 600;
const RESOURCES: [&str; 3] = ["orders.jsonl", "users.jsonl", "events.jsonl"];

impl Soak {
    /// Does something; gives what.
    pub(super) fn step(&mut self) -> Result<&'static str, Wrong> {
        if self.random.below(2) == 0 {
            self.change_source()?;
        }
        match self.random.below(15) {
            0..=2 => self.back_up_by_the_command(),
            11 => self.back_up_over_a_rough_way(),
            12 => self.back_up_while_the_way_ends(),
            13 => self.restore_over_a_rough_way(),
            14 => self.sync_and_clean_up_over_a_rough_way(),
            3 => self.take_up(),
            4 | 5 => self.back_up_by_the_engine(),
            6 => self.back_up_somewhere_and_sync(),
            7 => self.damage_data(),
            8 => self.lose_a_manifest(),
            _ => self.clean_up(),
        }
    }

    /// Writes each resource anew, with other records, or leaves it.
    pub(super) fn change_source(&mut self) -> Result<(), Wrong> {
        let mut changed = Vec::new();
        for name in RESOURCES {
            let mut text = String::new();
            // Some stay as they were, so that a link has something to leave out.
            let version = self.random.next();
            for number in 0..self.random.below(RECORDS_MAX) {
                let version = match number % 3 {
                    0 => version,
                    _ => 0,
                };
                let _ = writeln!(text, "{{\"id\":{number},\"version\":{version}}}");
            }
            changed.push((name, text));
        }
        self.world.write_source(&changed)?;
        self.world.note_source()
    }

    /// A backup in a configuration that may be any.
    fn configuration(&self) -> Vec<String> {
        let one_of = |choices: &[&'static str]| {
            let chosen = self.random.below(choices.len() as u64);
            choices[usize::try_from(chosen).unwrap_or(0)]
        };
        let mut typed = words(&[one_of(&["full", "incremental"])]);
        for (option, values) in [
            ("--strategy", &["all", "quorum:2", "any"][..]),
            (
                "--compression",
                &["gzip", "zstd", "deflate", "brotli", "none"],
            ),
            ("--verification", &["read", "attested"]),
            ("--segment-bytes", &["1MiB", "64MiB"]),
            ("--workers", &["1", "2"]),
            ("--lag", &["block", "spill"]),
        ] {
            typed.extend(words(&[option, one_of(values)]));
        }
        if self.random.below(3) == 0 {
            typed.extend(words(&["--key-file", one_of(&KEYS)]));
        }
        typed
    }

    fn back_up_by_the_command(&mut self) -> Result<&'static str, Wrong> {
        let options = self.configuration();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let arguments = self.world.backup(&options);
        if let Some(ran) = self.run_or_kill(&arguments, &[0])? {
            self.world.expect(&ran)?;
        }
        Ok("backups by the command")
    }

    /// What passes costs no backup.
    fn back_up_over_a_rough_way(&mut self) -> Result<&'static str, Wrong> {
        self.way.is_rough(&self.random);
        self.back_up_by_the_command()?;
        Ok("backups over a rough way")
    }

    /// Where the server can't be had any more, the others have the backup, if the strategy asks for no more.
    fn back_up_while_the_way_ends(&mut self) -> Result<&'static str, Wrong> {
        let options = self.configuration();
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let arguments = self.world.backup(&options);
        self.way.ends(&self.random);
        let ran = self.run_or_kill(
            &arguments,
            &[exit::DONE, exit::FAILED, exit::DEGRADED].map(i32::from),
        )?;
        self.way.is_smooth();
        if let Some(ran) = ran {
            self.world.expect_where_committed(&ran)?;
        }
        Ok("backups while the way ends")
    }

    /// What passes costs no restore from the server alone.
    fn restore_over_a_rough_way(&mut self) -> Result<&'static str, Wrong> {
        let server = self.world.destinations.len() - 1;
        let needed = self.world.needed.iter();
        let there = needed.filter(|(_, places)| places.contains(&server));
        let ids: Vec<&BackupId> = there.map(|(id, _)| id).collect();
        let Some(id) = chosen(&ids, self.random.next()) else {
            return Ok("nothing to restore");
        };
        let from = self.world.specs()?.split_off(server);
        self.way.is_rough(&self.random);
        self.world.restores_from(id, &from, &[exit::DONE])?;
        Ok("restores over a rough way")
    }

    fn sync_and_clean_up_over_a_rough_way(&mut self) -> Result<&'static str, Wrong> {
        self.way.is_rough(&self.random);
        let sync = [words(&["sync", "--json"]), self.world.places("--at")].concat();
        self.run_or_kill(&sync, &[0])?;
        self.way.is_smooth();
        let cleanup = self.cleanup()?;
        self.way.is_rough(&self.random);
        self.run_or_kill(&cleanup, &[0])?;
        Ok("syncs and cleanups over a rough way")
    }

    /// Takes up what broke off, or makes a backup where nothing did.
    fn take_up(&mut self) -> Result<&'static str, Wrong> {
        let arguments = self.world.backup(&["full", "--resume", "latest"]);
        if let Some(ran) = self.run_or_kill(&arguments, &[0])? {
            self.world.expect(&ran)?;
        }
        Ok("backups that take up a run")
    }

    fn back_up_by_the_engine(&mut self) -> Result<&'static str, Wrong> {
        let source = JsonlSource::path(self.world.folder().join(SOURCE));
        let request = BackupRequest::new(source, self.world.specs()?);
        let report = self.world.engine().backup_blocking(request);
        match (report.exit_code(), report.id.clone()) {
            (0, Some(id)) => self.world.expect_id(id)?,
            _ => return Err(format!("{report:?}")),
        }
        Ok("backups by the engine that stays")
    }

    /// A backup at one destination, which the others get from there.
    fn back_up_somewhere_and_sync(&mut self) -> Result<&'static str, Wrong> {
        let mut somewhere = self.world.clone();
        let number = self.random.below(somewhere.destinations.len() as u64);
        somewhere.destinations =
            vec![self.world.destinations[usize::try_from(number).unwrap_or(0)].clone()];
        let ran = self.world.run(&somewhere.backup(&["full"]), &[0])?;
        let sync = [words(&["sync", "--json"]), self.world.places("--at")].concat();
        self.run_or_kill(&sync, &[0])?;
        self.world.run(&sync, &[0])?;
        self.world.expect(&ran)?;
        Ok("syncs")
    }

    /// A bit of a copy flips: it is found, a restore takes that from elsewhere, and it is healed.
    fn damage_data(&mut self) -> Result<&'static str, Wrong> {
        let Some((id, file)) = self.file_of_a_backup(|name| !name.ends_with(".json"))? else {
            return Ok("nothing to damage");
        };
        let whole = fs::read(&file).map_err(|error| error.to_string())?;
        if whole.is_empty() {
            // As that of a link without new lines, where nothing is compressed.
            return Ok("nothing to damage");
        }
        let mut damaged = whole.clone();
        let at = self.random.below(damaged.len() as u64);
        if let Some(byte) = damaged.get_mut(usize::try_from(at).unwrap_or(0)) {
            *byte ^= 1 << self.random.below(8);
        }
        fs::write(&file, damaged).map_err(|error| error.to_string())?;
        let verify = words(&[
            "verify",
            &id.to_string(),
            "--at",
            &self.world.destinations[0],
            "--json",
        ]);
        let found = self.world.run(&verify, &[13]);
        found.map_err(|wrong| format!("{} is damaged: {wrong}", file.display()))?;
        let everywhere = self.world.specs()?;
        self.world
            .restores_from(&id, &everywhere, &[exit::DONE, exit::DEGRADED])?;
        let mut repair = words(&["repair", &id.to_string(), "--json"]);
        repair.extend(self.world.places("--at"));
        self.run_or_kill(&repair, &[0])?;
        self.world.run(&repair, &[0])?;
        if fs::read(&file).map_err(|error| error.to_string())? != whole {
            return Err(format!("{} is healed to something else", file.display()));
        }
        Ok("flipped bits")
    }

    fn lose_a_manifest(&mut self) -> Result<&'static str, Wrong> {
        let Some((id, file)) = self.file_of_a_backup(|name| name == "manifest.json")? else {
            return Ok("no manifest to lose");
        };
        fs::remove_file(&file).map_err(|error| error.to_string())?;
        let mut repair = words(&["repair", &id.to_string(), "--rebuild-manifest", "--json"]);
        repair.extend(self.world.places("--at"));
        self.run_or_kill(&repair, &[0])?;
        self.world.run(&repair, &[0])?;
        Ok("lost manifests")
    }

    /// Keeps the newest few, and what these go on from.
    fn clean_up(&mut self) -> Result<&'static str, Wrong> {
        let cleanup = self.cleanup()?;
        self.run_or_kill(&cleanup, &[0])?;
        Ok("cleanups")
    }

    /// The arguments of one, after which no more than the newest few needs to be there.
    fn cleanup(&mut self) -> Result<Vec<String>, Wrong> {
        let count = 2 + self.random.below(3);
        let grace = ["0s", "1h"][usize::from(self.random.happens(0.3))];
        let dead_after = ["0s", "1h"][usize::from(self.random.happens(0.3))];
        self.world
            .need_newest(usize::try_from(count).unwrap_or(0))?;
        let mut cleanup = words(&["cleanup", "--keep-count", &count.to_string(), "--json"]);
        cleanup.extend(words(&["--grace", grace, "--dead-after", dead_after]));
        cleanup.extend(self.world.places("--at"));
        Ok(cleanup)
    }

    /// A file, by its name, of a backup that every destination has, at the first one, which is a folder.
    fn file_of_a_backup(
        &self,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Option<(BackupId, PathBuf)>, Wrong> {
        let everywhere = self.world.destinations.len();
        let needed = self.world.needed.iter();
        let whole = needed.filter(|(_, places)| places.len() == everywhere);
        let ids: Vec<&BackupId> = whole.map(|(id, _)| id).collect();
        let Some(id) = chosen(&ids, self.random.next()) else {
            return Ok(None);
        };
        let root = self
            .world
            .folder()
            .join(&self.world.destinations[0])
            .join(id.as_str());
        // What somebody who was killed hadn't finished is none of the backup's.
        let is_part = |name: &String| !name.contains(".tmp-") && wanted(name);
        let names: Vec<String> = files(&root)?.into_keys().filter(is_part).collect();
        let file = chosen(&names, self.random.next());
        Ok(file.map(|name| ((*id).clone(), root.join(name))))
    }

    /// Runs the command to one of these codes, or kills it some time before; then there is nothing to give.
    fn run_or_kill(&mut self, arguments: &[String], codes: &[i32]) -> Result<Option<Ran>, Wrong> {
        if self.random.below(KILLED_OF) > 0 {
            return self.world.run(arguments, codes).map(Some);
        }
        let mut command = self
            .world
            .command()
            .prepared(self.world.folder(), arguments);
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        thread::sleep(Duration::from_millis(self.random.below(KILL_MS_MAX)));
        // One that has ended can't be killed, which is as well.
        let _ = child.kill();
        let output = child
            .wait_with_output()
            .map_err(|error| error.to_string())?;
        let ran = Ran::of(output);
        match ran.code {
            None => {
                self.soaked.kills += 1;
                Ok(None)
            }
            Some(code) if codes.contains(&code) => Ok(Some(ran)),
            Some(code) => Err(format!(
                "{arguments:?} ended with {code}: {}{}",
                ran.stderr, ran.report
            )),
        }
    }
}

fn chosen<T>(of: &[T], random: u64) -> Option<&T> {
    let number = random.checked_rem(of.len() as u64)?;
    of.get(usize::try_from(number).ok()?)
}
