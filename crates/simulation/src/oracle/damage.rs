//! Damage at rest: what a store holds becomes something else, or is gone, while nobody does anything.

use std::collections::BTreeMap;

use bytes::Bytes;
use teeline::{
    BackupId, Engine, RepairReport, RepairedCopy, VerifyRequest, Which, WhichBackups, exit,
};
use teeline_core::{ObjectKey, Random, layout, published_marker};

use super::{Oracle, name};

/// A file that isn't what it was.
#[derive(Debug)]
pub(super) struct Damaged {
    store: usize,
    backup: BackupId,
    key: ObjectKey,
    was: Bytes,
    /// What the damage has left of the backup there, and of those that need it: as long as they are to be there nothing of it goes.
    left: BTreeMap<ObjectKey, (BackupId, Bytes)>,
}

impl Oracle {
    /// Damages a file of a backup that a store lists, if there is one of which nothing is damaged yet.
    pub(crate) fn damage(&mut self, random: &Random) {
        let stores = self.listed.iter().enumerate();
        let copies = stores.flat_map(|(store, listed)| listed.keys().map(move |id| (store, id)));
        let copies: Vec<_> = copies
            .filter(|(store, id)| !self.is_harmed(*store, id))
            .collect();
        let Some((store, id)) = one_of(random, &copies) else {
            return;
        };
        let (store, backup) = (*store, (*id).clone());
        let shelf = &self.shelves[store];
        let mut keys = shelf.objects.keys();
        keys.retain(|key| is_file_of(key, &backup));
        let Some(key) = one_of(random, &keys).cloned() else {
            return;
        };
        let Some(was) = shelf.content(&key) else {
            return;
        };
        let mut bytes = was.to_vec();
        match random.below(3) {
            0 if !bytes.is_empty() => {
                let at = usize::try_from(random.below(bytes.len() as u64)).unwrap_or(0);
                bytes[at] ^= 1 << random.below(8);
                shelf.objects.overwrite(&key, &bytes);
            }
            1 if bytes.pop().is_some() => shelf.objects.overwrite(&key, &bytes),
            _ => shelf.lose(&key),
        }
        self.world
            .note(|| format!("store {store}: {key} is damaged"));
        self.world.count_fault("damage at rest");
        let left = self.files_with_links(store, &backup);
        for before in self.damaged.iter_mut().filter(|it| it.store == store) {
            before.left.remove(&key);
        }
        self.damaged.push(Damaged {
            store,
            backup,
            key,
            was,
            left,
        });
    }

    /// The files at a store of a backup, and of those that need it.
    fn files_with_links(
        &self,
        store: usize,
        backup: &BackupId,
    ) -> BTreeMap<ObjectKey, (BackupId, Bytes)> {
        let listed = self.listed[store].keys();
        let needing: Vec<_> = listed
            .filter(|id| self.chain(id).contains(backup))
            .collect();
        let shelf = &self.shelves[store];
        let file = |key: ObjectKey| {
            let id = needing.iter().find(|id| is_file_of(&key, id))?;
            let bytes = shelf.content(&key)?;
            Some((key, ((*id).clone(), bytes)))
        };
        shelf.objects.keys().into_iter().filter_map(file).collect()
    }

    /// Checks that whatever damage has left of what is to be there is there, byte for byte: in its place, or below `damaged/`.
    ///
    /// # Errors
    /// What isn't.
    pub(super) fn no_byte_is_lost(&mut self, store: usize) -> Result<(), String> {
        let listed = &self.listed[store];
        for it in self.damaged.iter_mut().filter(|it| it.store == store) {
            it.left.retain(|_, (id, _)| listed.contains_key(id));
        }
        let shelf = &self.shelves[store];
        let keys = shelf.objects.keys();
        let damaged = self.damaged.iter().filter(|it| it.store == store);
        for (key, (_, bytes)) in damaged.flat_map(|it| &it.left) {
            let is_kept = |kept: &ObjectKey| {
                layout::damaged_at(kept).as_ref() == Some(key)
                    && shelf.content(kept).as_ref() == Some(bytes)
            };
            let is_in_place = self.content(store, key).as_ref() == Some(bytes);
            if !is_in_place && !keys.iter().any(is_kept) {
                let name = name(store);
                return Err(format!(
                    "P3: what damage had left of {key} at {name} is nowhere any more"
                ));
            }
        }
        Ok(())
    }

