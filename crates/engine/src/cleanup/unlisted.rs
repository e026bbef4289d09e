//! What a destination has that its catalogue doesn't list: backups that have lost their entry, and what dead runs have left.

use teeline_core::{
    BackupError, Class, Judged, KeptBy, RunClaim, UnfinishedUpload, Withdrawal, WithdrawalReason,
    layout,
};

use super::destination::Cleaning;
use crate::dead_runs::{self, Left};
use crate::removal::Remains;
use crate::report::{CleanedDestination, Removal, RemovalStatus};
use crate::run_folders::{RunFolder, RunFolders};
use crate::unpublished::read_claim;
use crate::withdrawal::{Put, by_now, withdraw};

impl Cleaning<'_> {
    /// Backups that have lost their entry, as where whoever heals it has died. They are reported, and what they go on from is kept.
    pub(super) async fn lost_entries(
        &self,
        found: &RunFolders,
        judged: &mut [Judged],
        cleaned: &mut CleanedDestination,
    ) -> Result<(), BackupError> {
        let is_unlisted = |folder: &&RunFolder| {
            folder.has_manifest && folder.has_claim && !self.asked.knows(&folder.id)
        };
        for folder in found.folders.iter().filter(is_unlisted) {
            let sink = self.asked.opened.sink.as_ref();
            match read_claim(sink, &folder.id, &folder.path).await {
                Ok(claim) if self.has_come_meanwhile(folder, &claim).await? => continue,
                Ok(RunClaim { head, .. }) => {
                    let parent = head.parent.map(|parent| parent.id);
                    self.keep_with_what_it_needs(parent.as_ref(), judged);
                }
                Err(error) if error.class().is_retriable() => return Err(error),
                Err(_) => keep_what_began_before(folder, judged),
            }
            let message = "it has a manifest, and isn't in the catalogue";
            let place = format!("{sink}: {}", folder.path);
            let error = BackupError::new(Class::Corrupt, "clean up", place, message)
                .suggest("`teeline repair` lists it again, where it is whole");
            cleaned.removals.push(Removal {
                error: Some((&error).into()),
                ..Removal::new(&folder.id, RemovalStatus::Left)
            });
        }
        Ok(())
    }

    /// Whether it was published, or withdrawn, since the catalogue was read.
    async fn has_come_meanwhile(
        &self,
        folder: &RunFolder,
        claim: &RunClaim,
    ) -> Result<bool, BackupError> {
        let opened = &self.asked.opened;
        if dead_runs::has_entry(opened, claim).await? {
            return Ok(true);
        }
        let entry = layout::catalog_entry(&folder.id, claim.head.started_at)?;
        Ok(by_now(opened, &folder.id, &entry).await?.is_some())
    }

    /// The folders of dead runs. Those that are left are reported, and what they go on from is kept.
    pub(super) async fn dead_runs(
        &self,
        found: &RunFolders,
        uploads: &[UnfinishedUpload],
        judged: &mut [Judged],
        cleaned: &mut CleanedDestination,
    ) -> Result<Vec<(RunFolder, RunClaim)>, BackupError> {
        let mut dead = Vec::new();
        let unpublished = found
            .folders
            .iter()
            .filter(|folder| !folder.has_manifest && !self.asked.has_withdrawn(&folder.id));
        for folder in unpublished {
            let looked = dead_runs::look(&self.asked.opened, folder, uploads, self.bound());
            match looked.await? {
                Left::Quiet => {}
                Left::Dead(claim) => dead.push((folder.clone(), *claim)),
                Left::Wanted(error, parent) => {
                    cleaned.removals.push(Removal {
                        error: Some((&error).into()),
                        ..Removal::new(&folder.id, RemovalStatus::Left)
                    });
                    self.keep_with_what_it_needs(parent.as_ref(), judged);
                }
                Left::Unclear(error) => {
                    let removal = Removal::new(&folder.id, RemovalStatus::Left);
                    cleaned.removals.push(removal.failed(&error));
                }
            }
        }
        Ok(dead)
    }

    /// Removes what a dead run has left. It is withdrawn meanwhile, so that nobody publishes it half removed.
    pub(super) async fn sweep(&self, folder: &RunFolder, claim: &RunClaim) -> Removal {
        let mut removal = Removal::new(&folder.id, RemovalStatus::Removed);
        removal.reason = Some(WithdrawalReason::DeadRun);
        if self.dry_run {
            return removal;
        }
        let sweeping = async {
            let entry = layout::catalog_entry(&folder.id, claim.head.started_at)?;
            let withdrawal = Withdrawal {
                id: folder.id.clone(),
                path: Some(folder.path.clone()),
                withdrawn_at: self.now,
                reason: WithdrawalReason::DeadRun,
                by: None,
            };
            let opened = &self.asked.opened;
            let withdrawn = match withdraw(self.engine, self.asked, &entry, withdrawal).await? {
                Put::Ours(withdrawn) => withdrawn,
                Put::Theirs(withdrawn) => return Ok(Err(withdrawn)),
            };
            let mut remains = Remains {
                folders: vec![folder.path.clone()],
                entries: withdrawn.entries,
                records: Vec::new(),
            };
            remains.forget_last(&withdrawn.key);
            let removed = remains.remove(opened, &folder.id, &withdrawn.key).await;
            removed.map(Ok)
        };
        match sweeping.await {
            Ok(Err(theirs)) => {
                removal.withdrawn_at = Some(self.now);
                theirs.as_theirs(removal, &self.policy)
            }
            Ok(Ok(removed)) => removal.after(Ok(removed)),
            Err(error) => removal.after(Err(error)),
        }
    }
}

/// What a link goes on from that doesn't tell it may be any of these.
fn keep_what_began_before(link: &RunFolder, judged: &mut [Judged]) {
    if !link.id.backup_type().is_incremental() {
        return;
    }
    let unkept = judged.iter_mut().filter(|judged| !judged.is_kept());
    for judged in unkept.filter(|judged| Some(judged.started_at) <= link.id.began()) {
        judged.kept_by.push(KeptBy::needed());
    }
}
