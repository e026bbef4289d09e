//! The last of a backup at a destination: making it visible. By the driver of a pass, and by whoever makes a lost manifest again
//! or completes a copy.

use bytes::Bytes;
use teeline_core::commit::{Obstacle, PublishStep, Traces};
use teeline_core::document::Document;
use teeline_core::{
    BackupError, BackupRef, CatalogEntry, Class, Digest, ObjectKey, SealedManifest, Sink, document,
    layout, published_marker,
};

use crate::claim::{Claimed, refuse_taken_up};
use crate::entry::{folded, read_entry, read_up_to};
use crate::read_back::digest_of_whole;
use crate::written::{check_written, is_there, no_conflict, or_take_back, put_once};

/// What makes a backup visible.
#[derive(Debug, Clone)]
pub struct Publication {
    entry: Box<CatalogEntry>,
    manifest: Bytes,
    attempt: Option<u32>,
    is_again: bool,
}

impl Publication {
    /// Of the backup whose files are in the folder `path`.
    pub fn new(sealed: &SealedManifest, path: &str) -> Self {
        Publication {
            entry: Box::new(sealed.entry(path)),
            manifest: sealed.bytes.clone(),
            attempt: None,
            is_again: false,
        }
    }

    /// Where some of it may be there already. A manifest that is has no need of more than an entry, so what would refuse it is looked
    /// for before that is written as well.
    #[must_use]
    pub fn again(self) -> Self {
        Publication {
            is_again: true,
            ..self
        }
    }

    /// By a run that has been taken up so many times: it leaves it to whoever has taken it up since.
    #[must_use]
    pub fn of_attempt(self, attempt: u32) -> Self {
        Publication {
            attempt: Some(attempt),
            ..self
        }
    }

    /// Writes it to a destination that has every other file of the backup, by the steps of [`PublishStep`], unless it was
    /// withdrawn from there, its claim isn't the one that was there before those files were written or compared, its parent
    /// isn't there, or the run has been taken up by another one. With
    /// `read_back`, what was written is read again and compared. The entry of the catalogue goes first: without a manifest it is
    /// ignored, so the manifest alone decides, and `publishing` is called just before that is written, or before
    /// anything is where it is there already: whatever fails afterwards, the backup may be visible. Where both are there already, nothing changes. Last, it is
    /// [marked](mark_published).
    ///
    /// # Errors
    /// [`Class::Conflict`] where another entry or manifest is there; [`Class::Permanent`] where the backup was withdrawn, what
    /// was written of it was swept away, somebody else goes on with the run, or it couldn't be restored from there for want
    /// of its parent.
    pub async fn publish(
        &self,
        sink: &dyn Sink,
        claimed: Claimed,
        read_back: bool,
        publishing: impl FnOnce() + Send,
    ) -> Result<(), BackupError> {
        let entry = layout::catalog_entry(&self.entry.id, self.entry.started_at)?;
        let sealed = document::seal(&*self.entry);
        let mut entry_bytes = document::readable::<CatalogEntry>(entry.as_str(), sealed)?;
        let folder = ObjectKey::new(self.entry.path.as_str())?;
        let manifest = folder.join(layout::MANIFEST)?;
        let mut publishing = Some(publishing);
        if self.is_again {
            if let Some(bytes) = self.as_it_was_folded(sink, &entry).await? {
                entry_bytes = bytes;
            }
            self.refuse_late(sink, &entry, &folder, claimed).await?;
            self.refuse_orphan(sink, &folder).await?;
            // Such a copy is listed as soon as it has its entry again.
            if is_there(sink, &manifest).await?
                && let Some(publishing) = publishing.take()
            {
                publishing();
            }
        }
        for step in PublishStep::ORDER {
            match step {
                PublishStep::Entry => {
                    let written = put_once(sink, &entry, &entry_bytes).await;
                    let written = match written {
                        Err(error) if error.class() == Class::Conflict => {
                            match self.as_it_stands(sink, &entry).await {
                                Ok(Some(bytes)) => {
                                    entry_bytes = bytes;
                                    Ok(())
                                }
                                Ok(None) | Err(_) => Err(error),
                            }
                        }
                        written => written,
                    };
                    or_take_back(sink, &entry, &entry_bytes, written).await?;
                }
                PublishStep::Look => {
                    let checking = check_written(sink, &entry, &entry_bytes, read_back);
                    let looking = self.refuse_late(sink, &entry, &folder, claimed);
                    // Stores that are far away answer both in the time of one.
                    let (checked, looked) = futures::join!(checking, looking);
                    or_take_back(sink, &entry, &entry_bytes, checked).await?;
                    looked?;
                }
                PublishStep::LookAgain => {
                    let checking = check_written(sink, &manifest, &self.manifest, read_back);
                    let looking = self.refuse_late(sink, &entry, &folder, claimed);
                    let (checked, looked) = futures::join!(checking, looking);
                    or_take_back(sink, &manifest, &self.manifest, checked).await?;
                    looked.map_err(no_conflict)?;
                }
                PublishStep::Parent => self.refuse_orphan(sink, &folder).await?,
                PublishStep::Manifest => {
                    if let Some(publishing) = publishing.take() {
                        publishing();
                    }
                    let written = put_once(sink, &manifest, &self.manifest).await;
                    or_take_back(sink, &manifest, &self.manifest, written).await?;
                }
            }
        }
        // The backup is there, and stays so. Without a marker its manifest is asked for, until a cleanup, a repair or a sync
        // has made up for it.
        mark_published(sink, &entry, &entry_bytes).await.ok();
        Ok(())
    }

