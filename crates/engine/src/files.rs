//! The files of a backup, as its stored documents say them. What they say isn't trusted: a document is whole where its
//! digest fits, and may have been written by anybody all the same.

use std::collections::HashSet;

use bytes::Bytes;
use teeline_core::{
    AttachmentEntry, BackupError, Digest, Index, Manifest, ObjectKey, SegmentEntry, Sink, document,
};

use crate::catalog::located;

/// The key of `file` in a backup's folder. What can't be a key is damage of the document that says it, and no mistake of
/// whoever asked.
pub(crate) fn file_of(path: &str, file: &str) -> Result<ObjectKey, BackupError> {
    ObjectKey::new(format!("{path}/{file}"))
        .map_err(|error| BackupError::corrupt(error.subject(), error.message()))
}

/// A file that is read whole, as the manifest has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WholeFile<'a> {
    pub(crate) name: &'a str,
    bytes: u64,
    bytes_max: u64,
    blake3: Digest,
}

impl<'a> WholeFile<'a> {
    pub(crate) fn index(segment: &'a SegmentEntry) -> Self {
        WholeFile {
            name: &segment.index,
            bytes: segment.index_bytes,
            bytes_max: Index::BYTES_MAX,
            blake3: segment.index_blake3,
        }
    }

    pub(crate) fn attachment(entry: &'a AttachmentEntry) -> Self {
        WholeFile {
            name: &entry.file,
            bytes: entry.bytes,
            bytes_max: document::BYTES_MAX,
            blake3: entry.blake3,
        }
    }

    /// Reads it in a backup's folder, and compares it with its size and its digest.
    pub(crate) async fn read(&self, sink: &dyn Sink, path: &str) -> Result<Bytes, BackupError> {
        self.read_at(sink, &file_of(path, self.name)?).await
    }

    /// The same, of what may stand elsewhere.
    pub(crate) async fn read_at(
        &self,
        sink: &dyn Sink,
        key: &ObjectKey,
    ) -> Result<Bytes, BackupError> {
        let corrupt = |message: String| BackupError::corrupt(located(sink, key), message);
        if self.bytes > self.bytes_max {
            return Err(corrupt(format!("{} bytes is too large for it", self.bytes)));
        }
        let found = sink.head(key).await?.bytes;
        if found != self.bytes {
            return Err(corrupt(format!(
                "{found} bytes are there, {} were written",
                self.bytes
            )));
        }
        let bytes = sink.read(key, 0..self.bytes).await?;
        if Digest::of(&bytes) == self.blake3 {
            Ok(bytes)
        } else {
            Err(corrupt("its digest isn't the manifest's".to_owned()))
        }
    }
}

/// The files that a manifest names.
pub(crate) fn named_files(manifest: &Manifest) -> HashSet<String> {
    let segments = manifest
        .all_resources()
        .flat_map(|resource| &resource.segments);
    let segments = segments.flat_map(|segment| [segment.file.clone(), segment.index.clone()]);
    let attachments = manifest.attachments.iter().map(|entry| entry.file.clone());
    segments.chain(attachments).collect()
}