    /// What a store has under a key, where it is an entry that is folded as well.
    fn content(&self, store: usize, key: &ObjectKey) -> Option<Bytes> {
        let shelf = &self.shelves[store];
        shelf.content(key).or_else(|| {
            let keys = shelf.objects.keys();
            let of_it = |at: &&ObjectKey| published_marker::entry_of(at).as_ref() == Some(key);
            let unfolded = published_marker::unfolded(keys.iter().filter(of_it));
            unfolded.map(|(_, bytes)| bytes)
        })
    }

    /// Whether something of a backup, or of what it needs, is damaged at a store.
    pub(super) fn is_harmed(&self, store: usize, id: &BackupId) -> bool {
        let chain = self.chain(id);
        chain.iter().any(|id| self.is_damaged(store, id))
    }

    /// Whether something of a backup itself is.
    pub(super) fn is_damaged(&self, store: usize, id: &BackupId) -> bool {
        let mut damaged = self.damaged.iter();
        damaged.any(|it| it.store == store && it.backup == *id && self.stands(it))
    }

    /// Whether it isn't healed.
    fn stands(&self, damaged: &Damaged) -> bool {
        self.content(damaged.store, &damaged.key).as_ref() != Some(&damaged.was)
    }

    /// What is damaged of backups that are to be there.
    fn standing(&self) -> impl Iterator<Item = &Damaged> {
        let is_to_be_there = |it: &&Damaged| self.listed[it.store].contains_key(&it.backup);
        let damaged = self.damaged.iter().filter(is_to_be_there);
        damaged.filter(|it| self.stands(it))
    }

    /// Checks that a check of each damaged copy says that it is damaged.
    ///
    /// # Errors
    /// The promise that is broken, and how.
    pub(crate) async fn damage_is_found(&self, engine: &Engine) -> Result<(), String> {
        let destinations = self.destinations()?;
        for Damaged {
            store, backup, key, ..
        } in self.standing()
        {
            let mut request = VerifyRequest::new(vec![destinations[*store].clone()]);
            request.which = WhichBackups::One(Which::Id(backup.clone()));
            request.keys = self.keys.clone();
            let report = engine.verify(request).await;
            if report.exit_code() == exit::DONE {
                let name = name(*store);
                return Err(format!(
                    "P7: {key} is damaged at {name}, and a check says {report:?}"
                ));
            }
        }
        Ok(())
    }

    /// Checks that nothing is damaged any more that another store has right, now that everything was repaired.
    ///
    /// # Errors
    /// The promise that is broken, and how.
    pub(crate) fn is_healed(&self, repaired: &RepairReport) -> Result<(), String> {
        for Damaged {
            store, backup, key, ..
        } in self.standing()
        {
            let mut others = (0..self.shelves.len()).filter(|other| other != store);
            let has_it = |other: usize| {
                self.listed[other].contains_key(backup) && !self.is_harmed(other, backup)
            };
            if others.any(has_it) {
                let name = name(*store);
                let runs = repaired.runs.iter().filter(|run| run.id == *backup);
                let copies = runs.flat_map(|run| &run.destinations);
                let said: Vec<&RepairedCopy> = copies.filter(|copy| copy.name == name).collect();
                return Err(format!("P4: {key} isn't healed at {name}: {said:?}"));
            }
        }
        Ok(())
    }
}

/// Whether an object is a file that a backup is made of: a marker of a run that was taken up isn't needed any more.
pub(crate) fn is_file_of(key: &ObjectKey, id: &BackupId) -> bool {
    let file = key.as_str().strip_prefix(id.as_str());
    let file = file.and_then(|file| file.strip_prefix('/'));
    let is_in_folder = file.is_some_and(|file| layout::resumption_number(file).is_none());
    is_in_folder || layout::catalog_entry_id(key).as_ref() == Some(id)
}

fn one_of<'a, T>(random: &Random, from: &'a [T]) -> Option<&'a T> {
    let number = random.below(from.len() as u64);
    from.get(usize::try_from(number).unwrap_or(0))
}
