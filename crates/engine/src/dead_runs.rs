//! What runs have left that ended before they published anything, and whether that can be told from what is still wanted: a
//! run that goes on, or a backup whose manifest is lost.

use teeline_actors::read_entry;
use teeline_core::commit::Recorded;
use teeline_core::{
    BackupError, BackupId, Class, ObjectKey, RunClaim, RunRecord, Span, Timestamp,
    UnfinishedUpload, layout, published_marker,
};

use crate::open::Opened;
use crate::run_folders::{RunFolder, RunFolders};
use crate::run_records;
use crate::unpublished::{self, Incomplete};

/// How old what a run has left must be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) now: Timestamp,
    pub(crate) dead_after: Span,
}

impl Bound {
    /// Whether something that was touched at that time is old enough. What was in the future isn't.
    pub(crate) fn is_passed_by(&self, touched_at: Timestamp) -> bool {
        touched_at <= self.now && touched_at.until(self.now) >= self.dead_after
    }
}

/// What a folder without a manifest is.
#[derive(Debug)]
pub(crate) enum Left {
    /// What a dead run has left. It has this claim.
    Dead(Box<RunClaim>),
    /// Nothing that is to be removed: it may be wanted, as this says; and with it what it goes on from.
    Wanted(BackupError, Option<BackupId>),
    /// What can't be told, since this is in the way.
    Unclear(BackupError),
    /// Nothing that anything is to be said about: it may be of a run that goes on, or of nobody that is known.
    Quiet,
}

/// The records of a run, at one destination.
pub(crate) type Records = [(ObjectKey, Result<RunRecord, BackupError>)];

/// Looks at a folder without a manifest.
pub(crate) async fn look(
    opened: &Opened,
    folder: &RunFolder,
    uploads: &[UnfinishedUpload],
    bound: Bound,
) -> Result<Left, BackupError> {
    if !folder.has_claim || !is_untouched(folder, uploads, bound) {
        return Ok(Left::Quiet);
    }
    let sink = opened.sink.as_ref();
    let claim = match unpublished::read_claim(sink, &folder.id, &folder.path).await {
        Ok(claim) => claim,
        Err(error) if error.class().is_retriable() => return Err(error),
        Err(error) => return Ok(Left::Unclear(error)),
    };
    if !bound.is_passed_by(claim.head.started_at) {
        return Ok(Left::Quiet);
    }
    let records = run_records::of(sink, &folder.id).await?;
    let unreadable = records.iter().find_map(|(_, record)| record.as_ref().err());
    if let Some(error) = unreadable {
        let message = format!(
            "whether it was published can't be told: {}",
            error.message()
        );
        return Ok(Left::Unclear(alone(
            opened,
            &folder.path,
            error.class(),
            &message,
        )));
    }
    let recorded = match Recorded::of(readable(&records), &opened.location) {
        // Whoever took it up had its entry written, and so was about to publish it.
        Recorded::NeverPublished
            if are_outdated(&records, folder) && has_entry(opened, &claim).await? =>
        {
            Recorded::Nothing
        }
        recorded => recorded,
    };
    let is_whole = match recorded {
        Recorded::Nothing => match unpublished::reconstruct(sink, &folder.path, &claim, None).await
        {
            Ok(_) => true,
            Err(Incomplete::Missing(_)) => false,
            Err(Incomplete::Failed(error, _)) if error.class().is_retriable() => return Err(error),
            Err(Incomplete::Failed(error, _)) => return Ok(Left::Unclear(error)),
        },
        // It doesn't matter, and needn't be read.
        Recorded::NeverPublished | Recorded::Published => true,
    };
    if recorded.is_dead(is_whole) {
        return Ok(Left::Dead(Box::new(claim)));
    }
    let message = "it may be a backup whose manifest is lost";
    let error = alone(opened, &folder.path, Class::Corrupt, message);
    let error = error.suggest(format!(
        "`teeline repair {id} --rebuild-manifest` makes that again, `teeline delete {id}` removes it",
        id = folder.id
    ));
    Ok(Left::Wanted(
        error,
        claim.head.parent.map(|parent| parent.id),
    ))
}

/// Whether the catalogue has an entry of a run, be it a damaged one.
pub(crate) async fn has_entry(opened: &Opened, claim: &RunClaim) -> Result<bool, BackupError> {
    let entry = layout::catalog_entry(&claim.head.id, claim.head.started_at)?;
    match read_entry(opened.sink.as_ref(), &entry).await {
        Err(error) if error.class() == Class::NotFound => Ok(false),
        Err(error) if error.class() != Class::Corrupt => Err(error),
        _ => Ok(true),
    }
}

/// Whether nothing in a folder was written lately, as far as the store says.
pub(crate) fn is_untouched(folder: &RunFolder, uploads: &[UnfinishedUpload], bound: Bound) -> bool {
    let of_folder = uploads
        .iter()
        .filter(|upload| run_folder(&upload.key) == folder.path);
    let touched = of_folder.map(|upload| upload.touched_at);
    touched
        .chain([folder.newest_at])
        .flatten()
        .all(|at| bound.is_passed_by(at))
}

/// Those that can be read.
pub(crate) fn readable(records: &Records) -> impl Iterator<Item = &RunRecord> + Clone {
    records
        .iter()
        .filter_map(|(_, record)| record.as_ref().ok())
}

/// Whether the run was taken up since any of its records was left, so that nobody has said what came of it in the end.
pub(crate) fn are_outdated(records: &Records, folder: &RunFolder) -> bool {
    readable(records).all(|record| record.attempt < folder.attempts)
}

/// The unfinished uploads that teeline has begun and that nobody goes on with: those of no folder that a run may be writing
/// to.
pub(crate) fn orphans(
    uploads: &[UnfinishedUpload],
    found: &RunFolders,
    bound: Bound,
) -> Vec<UnfinishedUpload> {
    let is_ours = |upload: &UnfinishedUpload| match run_folder(&upload.key) {
        // Others may upload there as well. What has no name but its key is a file that only teeline calls so.
        "" => upload.name.is_empty() || upload.key.as_str() == layout::MARKER,
        layout::CATALOG | layout::RUNS | layout::VERIFICATIONS | layout::PROBES => true,
        _ if layout::is_damaged(&upload.key) || layout::is_probe_object(&upload.key) => true,
        _ if published_marker::entry_of(&upload.key).is_some() => true,
        path => {
            let name = path.rsplit('/').next().unwrap_or(path);
            name.parse::<BackupId>().is_ok()
        }
    };
    let may_go_on = |path: &str| {
        let mut folders = found.folders.iter();
        folders.any(|folder| {
            folder.path == path && !folder.has_manifest && !is_untouched(folder, &[], bound)
        })
    };
    let is_orphan = |upload: &&UnfinishedUpload| {
        let path = run_folder(&upload.key);
        is_ours(upload)
            && !found.is_of_another(&format!("{path}/"))
            && upload.touched_at.is_some_and(|at| bound.is_passed_by(at))
            && !may_go_on(path)
    };
    uploads.iter().filter(is_orphan).cloned().collect()
}

/// The folder that a file is in, where it is one of a run: that of key objects is in another.
fn run_folder(key: &ObjectKey) -> &str {
    let folder = key.as_str().rsplit_once('/').map_or("", |(above, _)| above);
    folder
        .strip_suffix(layout::KEYS)
        .and_then(|folder| folder.strip_suffix('/'))
        .unwrap_or(folder)
}

fn alone(opened: &Opened, path: &str, class: Class, message: &str) -> BackupError {
    BackupError::new(
        class,
        "clean up",
        format!("{}: {path}", opened.sink),
        message,
    )
}
