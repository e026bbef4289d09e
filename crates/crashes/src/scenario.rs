//! What is being done when the kill comes.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use teeline::BackupId;

use crate::files::files;
use crate::harm::{harm, lose_all, lose_manifests, what_was_damaged_is_kept};
use crate::kill_points::kill_at;
use crate::teeline_command::Ran;
use crate::world::{KEYS, World, words};
use crate::{TeelineCommand, Wrong};

/// Something that the command does to destinations.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,
    /// Makes what there is before.
    pub(crate) prepare: fn(&mut World) -> Result<(), Wrong>,
    /// What is typed.
    pub(crate) arguments: fn(&World) -> Vec<String>,
    /// Codes with which the same ends when it is run again, after it was killed.
    pub(crate) again: &'static [i32],
    /// What else must hold right after the kill.
    pub(crate) aftermath: fn(&World) -> Result<(), Wrong>,
    /// That the same, when it was run again, has done what it is for; and what must be listed from then on.
    pub(crate) done: fn(&mut World, &Ran) -> Result<(), Wrong>,
    /// Of its system calls only every so manieth counts, where most of them are the same over and over.
    pub(crate) every: usize,
}

/// More than two parts as S3 takes them (5 MiB at least).
const IN_PARTS_BYTES: usize = 11 << 20;

impl Scenario {
    /// A world in `scratch` in which it can be done: two folders, and a server if one is wanted.
    pub(crate) fn prepared(
        &self,
        command: &TeelineCommand,
        scratch: &Path,
        is_served: bool,
    ) -> Result<World, Wrong> {
        let template = scratch.join("template");
        fs::create_dir(&template).map_err(|error| format!("{}: {error}", template.display()))?;
        let destinations = vec!["one".to_owned(), "two".to_owned()];
        let mut world = World::new(command.clone(), &template, destinations)?;
        let _way = is_served.then(|| world.serve()).transpose()?;
        (self.prepare)(&mut world)?;
        Ok(world)
    }
}

const BACKUP: Scenario = Scenario {
    name: "backup",
    prepare: one_backup,
    arguments: |world| world.backup(&["full"]),
    again: &[0],
    aftermath: |_| Ok(()),
    done: |world, ran| world.expect(ran).map(drop),
    every: 1,
};

/// The latest backup is restored to a folder.
pub(crate) fn restore_scenario() -> Scenario {
    Scenario {
        name: "restore",
        arguments: |world| {
            let target = words(&["restore", "--overwrite", "--target", "./restored", "--json"]);
            [target, world.places("--at")].concat()
        },
        aftermath: all_or_nothing_is_restored,
        done: all_is_restored,
        ..BACKUP
    }
}

/// A backup of which a data file goes to a bucket in three parts.
pub(crate) fn in_parts() -> Scenario {
    Scenario {
        name: "backup in parts",
        prepare: |world| {
            one_backup(world)?;
            let line = |number: usize| format!("{{\"id\":{number},\"of\":\"{:0>99}\"}}\n", "");
            let orders: String = (0..IN_PARTS_BYTES / line(0).len()).map(line).collect();
            world.write_source(&[("orders.jsonl", orders)])
        },
        arguments: |world| world.backup(&["full", "--compression", "none"]),
        ..BACKUP
    }
}

