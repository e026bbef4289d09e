//! The cleanup of one destination.

use std::cmp::Reverse;
use std::collections::HashSet;

use futures::TryStreamExt;
use teeline_core::{
    BackupError, BackupId, BackupRef, CatalogEntry, Class, Judged, KeptBy, ObjectKey, ObjectMeta,
    RunClaim, TimeZone, Timestamp, UnfinishedUpload, Withdrawal, WithdrawalReason, layout,
};

use super::judge::judge;
use super::outdated::Outdated;
use crate::catalog::Asked;
use crate::clocks;
use crate::dead_runs::{self, Bound};
use crate::engine::Engine;
use crate::ledger::Ledger;
use crate::removal::{Remains, Removed};
use crate::report::{
    CleanedBackup, CleanedDestination, CleanedUpload, CleanupStatus, Removal, RemovalStatus,
};
use crate::request::RetentionPolicy;
use crate::run_folders::{RunFolder, RunFolders, run_folders};
use crate::withdrawal::{Put, Withdrawn, removable_from, withdraw};

pub(super) struct Cleaning<'a> {
    pub(super) engine: &'a Engine,
    pub(super) asked: &'a Asked,
    pub(super) policy: RetentionPolicy,
    pub(super) time_zone: TimeZone,
    pub(super) now: Timestamp,
    pub(super) dry_run: bool,
}

/// What is to be done. It was found without changing anything.
struct Plan {
    judged: Vec<Judged>,
    removable: Vec<(Removal, ObjectKey, Remains)>,
    needed: Vec<(Removal, ObjectKey)>,
    dead: Vec<(RunFolder, RunClaim)>,
    orphans: Vec<UnfinishedUpload>,
    outdated: Outdated,
}

impl Plan {
    fn is_empty(&self) -> bool {
        let nothing_goes = self.judged.iter().all(Judged::is_kept);
        let nothing_comes = self.needed.is_empty();
        nothing_goes
            && nothing_comes
            && self.removable.is_empty()
            && self.dead.is_empty()
            && self.orphans.is_empty()
            && self.outdated.is_empty()
    }
}

