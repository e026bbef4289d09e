//! The markers of published backups, after a cleanup of one destination.

use std::collections::HashSet;

use teeline_core::{BackupError, BackupId};

use super::destination::Cleaning;
use crate::catalog::Foldable;
use crate::report::{CleanedDestination, CleanupStatus};

impl Cleaning<'_> {
    /// Marks the published backups that stay and aren't marked so, removes the markers of what isn't published, and folds the entries of
    /// what is older than any run that may be going on.
    pub(super) async fn set_markers_right(
        &self,
        cleaned: &CleanedDestination,
    ) -> Result<(), BackupError> {
        if self.dry_run {
            return Ok(());
        }
        let kept = cleaned.backups.iter();
        let kept = kept.filter(|backup| backup.status == CleanupStatus::Kept);
        let kept: HashSet<&BackupId> = kept.map(|backup| &backup.id).collect();
        self.asked.mark_published(|id| kept.contains(id)).await?;
        self.asked.remove_misleading_markers().await?;
        let bound = self.bound();
        let is_old = |entry: &Foldable| {
            let was_written = [Some(entry.began), entry.written_at];
            was_written
                .into_iter()
                .flatten()
                .all(|at| bound.is_passed_by(at))
        };
        let folding = self
            .asked
            .fold(|entry| kept.contains(&entry.id) && is_old(entry));
        folding.await
    }
}
