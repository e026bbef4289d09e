//! The newest run of a request that broke off.

use futures::future::join_all;
use teeline_core::{BackupId, Span};

use crate::backup::Run;
use crate::catalog::{Catalog, Wanted};
use crate::open::Opened;
use crate::run_folders::run_folders;
use crate::unpublished::read_claim;

/// So many runs that broke off are looked into, the newest first.
const LOOKED_INTO_MAX: usize = 8;

/// A run that began longer ago isn't taken up unless it is named: the backup has that date, and what is read of it now is of today.
const BEGAN_WITHIN: Span = Span::from_ms(12 * 60 * 60 * 1000);

impl Run<'_> {
    /// The newest run that this request began not long ago, that is no backup anywhere, and since which no backup of its type was made.
    pub(super) async fn newest_unfinished(&self) -> Option<BackupId> {
        let found = join_all(self.opened.iter().map(|opened| self.unfinished_at(opened))).await;
        let mut candidates: Vec<(usize, BackupId, String)> = Vec::new();
        let mut published: Vec<BackupId> = Vec::new();
        for (index, found) in found.into_iter().enumerate() {
            // One that can't be asked has no say: it may be dead, and a run that isn't found is made anew.
            let (folders, backups) = found.unwrap_or_default();
            candidates.extend(folders.into_iter().map(|(id, path)| (index, id, path)));
            published.extend(backups);
        }
        let last_made = published.iter().filter_map(BackupId::began).max();
        let now = (self.engine.0.clock)();
        let is_recent = |id: &BackupId| {
            id.began()
                .is_some_and(|began| began.until(now) < BEGAN_WITHIN)
        };
        candidates.retain(|(_, id, _)| {
            is_recent(id) && id.began() > last_made && !published.contains(id)
        });
        candidates.sort_by_key(|(_, id, _)| std::cmp::Reverse((id.began(), id.clone())));
        for (index, id, path) in candidates.into_iter().take(LOOKED_INTO_MAX) {
            let claim = read_claim(self.opened[index].sink.as_ref(), &id, &path).await;
            if claim.is_ok_and(|claim| self.check_same(&claim).is_ok()) {
                return Some(id);
            }
        }
        None
    }

    /// The folders of runs of this type without a manifest, and the backups of this type, at a destination.
    async fn unfinished_at(
        &self,
        opened: &Opened,
    ) -> Option<(Vec<(BackupId, String)>, Vec<BackupId>)> {
        let backup_type = &self.request.backup_type;
        let of_type = |id: &BackupId| id.backup_type() == *backup_type;
        let found = run_folders(opened.sink.as_ref()).await.ok()?;
        let newest = Wanted {
            takes: &|id, _| of_type(id),
            limit: 1,
            ..Wanted::ALL
        };
        let catalog = Catalog::read(opened, &newest).await.ok()?;
        let folders = found.folders.into_iter();
        let without = folders.filter(|folder| {
            let is_withdrawn = catalog.withdrawn(&folder.id).is_some();
            of_type(&folder.id) && folder.has_claim && !folder.has_manifest && !is_withdrawn
        });
        let without = without.map(|folder| (folder.id, folder.path)).collect();
        let backups = catalog.entries.into_iter().map(|entry| entry.id);
        // What was published and has lost its manifest is a repair's.
        let lost = catalog.lost.into_iter().map(|(id, ..)| id);
        Some((without, backups.chain(lost).collect()))
    }
}