    /// The bytes of the entry, where it is only folded: its object is to say the same to the byte, or they would contradict each other.
    async fn as_it_was_folded(
        &self,
        sink: &dyn Sink,
        key: &ObjectKey,
    ) -> Result<Option<Bytes>, BackupError> {
        if is_there(sink, key).await? {
            return Ok(None);
        }
        match published_marker::unfolded(&folded(sink, key).await?) {
            Some((stands, bytes)) if stands.is(&self.entry) => Ok(Some(bytes)),
            Some(_) => {
                let message = "another backup's entry is there";
                let subject = format!("{sink}: {key}");
                Err(BackupError::new(
                    Class::Conflict,
                    "publish",
                    subject,
                    message,
                ))
            }
            None => Ok(None),
        }
    }

    /// The bytes of an entry that stands there already and says the same, as an earlier version has written it.
    async fn as_it_stands(
        &self,
        sink: &dyn Sink,
        key: &ObjectKey,
    ) -> Result<Option<Bytes>, BackupError> {
        let bytes = read_up_to(sink, key, CatalogEntry::BYTES_MAX).await?;
        let stands: CatalogEntry = document::open(key.as_str(), &bytes)?;
        Ok(stands.is(&self.entry).then_some(bytes))
    }

    /// Refuses a link whose parent isn't there. Whoever has yet to write its files, to the folder `folder`, asks this before.
    ///
    /// # Errors
    /// [`Class::Permanent`] where it isn't.
    pub async fn refuse_orphan(
        &self,
        sink: &dyn Sink,
        folder: &ObjectKey,
    ) -> Result<(), BackupError> {
        match &self.entry.parent {
            Some(parent) => refuse_without(sink, parent, folder).await,
            None => Ok(()),
        }
    }

    /// Refuses what is no backup any more, and what is somebody else's by now.
    async fn refuse_late(
        &self,
        sink: &dyn Sink,
        entry: &ObjectKey,
        folder: &ObjectKey,
        claimed: Claimed,
    ) -> Result<(), BackupError> {
        tokio::try_join!(
            refuse_withdrawn(sink, entry, folder, claimed),
            refuse_taken_up(sink, folder, self.attempt)
        )?;
        Ok(())
    }
}

