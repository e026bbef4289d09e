//! What a run or a copy has written at a destination, and how it takes that back where it counts for nobody any more.

use teeline_core::{BackupError, ObjectKey, SealedManifest, Sink, layout};

use crate::claim::{Claimed, next_number};
use crate::gone::are_gone;
use crate::written::is_there;

/// Where a backup that is written is at a destination, and by which attempt.
#[derive(Debug, Clone)]
pub struct RunPlace {
    /// The folder of its files.
    pub folder: ObjectKey,
    /// The key of its entry in the catalogue.
    pub entry: ObjectKey,
    /// How often the run was taken up that writes it; absent where it is copied, which is no attempt.
    pub attempt: Option<u32>,
}

impl RunPlace {
    /// Of a copy that is made of a backup, in the folder `path`.
    ///
    /// # Errors
    /// [`Usage`](teeline_core::Class::Usage) where that isn't a key.
    pub fn of_copy(sealed: &SealedManifest, path: &str) -> Result<Self, BackupError> {
        let SealedManifest { manifest, .. } = sealed;
        Ok(RunPlace {
            folder: ObjectKey::new(path)?,
            entry: layout::catalog_entry(&manifest.id, manifest.started_at)?,
            attempt: None,
        })
    }

    /// Whether it is being removed there: it was withdrawn, or taken for dead.
    ///
    /// # Errors
    /// Where that can't be told.
    pub async fn is_going_away(&self, sink: &dyn Sink) -> Result<bool, BackupError> {
        let (withdrawal, sweep) = (
            layout::withdrawal(&self.entry)?,
            layout::sweep(&self.entry)?,
        );
        let (withdrawn, swept) =
            futures::join!(is_there(sink, &withdrawal), is_there(sink, &sweep));
        Ok(withdrawn? || swept?)
    }

    /// Whether what was written of it under this claim is nobody's any more: it was withdrawn or swept, so that the claim is gone, or
    /// soon will be; and nobody has published it, goes on with it or has claimed it anew.
    async fn is_nobodys(
        &self,
        sink: &dyn Sink,
        claimed: Option<Claimed>,
    ) -> Result<bool, BackupError> {
        let (is_going_away, claim) =
            futures::join!(self.is_going_away(sink), Claimed::find(sink, &self.folder));
        let claim = claim?;
        let is_another = claim.is_some() && claim != claimed;
        if is_another || claim.is_some() && !is_going_away? {
            return Ok(false);
        }
        let mut absent = vec![self.folder.join(layout::MANIFEST)?];
        absent.extend(next_number(&self.folder, self.attempt)?);
        if claim.is_none() {
            absent.push(self.folder.join(layout::RUN_CLAIM)?);
        }
        are_gone(sink, &self.folder, &absent).await
    }

    /// Removes what was written of it, or may have been, under this claim, if it is nobody's any more: who withdrew or swept it may
    /// have looked before it was there, and without a claim nobody else would find it. What somebody counts on who has claimed
    /// it anew stays, and is found by that claim.
    ///
    /// # Errors
    /// Where that can't be told, or something can't be removed.
    pub async fn take_back(
        &self,
        sink: &dyn Sink,
        claimed: Option<Claimed>,
        written: Vec<ObjectKey>,
    ) -> Result<(), BackupError> {
        if written.is_empty() || !self.is_nobodys(sink, claimed).await? {
            return Ok(());
        }
        for key in written {
            sink.delete(&key).await?;
        }
        Ok(())
    }
}
