//! The catalogue after a cleanup of one destination: markers of published backups, and entries that are folded.

use std::collections::HashSet;

use teeline_core::{BackupError, BackupId};

use super::destination::Cleaning;
use crate::catalog::Foldable;
use crate::clocks;
use crate::report::{CleanedDestination, CleanupStatus};

impl Cleaning<'_> {
    /// Marks the published backups that stay and aren't marked so, and removes the markers of what isn't published.
    pub(super) async fn set_markers_right(
        &self,
        cleaned: &CleanedDestination,
    ) -> Result<(), BackupError> {
        if self.dry_run {
            return Ok(());
        }
        let kept = kept(cleaned);
        self.asked.mark_published(|id| kept.contains(id)).await?;
        self.asked.remove_misleading_markers().await
    }

    /// Folds the entries of the backups that stay and are older than any run that may be going on; `is_trusted` says that the clocks
    /// agree, and that objects may be deleted. Otherwise that is found out, and where it isn't so nothing is folded: it only saves requests.
    pub(super) async fn fold(
        &self,
        cleaned: &CleanedDestination,
        is_trusted: bool,
    ) -> Result<(), BackupError> {
        if self.dry_run {
            return Ok(());
        }
        let (kept, bound) = (kept(cleaned), self.bound());
        let is_old = |entry: &Foldable| {
            let mut times = [Some(entry.began), entry.written_at].into_iter().flatten();
            kept.contains(&entry.id) && times.all(|at| bound.is_passed_by(at))
        };
        if !self.asked.may_fold(is_old) {
            return Ok(());
        }
        if !is_trusted && let Err(error) = clocks::check(self.engine, &self.asked.opened).await {
            let destination = &self.asked.opened.name;
            tracing::info!(destination, %error, "old entries of the catalogue stay as they are");
            return Ok(());
        }
        self.asked.fold(is_old).await
    }
}

fn kept(cleaned: &CleanedDestination) -> HashSet<&BackupId> {
    let kept = cleaned.backups.iter();
    let kept = kept.filter(|backup| backup.status == CleanupStatus::Kept);
    kept.map(|backup| &backup.id).collect()
}
