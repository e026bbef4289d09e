//! What a destination has of a backup, before anything of it is read.

use teeline_core::BackupId;

use crate::open::Opened;
use crate::repair::evidence::Evidence;
use crate::run_folders::Searched;

/// A destination that can be asked, and what is there of a backup.
pub(super) struct Site<'a> {
    pub(super) searched: &'a Searched,
    /// The folder of its files below the root, where there is one.
    pub(super) path: Option<String>,
    pub(super) standing: Standing,
}

/// What the backup is at a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is listed.
    Listed,
    /// It was, by its record, its manifest or what was moved away: something of what lists it is lost or damaged.
    Lost,
    /// It was never published there, as far as is known: there are files of it.
    Begun,
    /// Nothing of it is there.
    Absent,
    /// It was withdrawn.
    Withdrawn,
}

impl<'a> Site<'a> {
    pub(super) fn of(id: &BackupId, searched: &'a Searched, evidence: &Evidence) -> Self {
        let catalog = &searched.asked.catalog;
        let name = &searched.asked.opened.name;
        let was_listed = evidence.is_recorded_at(name) || searched.lost.contains(id);
        let mut folders: Vec<_> = searched
            .folders
            .iter()
            .filter(|folder| folder.id == *id && (folder.has_manifest || folder.has_claim))
            .collect();
        folders.sort_by_key(|folder| !folder.has_manifest);
        let folder = folders.first();
        // Without a claim it may be a restore that only has the name.
        let has_files = searched.folders.iter().any(|folder| folder.id == *id);
        let mut without_manifest = catalog.without_manifest.iter();
        let entry = searched
            .asked
            .entry(id)
            .or_else(|| without_manifest.find(|entry| entry.id == *id));
        let standing = if searched.asked.has_withdrawn(id) {
            Standing::Withdrawn
        } else if searched.asked.entry(id).is_some() {
            Standing::Listed
        } else if catalog.damaged_of(id).next().is_some()
            || folder.is_some_and(|folder| folder.has_manifest)
        {
            Standing::Lost
        } else if folder.is_some() || entry.is_some() || (was_listed && has_files) {
            match was_listed {
                true => Standing::Lost,
                false => Standing::Begun,
            }
        } else {
            Standing::Absent
        };
        let path = entry.map(|entry| &entry.path);
        Site {
            searched,
            path: path.or(folder.map(|folder| &folder.path)).cloned(),
            standing,
        }
    }

    pub(super) fn opened(&self) -> &'a Opened {
        &self.searched.asked.opened
    }
}
