//! Removing what was withdrawn, in an order in which nothing half removed is taken for a backup, and from which anybody can
//! go on: what marks it as published first and the manifest next, then files and the catalogue's entries, the claim, which tells the
//! files, after them, and last the records. What else is in the folder stays.

use std::collections::HashSet;

use futures::{TryStreamExt, stream};
use teeline_actors::{are_gone, is_there, read_entry};
use teeline_core::commit::{RemovalTurn, Traces};
use teeline_core::seal::SealEntry;
use teeline_core::{
    BackupError, BackupId, Class, Manifest, ObjectKey, ObjectMeta, RunClaim, SealedManifest, Sink,
    UnfinishedUpload, layout,
};

use crate::catalog::{located, read_document, read_whole, remove_entry, remove_markers};
use crate::check::Check;
use crate::files::{file_of, named_files};
use crate::keys::is_key_object;
use crate::open::Opened;

/// Files that are removed at once from one destination.
const REMOVALS_AT_ONCE: usize = 8;
/// So often the folder of something that is withdrawn is looked at: once with its claim there, and once without.
const ROUNDS: usize = 2;

/// What there may be of something that was withdrawn.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    /// The folders of its files. There is one, where that is known.
    pub(crate) folders: Vec<String>,
    /// Its entries in the catalogue, whose markers go as well.
    pub(crate) entries: Vec<ObjectKey>,
    /// The records of its runs, and of its checks; and what was damaged of it and moved away.
    pub(crate) records: Vec<ObjectKey>,
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Removed {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl Remains {
    /// Of the folders only the one at `path`, where that is known: others have been copied there by somebody else.
    pub(crate) fn leave_copies(&mut self, path: Option<&str>) {
        self.folders
            .retain(|folder| path.is_none_or(|path| path == folder));
    }

    /// Of a run that was never a backup: what it says of itself stays, the rest goes, and what withdraws it goes last.
    pub(crate) fn forget_last(&mut self, withdrawal: &ObjectKey) {
        self.records
            .retain(|key| layout::run_record_id(key).is_none());
        self.records.push(withdrawal.clone());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.folders.is_empty() && self.entries.is_empty() && self.records.is_empty()
    }

    /// Removes all of it, as long as it is withdrawn by what has that key; but nothing of a run that is being swept, and was published
    /// meanwhile.
    pub(crate) async fn remove(
        mut self,
        opened: &Opened,
        id: &BackupId,
        withdrawal: &ObjectKey,
    ) -> Result<Removed, BackupError> {
        let mut removed = Removed::default();
        let sweep = Some(withdrawal).filter(|key| layout::is_sweep(key));
        // It may be long since it was listed, and somebody may have taken it back, or removed all of it; then what is there now is
        // somebody's who has made it anew.
        match (is_there(opened.sink.as_ref(), withdrawal).await?, sweep) {
            (true, _) => {}
            (false, Some(_)) => return Ok(removed),
            (false, None) => return Err(taken_back(opened, withdrawal)),
        }
        if let Some(sweep) = sweep {
            // Whoever publishes makes one, whatever was there when it was listed.
            let entry = layout::withdrawn_entry(sweep);
            let entry = entry.filter(|entry| !self.entries.contains(entry));
            self.entries.extend(entry);
            for folder in &self.folders {
                self.keep_if_published(opened, folder, sweep).await?;
            }
        }
        let rounds = match sweep {
            // Whoever claims it anew may have written what would be found.
            Some(_) => 1,
            None => ROUNDS,
        };
        let entries = self.entries.iter();
        for entry in entries.filter(|key| layout::catalog_entry_id(key).is_some()) {
            remove_markers(opened.sink.as_ref(), entry).await?;
        }
        for folder in &self.folders {
            let of_folder = self.remove_folder(opened, id, folder, rounds).await?;
            removed.files += of_folder.files;
            removed.bytes += of_folder.bytes;
        }
        // Of a run that is swept they went before its claim: one that is there now is of somebody who has claimed it anew.
        if sweep.is_none() {
            self.remove_entries(opened.sink.as_ref()).await?;
        }
        for key in &self.records {
            opened.sink.delete(key).await?;
        }
        Ok(removed)
    }

    /// Takes the sweep of a run back that was published after it had been taken for dead: by somebody who has gone on with it, or because
    /// it has slept. Whoever publishes writes the manifest and then looks for a sweep, so one of the two sees the other.
    async fn keep_if_published(
        &self,
        opened: &Opened,
        path: &str,
        sweep: &ObjectKey,
    ) -> Result<(), BackupError> {
        let sink = opened.sink.as_ref();
        let folder = ObjectKey::new(path)?;
        let key = folder.join(layout::MANIFEST)?;
        if are_gone(sink, &folder, std::slice::from_ref(&key)).await? {
            return Ok(());
        }
        let bytes = read_whole(sink, &key).await?;
        let manifest = SealedManifest::open(&located(sink, &key), bytes)?.manifest;
        let catalog = ObjectKey::new(layout::CATALOG)?;
        let mut has_entry = false;
        for entry in &self.entries {
            has_entry |= match read_entry(sink, entry).await {
                Err(error) if error.class() == Class::NotFound => {
                    !are_gone(sink, &catalog, std::slice::from_ref(entry)).await?
                }
                Err(error) if error.class() != Class::Corrupt => return Err(error),
                _ => true,
            };
        }
        let traces = Traces {
            claim: !are_gone(sink, &folder, &[folder.join(layout::RUN_CLAIM)?]).await?,
            entry: has_entry,
            manifest: true,
            ..Traces::default()
        };
        // What one reading has otherwise may have been damaged on its way.
        let is_whole =
            is_whole(opened, path, &manifest).await? || is_whole(opened, path, &manifest).await?;
        if !traces.outlives_sweep(is_whole) {
            return Ok(());
        }
        sink.delete(sweep).await?;
        let message = "it was published meanwhile, so nothing of it is removed";
        let subject = located(sink, &key);
        Err(BackupError::new(
            Class::Conflict,
            "remove",
            subject,
            message,
        ))
    }

    /// Removes what a run wrote into a folder. Whoever writes there meanwhile, completing a copy, sees no more than that the claim is
    /// gone, and what it has written until then may be in no listing yet: so once the claim is gone there is another round.
    async fn remove_folder(
        &self,
        opened: &Opened,
        id: &BackupId,
        path: &str,
        rounds: usize,
    ) -> Result<Removed, BackupError> {
        let sink = opened.sink.as_ref();
        let folder = ObjectKey::new(path)?;
        if folder.file_name() != id.as_str() {
            let message = format!("it is no folder of {id}, so nothing in it is removed");
            return Err(BackupError::corrupt(located(sink, &folder), message));
        }
        let ours = Ours::find(opened, id, path).await?;
        let mut removed = Removed::default();
        for _ in 0..rounds {
            let round = self.remove_ours(opened, &folder, &ours).await?;
            removed.files += round.files;
            removed.bytes += round.bytes;
            if round.files == 0 {
                break;
            }
        }
        Ok(removed)
    }

    async fn remove_ours(
        &self,
        opened: &Opened,
        folder: &ObjectKey,
        ours: &Ours,
    ) -> Result<Removed, BackupError> {
        let (sink, path) = (opened.sink.as_ref(), folder.as_str());
        let is_in_folder = |key: &ObjectKey| {
            let above = key.as_str().rsplit_once('/');
            above.is_some_and(|(above, _)| above == path)
        };
        let objects: Vec<ObjectMeta> = sink.list(Some(folder)).try_collect().await?;
        let is_sealed = ours.is_sealed();
        let is_ours = |key: &ObjectKey| match is_in_folder(key) {
            true => ours.has(key.file_name()),
            false => is_sealed && is_key_object(path, key),
        };
        let gone: Vec<ObjectMeta> = objects
            .into_iter()
            .filter(|object| is_ours(&object.key))
            .collect();
        let turn_of = |object: &ObjectMeta| match is_key_object(path, &object.key) {
            true => RemovalTurn::Files,
            false => RemovalTurn::of(object.key.file_name()),
        };
        for turn in ours.turns() {
            if turn == RemovalTurn::Claim && ours.has_claim() {
                self.unlist(opened, path).await?;
            }
            let now = gone.iter().filter(|object| turn_of(object) == turn);
            stream::iter(now.map(Ok))
                .try_for_each_concurrent(REMOVALS_AT_ONCE, |object| sink.delete(&object.key))
                .await?;
            if turn == RemovalTurn::Files {
                // Where they can't be listed a cleanup says so, and finds them by their folder when they can.
                let uploads: Vec<UnfinishedUpload> =
                    match sink.unfinished(Some(folder)).try_collect().await {
                        Err(error) if !error.class().is_retriable() => Vec::new(),
                        uploads => uploads?,
                    };
                let is_of_folder =
                    |key: &ObjectKey| is_in_folder(key) || (is_sealed && is_key_object(path, key));
                for upload in uploads.iter().filter(|upload| is_of_folder(&upload.key)) {
                    sink.discard(upload).await?;
                }
            }
        }
        Ok(Removed {
            files: gone.len() as u64,
            bytes: gone.iter().map(|object| object.bytes).sum(),
        })
    }

    /// Removes what lists the backup: a manifest that was written since the removal began as well, for it names what is gone.
    async fn unlist(&self, opened: &Opened, path: &str) -> Result<(), BackupError> {
        opened
            .sink
            .delete(&file_of(path, layout::MANIFEST)?)
            .await?;
        self.remove_entries(opened.sink.as_ref()).await
    }

    async fn remove_entries(&self, sink: &dyn Sink) -> Result<(), BackupError> {
        for key in &self.entries {
            match layout::catalog_entry_id(key) {
                Some(_) => remove_entry(sink, key).await?,
                None => sink.delete(key).await?,
            }
        }
        Ok(())
    }
}

fn taken_back(opened: &Opened, withdrawal: &ObjectKey) -> BackupError {
    let message = "it isn't withdrawn any more, so nothing of it is removed";
    let subject = located(opened.sink.as_ref(), withdrawal);
    BackupError::new(Class::Conflict, "remove", subject, message)
}

/// Whether all that a manifest names is there and right; of what is archived, that it is there. What is missing is so by a list as well.
async fn is_whole(opened: &Opened, path: &str, manifest: &Manifest) -> Result<bool, BackupError> {
    let mut check = Check::new(opened);
    check.named(manifest, path).await;
    let unknown = check
        .damage
        .iter()
        .find(|damage| damage.class.is_retriable());
    if let Some(damage) = unknown {
        return Err(BackupError::new(
            damage.class,
            "look at",
            format!("{}: {}", opened.sink, damage.file),
            &damage.message,
        ));
    }
    let missing = check.damage.iter();
    let missing = missing.filter(|damage| damage.class == Class::NotFound);
    let missing: Result<Vec<_>, _> = missing.map(|damage| ObjectKey::new(&damage.file)).collect();
    let (folder, missing) = (ObjectKey::new(path)?, missing?);
    if missing.is_empty() || are_gone(opened.sink.as_ref(), &folder, &missing).await? {
        return Ok(check.damage.is_empty());
    }
    Err(seen_again(opened.sink.as_ref(), &folder))
}

/// What was looked for in a folder wasn't there at first.
fn seen_again(sink: &dyn Sink, folder: &ObjectKey) -> BackupError {
    let message = "what was missing of it is there when it is asked for again";
    BackupError::new(Class::Transient, "look at", located(sink, folder), message)
}

/// Which files of a folder a run wrote: as its claim says, or, where that can't be read, its manifest.
enum Ours {
    Claimed(Box<RunClaim>),
    Named(HashSet<String>, Option<SealEntry>),
}

impl Ours {
    async fn find(opened: &Opened, id: &BackupId, path: &str) -> Result<Self, BackupError> {
        let sink = opened.sink.as_ref();
        let folder = ObjectKey::new(path)?;
        let key = folder.join(layout::RUN_CLAIM)?;
        let is_absent = |error: &BackupError| error.class() == Class::NotFound;
        let claim = match read_document::<RunClaim>(sink, &key).await {
            Ok(claim) if claim.head.id == *id && claim.head.path == path => {
                return Ok(Ours::Claimed(Box::new(claim)));
            }
            Err(error) if error.class().is_retriable() => return Err(error),
            claim => claim,
        };
        let manifest = folder.join(layout::MANIFEST)?;
        let read = read_whole(sink, &manifest).await;
        let sealed = read.and_then(|bytes| SealedManifest::open(&located(sink, &manifest), bytes));
        match sealed {
            Ok(sealed) if sealed.manifest.id == *id => {
                let seal = sealed.manifest.plan.seal.clone();
                Ok(Ours::Named(named_files(&sealed.manifest), seal))
            }
            Err(error) if error.class().is_retriable() => Err(error),
            // A claim goes last of all files: nothing that is left was in it.
            Err(error) if is_absent(&error) && claim.as_ref().is_err_and(is_absent) => {
                match are_gone(sink, &folder, &[key, manifest]).await? {
                    true => Ok(Ours::Named(HashSet::new(), None)),
                    false => Err(seen_again(sink, &folder)),
                }
            }
            _ => {
                let message =
                    "neither it nor the manifest beside it tells which files are the backup's";
                let error =
                    BackupError::new(Class::Corrupt, "remove", located(sink, &key), message);
                Err(error.suggest(format!("remove the folder {path} by other means")))
            }
        }
    }

    fn has_claim(&self) -> bool {
        matches!(self, Ours::Claimed(_))
    }

    /// In which order they go: what tells them last.
    fn turns(&self) -> [RemovalTurn; 3] {
        match self {
            Ours::Claimed(_) => RemovalTurn::ORDER,
            Ours::Named(..) => RemovalTurn::WITHOUT_CLAIM,
        }
    }

    fn is_sealed(&self) -> bool {
        match self {
            Ours::Claimed(claim) => claim.head.plan.seal.is_some(),
            Ours::Named(_, seal) => seal.is_some(),
        }
    }

    fn has(&self, file: &str) -> bool {
        match self {
            Ours::Claimed(claim) => claim.writes(file),
            Ours::Named(files, _) => {
                let is_always = matches!(file, layout::MANIFEST | layout::RUN_CLAIM);
                is_always || layout::resumption_number(file).is_some() || files.contains(file)
            }
        }
    }
}
