//! The key of a sealed run that is taken up.

use std::sync::Arc;

use bytes::Bytes;
use teeline_actors::Sealing;
use teeline_core::seal::{Context, Recipient, SealEntry, SealedKey};
use teeline_core::{BackupError, Class, RunClaim, layout};

use super::Otherwise;
use super::look::Left;
use crate::backup::Run;
use crate::catalog::located;
use crate::files::file_of;
use crate::keys::{keys_of, unlock};
use crate::open::Opened;

impl Run<'_> {
    /// How the run is sealed, by its own key and for those whom it was sealed for; none where it isn't. What is sealed again is
    /// the same, so that no key of it seals two things.
    pub(super) async fn unlock_left(
        &self,
        claim: &RunClaim,
        bytes: &Bytes,
        left: &[Option<Left>],
    ) -> Result<Option<Sealing>, Otherwise> {
        let Some(entry) = &claim.head.plan.seal else {
            return Ok(None);
        };
        let mut failure = None;
        for (opened, left) in self.opened.iter().zip(left) {
            if left.as_ref().is_none_or(|left| left.claim.is_none()) {
                continue;
            }
            match self.unlock_at(opened, claim, entry, bytes).await {
                Ok(sealing) => return Ok(Some(sealing)),
                Err(Otherwise::Refused(error)) if error.class() != Class::Cancelled => {
                    failure = Some(error.to_string());
                }
                Err(otherwise) => return Err(otherwise),
            }
        }
        Err(Otherwise::Afresh(failure.unwrap_or_default()))
    }

    async fn unlock_at(
        &self,
        opened: &Opened,
        claim: &RunClaim,
        entry: &SealEntry,
        bytes: &Bytes,
    ) -> Result<Sealing, Otherwise> {
        let (id, path) = (&claim.head.id, claim.head.path.as_str());
        let unlocked = unlock(opened, path, id, entry, &self.request.keys).await?;
        let subject = located(opened.sink.as_ref(), &file_of(path, layout::RUN_CLAIM)?);
        unlocked
            .sealer
            .check_document(&subject, Context::Claim, bytes)?;
        let objects = keys_of(opened.sink.as_ref(), id, path).await?;
        let keys = objects.into_iter().map(|(_, read)| read);
        let keys: Vec<SealedKey> = keys.collect::<Result<_, BackupError>>()?;
        let (all, recipients) = (keys.clone(), self.request.recipients.clone());
        let blocking = self.engine.0.blocking();
        let are_these = blocking.run("the keys", move || is_for(&all, &recipients));
        if !are_these.await?? {
            let message = "it was sealed for others than are named now";
            return Err(Otherwise::Afresh(message.to_owned()));
        }
        Ok(Sealing {
            sealer: Arc::new(unlocked.sealer),
            keys,
        })
    }
}

/// Whether key objects are for these recipients, and nobody else.
fn is_for(keys: &[SealedKey], recipients: &[Recipient]) -> Result<bool, BackupError> {
    for recipient in recipients {
        let mut opens = false;
        for key in keys {
            opens = opens || key.is_for(recipient)?;
        }
        if !opens {
            return Ok(false);
        }
    }
    Ok(keys.len() == recipients.len())
}
