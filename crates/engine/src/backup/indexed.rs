//! A host that can't read its backups: what it goes on from, and what it keeps of the backup that it has made.

use std::sync::Arc;

use teeline_core::chain::Linked;
use teeline_core::{
    BackupError, BackupId, BackupRef, CatalogEntry, Class, DestinationStatus, Manifest,
};

use super::Run;
use super::extent::{Extent, Parent};
use super::parent::AskedAll;
use crate::chain::Chain;
use crate::check::read_manifest;
use crate::copies::Copies;
use crate::keys::open_any;
use crate::local_index::{NewIndex, OpenIndex};
use crate::open::Opened;
use crate::report::{BackupReport, DestinationWarning};

/// What warnings about local indexes name instead of a destination.
const LOCAL_INDEX: &str = "local index";

impl Run<'_> {
    /// What this host keeps of a backup, if that is of the same and can be gone on from: destinations list all of its chain as
    /// it was made.
    ///
    /// # Errors
    /// Why it can't be used, where there is one.
    pub(super) async fn indexed(
        &self,
        id: &BackupId,
        asked: &AskedAll,
    ) -> Result<Option<OpenIndex>, BackupError> {
        let Some(local) = &self.request.local_index else {
            return Ok(None);
        };
        let Some(index) = OpenIndex::open(self.engine, local, id).await? else {
            return Ok(None);
        };
        let mut last = None;
        for backup in index.references() {
            last = Some(listed(&backup, asked).await?);
        }
        let Some(manifest) = last.filter(|manifest| self.is_of_the_same(manifest).is_ok()) else {
            return Ok(None);
        };
        index.check_source(&manifest)?;
        match index.is_for(&self.request.recipients) {
            true => Ok(Some(index)),
            false => {
                let message = "it isn't sealed for all of the recipients that are named now";
                Err(BackupError::new(
                    Class::Permanent,
                    "go on from",
                    id,
                    message,
                ))
            }
        }
    }

    /// Why nothing of what is sealed is gone on from.
    pub(super) fn why_unread(&self) -> String {
        let message = "no key opens the backups that it could go on from";
        match &self.request.local_index {
            None => format!("{message}, and no local index of them is kept"),
            Some(_) if !self.unusable.is_empty() => {
                let reasons = self.unusable.join("; ");
                format!("{message}, and what this host keeps of them can't be used: {reasons}")
            }
            Some(local) => {
                let folder = local.folder.display();
                format!("{message}, and there is no local index of them in {folder}")
            }
        }
    }

    /// What is to be known of local indexes. First keeps one of what was made, where the host can't read that.
    pub(super) async fn index_warnings(&self, report: &BackupReport) -> Vec<DestinationWarning> {
        let keeping = Box::pin(self.keep_index(report));
        let kept = self.deadline.cancel().guard(keeping).await;
        let said = kept.unwrap_or_else(|error| {
            let message =
                "what the next backup could go on from isn't kept, so that may have everything";
            Some(format!("{message}: {error}"))
        });
        let messages = self.unusable.iter().cloned().chain(said);
        let warning = |message| DestinationWarning {
            destination: LOCAL_INDEX.to_owned(),
            message,
        };
        messages.map(warning).collect()
    }

    /// Gives what somebody should know although it is kept.
    async fn keep_index(&self, report: &BackupReport) -> Result<Option<String>, BackupError> {
        let (Some(local), Some(made), Some((extent, Some(sealing)))) =
            (&self.request.local_index, &self.made, &self.pass_made)
        else {
            return Ok(None);
        };
        let parent = match extent {
            Extent::Everything => None,
            Extent::Onwards(Parent::Indexed(index)) => Some(index),
            // One that the host opens, and that others may be meant to open than this backup; one that has a part only.
            Extent::Onwards(Parent::Opened(_)) | Extent::Since(_) => return Ok(None),
        };
        let having = self.having(report);
        if having.is_empty()
            || made.manifest.plan.in_part().is_some()
            || open_any(self.engine, &sealing.keys, &self.request.keys.secrets).await?
        {
            return Ok(None);
        }
        let entry = made.entry(report.folder.as_deref().unwrap_or_default());
        let copies = Copies::of(
            having
                .into_iter()
                .map(|opened| (opened, entry.path.clone())),
            entry.checksum,
            made.manifest.clone(),
            Some(sealing.sealer.as_ref().clone()),
        );
        let own = Chain::alone(Arc::new(copies));
        let mut chain = parent.map(OpenIndex::references).unwrap_or_default();
        chain.push(own.reference());
        let index = NewIndex {
            chain,
            manifest: &made.manifest,
            recipients: &self.request.recipients,
            keys: &sealing.keys,
        };
        let says = (parent.map(OpenIndex::base), own.base());
        index.write(self.engine, local, says).await?;
        let swept = local.sweep(self.engine, &made.manifest).await;
        let left = swept.err();
        Ok(left.map(|error| format!("one that isn't needed any more can't be removed: {error}")))
    }

    /// The destinations that have the backup, the preferred first.
    fn having(&self, report: &BackupReport) -> Vec<Opened> {
        let all = self.opened.iter().zip(&report.destinations);
        let having = all.filter(|(_, at)| at.status == DestinationStatus::Committed);
        having.map(|(opened, _)| opened.clone()).collect()
    }
}

/// The manifest of a backup, from a destination that lists that very one.
async fn listed(backup: &BackupRef, asked: &AskedAll) -> Result<Manifest, BackupError> {
    let mut failure = None;
    for at in asked.iter().flatten() {
        let entry = at.entry(&backup.id);
        let is_it = |entry: &&CatalogEntry| Linked::from(*entry).backup == *backup;
        let Some(entry) = entry.filter(is_it) else {
            continue;
        };
        match read_manifest(&at.opened, entry).await {
            Ok(sealed) => return Ok(sealed.manifest),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| {
        let message = "no destination lists it as it was made";
        BackupError::new(Class::NotFound, "go on from", &backup.id, message)
    }))
}
