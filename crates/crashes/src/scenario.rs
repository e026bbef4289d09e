//! What is being done when the kill comes.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

use teeline::BackupId;

use crate::files::files;
use crate::kill_points::kill_at;
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
                // Behind the first data files, and before the last.
                match kill_at(world, &world.backup(&["full"]), "renameat2", 8)? {
                    true => Ok(()),
                    false => Err("the run that is to be taken up isn't killed".to_owned()),
                }
            },
            arguments: |world| world.backup(&["full", "--resume", "latest"]),
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
            ..backup
        },
        Scenario {
            name: "init",
            arguments: |world| [words(&["init", "--json"]), world.places("--at")].concat(),
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
            ..backup
        },
        Scenario {
            name: "sync",
            prepare: |world| {
                one_backup(world)?;
                let second = world.folder().join(&world.destinations[1]);
                fs::remove_dir_all(&second).map_err(|error| error.to_string())?;
                for places in world.needed.values_mut() {
                    places.remove(&1);
                }
                Ok(())
            },
            arguments: |world| [words(&["sync", "--json"]), world.places("--at")].concat(),
            ..backup
        },
        Scenario {
            name: "repair",
            prepare: |world| {
                one_backup(world)?;
                let second = world.folder().join(&world.destinations[1]);
                for (id, places) in &mut world.needed {
                    lose_manifest(&second, id).map_err(|error| error.to_string())?;
                    places.remove(&1);
                }
                Ok(())
            },
            arguments: |world| {
                let mut repair = words(&["repair", "--rebuild-manifest", "--json"]);
                repair.extend(world.needed.keys().map(ToString::to_string));
                [repair, world.places("--at")].concat()
            },
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
            ..backup
        },
    ]
}

/// Takes the manifest of a backup away, and what else says that it is published: its marker, and the record of its run. So nobody
/// knows that it is lost.
fn lose_manifest(destination: &Path, id: &BackupId) -> io::Result<()> {
    fs::remove_file(destination.join(format!("{id}/manifest.json")))?;
    for entry in fs::read_dir(destination.join("catalog"))? {
        let entry = entry?;
        let name = entry.file_name().into_string().unwrap_or_default();
        if name.ends_with(&format!("{id}.published")) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    fs::remove_dir_all(destination.join("runs"))
}

/// Files of a backup that are damaged at the second destination.
const DAMAGED: [&str; 3] = ["orders.jsonl.gz", "users.index", "run.json"];

/// Damages and removes files at the second destination, where the backup isn't listed any more: what is listed is to be whole
/// after each kill.
fn harm(world: &mut World) -> Result<(), Wrong> {
    let second = world.folder().join(&world.destinations[1]);
    for (id, places) in &mut world.needed {
        let folder = second.join(id.to_string());
        for name in DAMAGED {
            let file = folder.join(name);
            let damaged = fs::read(&file).map(|bytes| flipped(&bytes));
            let written = damaged.and_then(|bytes| fs::write(&file, bytes));
            written.map_err(|error| format!("{}: {error}", file.display()))?;
        }
        let removed =
            lose_manifest(&second, id).and_then(|()| fs::remove_file(folder.join("orders.index")));
        removed.map_err(|error| error.to_string())?;
        places.remove(&1);
    }
    Ok(())
}

fn flipped(bytes: &[u8]) -> Vec<u8> {
    let middle = bytes.len() / 2;
    let flip = |(at, byte): (usize, &u8)| if at == middle { byte ^ 1 } else { *byte };
    bytes.iter().enumerate().map(flip).collect()
}

fn what_was_damaged_is_kept(world: &World) -> Result<(), Wrong> {
    let [first, second] =
        [0, 1].map(|number| files(&world.folder().join(&world.destinations[number])));
    let (first, second) = (first?, second?);
    for id in world.needed.keys() {
        for name in DAMAGED {
            let file = format!("{id}/{name}");
            let right = first.get(&file).ok_or_else(|| format!("{file} is gone"))?;
            let damaged = flipped(right);
            let mut there = second.iter().filter(|(key, _)| key.contains(&file));
            if !there.any(|(_, bytes)| *bytes == damaged) {
                return Err(format!("what was damaged of {file} is gone"));
            }
        }
    }
    Ok(())
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
