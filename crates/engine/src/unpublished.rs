//! The files of a run without a manifest: its claim, and the manifest that they come to.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use teeline_core::seal::Sealer;
use teeline_core::{
    BackupError, BackupId, Manifest, MissingFile, ObjectKey, Reconstruction, RunClaim, Sink, layout,
};

use crate::catalog::{located, read_document, read_whole};
use crate::files::file_of;

/// Why files come to no manifest.
#[derive(Debug)]
pub(crate) enum Incomplete {
    /// Some are missing.
    Missing(Vec<MissingFile>),
    /// One can't be read, or is another one; as far as it got, these are missing.
    Failed(BackupError, Vec<MissingFile>),
}

impl From<BackupError> for Incomplete {
    fn from(error: BackupError) -> Self {
        Incomplete::Failed(error, Vec::new())
    }
}

/// The claim of a run in its folder.
pub(crate) async fn read_claim(
    sink: &dyn Sink,
    id: &BackupId,
    path: &str,
) -> Result<RunClaim, BackupError> {
    let key = file_of(path, layout::RUN_CLAIM)?;
    let claim: RunClaim = read_document(sink, &key).await?;
    if claim.head.id == *id && claim.head.path == path {
        return Ok(claim);
    }
    let message = format!(
        "it is about {} in the folder {}",
        claim.head.id, claim.head.path
    );
    Err(BackupError::corrupt(located(sink, &key), message)
        .suggest("a run's files belong in the folder that run.json names; move them there"))
}

/// The manifest that the files in the folder of a run come to; that of a sealed backup is only to be believed with its sealer.
pub(crate) async fn reconstruct(
    sink: &dyn Sink,
    path: &str,
    claim: &RunClaim,
    sealer: Option<Sealer>,
) -> Result<Manifest, Incomplete> {
    let folder = ObjectKey::new(path)?;
    let files: BTreeSet<String> = sink
        .list(Some(&folder))
        .map_ok(|object| object.key.file_name().to_owned())
        .try_collect()
        .await?;
    let mut reconstruction = Reconstruction::new(claim.clone(), &files, sealer);
    while let Some(file) = reconstruction.wanted() {
        let key = folder.join(&file)?;
        let read = read_whole(sink, &key).await;
        let given = read.and_then(|bytes| reconstruction.give(&located(sink, &key), &bytes));
        if let Err(error) = given {
            return Err(Incomplete::Failed(error, reconstruction.missing().to_vec()));
        }
    }
    reconstruction.finish().map_err(Incomplete::Missing)
}
