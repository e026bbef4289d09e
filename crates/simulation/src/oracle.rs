//! What is true: what each store holds, looked at without anything going wrong. It judges what there is, and not how it came
//! to be.

mod damage;
mod made;
mod said;
mod told;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use teeline::{
    BackupId, CustomSink, DestinationSpec, Digest, Engine, Keys, ListedBackup, Place, Sink,
    Timestamp,
};
use teeline_core::{DestinationMarker, DigestOfDigests, ObjectKey, Random, document, layout};

use crate::data::whole;
use crate::life;
use crate::store::Shelf;
use crate::world::World;

use damage::Damaged;
pub(crate) use damage::is_file_of;
pub(crate) use made::{Made, emitted_the_truth, restore};
pub(crate) use said::{
    Happened, MayGo, Pass, Reported, required, says_the_truth, verdict_is_the_strategys,
};
pub(crate) use told::{Told, by_check, by_cleanup, by_deletion, by_repair, by_sync, left_of};

/// The bytes that an engine of the oracle may have in flight.
const BUDGET_BYTES: u64 = 64 << 20;

/// The backups that a store lists: when each began, and the digest of all that there is of it.
type Listed = BTreeMap<BackupId, (Timestamp, Digest)>;

/// What the stores held when they were looked at last.
#[derive(Debug)]
pub(crate) struct Oracle {
    world: Arc<World>,
    random: Arc<Random>,
    pub(crate) shelves: Vec<Shelf>,
    pub(crate) made: Made,
    /// What opens the backups that are sealed, where some are.
    pub(crate) keys: Keys,
    /// The backups that each store lists, every one of which was restored; and those that it would list if nothing of them were
    /// damaged.
    listed: Vec<Listed>,
    /// What backups go on from.
    parents: BTreeMap<BackupId, BackupId>,
    damaged: Vec<Damaged>,
}

impl Oracle {
    pub(crate) fn new(seed: u64, world: &Arc<World>, stores: usize, keys: Keys) -> Self {
        let shelf = |number: usize| Shelf::new(&name(number), world);
        Oracle {
            world: Arc::clone(world),
            random: Arc::new(Random::new(seed)),
            shelves: (0..stores).map(shelf).collect(),
            made: Made::default(),
            keys,
            listed: vec![Listed::new(); stores],
            parents: BTreeMap::new(),
            damaged: Vec::new(),
        }
    }

    /// The backups that some store listed.
    pub(crate) fn ids(&self) -> BTreeSet<BackupId> {
        self.listed
            .iter()
            .flat_map(|of_store| of_store.keys().cloned())
            .collect()
    }

    /// An engine for which nothing goes wrong, in the life that goes on.
    pub(crate) fn engine(&self) -> Result<Engine, String> {
        life::engine(&self.world, &self.random, BUDGET_BYTES)
    }

    /// The stores, as nothing goes wrong in them.
    pub(crate) fn destinations(&self) -> Result<Vec<DestinationSpec>, String> {
        let all = self.shelves.iter().enumerate();
        all.map(|(number, shelf)| destination(number, shelf.objects.clone()))
            .collect()
    }

    /// Looks at every store.
    ///
    /// # Errors
    /// The promise that is broken, and how.
    pub(crate) async fn look(&mut self, happened: &Happened) -> Result<(), String> {
        self.world.seals_once()?;
        let engine = self.engine()?;
        let mut checksums = BTreeMap::new();
        for (number, destination) in self.destinations()?.into_iter().enumerate() {
            let alone = vec![destination];
            let backups = engine.list(&alone).await.backups;
            for backup in &backups {
                let parent = backup.parent.as_ref();
                let link = parent.map(|parent| (backup.id.clone(), parent.id.clone()));
                self.parents.extend(link);
                let known = checksums.entry(backup.id.clone());
                if *known.or_insert(backup.checksum) != backup.checksum {
                    let (name, id) = (name(number), &backup.id);
                    return Err(format!("P3: {name} lists another {id} than others do"));
                }
            }
            let mut now = self.look_at(&engine, number, &alone, backups).await?;
            let ids = [&self.listed[number], &now].map(|listed| listed.keys().cloned().collect());
            for reported in &happened.reported {
                says_the_truth(&name(number), reported, ids.each_ref(), happened)?;
            }
            let keys = self.shelves[number].objects.keys();
            for told in &happened.told {
                if told.name == name(number) {
                    told.is_so(&ids[1], &keys, |id| self.is_damaged(number, id))?;
                }
            }
            let unlisted = self.nothing_is_lost(number, &now, happened)?;
            now.extend(unlisted);
            self.listed[number] = now;
            self.no_byte_is_lost(number)?;
        }
        for reported in &happened.reported {
            verdict_is_the_strategys(reported)?;
        }
        match engine.is_idle() {
            true => Ok(()),
            false => Err("P6: the oracle's own engine isn't idle".to_owned()),
        }
    }

