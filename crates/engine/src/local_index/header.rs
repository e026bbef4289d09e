//! The first line of a local index, in the clear and authenticated: what it is of, and who can open it.

use std::io::BufRead;
use std::path::Path;

use serde::{Deserialize, Serialize};
use teeline_core::seal::{Context, KeySecret, SealEntry, SealedKey, Sealer, X25519Public};
use teeline_core::{
    BackupError, BackupId, BackupRef, Class, Document, Manifest, SourceKind, Timestamp, document,
};

use super::draft::failed;

/// What authenticates the header.
pub(super) const CONTEXT: Context<'static> = Context::File("header");

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Header {
    /// What it takes to restore the backup: the full one first, itself last.
    pub(super) chain: Vec<BackupRef>,
    pub(super) source: IndexedSource,
    /// What time it was at the source's server when the scan began, where that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) server_time: Option<Timestamp>,
    /// Whose public keys the backup was sealed for.
    pub(super) recipients: Vec<X25519Public>,
    /// How the file is sealed: with a data key of its own.
    pub(super) seal: SealEntry,
    /// That key, sealed for the host.
    pub(super) key: SealedKey,
}

/// What the backup is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IndexedSource {
    pub(super) kind: SourceKind,
    pub(super) location: String,
    /// Globs of its resources, as the plan of the backup has them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(super) include: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(super) exclude: Vec<String>,
}

impl IndexedSource {
    /// What a backup with this manifest is of.
    pub(super) fn of(manifest: &Manifest) -> Self {
        IndexedSource {
            kind: manifest.source.kind,
            location: manifest.source.location.clone(),
            include: manifest.plan.include.clone(),
            exclude: manifest.plan.exclude.clone(),
        }
    }
}

impl Document for Header {
    const FORMAT: &'static str = "teeline-local-index";
    const VERSION: u32 = 1;
    /// A chain of tens of thousands of backups is named in as much.
    const BYTES_MAX: u64 = 16 << 20;
}

impl Header {
    /// Reads the header of a file; gives its bytes as well.
    ///
    /// # Errors
    /// Where it can't be read, is damaged, or is of a version that this code doesn't know.
    pub(super) fn read(path: &Path, file: impl BufRead) -> Result<(Self, Vec<u8>), BackupError> {
        let mut bytes = Vec::new();
        let read = file.take(Header::BYTES_MAX).read_until(b'\n', &mut bytes);
        read.map_err(|error| failed("read", path, &error))?;
        let subject = path.display().to_string();
        let header: Header = document::open(&subject, &bytes)?;
        match header.chain.is_empty() {
            false => Ok((header, bytes)),
            true => Err(BackupError::corrupt(subject, "it names no backup")),
        }
    }

    /// The backup itself.
    pub(super) fn backup(&self) -> &BackupRef {
        self.chain.last().expect("a header names a backup")
    }

    /// What opens the rest of the file, whose header's bytes are these.
    ///
    /// # Errors
    /// [`Class::WrongKey`] where the secret isn't the one that it was sealed for; [`Class::Corrupt`] where it is of another
    /// backup, or its header isn't what the holder of the secret wrote.
    pub(super) fn unlock(
        &self,
        path: &Path,
        id: &BackupId,
        bytes: &[u8],
        secret: &KeySecret,
    ) -> Result<Sealer, BackupError> {
        let subject = path.display().to_string();
        if self.backup().id != *id || self.key.backup != *id {
            let message = format!("it is of another backup: {}", self.backup().id);
            return Err(BackupError::corrupt(subject, message));
        }
        let data_key = self.key.open(secret)?.ok_or_else(|| {
            let message = "it was sealed with another key than the one that this host has now";
            BackupError::new(Class::WrongKey, "open", &subject, message)
        })?;
        let sealer = Sealer::of(id, &data_key, &self.seal)?;
        sealer.check_document(&subject, CONTEXT, bytes)?;
        Ok(sealer)
    }
}
