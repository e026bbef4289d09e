//! What needs what, as a catalogue says it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use teeline_core::chain::{Linked, Links};
use teeline_core::{BackupId, BackupRef, CatalogEntry};

use super::{Catalog, Listed};

impl Catalog {
    /// What needs what, of all that may be restored or made whole again: also what has no manifest, which may be lost, or come.
    pub(crate) fn links(&self) -> Links {
        let entries = self.entries.iter().chain(&self.without_manifest);
        Links::new(entries.map(Linked::from))
    }

    /// What backups can be restored with here: those that are listed, and as long as they are there those that are withdrawn. What
    /// only an entry would say that wasn't read is taken for right.
    pub(crate) fn restored_with(&self) -> Links {
        self.restored_with_new(&[])
    }

    /// As [`Self::restored_with`], where these have come since the catalogue was read.
    pub(crate) fn restored_with_new(&self, new: &[&CatalogEntry]) -> Links {
        let entries = self.entries.iter().chain(new.iter().copied());
        let mut here: Vec<Linked> = entries.map(Linked::from).collect();
        let mut known: HashSet<BackupId> =
            here.iter().map(|linked| linked.backup.id.clone()).collect();
        let mut needed: Vec<BackupRef> = here
            .iter()
            .filter_map(|linked| linked.parent.clone())
            .collect();
        let without = self.without_manifest.iter().map(|entry| &entry.id);
        let without: HashSet<&BackupId> = without
            .chain(self.unreadable.iter().map(|(id, ..)| id))
            .collect();
        let listed = self.listed.iter().map(|listed| (&listed.id, listed));
        let listed: HashMap<&BackupId, &Arc<Listed>> =
            listed.filter(|(id, _)| !without.contains(id)).collect();
        while let Some(backup) = needed.pop() {
            if !known.insert(backup.id.clone()) {
                continue;
            }
            let unread = listed.get(&backup.id);
            match unread.and_then(|listed| listed.told()) {
                Some(entry) => {
                    needed.extend(entry.parent.clone());
                    here.push(Linked::from(&entry));
                }
                None if unread.is_some() || self.still_has(&backup.id) => here.push(Linked {
                    backup,
                    parent: None,
                }),
                None => {}
            }
        }
        Links::new(here)
    }

    /// Whether a backup is withdrawn here, and still there.
    fn still_has(&self, id: &BackupId) -> bool {
        let withdrawn = self.withdrawn(id);
        withdrawn.is_some_and(|of| !of.is_of_dead_run() && !of.entries.is_empty())
    }
}
