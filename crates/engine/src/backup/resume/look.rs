//! What one destination has of a run that is to be taken up.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::TryStreamExt;
use teeline_actors::is_there;
use teeline_core::seal::Sealer;
use teeline_core::{
    BackupError, BackupId, Holdings, Inventory, ObjectKey, ObjectMeta, RunClaim, Sink, Timestamp,
    UnfinishedUpload, document, layout,
};

use super::{Otherwise, has_lost_its_manifest, is_complete};
use crate::catalog::{located, read_bytes_of, read_whole};
use crate::open::Opened;
use crate::run_records::is_said_published;

/// What is left of a run at one destination.
pub(super) struct Left {
    /// Its claim, and that as it is stored.
    pub(super) claim: Option<(RunClaim, Bytes)>,
    /// How often it was taken up before.
    pub(super) attempts: u32,
    /// When something of it was written last, by the store's clock.
    pub(super) newest_at: Option<Timestamp>,
    pub(super) trace: Trace,
    /// The files of its folder, with their sizes.
    files: BTreeMap<String, u64>,
}

/// Everything that can be seen of a run at a destination. Another one later: somebody writes to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trace {
    objects: Vec<(ObjectKey, u64, Option<Timestamp>)>,
    uploads: Vec<UnfinishedUpload>,
}

impl Trace {
    /// The same without the files of the run's folder for which `is_so`.
    pub(super) fn without(&self, path: &ObjectKey, is_so: impl Fn(&str) -> bool) -> Self {
        let is_left_out = |key: &ObjectKey| {
            let below = key.as_str().strip_prefix(path.as_str());
            below
                .and_then(|below| below.strip_prefix('/'))
                .is_some_and(&is_so)
        };
        let mut without = self.clone();
        without.objects.retain(|(key, ..)| !is_left_out(key));
        without
    }
}

/// Looks at a destination.
pub(super) async fn at(
    opened: &Opened,
    id: &BackupId,
    path: &ObjectKey,
) -> Result<Left, Otherwise> {
    let sink = opened.sink.as_ref();
    let objects: Vec<ObjectMeta> = sink.list(Some(path)).try_collect().await?;
    let mut uploads: Vec<UnfinishedUpload> = sink.unfinished(Some(path)).try_collect().await?;
    let mut files = BTreeMap::new();
    for object in &objects {
        let below = object.key.as_str().strip_prefix(path.as_str());
        let name = below.and_then(|below| below.strip_prefix('/'));
        files.extend(name.map(|name| (name.to_owned(), object.bytes)));
    }
    if files.contains_key(layout::MANIFEST) {
        return Err(is_complete(id, &located(sink, path)).into());
    }
    if is_said_published(opened, id).await? {
        return Err(has_lost_its_manifest(id, &located(sink, path)).into());
    }
    let claim = match files.contains_key(layout::RUN_CLAIM) {
        false => None,
        true => Some(read_claim(sink, id, path).await?),
    };
    if let Some((claim, _)) = &claim {
        refuse_withdrawn(opened, claim).await?;
    }
    let attempts = files
        .keys()
        .filter_map(|file| layout::resumption_number(file));
    let times = objects.iter().map(|object| object.modified_at);
    let touched = uploads.iter().map(|upload| upload.touched_at);
    let newest_at = times.chain(touched).flatten().max();
    let objects = objects.into_iter();
    let mut seen: Vec<_> = objects
        .map(|it| (it.key, it.bytes, it.modified_at))
        .collect();
    seen.sort();
    uploads.sort_by(|a, b| (&a.key, &a.name).cmp(&(&b.key, &b.name)));
    Ok(Left {
        claim,
        attempts: attempts.max().unwrap_or(0),
        newest_at,
        trace: Trace {
            objects: seen,
            uploads,
        },
        files,
    })
}

/// What a destination has of the data files of a run.
pub(super) async fn holdings(
    opened: &Opened,
    claim: &RunClaim,
    sealer: Option<&Sealer>,
    left: &Left,
) -> Result<Holdings, Otherwise> {
    let sink = opened.sink.as_ref();
    let folder = ObjectKey::new(claim.head.path.as_str())?;
    let mut inventory = Inventory::new(claim, sealer, &left.files);
    while let Some(file) = inventory.wanted() {
        let key = folder.join(file)?;
        let bytes = read_whole(sink, &key).await?;
        let given = inventory.give(&located(sink, &key), &bytes);
        given.map_err(|error| Otherwise::Afresh(error.to_string()))?;
    }
    let holdings = inventory.finish();
    let holdings = holdings.with_begun(&folder, left.trace.uploads.clone());
    if holdings.lacks_indexes() && !sink.capabilities().read_back.has_data() {
        let message = format!(
            "{} has a data file without its index, and what is in it can't be read back",
            opened.name
        );
        return Err(Otherwise::Afresh(message));
    }
    Ok(holdings)
}

async fn read_claim(
    sink: &dyn Sink,
    id: &BackupId,
    path: &ObjectKey,
) -> Result<(RunClaim, Bytes), Otherwise> {
    let key = path.join(layout::RUN_CLAIM)?;
    let bytes = read_bytes_of::<RunClaim>(sink, &key).await?;
    let subject = located(sink, &key);
    let claim: RunClaim = document::open(&subject, &bytes)?;
    if claim.head.id == *id && claim.head.path == path.as_str() {
        return Ok((claim, bytes));
    }
    let message = format!(
        "it is about {} in the folder {}",
        claim.head.id, claim.head.path
    );
    Err(BackupError::corrupt(subject, message).into())
}

/// What is withdrawn, or being swept away, may lack some of its files soon.
async fn refuse_withdrawn(opened: &Opened, claim: &RunClaim) -> Result<(), Otherwise> {
    let sink = opened.sink.as_ref();
    let entry = layout::catalog_entry(&claim.head.id, claim.head.started_at)?;
    let (withdrawal, sweep) = (layout::withdrawal(&entry)?, layout::sweep(&entry)?);
    let (withdrawn, swept) = futures::join!(is_there(sink, &withdrawal), is_there(sink, &sweep));
    match withdrawn? || swept? {
        false => Ok(()),
        true => Err(Otherwise::Afresh(format!(
            "what it left at {} is withdrawn or being removed",
            opened.name
        ))),
    }
}
