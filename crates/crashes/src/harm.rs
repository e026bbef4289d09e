//! What is lost and damaged at the last destination, for something to put right: at the server, where there is one.

use std::sync::Arc;

use teeline::{BackupId, Sink};
use teeline_core::ObjectKey;
use tokio::runtime::{Builder, Runtime};

use crate::Wrong;
use crate::world::World;

/// Files of a backup that are damaged.
const DAMAGED: [&str; 3] = ["orders.jsonl.gz", "users.index", "run.json"];
/// One of its files that is lost.
const LOST: &str = "orders.index";

/// Everything that the last destination has.
pub(crate) fn lose_all(world: &mut World) -> Result<(), Wrong> {
    let last = Objects::of_last(world)?;
    last.remove_each(|_| true)?;
    world.expect_nothing_at_last();
    Ok(())
}

/// The manifests there.
pub(crate) fn lose_manifests(world: &mut World) -> Result<(), Wrong> {
    let last = Objects::of_last(world)?;
    for id in world.needed.keys() {
        last.lose_manifest(id)?;
    }
    world.expect_nothing_at_last();
    Ok(())
}

/// Files there; the backup isn't listed there any more, since what is listed is to be whole after each kill.
pub(crate) fn harm(world: &mut World) -> Result<(), Wrong> {
    let last = Objects::of_last(world)?;
    for id in world.needed.keys() {
        for file in DAMAGED.map(|name| format!("{id}/{name}")) {
            let damaged = flipped(last.read(&file)?);
            last.remove(&file)?;
            last.write(&file, damaged)?;
        }
        last.remove(&format!("{id}/{LOST}"))?;
        last.lose_manifest(id)?;
    }
    world.expect_nothing_at_last();
    Ok(())
}

/// In its place, or wherever it was moved.
pub(crate) fn what_was_damaged_is_kept(world: &World) -> Result<(), Wrong> {
    let (first, last) = (Objects::of(world, 0)?, Objects::of_last(world)?);
    for id in world.needed.keys() {
        for file in DAMAGED.map(|name| format!("{id}/{name}")) {
            let damaged = flipped(first.read(&file)?);
            let mut there = last.names.iter().filter(|name| name.contains(&file));
            if !there.any(|name| last.read(name).is_ok_and(|bytes| bytes == damaged)) {
                return Err(format!("what was damaged of {file} is gone"));
            }
        }
    }
    Ok(())
}

fn flipped(mut bytes: Vec<u8>) -> Vec<u8> {
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    bytes
}

/// What a destination has.
struct Objects {
    names: Vec<String>,
    sink: Arc<dyn Sink>,
    runtime: Runtime,
}

impl Objects {
    fn of_last(world: &World) -> Result<Self, Wrong> {
        Objects::of(world, world.last())
    }

    fn of(world: &World, number: usize) -> Result<Self, Wrong> {
        let place = &world.destinations[number];
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let opened = runtime.block_on(world.engine().open(&world.spec(place)?));
        Ok(Objects {
            names: world.stored(place)?,
            sink: opened.map_err(|error| error.to_string())?,
            runtime,
        })
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Wrong> {
        let key = key(name)?;
        let read = self.runtime.block_on(async {
            let object = self.sink.head(&key).await?;
            self.sink.read(&key, 0..object.bytes).await
        });
        let read = read.map(|bytes| bytes.to_vec());
        read.map_err(|error| format!("{name}: {error}"))
    }

    fn write(&self, name: &str, bytes: Vec<u8>) -> Result<(), Wrong> {
        let key = key(name)?;
        let written = self.runtime.block_on(self.sink.put(&key, bytes.into()));
        written.map_err(|error| format!("{name}: {error}"))
    }

    fn remove(&self, name: &str) -> Result<(), Wrong> {
        let key = key(name)?;
        let removed = self.runtime.block_on(self.sink.delete(&key));
        removed.map_err(|error| format!("{name}: {error}"))
    }

    fn remove_each(&self, which: impl Fn(&str) -> bool) -> Result<(), Wrong> {
        let mut names = self.names.iter().filter(|name| which(name));
        names.try_for_each(|name| self.remove(name))
    }

    /// The manifest of a backup, and what else says that it is published: its marker, and the record of its run. So nobody knows
    /// that it is lost.
    fn lose_manifest(&self, id: &BackupId) -> Result<(), Wrong> {
        self.remove(&format!("{id}/manifest.json"))?;
        let marker = format!("{id}.published/");
        self.remove_each(|name| name.starts_with("runs/") || name.contains(&marker))
    }
}

fn key(name: &str) -> Result<ObjectKey, Wrong> {
    ObjectKey::new(name).map_err(|error| error.to_string())
}