impl Cleaning<'_> {
    pub(super) async fn run(&self, cleaned: &mut CleanedDestination) -> Result<(), BackupError> {
        let damaged = self.asked.catalog.damaged();
        let damaged = damaged.map(|(_, _, error)| error.into());
        cleaned.errors.extend(damaged);
        let found = run_folders(self.asked.opened.sink.as_ref()).await?;
        let plan = self.plan(&found, cleaned).await?;
        if let Err(error) = self.check_share(&plan.judged) {
            if !self.dry_run {
                return Err(error);
            }
            cleaned.errors.push((&error).into());
        }
        let changes = !self.dry_run && !plan.is_empty();
        if changes {
            clocks::check(self.engine, &self.asked.opened).await?;
            self.delete_probes(&found).await?;
        }
        self.withdraw_all(plan.judged, &found, cleaned).await;
        for (removal, withdrawal) in plan.needed {
            let removal = self.take_back(removal, &withdrawal).await;
            cleaned.removals.push(removal);
        }
        for (removal, withdrawal, remains) in plan.removable {
            let removal = self.remove(removal, &withdrawal, remains).await;
            cleaned.removals.push(removal);
        }
        for (folder, claim) in plan.dead {
            let removal = self.sweep(&folder, &claim).await;
            cleaned.removals.push(removal);
        }
        for upload in plan.orphans {
            let upload = self.discard(upload).await;
            cleaned.uploads.push(upload);
        }
        let opened = &self.asked.opened;
        plan.outdated.sweep(opened, self.dry_run, cleaned).await?;
        self.set_markers_right(cleaned).await?;
        self.fold(cleaned, changes).await
    }

    /// That no more of all backups would go at once than may.
    fn check_share(&self, judged: &[Judged]) -> Result<(), BackupError> {
        let all = judged.len() as u64;
        let going = judged.iter().filter(|judged| !judged.is_kept()).count() as u64;
        let percent_max = self.policy.withdraw_percent_max;
        if going * 100 <= all * percent_max {
            return Ok(());
        }
        let message = format!(
            "{going} of {all} backups would be withdrawn, and at most {percent_max} % may be at once; nothing was changed"
        );
        let sink = self.asked.opened.sink.as_ref();
        Err(BackupError::new(Class::Permanent, "clean up", sink, message)
            .suggest("see which by --dry-run; where that is as it should be, say --withdraw-percent-max 100"))
    }

    /// Finds what is to be done, and reports what isn't.
    async fn plan(
        &self,
        found: &RunFolders,
        cleaned: &mut CleanedDestination,
    ) -> Result<Plan, BackupError> {
        let ledger = Ledger::of(&self.asked.opened, &found.verifications, self.now);
        let mut plan = Plan {
            judged: judge(self, found, &ledger).await?,
            removable: Vec::new(),
            needed: Vec::new(),
            dead: Vec::new(),
            orphans: Vec::new(),
            outdated: Outdated::find(&self.asked.opened, &ledger, found, self.bound()).await?,
        };
        self.look_at_withdrawn(found, &mut plan, cleaned).await;
        self.lost_entries(found, &mut plan.judged, cleaned).await?;
        let unfinished = self.asked.opened.sink.unfinished(None);
        match unfinished.try_collect::<Vec<_>>().await {
            Ok(uploads) => {
                plan.dead = self
                    .dead_runs(found, &uploads, &mut plan.judged, cleaned)
                    .await?;
                plan.orphans = dead_runs::orphans(&uploads, found, self.bound());
            }
            // Without, it can't be told whether a run may be going on; the rules don't ask for that.
            Err(error) => cleaned.errors.push((&error).into()),
        }
        Ok(plan)
    }

    /// Deletes what looks at the store's clock, and probes of the store, have left that broke off.
    async fn delete_probes(&self, found: &RunFolders) -> Result<(), BackupError> {
        let is_old = |probe: &&ObjectMeta| {
            let written_at = probe.modified_at;
            written_at.is_some_and(|at| self.bound().is_passed_by(at))
        };
        for probe in found.probes.iter().filter(is_old) {
            self.asked.opened.sink.delete(&probe.key).await?;
        }
        Ok(())
    }

    pub(super) fn bound(&self) -> Bound {
        Bound {
            now: self.now,
            dead_after: self.policy.dead_after,
        }
    }

    pub(super) fn keep_with_what_it_needs(&self, id: Option<&BackupId>, judged: &mut [Judged]) {
        let links = self.asked.catalog.links();
        let needed = id.map_or(Vec::new(), |id| links.needed_by(id));
        for judged in judged.iter_mut().filter(|judged| !judged.is_kept()) {
            if id == Some(&judged.id) || needed.contains(&judged.id) {
                judged.kept_by.push(KeptBy::needed());
            }
        }
    }

    /// Withdraws the backups that nothing keeps: what needs another one before that, so that whoever breaks off leaves
    /// nothing that can't be restored. Where one couldn't be withdrawn, what it needs stays.
    async fn withdraw_all(
        &self,
        judged: Vec<Judged>,
        found: &RunFolders,
        cleaned: &mut CleanedDestination,
    ) {
        let links = self.asked.catalog.links();
        let mut judged: Vec<(usize, Judged)> = judged
            .into_iter()
            .map(|judged| (links.needed_by(&judged.id).len(), judged))
            .collect();
        judged.sort_by_key(|(needed, _)| Reverse(*needed));
        let mut needed = HashSet::new();
        for (_, mut judged) in judged {
            if !judged.is_kept() && needed.contains(&judged.id) {
                judged.kept_by.push(KeptBy::needed());
            }
            if !judged.is_kept() && self.may_be_needed_by_undecided(&judged.id) {
                judged.kept_by.push(KeptBy::needed());
            }
            let id = judged.id.clone();
            self.withdraw(judged, found, cleaned).await;
            let last = cleaned.backups.last();
            let is_failed = last.is_some_and(|backup| backup.status == CleanupStatus::Failed);
            let last = cleaned.removals.last();
            if is_failed || last.is_some_and(|removal| removal.id == id && removal.is_theirs) {
                needed.extend(links.needed_by(&id));
            }
        }
        let place =
            |backup: &CleanedBackup| (Reverse(backup.timestamp), Reverse(backup.id.clone()));
        cleaned.backups.sort_by_key(place);
    }

    /// Whether a link that somebody else has just withdrawn, and may yet keep, may go on from a backup: it began later, or in the same second.
    fn may_be_needed_by_undecided(&self, id: &BackupId) -> bool {
        let mut withdrawn = self.asked.catalog.withdrawn.values();
        withdrawn.any(|of| {
            of.id != *id
                && of.id.began() >= id.began()
                && of.is_undecided_link(&self.policy, self.now)
        })
    }

    /// Withdraws a backup that nothing keeps, and removes it where there is no grace.
    async fn withdraw(&self, judged: Judged, found: &RunFolders, cleaned: &mut CleanedDestination) {
        let mut backup = CleanedBackup {
            id: judged.id.clone(),
            timestamp: judged.started_at,
            status: CleanupStatus::Kept,
            kept_by: judged.kept_by,
            error: None,
        };
        if !backup.kept_by.is_empty() {
            return cleaned.backups.push(backup);
        }
        let Some(entry) = self.asked.entry(&judged.id) else {
            return cleaned.backups.push(backup);
        };
        backup.status = CleanupStatus::Withdrawn;
        match self.withdraw_entry(entry).await {
            Err(error) => {
                backup.status = CleanupStatus::Failed;
                backup.error = Some((&error).into());
            }
            Ok(Some(Put::Theirs(withdrawn))) => {
                let removal = self.expired(&judged.id);
                cleaned
                    .removals
                    .push(withdrawn.as_theirs(removal, &self.policy));
            }
            Ok(ours) => {
                let withdrawn = match ours {
                    Some(Put::Ours(withdrawn)) => Some(withdrawn),
                    _ => None,
                };
                let mut removal = self.expired(&judged.id);
                let written_at = withdrawn
                    .as_ref()
                    .and_then(|withdrawn| withdrawn.written_at);
                let from = removable_from(Some(self.now), written_at, self.policy.grace);
                removal.removable_from = from;
                if self.policy.grace.ms() == 0 {
                    let mut remains = found.remains(&judged.id);
                    remains.leave_copies(Some(&entry.path));
                    removal = match withdrawn {
                        Some(Withdrawn { key, entries, .. }) => {
                            remains.entries = entries;
                            self.remove(removal, &key, remains).await
                        }
                        None => removal.after(Ok(Removed::default())),
                    };
                }
                cleaned.removals.push(removal);
            }
        }
        cleaned.backups.push(backup);
    }

    fn expired(&self, id: &BackupId) -> Removal {
        Removal {
            reason: Some(WithdrawalReason::Expired),
            withdrawn_at: Some(self.now),
            ..Removal::new(id, RemovalStatus::Withdrawn)
        }
    }

    /// Withdraws a backup; nothing in a dry run.
    async fn withdraw_entry(&self, entry: &CatalogEntry) -> Result<Option<Put>, BackupError> {
        if self.dry_run {
            return Ok(None);
        }
        let key = layout::catalog_entry(&entry.id, entry.started_at)?;
        let withdrawal = Withdrawal {
            id: entry.id.clone(),
            path: Some(entry.path.clone()),
            withdrawn_at: self.now,
            reason: WithdrawalReason::Expired,
            by: None,
        };
        withdraw(self.engine, self.asked, &key, withdrawal)
            .await
            .map(Some)
    }

    /// What was withdrawn before and isn't gone. What may be removed now is planned, and so is what is needed by a backup that is
    /// listed: whoever withdrew that was gone before it could see so. What has to wait is reported.
    async fn look_at_withdrawn(
        &self,
        found: &RunFolders,
        plan: &mut Plan,
        cleaned: &mut CleanedDestination,
    ) {
        let links = self.asked.catalog.links();
        for withdrawn in self.asked.catalog.withdrawn.values() {
            let mut remains = found.remains(&withdrawn.id);
            remains.entries.clone_from(&withdrawn.entries);
            if withdrawn.is_of_dead_run() {
                remains.forget_last(&withdrawn.key);
            }
            // Of most there is nothing left, and what they say needs no reading.
            if remains.is_empty() {
                continue;
            }
            let looked = withdrawn.look(&self.asked.opened, &self.policy, self.now);
            let looked = looked.await;
            if looked.removal.status == RemovalStatus::Failed {
                cleaned.removals.push(looked.removal);
                continue;
            }
            remains.leave_copies(looked.path.as_deref());
            let needing = links.needing(&withdrawn.id);
            let is_listed = |link: &BackupRef| self.asked.entry(&link.id).is_some();
            if !withdrawn.is_of_dead_run() && needing.iter().any(is_listed) {
                plan.needed.push((looked.removal, withdrawn.key.clone()));
                continue;
            }
            if let Some(link) = needing.first() {
                let message = format!("{} is there, and can't be restored without it", link.id);
                let error = BackupError::new(Class::Conflict, "remove", &withdrawn.id, message);
                cleaned.removals.push(looked.removal.failed(&error));
                continue;
            }
            match looked.may_go {
                _ if remains.is_empty() => {}
                true => {
                    let withdrawal = withdrawn.key.clone();
                    plan.removable.push((looked.removal, withdrawal, remains));
                }
                false => cleaned.removals.push(looked.removal),
            }
        }
    }

    /// Takes the withdrawal of a backup back that a listed one can't be restored without.
    async fn take_back(&self, removal: Removal, withdrawal: &ObjectKey) -> Removal {
        let taken = match self.dry_run {
            true => Ok(()),
            false => self.asked.opened.sink.delete(withdrawal).await,
        };
        let message =
            "it isn't withdrawn any more: a backup that is listed can't be restored without it";
        let needed = BackupError::new(Class::Conflict, "remove", &removal.id, message);
        match taken {
            Err(error) => removal.failed(&error),
            Ok(()) => Removal {
                status: RemovalStatus::Left,
                error: Some((&needed).into()),
                removable_from: None,
                ..removal
            },
        }
    }

    /// Removes what is withdrawn.
    async fn remove(&self, removal: Removal, withdrawal: &ObjectKey, remains: Remains) -> Removal {
        if self.dry_run {
            return removal.after(Ok(Removed::default()));
        }
        let opened = &self.asked.opened;
        let removed = remains.remove(opened, &removal.id, withdrawal).await;
        removal.after(removed)
    }

    async fn discard(&self, upload: UnfinishedUpload) -> CleanedUpload {
        let error = match self.dry_run {
            true => None,
            false => self.asked.opened.sink.discard(&upload).await.err(),
        };
        CleanedUpload {
            key: upload.key,
            touched_at: upload.touched_at,
            error: error.as_ref().map(Into::into),
        }
    }
}
