//! What is sealed of a backup that is read: its manifest, its chunks, and what stands around them.

use bytes::Bytes;
use teeline_core::seal::{Context, Sealer, open_rows};
use teeline_core::{BackupError, CatalogEntry, ObjectRow, SealedManifest, SegmentEntry};

use super::{Copies, Window};
use crate::files::WholeFile;
use crate::keys::{Keys, authenticate};
use crate::open::Opened;

impl Copies {
    /// A chunk as it was before it was sealed.
    pub(super) fn unseal(
        &self,
        segment: &SegmentEntry,
        window: &Window,
        number: u32,
        stored: Bytes,
    ) -> Result<Bytes, BackupError> {
        let (Some(sealer), Some(place)) = (&self.sealer, window.place) else {
            return Ok(stored);
        };
        let context = Context::Chunk {
            resource: place.resource(),
            number: place.first_chunk + u64::from(number),
        };
        sealer.open(&segment.file, context, &stored)
    }

    /// Opens what nobody needs for a restore: the rows of each index, and the end of each data file.
    pub(crate) async fn check_seals(&self) -> Result<(), BackupError> {
        let Some(sealer) = &self.sealer else {
            return Ok(());
        };
        for resource in self.manifest.all_resources() {
            for (number, segment) in (1..).zip(&resource.segments) {
                let file = WholeFile::index(segment);
                let bytes = self.whole(file, Some(&resource.name)).await?;
                open_rows(sealer, &segment.index, &bytes, |_, _| Ok(()))?;
                let is_last = number == resource.segments.len();
                let end_bytes = sealer.open_index(&segment.index, &bytes)?.epilogue;
                let end_bytes = end_bytes.map_or(0, |epilogue| epilogue.stored);
                self.check_end(sealer, segment, end_bytes, is_last).await?;
            }
        }
        Ok(())
    }

    async fn check_end(
        &self,
        sealer: &Sealer,
        segment: &SegmentEntry,
        end_bytes: u64,
        is_last: bool,
    ) -> Result<(), BackupError> {
        let misplaced =
            || BackupError::corrupt(&segment.file, "it isn't where the manifest has it");
        let place = self.manifest.sealed_place(&segment.file);
        let place = place.ok_or_else(misplaced)?;
        let context = Context::End {
            resource: place.resource(),
            segment: place.segment,
            first_chunk: place.first_chunk,
            chunks: segment.chunks,
            is_last,
        };
        let range = segment.stored_bytes.saturating_sub(end_bytes)..segment.stored_bytes;
        let mut failure = None;
        for copy in &self.copies {
            let read = async {
                let key = copy.key(&segment.file)?;
                copy.opened.sink.read(&key, range.clone()).await
            };
            match read
                .await
                .and_then(|end| sealer.open(&segment.file, context, &end))
            {
                Ok(_) => return Ok(()),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(misplaced))
    }
}

/// Finds out whether a manifest is what it seems: that of a sealed backup is authentic, and one that isn't sealed is only taken
/// where nothing else is to be expected.
pub(super) async fn open_manifest(
    opened: &Opened,
    entry: &CatalogEntry,
    sealed: &SealedManifest,
    keys: &Keys,
) -> Result<Option<Sealer>, BackupError> {
    let unlocked = authenticate(opened, &entry.path, sealed, keys).await?;
    if unlocked.is_none() {
        keys.take_unsealed(&entry.id)?;
    }
    Ok(unlocked.map(|unlocked| unlocked.sealer))
}

/// What a sealed index says of objects.
pub(super) fn sealed_rows(
    sealer: &Sealer,
    subject: &str,
    index: &[u8],
) -> Result<Vec<ObjectRow>, BackupError> {
    let mut rows = Vec::new();
    open_rows(sealer, subject, index, |_, lines| {
        for line in lines.split(|byte| *byte == b'\n') {
            rows.extend(ObjectRow::of_line(subject, line)?);
        }
        Ok(())
    })?;
    Ok(rows)
}
