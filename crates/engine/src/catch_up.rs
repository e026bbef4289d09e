//! Completing a copy: what a destination lacks of a published backup comes from one that has it. The source isn't read.
//!
//! The order is that of a pass: the claim, segments each before its index, the manifest last; so a copy that breaks off is
//! no backup, and is gone on with by the next. What is there already is read and compared, not written again.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use teeline_actors::{Claimed, Publication, RunPlace, claim, put_checked};
use teeline_core::{
    BackupError, Class, Index, ObjectKey, ReadBack, ResourceEntry, RunClaim, SealedManifest,
    SegmentEntry, Upload, Verified, document, layout,
};

use crate::catalog::{located, read_bytes_of};
use crate::check::{Check, check_index, check_piece};
use crate::files::{WholeFile, file_of};
use crate::keys::copy_keys;
use crate::open::Opened;

/// The completing of one copy.
pub(crate) struct Completion<'a> {
    /// Where the backup is.
    from: &'a Opened,
    /// Where it is to be.
    to: &'a Opened,
    /// The folder of its files below either root.
    path: &'a str,
    sealed: &'a SealedManifest,
    /// Whether the copy may be visible: set when its manifest is about to be written.
    is_publishing: AtomicBool,
    /// The claim, once it is there.
    claimed: Option<Claimed>,
    /// The files that it has written, or begun to.
    written: Vec<ObjectKey>,
}

impl<'a> Completion<'a> {
    pub(crate) fn new(
        from: &'a Opened,
        to: &'a Opened,
        path: &'a str,
        sealed: &'a SealedManifest,
    ) -> Self {
        Completion {
            from,
            to,
            path,
            sealed,
            is_publishing: AtomicBool::new(false),
            claimed: None,
            written: Vec::new(),
        }
    }

    /// Writes what is missing, and makes the backup visible. Gives the bytes that were written.
    pub(crate) async fn run(&mut self) -> Result<u64, BackupError> {
        let completed = self.complete().await;
        if completed.is_err()
            && let Err(error) = self.take_back_what_is_nobodys().await
        {
            tracing::debug!(at = %self.to.sink, %error, "whether anything is left that is nobody's can't be told");
        }
        completed
    }

    async fn take_back_what_is_nobodys(&mut self) -> Result<(), BackupError> {
        let written = std::mem::take(&mut self.written);
        let place = RunPlace::of_copy(self.sealed, self.path)?;
        let sink = self.to.sink.as_ref();
        place.take_back(sink, self.claimed, written).await
    }

    /// Notes that a file is about to be written.
    fn writing(&mut self, key: &ObjectKey) {
        self.written.push(key.clone());
    }

    async fn complete(&mut self) -> Result<u64, BackupError> {
        let sealed = self.sealed;
        let manifest = &sealed.manifest;
        let publication = Publication::new(sealed, self.path).again();
        let folder = ObjectKey::new(self.path)?;
        publication
            .refuse_orphan(self.to.sink.as_ref(), &folder)
            .await?;
        let claimed = self.claim().await?;
        self.claimed = Some(claimed);
        let mut bytes = match &manifest.plan.seal {
            None => 0,
            Some(seal) => {
                let of = (&manifest.id, seal);
                let written = copy_keys(self.from, self.to, of, self.path, |key| {
                    self.writing(key);
                })
                .await?;
                written.iter().map(|(_, bytes)| bytes).sum()
            }
        };
        for attachment in &manifest.attachments {
            let file = WholeFile::attachment(attachment);
            let content = file.read(self.from.sink.as_ref(), self.path).await?;
            bytes += self.whole_file(file, content).await?;
        }
        for resource in manifest.all_resources() {
            for segment in &resource.segments {
                bytes += self.segment(resource, segment).await?;
            }
        }
        self.writing(&layout::catalog_entry(&manifest.id, manifest.started_at)?);
        publication
            .publish(
                self.to.sink.as_ref(),
                claimed,
                self.read_back().has_documents(),
                || self.is_publishing.store(true, Ordering::Relaxed),
            )
            .await?;
        Ok(bytes)
    }

    /// Whether the copy may be visible, although that ended with this error.
    pub(crate) fn may_be_visible(&self, error: &BackupError) -> bool {
        self.is_publishing.load(Ordering::Relaxed) && error.class() != Class::Conflict
    }

