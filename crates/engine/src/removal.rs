//! Removing what was withdrawn, in an order in which nothing half removed is taken for a backup, and from which anybody can
//! go on: the manifest first, the claim, which tells the other files, after them, then the catalogue's entries and last the
//! records. What else is in the folder stays.

use std::collections::HashSet;

use futures::{TryStreamExt, stream};
use teeline_core::seal::SealEntry;
use teeline_core::{
    BackupError, BackupId, Class, Manifest, ObjectKey, ObjectMeta, RunClaim, SealedManifest,
    UnfinishedUpload, layout,
};

use crate::catalog::{located, read_document, read_whole};
use crate::files::file_of;
use crate::keys::is_key_object;
use crate::open::Opened;

/// Files that are removed at once from one destination.
const REMOVALS_AT_ONCE: usize = 8;

/// What there may be of something that was withdrawn.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    /// The folders of its files. There is one, where that is known.
    pub(crate) folders: Vec<String>,
    /// Its entries in the catalogue.
    pub(crate) entries: Vec<ObjectKey>,
    /// The records of its runs, and of its checks.
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

    /// Of a run that was never a backup: what it says of itself stays, and what withdraws it goes last.
    pub(crate) fn forget_last(&mut self, withdrawal: &ObjectKey) {
        self.records = vec![withdrawal.clone()];
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.folders.is_empty() && self.entries.is_empty() && self.records.is_empty()
    }

    /// Removes all of it.
    pub(crate) async fn remove(
        &self,
        opened: &Opened,
        id: &BackupId,
    ) -> Result<Removed, BackupError> {
        let mut removed = Removed::default();
        for folder in &self.folders {
            let of_folder = remove_folder(opened, id, folder).await?;
            removed.files += of_folder.files;
            removed.bytes += of_folder.bytes;
        }
        for key in self.entries.iter().chain(&self.records) {
            opened.sink.delete(key).await?;
        }
        Ok(removed)
    }
}

async fn remove_folder(opened: &Opened, id: &BackupId, path: &str) -> Result<Removed, BackupError> {
    let sink = opened.sink.as_ref();
    let folder = ObjectKey::new(path)?;
    if folder.file_name() != id.as_str() {
        let message = format!("it is no folder of {id}, so nothing in it is removed");
        return Err(BackupError::corrupt(located(sink, &folder), message));
    }
    let is_in_folder = |key: &ObjectKey| {
        let above = key.as_str().rsplit_once('/');
        above.is_some_and(|(above, _)| above == path)
    };
    let objects: Vec<ObjectMeta> = sink.list(Some(&folder)).try_collect().await?;
    let ours = Ours::find(opened, id, path).await?;
    let is_sealed = ours.is_sealed();
    let is_ours = |key: &ObjectKey| match is_in_folder(key) {
        true => ours.has(key.file_name()),
        false => is_sealed && is_key_object(path, key),
    };
    let ours: Vec<ObjectMeta> = objects
        .into_iter()
        .filter(|object| is_ours(&object.key))
        .collect();
    let place = |object: &ObjectMeta| match object.key.file_name() {
        _ if is_key_object(path, &object.key) => 1,
        layout::MANIFEST => 0,
        layout::RUN_CLAIM => 2,
        _ => 1,
    };
    for turn in 0..3 {
        let now = ours.iter().filter(|object| place(object) == turn);
        stream::iter(now.map(Ok))
            .try_for_each_concurrent(REMOVALS_AT_ONCE, |object| sink.delete(&object.key))
            .await?;
        if turn == 1 {
            // Where they can't be listed a cleanup says so, and finds them by their folder when they can.
            let uploads: Vec<UnfinishedUpload> =
                match sink.unfinished(Some(&folder)).try_collect().await {
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
        files: ours.len() as u64,
        bytes: ours.iter().map(|object| object.bytes).sum(),
    })
}

/// Which files of a folder a run wrote: as its claim says, or, where that can't be read, its manifest.
enum Ours {
    Claimed(Box<RunClaim>),
    Named(HashSet<String>, Option<SealEntry>),
}

impl Ours {
    async fn find(opened: &Opened, id: &BackupId, path: &str) -> Result<Self, BackupError> {
        let sink = opened.sink.as_ref();
        let key = file_of(path, layout::RUN_CLAIM)?;
        let is_absent = |error: &BackupError| error.class() == Class::NotFound;
        let claim = match read_document::<RunClaim>(sink, &key).await {
            Ok(claim) if claim.head.id == *id && claim.head.path == path => {
                return Ok(Ours::Claimed(Box::new(claim)));
            }
            Err(error) if error.class().is_retriable() => return Err(error),
            claim => claim,
        };
        let manifest = file_of(path, layout::MANIFEST)?;
        let read = read_whole(sink, &manifest).await;
        let sealed = read.and_then(|bytes| SealedManifest::open(&located(sink, &manifest), bytes));
        match sealed {
            Ok(sealed) if sealed.manifest.id == *id => {
                let seal = sealed.manifest.plan.seal.clone();
                Ok(Ours::Named(named(&sealed.manifest), seal))
            }
            Err(error) if error.class().is_retriable() => Err(error),
            // A claim goes last of all files: nothing that is left was in it.
            Err(error) if is_absent(&error) && claim.as_ref().is_err_and(is_absent) => {
                Ok(Ours::Named(HashSet::new(), None))
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
                matches!(file, layout::MANIFEST | layout::RUN_CLAIM) || files.contains(file)
            }
        }
    }
}

fn named(manifest: &Manifest) -> HashSet<String> {
    let segments = manifest
        .all_resources()
        .flat_map(|resource| &resource.segments);
    let segments = segments.flat_map(|segment| [segment.file.clone(), segment.index.clone()]);
    let attachments = manifest.attachments.iter().map(|entry| entry.file.clone());
    segments.chain(attachments).collect()
}