/// Each of them that is killed at system calls.
pub fn scenarios() -> Vec<Scenario> {
    let backup = BACKUP;
    vec![
        backup,
        Scenario {
            name: "incremental",
            arguments: |world| world.backup(&["incremental"]),
            ..backup
        },
        Scenario {
            name: "sealed",
            arguments: |world| world.backup(&["full", "--key-file", KEYS[0]]),
            ..backup
        },
        Scenario {
            name: "resume",
            prepare: |world| {
                one_backup(world)?;
                // A run isn't taken up where a backup may have been made since, and ids tell seconds.
                thread::sleep(Duration::from_secs(1));
                // Behind the first data files, and before the last.
                match kill_at(world, &world.backup(&["full"]), "renameat2", 8)? {
                    true => Ok(()),
                    false => Err("the run that is to be taken up isn't killed".to_owned()),
                }
            },
            arguments: |world| world.backup(&["full", "--resume", "latest"]),
            done: |world, ran| {
                world.expect(ran)?;
                nothing_is_left_broken_off(world, ran)
            },
            ..backup
        },
        restore_scenario(),
        Scenario {
            name: "cleanup",
            prepare: |world| {
                one_backup(world)?;
                // These may be gone by then.
                world.needed.clear();
                world.back_up(&["full"])?;
                Ok(())
            },
            arguments: |world| {
                let cleanup = words(&["cleanup", "--keep-count", "1", "--grace", "0s", "--json"]);
                [cleanup, world.places("--at")].concat()
            },
            done: what_may_go_is_gone,
            ..backup
        },
        Scenario {
            name: "delete",
            prepare: |world| {
                one_backup(world)?;
                // It may be gone by then.
                world.needed.clear();
                world.back_up(&["full"])?;
                Ok(())
            },
            arguments: |world| {
                let id = world
                    .unneeded()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                let delete = words(&["delete", &id, "--grace", "0s", "--json"]);
                [delete, world.places("--at")].concat()
            },
            done: what_may_go_is_gone,
            ..backup
        },
        Scenario {
            name: "init",
            arguments: |world| [words(&["init", "--json"]), world.places("--at")].concat(),
            done: |world, _| world.has_probes(),
            every: 23,
            ..backup
        },
        Scenario {
            name: "key rotate",
            prepare: |world| {
                source(world, 1)?;
                world.back_up(&["full", "--key-file", KEYS[0]])?;
                Ok(())
            },
            arguments: |world| {
                let mut rotate = words(&["key", "rotate", "latest", "--json"]);
                for key in KEYS {
                    rotate.extend(words(&["--key-file", key]));
                }
                rotate.extend(words(&["--new-key-file", KEYS[1]]));
                [rotate, world.places("--at")].concat()
            },
            done: |world, _| world.opens_with_the_second_key_only(),
            ..backup
        },
        Scenario {
            name: "sync",
            prepare: |world| {
                one_backup(world)?;
                lose_all(world)
            },
            arguments: |world| [words(&["sync", "--json"]), world.places("--at")].concat(),
            done: everywhere_again,
            ..backup
        },
        Scenario {
            name: "repair",
            prepare: |world| {
                one_backup(world)?;
                lose_manifests(world)
            },
            arguments: |world| {
                let mut repair = words(&["repair", "--rebuild-manifest", "--json"]);
                repair.extend(world.needed.keys().map(ToString::to_string));
                [repair, world.places("--at")].concat()
            },
            done: everywhere_again,
            ..backup
        },
        Scenario {
            name: "heal",
            prepare: |world| {
                one_backup(world)?;
                harm(world)
            },
            arguments: |world| {
                let mut repair = words(&["repair", "--json"]);
                repair.extend(world.needed.keys().map(ToString::to_string));
                [repair, world.places("--at")].concat()
            },
            aftermath: what_was_damaged_is_kept,
            done: |world, ran| {
                what_was_damaged_is_kept(world)?;
                everywhere_again(world, ran)
            },
            ..backup
        },
    ]
}

pub(crate) const RESTORED: &str = "restored";

fn source(world: &World, version: u32) -> Result<(), Wrong> {
    let mut orders = String::new();
    for number in 0..200_u32 {
        let _ = writeln!(orders, "{{\"id\":{number},\"version\":{version}}}");
    }
    world.write_source(&[
        ("orders.jsonl", orders),
        (
            "users.jsonl",
            "{\"id\":\"ada\"}\n{\"id\":\"bo\"}\n".to_owned(),
        ),
    ])
}

/// A backup of what there was, and a source that has changed since.
fn one_backup(world: &mut World) -> Result<(), Wrong> {
    source(world, 1)?;
    world.back_up(&["full"])?;
    source(world, 2)
}

fn all_or_nothing_is_restored(world: &World) -> Result<(), Wrong> {
    let restored = files(&world.folder().join(RESTORED))?;
    match restored.is_empty() || world.holds(&restored) {
        true => Ok(()),
        false => Err(format!("half of it is restored: {:?}", restored.keys())),
    }
}

fn all_is_restored(world: &mut World, _: &Ran) -> Result<(), Wrong> {
    match world.latest_holds(&files(&world.folder().join(RESTORED))?) {
        true => Ok(()),
        false => Err("the same again restores something else".to_owned()),
    }
}

fn nothing_is_left_broken_off(world: &World, ran: &Ran) -> Result<(), Wrong> {
    let listed: BTreeSet<BackupId> = world.check()?.into_iter().flatten().collect();
    let unlisted = world.unlisted()?;
    let mut left: Vec<BackupId> = unlisted.iter().flat_map(|name| name.parse()).collect();
    left.retain(|id| !listed.contains(id));
    match left.is_empty() {
        true => Ok(()),
        false => Err(format!("{left:?} isn't taken up: {}", ran.report)),
    }
}

fn what_may_go_is_gone(world: &mut World, ran: &Ran) -> Result<(), Wrong> {
    let gone = world.unneeded().ok_or("nothing was to go")?;
    match world.check()?.iter().any(|listed| listed.contains(gone)) {
        true => Err(format!("{gone} is listed after {}", ran.report)),
        false => Ok(()),
    }
}

fn everywhere_again(world: &mut World, _: &Ran) -> Result<(), Wrong> {
    world.expect_everywhere();
    Ok(())
}