    /// How a copy that was completed is checked.
    pub(crate) fn verified(&self) -> Verified {
        match self.read_back().has_data() {
            true => Verified::Read,
            false => Verified::Attested,
        }
    }

    fn read_back(&self) -> ReadBack {
        self.to.sink.capabilities().read_back
    }

    async fn claim(&self) -> Result<Claimed, BackupError> {
        let (from, to) = (self.from.sink.as_ref(), self.to.sink.as_ref());
        let key = file_of(self.path, layout::RUN_CLAIM)?;
        let bytes = read_bytes_of::<RunClaim>(from, &key).await?;
        let run: RunClaim = document::open(&located(from, &key), &bytes)?;
        if run.head.id != self.sealed.manifest.id {
            let message = format!("it is about {}", run.head.id);
            return Err(BackupError::corrupt(located(from, &key), message));
        }
        let read_back = self.read_back().has_documents();
        claim(to, &ObjectKey::new(self.path)?, bytes, read_back).await
    }

    /// Writes a file whose content was compared with its digest, unless the same one is there.
    async fn whole_file(
        &mut self,
        file: WholeFile<'_>,
        content: Bytes,
    ) -> Result<u64, BackupError> {
        let sink = self.to.sink.as_ref();
        match file.read(sink, self.path).await {
            Err(error) if error.class() == Class::NotFound => {}
            found => return found.map(|_| 0),
        }
        let bytes = content.len() as u64;
        let key = file_of(self.path, file.name)?;
        self.writing(&key);
        put_checked(sink, &key, content, self.read_back().has_documents()).await?;
        Ok(bytes)
    }

    async fn segment(
        &mut self,
        resource: &ResourceEntry,
        segment: &SegmentEntry,
    ) -> Result<u64, BackupError> {
        let file = WholeFile::index(segment);
        let content = file.read(self.from.sink.as_ref(), self.path).await?;
        let index = Index::parse(&segment.index, &content)?;
        check_index(&self.sealed.manifest, segment, &index)?;
        let key = file_of(self.path, &segment.file)?;
        let written = match self.to.sink.head(&key).await {
            Ok(_) => 0,
            Err(error) if error.class() == Class::NotFound => {
                self.copy(&key, segment, &index).await?;
                segment.stored_bytes
            }
            Err(error) => return Err(error),
        };
        self.compare(resource, segment, &index).await?;
        Ok(written + self.whole_file(file, content).await?)
    }

    async fn copy(
        &mut self,
        key: &ObjectKey,
        segment: &SegmentEntry,
        index: &Index,
    ) -> Result<(), BackupError> {
        self.writing(key);
        let mut upload = self.to.sink.begin(key, segment.stored_bytes).await?;
        let copied = self.copy_pieces(key, index, upload.as_mut()).await;
        if copied.is_err() {
            // Why it failed says more than why nothing could be freed.
            let _ = upload.abort().await;
        }
        copied
    }

    /// No byte is written that wasn't compared with its piece's digest.
    async fn copy_pieces(
        &self,
        key: &ObjectKey,
        index: &Index,
        upload: &mut dyn Upload,
    ) -> Result<(), BackupError> {
        let from = self.from.sink.as_ref();
        for (range, pieces) in index.piece_windows(from.capabilities().reading.bytes) {
            let mut bytes = from.read(key, range).await?;
            for piece in &pieces {
                let stored = usize::try_from(piece.stored).unwrap_or(usize::MAX);
                let piece_bytes = bytes.split_to(stored.min(bytes.len()));
                let checked = check_piece(from.to_string(), key, piece, piece_bytes)?;
                upload.write(checked).await?;
            }
        }
        upload.commit().await
    }

    /// Compares what the destination gives of a segment with the index.
    async fn compare(
        &self,
        resource: &ResourceEntry,
        segment: &SegmentEntry,
        index: &Index,
    ) -> Result<(), BackupError> {
        let mut check = Check::new(self.to);
        if self.read_back().has_data() {
            check.pieces(self.path, resource, segment, index).await?;
        } else {
            check.size_only(self.path, segment).await?;
        }
        match check.damage.first() {
            None => Ok(()),
            Some(damage) => Err(BackupError::corrupt(
                located(self.to.sink.as_ref(), &file_of(self.path, &segment.file)?),
                &damage.message,
            )
            .suggest(format!(
                "`teeline repair {}` moves that file aside and writes it again",
                self.sealed.manifest.id
            ))),
        }
    }
}