    /// What a store lists, each restored from it alone unless nothing of it has changed since it was.
    async fn look_at(
        &self,
        engine: &Engine,
        number: usize,
        alone: &[DestinationSpec],
        backups: Vec<ListedBackup>,
    ) -> Result<Listed, String> {
        let mut now = BTreeMap::new();
        for backup in backups {
            let id = backup.id;
            if self.made.lines(&id).is_empty() {
                return Err(format!(
                    "P3: {} lists {id}, which nobody made",
                    name(number)
                ));
            }
            let seen = (backup.timestamp, self.digest_of(number, &id).await?);
            if self.listed[number].get(&id) != Some(&seen) {
                let restored = restore(engine, alone, &id, &self.made, &self.keys).await;
                let whole = restored.map_err(|wrong| format!("{wrong}, at {}", name(number)))?;
                match whole {
                    Ok(()) => self.world.restored(),
                    Err(_) if self.is_harmed(number, &id) => {}
                    Err(why) => return Err(format!("P1: {} lists {id}: {why}", name(number))),
                }
            }
            now.insert(id, seen);
        }
        Ok(now)
    }

    /// A backup, and all that it needs.
    fn chain(&self, id: &BackupId) -> Vec<BackupId> {
        let parent = |id: &BackupId| self.parents.get(id).cloned();
        std::iter::successors(Some(id.clone()), parent).collect()
    }

    /// The digest of all that a store has of a backup, and of what that needs.
    async fn digest_of(&self, number: usize, id: &BackupId) -> Result<Digest, String> {
        let objects = &self.shelves[number].objects;
        let chain = self.chain(id);
        let mut digest = DigestOfDigests::default();
        let is_of_it = |key: &&ObjectKey| chain.iter().any(|id| key.as_str().contains(id.as_str()));
        for key in objects.keys().iter().filter(is_of_it) {
            digest.push(Digest::of(key.as_str().as_bytes()));
            digest.push(Digest::of(&whole(objects, key).await?));
        }
        Ok(digest.finish())
    }

    /// Whether the marker of a store isn't what it was written as.
    pub(crate) fn has_damaged_marker(&self) -> Result<bool, String> {
        let marker = layout::marker().map_err(|error| error.to_string())?;
        let right = document::seal(&DestinationMarker {});
        let mut shelves = self.shelves.iter();
        Ok(shelves.any(|shelf| shelf.content(&marker).is_some_and(|there| there != right)))
    }

    /// A file of a run that has no manifest at a store, and didn't lose it.
    pub(crate) fn left_of_a_run(&self, number: usize) -> Option<ObjectKey> {
        let keys = self.shelves[number].objects.keys();
        let is_published = |folder: &str| {
            let manifest = format!("{folder}/{}", layout::MANIFEST);
            keys.iter().any(|key| key.as_str() == manifest)
        };
        let is_left = |key: &&ObjectKey| {
            let folder = key
                .as_str()
                .split_once('/')
                .map_or("", |(folder, _)| folder);
            let id = folder.parse::<BackupId>();
            id.is_ok_and(|id| !is_published(folder) && !self.is_harmed(number, &id))
        };
        keys.iter().find(is_left).cloned()
    }

    /// Nothing goes by itself. Gives what isn't listed since it is damaged.
    fn nothing_is_lost(
        &self,
        number: usize,
        now: &Listed,
        happened: &Happened,
    ) -> Result<Listed, String> {
        let before = &self.listed[number];
        let both = before.iter().chain(now);
        let mut newest_first: Vec<_> = both.map(|(id, (began, _))| Reverse((began, id))).collect();
        newest_first.sort();
        newest_first.dedup();
        let mut unlisted = Listed::new();
        for (rank, Reverse((_, id))) in newest_first.into_iter().enumerate() {
            let Some(seen) = before.get(id).filter(|_| !now.contains_key(id)) else {
                continue;
            };
            let may_go = happened.may_go.iter().any(|may_go| match may_go {
                MayGo::One(one) => one == id,
                MayGo::WithLinks(one) => self.chain(id).contains(one),
                MayGo::AllBut(newest) => rank >= *newest,
            });
            if !may_go && !self.is_harmed(number, id) {
                return Err(format!(
                    "P3: {} listed {id}, nobody deleted it, and it doesn't list it any more",
                    name(number)
                ));
            }
            if !may_go {
                unlisted.insert(id.clone(), *seen);
            }
        }
        Ok(unlisted)
    }
}

/// The name of a store.
pub(crate) fn name(number: usize) -> String {
    format!("store-{number}")
}

pub(crate) fn destination(number: usize, sink: impl Sink) -> Result<DestinationSpec, String> {
    destination_of(number, Arc::new(sink))
}

/// The same, of one that is shared already.
pub(crate) fn destination_of(
    number: usize,
    sink: Arc<dyn Sink>,
) -> Result<DestinationSpec, String> {
    DestinationSpec::new(&name(number), Place::Sink(CustomSink::of(sink)))
        .map_err(|error| error.to_string())
}
