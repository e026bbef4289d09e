//! A backup with everything that it takes to restore it: itself, and where it goes on from another one its whole chain.

mod base;
mod stages;

use std::collections::HashSet;
use std::sync::Arc;

use teeline_actors::read_entry;
use teeline_core::chain::NotAChain;
use teeline_core::{
    BackupError, BackupId, BackupRef, CatalogEntry, Class, Manifest, ResourceEntry, SourceKind,
    document, layout,
};

use crate::catalog::{Asked, located};
use crate::check::read_manifest;
use crate::copies::{Copies, Frozen};
use crate::keys::{Keys, authenticate};
use crate::report::Damage;
use crate::withdrawal::Withdrawn;

pub(crate) use stages::{Stage, Stages};

/// Which backups others may be restored with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parents {
    /// Those that a destination lists: what is to be gone on from needs them for longer.
    Listed,
    /// Those that are withdrawn and still there as well. Whoever withdrew one died before they saw the link that needs it: the next
    /// cleanup takes that back, and until then the link has to be restorable all the same.
    Withdrawn,
}

/// The backups of a chain, the full one first.
#[derive(Clone)]
pub(crate) struct Chain {
    backups: Vec<Arc<Copies>>,
}

impl Chain {
    /// The chain of the backup `id`, each of its backups from whichever of the destinations has it.
    ///
    /// # Errors
    /// Where one of them can't be had; of class [`Corrupt`](Class::Corrupt) where it is one that the others need.
    pub(crate) async fn open(
        id: &BackupId,
        asked: &[Result<Asked, (String, BackupError)>],
        keys: &Keys,
        parents: Parents,
    ) -> Result<Self, BackupError> {
        let mut chain = Chain {
            backups: vec![Arc::new(Copies::open(id, None, asked, keys).await?)],
        };
        let mut seen = HashSet::from([id.clone()]);
        while let Some(parent) = chain.wanted(&mut seen)? {
            let copies = match Copies::open(&parent.id, Some(parent.checksum), asked, keys).await {
                Err(error) if parents == Parents::Withdrawn => {
                    open_withdrawn(&parent, asked, keys, error).await
                }
                opened => opened,
            };
            let copies = copies.map_err(|error| missing(chain.first(), &parent, &error))?;
            chain.take(copies, &parent)?;
        }
        Ok(chain)
    }

    /// The chain of a backup at one destination.
    ///
    /// # Errors
    /// As [`Chain::open`], where it isn't whole there.
    pub(crate) async fn at(
        asked: &Asked,
        entry: &CatalogEntry,
        keys: &Keys,
    ) -> Result<Self, BackupError> {
        let mut chain = Chain {
            backups: vec![Arc::new(read_copy(asked, entry, keys).await?)],
        };
        let mut seen = HashSet::from([entry.id.clone()]);
        while let Some(parent) = chain.wanted(&mut seen)? {
            let copies = match asked.entry(&parent.id) {
                Some(entry) => read_copy(asked, entry, keys).await,
                None => read_withdrawn(asked, &parent, keys).await,
            };
            let copies = copies.map_err(|error| missing(chain.first(), &parent, &error))?;
            chain.take(copies, &parent)?;
        }
        Ok(chain)
    }

    /// One backup, without what it goes on from: for what that itself says.
    pub(crate) fn alone(backup: Arc<Copies>) -> Self {
        Chain {
            backups: vec![backup],
        }
    }

    /// The backup itself, as another one names it.
    pub(crate) fn reference(&self) -> BackupRef {
        reference(self.last())
    }

    /// Every backup of it, the full one first.
    pub(crate) fn references(&self) -> Vec<BackupRef> {
        self.backups
            .iter()
            .map(|copies| reference(copies))
            .collect()
    }

    /// The manifest of the backup itself.
    pub(crate) fn manifest(&self) -> &Arc<Manifest> {
        &self.last().manifest
    }

    /// The backup itself.
    pub(crate) fn last(&self) -> &Arc<Copies> {
        &self.backups[self.backups.len() - 1]
    }

