//! A manifest as it is stored.

use bytes::Bytes;

use super::Manifest;
use crate::digest::Digest;
use crate::document;
use crate::error::BackupError;
use crate::records::{AskedFor, CatalogEntry};

/// A manifest with its bytes and their digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedManifest {
    /// What it says.
    pub manifest: Manifest,
    /// As stored, everywhere.
    pub bytes: Bytes,
    /// The backup's checksum.
    pub checksum: Digest,
}

impl SealedManifest {
    /// Seals a manifest.
    ///
    /// # Errors
    /// Where readers wouldn't take it.
    pub fn new(manifest: Manifest) -> Result<Self, BackupError> {
        Self::authenticated(manifest, None)
    }

    /// Reads a stored manifest; `subject` names the file in errors.
    ///
    /// # Errors
    /// As [`document::open`]; and where nobody would read the catalogue's entry of it.
    pub fn open(subject: &str, bytes: Bytes) -> Result<Self, BackupError> {
        let manifest: Manifest = document::open(subject, &bytes)?;
        if manifest.plan.asked_for().bytes() > AskedFor::BYTES_MAX {
            let message = "what was asked for is too large for a catalogue's entry";
            return Err(BackupError::corrupt(subject, message));
        }
        Ok(SealedManifest {
            manifest,
            checksum: Digest::of(&bytes),
            bytes,
        })
    }

    /// The catalogue's entry of this backup, whose files are in the folder `path`.
    pub fn entry(&self, path: &str) -> CatalogEntry {
        let Manifest { totals, .. } = &self.manifest;
        CatalogEntry {
            id: self.manifest.id.clone(),
            backup_type: self.manifest.backup_type.clone(),
            started_at: self.manifest.started_at,
            path: path.to_owned(),
            records: totals.records,
            stored_bytes: totals.stored_bytes,
            plain_bytes: totals.plain_bytes,
            checksum: self.checksum,
            manifest_bytes: self.bytes.len() as u64,
            sealed: self.manifest.plan.seal.is_some(),
            parent: self.manifest.parent.clone(),
            in_part: self.manifest.since.is_some() || self.manifest.plan.in_part().is_some(),
            asked_for: Some(self.manifest.plan.asked_for()),
            metadata: self.manifest.metadata.clone(),
        }
    }
}