/// What has been withdrawn stays so, and what was taken for dead isn't there any more: of both, some files may be gone.
async fn refuse_withdrawn(
    sink: &dyn Sink,
    entry: &ObjectKey,
    folder: &ObjectKey,
    claimed: Claimed,
) -> Result<(), BackupError> {
    let (withdrawal, sweep) = (layout::withdrawal(entry)?, layout::sweep(entry)?);
    let (withdrawn, swept, claim) = futures::join!(
        is_there(sink, &withdrawal),
        is_there(sink, &sweep),
        Claimed::find(sink, folder)
    );
    let traces = Traces {
        claim: claim? == Some(claimed),
        withdrawal: withdrawn?,
        sweep: swept?,
        ..Traces::default()
    };
    let message = match traces.obstacle() {
        None => return Ok(()),
        Some(Obstacle::Withdrawn) => {
            "it was withdrawn from this destination, so it isn't published there"
        }
        Some(Obstacle::TakenForDead) => {
            "the run was taken for dead, and what it had written is being removed"
        }
    };
    let subject = format!("{sink}: {folder}");
    Err(BackupError::new(
        Class::Permanent,
        "publish",
        subject,
        message,
    ))
}

/// What can't be restored without its parent isn't published where that isn't.
async fn refuse_without(
    sink: &dyn Sink,
    parent: &BackupRef,
    folder: &ObjectKey,
) -> Result<(), BackupError> {
    let key = layout::catalog_entry(&parent.id, parent.started_at)?;
    let (withdrawal, sweep) = (layout::withdrawal(&key)?, layout::sweep(&key)?);
    let written = async {
        let bytes = match read_entry(sink, &key).await {
            Err(error) if error.class() == Class::NotFound => {
                return Ok::<_, BackupError>(Traces::default());
            }
            read => read?,
        };
        let entry: CatalogEntry = document::open(&format!("{sink}: {key}"), &bytes)?;
        let manifest = ObjectKey::new(entry.path.as_str())?.join(layout::MANIFEST)?;
        Ok(Traces {
            // Another backup's under the same id is none of this one.
            entry: entry.checksum == parent.checksum,
            // Whoever published that one may have died before it was read back.
            manifest: holds_manifest(sink, &manifest, entry.checksum).await?,
            ..Traces::default()
        })
    };
    let (written, withdrawn, swept) =
        futures::join!(written, is_there(sink, &withdrawal), is_there(sink, &sweep));
    let traces = Traces {
        withdrawal: withdrawn?,
        sweep: swept?,
        ..written?
    };
    if traces.is_backup() {
        return Ok(());
    }
    let subject = format!("{sink}: {folder}");
    let message = format!(
        "{}, without which it can't be restored, isn't there whole",
        parent.id
    );
    Err(
        BackupError::new(Class::Permanent, "publish", subject, message)
            .suggest("`teeline sync` copies what is missing there, the oldest first"),
    )
}

/// Whether the manifest with this digest is under a key. What isn't is read once more, since it may be damaged on its way.
async fn holds_manifest(
    sink: &dyn Sink,
    key: &ObjectKey,
    checksum: Digest,
) -> Result<bool, BackupError> {
    for _ in 0..2 {
        match digest_of_whole(sink, key).await {
            Ok(digest) if digest == checksum => return Ok(true),
            Err(error) if error.class() == Class::NotFound => return Ok(false),
            Err(error) if error.class() != Class::Corrupt => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(false)
}

/// Marks a backup as published whose entry in the catalogue has this key and these bytes, so that listings don't ask for its
/// manifest, which is there.
///
/// # Errors
/// Where the store doesn't take it. Nothing depends on it.
pub async fn mark_published(
    sink: &dyn Sink,
    entry: &ObjectKey,
    entry_bytes: &[u8],
) -> Result<(), BackupError> {
    let marker = published_marker::key_of(entry, entry_bytes)?;
    let short = published_marker::short_key_of(entry)?;
    match put_empty(sink, &marker).await {
        // Some stores take no keys or names of that length, and none says so in the same words.
        Err(error) if !error.class().is_retriable() && marker != short => {
            put_empty(sink, &short).await.map_err(|_| error)
        }
        put => put,
    }
}

/// Writes an object whose key is all that it says, so that whatever stands there says the same.
///
/// # Errors
/// Where the store doesn't take it.
pub async fn put_empty(sink: &dyn Sink, key: &ObjectKey) -> Result<(), BackupError> {
    match sink.put(key, Bytes::new()).await {
        Err(error) if error.class() == Class::Conflict => Ok(()),
        put => put,
    }
}