    /// How many records its backups keep raw.
    pub(crate) fn kept_raw(&self) -> u64 {
        let manifests = self.backups.iter().map(|copies| &copies.manifest);
        manifests.fold(0, |sum: u64, manifest| {
            sum.saturating_add(manifest.totals.kept_raw)
        })
    }

    /// What was passed over so far, of all of the chain.
    pub(crate) fn avoided(&self) -> Vec<Damage> {
        let mut avoided: Vec<Damage> = Vec::new();
        for damage in self.backups.iter().flat_map(|copies| copies.avoided()) {
            if !avoided.contains(&damage) {
                avoided.push(damage);
            }
        }
        avoided
    }

    /// Looks at what has to be read to restore these resources of the backup.
    pub(crate) async fn frozen(&self, resources: &[&ResourceEntry]) -> Result<Frozen, BackupError> {
        let mut frozen = self.last().frozen(resources).await?;
        for copies in self.backups.iter().rev().skip(1) {
            let here: Vec<_> = read_for(resources, &copies.manifest).collect();
            frozen = frozen.with(copies.frozen(&here).await?);
        }
        Ok(frozen)
    }

    /// Looks at what has to be read to go on from the backup.
    pub(crate) async fn frozen_changes(&self) -> Result<Frozen, BackupError> {
        let manifest = self.manifest();
        if manifest.source.kind == SourceKind::Jsonl && manifest.lines.is_none() {
            let resources: Vec<&ResourceEntry> = manifest.resources.iter().collect();
            return self.frozen(&resources).await;
        }
        let mut frozen = self.last().frozen_changes().await?;
        for copies in self.backups.iter().rev().skip(1) {
            frozen = frozen.with(copies.frozen_changes().await?);
        }
        Ok(frozen)
    }

    fn first(&self) -> &Manifest {
        &self.backups[0].manifest
    }

    /// The backup without which what there is so far can't be restored.
    fn wanted(&self, seen: &mut HashSet<BackupId>) -> Result<Option<BackupRef>, BackupError> {
        let first = self.first();
        let Some(parent) = first.parent.clone() else {
            return Ok(None);
        };
        match seen.insert(parent.id.clone()) {
            true => Ok(Some(parent)),
            false => Err(BackupError::corrupt(
                &first.id,
                "it is among its own parents",
            )),
        }
    }

    fn take(&mut self, copies: Copies, parent: &BackupRef) -> Result<(), BackupError> {
        if copies.checksum != parent.checksum {
            let child = &self.first().id;
            let message = format!("{child} goes on from another one of this id");
            return Err(BackupError::corrupt(&parent.id, message));
        }
        let is_sealed = |manifest: &Manifest| manifest.plan.seal.is_some();
        if is_sealed(self.first()) && !is_sealed(&copies.manifest) {
            let child = &self.first().id;
            let message = format!("it isn't sealed, and {child} that goes on from it is");
            return Err(BackupError::corrupt(&parent.id, message));
        }
        self.backups.insert(0, Arc::new(copies));
        Ok(())
    }
}

/// Which resources of a backup in a chain are read to restore these of its last link: those of the same names. Of what the last
/// link doesn't have nothing stands in its parents: once a resource isn't in the catalogue, a link reads each record of it
/// again, as an object, or says that it is gone.
pub(crate) fn read_for<'a>(
    wanted: &[&ResourceEntry],
    manifest: &'a Manifest,
) -> impl Iterator<Item = &'a ResourceEntry> {
    let is_wanted = |entry: &&ResourceEntry| wanted.iter().any(|wanted| wanted.name == entry.name);
    manifest.resources.iter().filter(is_wanted)
}

/// The copy of a backup at one destination, as its entry there says it.
async fn read_copy(
    asked: &Asked,
    entry: &CatalogEntry,
    keys: &Keys,
) -> Result<Copies, BackupError> {
    let opened = asked.opened.clone();
    let sealed = read_manifest(&opened, entry).await?;
    let unlocked = authenticate(&opened, &entry.path, &sealed, keys).await?;
    let sealer = unlocked.map(|unlocked| unlocked.sealer);
    Ok(Copies::of_one(
        opened,
        entry.clone(),
        sealed.manifest,
        sealer,
    ))
}

