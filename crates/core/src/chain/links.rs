//! Which backups need which, as far as the entries of catalogues tell.

use std::collections::{HashMap, HashSet};

use super::BackupRef;
use crate::id::BackupId;
use crate::records::CatalogEntry;
use crate::time::Timestamp;

/// A backup, and the one without which it can't be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    /// The backup.
    pub backup: BackupRef,
    /// Its parent.
    pub parent: Option<BackupRef>,
}

impl From<&CatalogEntry> for Linked {
    fn from(entry: &CatalogEntry) -> Self {
        Linked {
            backup: BackupRef {
                id: entry.id.clone(),
                started_at: entry.started_at,
                checksum: entry.checksum,
            },
            parent: entry.parent.clone(),
        }
    }
}

/// Why a backup can't be restored from where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAChain {
    /// It isn't there itself.
    #[error("{0} isn't there")]
    Absent(BackupId),
    /// Something that it needs isn't there.
    #[error("{child} can't be restored without {parent}, which isn't there")]
    NoParent {
        /// The backup that needs it.
        child: BackupId,
        /// What isn't there.
        parent: BackupId,
    },
    /// What is there under that id is another backup.
    #[error("{child} goes on from another {parent} than the one that is there")]
    OtherParent {
        /// The backup that needs it.
        child: BackupId,
        /// What is another.
        parent: BackupId,
    },
    /// It needs itself.
    #[error("{0} is among its own parents")]
    Circle(BackupId),
}

impl NotAChain {
    /// What would have to be there.
    pub fn lacking(&self) -> Option<&BackupId> {
        match self {
            NotAChain::Absent(lacking)
            | NotAChain::NoParent {
                parent: lacking, ..
            }
            | NotAChain::OtherParent {
                parent: lacking, ..
            } => Some(lacking),
            NotAChain::Circle(_) => None,
        }
    }
}

/// The backups of one destination, or of several.
#[derive(Debug, Clone, Default)]
pub struct Links(HashMap<BackupId, Linked>);

impl Links {
    /// Of these backups.
    pub fn new(linked: impl IntoIterator<Item = Linked>) -> Self {
        let linked = linked.into_iter();
        Links(
            linked
                .map(|linked| (linked.backup.id.clone(), linked))
                .collect(),
        )
    }

    /// What it takes to restore a backup: the full one first, itself last.
    ///
    /// # Errors
    /// Where not all of that is there.
    pub fn chain(&self, id: &BackupId) -> Result<Vec<BackupRef>, NotAChain> {
        let mut at = self
            .0
            .get(id)
            .ok_or_else(|| NotAChain::Absent(id.clone()))?;
        let mut chain = vec![at.backup.clone()];
        let mut seen = HashSet::from([id]);
        while let Some(parent) = &at.parent {
            let child = at.backup.id.clone();
            let found = self.0.get(&parent.id).ok_or_else(|| NotAChain::NoParent {
                child: child.clone(),
                parent: parent.id.clone(),
            })?;
            if found.backup != *parent {
                let parent = parent.id.clone();
                return Err(NotAChain::OtherParent { child, parent });
            }
            if !seen.insert(&parent.id) {
                return Err(NotAChain::Circle(child));
            }
            chain.push(parent.clone());
            at = found;
        }
        chain.reverse();
        Ok(chain)
    }

    /// What a backup needs, as far as that is there.
    pub fn needed_by(&self, id: &BackupId) -> Vec<BackupId> {
        let mut needed: Vec<BackupId> = Vec::new();
        let mut at = self.0.get(id);
        while let Some(parent) = at.and_then(|linked| linked.parent.as_ref()) {
            if parent.id == *id || needed.contains(&parent.id) {
                break;
            }
            needed.push(parent.id.clone());
            at = self.0.get(&parent.id);
        }
        needed
    }

    /// What isn't there, and something goes on from: what that in turn goes on from isn't known.
    pub fn missing(&self) -> impl Iterator<Item = &BackupId> {
        let parents = self.0.values().filter_map(|linked| linked.parent.as_ref());
        parents
            .map(|parent| &parent.id)
            .filter(|id| !self.0.contains_key(id))
    }

    /// What can't be restored any more without a backup: the youngest of them first, so that they can go in this order.
    pub fn needing(&self, id: &BackupId) -> Vec<BackupRef> {
        let mut needed = vec![id];
        let mut found: HashMap<&BackupId, usize> = HashMap::new();
        let mut generation = 0;
        while !needed.is_empty() {
            generation += 1;
            let children = self.0.values().filter(|linked| {
                let parent = linked.parent.as_ref();
                parent.is_some_and(|parent| needed.contains(&&parent.id))
            });
            let children: Vec<&BackupId> = children
                .map(|linked| &linked.backup.id)
                .filter(|child| *child != id && !found.contains_key(child))
                .collect();
            found.extend(children.iter().map(|child| (*child, generation)));
            needed = children;
        }
        let mut needing: Vec<_> = found.into_iter().collect();
        needing.sort_by(|(a, before), (b, after)| (after, b).cmp(&(before, a)));
        let linked = needing.into_iter().map(|(id, _)| &self.0[id]);
        linked.map(|linked| linked.backup.clone()).collect()
    }

    /// The backup that says what there was at a time: the last one that had begun.
    pub fn at(&self, time: Timestamp) -> Option<&BackupRef> {
        let began = self.0.values().map(|linked| &linked.backup);
        let began = began.filter(|backup| backup.started_at <= time);
        began.max_by_key(|backup| (backup.started_at, &backup.id))
    }

    /// Of a chain what isn't here, the first one first.
    pub fn lacking(&self, chain: &[BackupRef]) -> Vec<BackupRef> {
        let is_here = |backup: &BackupRef| {
            let found = self.0.get(&backup.id);
            found.is_some_and(|found| found.backup == *backup)
        };
        let lacking = chain.iter().filter(|backup| !is_here(backup));
        lacking.cloned().collect()
    }
}

#[cfg(test)]
mod tests;