/// What the destinations that withdrew a backup still have of it; `error`, where that is nothing.
async fn open_withdrawn(
    parent: &BackupRef,
    asked: &[Result<Asked, (String, BackupError)>],
    keys: &Keys,
    mut error: BackupError,
) -> Result<Copies, BackupError> {
    let mut found: Option<Copies> = None;
    for place in asked.iter().flatten() {
        match (read_withdrawn(place, parent, keys).await, &mut found) {
            (Ok(copies), Some(first)) => first.join(copies),
            (Ok(copies), None) => found = Some(copies),
            (Err(failed), _) if failed.class() == Class::NotFound => {}
            (Err(failed), _) => error = failed,
        }
    }
    found.ok_or(error)
}

async fn read_withdrawn(
    asked: &Asked,
    parent: &BackupRef,
    keys: &Keys,
) -> Result<Copies, BackupError> {
    let entry = withdrawn_entry(asked, parent).await?;
    read_copy(asked, &entry, keys).await
}

/// The entry of a backup that is withdrawn at a destination, where it is still there.
async fn withdrawn_entry(asked: &Asked, id: &BackupRef) -> Result<CatalogEntry, BackupError> {
    let withdrawn = asked.catalog.withdrawn(&id.id);
    if withdrawn.is_none_or(Withdrawn::is_of_dead_run) {
        let message = format!("it isn't at {}", asked.opened.name);
        return Err(BackupError::new(Class::NotFound, "find", &id.id, message));
    }
    let key = layout::catalog_entry(&id.id, id.started_at)?;
    let sink = asked.opened.sink.as_ref();
    let bytes = read_entry(sink, &key).await?;
    document::open(&located(sink, &key), &bytes)
}

/// Why what is listed at a destination can't be restored from there.
pub(crate) fn unrestorable(
    subject: impl std::fmt::Display,
    not_a_chain: &NotAChain,
) -> BackupError {
    BackupError::corrupt(subject, not_a_chain).suggest(
        "`teeline sync` copies what is missing from another destination that has it; `teeline repair` lists it again where only its entry in the \
         catalogue is lost",
    )
}

/// What a backup at a destination goes on from that is withdrawn there, and still there. No key is needed for that.
///
/// # Errors
/// Of class [`NotFound`](Class::NotFound) where something that it goes on from isn't there.
pub(crate) async fn withdrawn_parents(
    asked: &Asked,
    entry: &CatalogEntry,
) -> Result<Vec<CatalogEntry>, BackupError> {
    let mut withdrawn = Vec::new();
    let mut seen = HashSet::from([entry.id.clone()]);
    let mut at = entry.clone();
    while let Some(parent) = at.parent.clone() {
        if !seen.insert(parent.id.clone()) {
            return Err(BackupError::corrupt(&at.id, "it is among its own parents"));
        }
        let child = at.id;
        at = match asked.entry(&parent.id) {
            Some(entry) => entry.clone(),
            None => {
                withdrawn.push(withdrawn_entry(asked, &parent).await?);
                withdrawn[withdrawn.len() - 1].clone()
            }
        };
        if at.checksum != parent.checksum {
            let message = format!("{child} goes on from another one of this id");
            return Err(BackupError::corrupt(&parent.id, message));
        }
    }
    Ok(withdrawn)
}

fn reference(copies: &Copies) -> BackupRef {
    BackupRef {
        id: copies.manifest.id.clone(),
        started_at: copies.manifest.started_at,
        checksum: copies.checksum,
    }
}

/// What a backup needs can't be had.
fn missing(child: &Manifest, parent: &BackupRef, error: &BackupError) -> BackupError {
    let class = match error.class() {
        Class::NotFound => Class::Corrupt,
        class => class,
    };
    let message = format!("{} can't be restored without it: {error}", child.id);
    BackupError::new(class, "read", &parent.id, message).suggest(
        "name a further destination that has it; `teeline sync` copies it to where it is missing",
    )
}
