//! What a plan says of sealing.

use serde::{Deserialize, Serialize};

use super::data_key::{Epoch, KeyId};
use crate::block::ResourceId;
use crate::digest::Digest;
use crate::id::BackupId;

/// How a backup is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealEntry {
    /// The cipher.
    pub algorithm: SealAlgorithm,
    /// The epoch of the attempt that wrote it.
    pub epoch: Epoch,
    /// Commits to the data key.
    pub key: KeyId,
    /// The newest backup at the destinations of the run when it began, where there was one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous: Option<Predecessor>,
}

/// The cipher of sealed files. There is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SealAlgorithm {
    /// AES with a key of 256 bits, in Galois/counter mode.
    #[default]
    #[serde(rename = "AES-256-GCM")]
    Aes256Gcm,
}

/// A backup, by its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predecessor {
    /// The backup.
    pub id: BackupId,
    /// BLAKE3 of its manifest.
    pub checksum: Digest,
}

/// Which data file of which resource something is: in the header of its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SealedPlace {
    /// The place of the resource among those that the manifest has, from 0: first those of records, then `objects`, then
    /// `settled`.
    pub resource: u32,
    /// The number of the data file, from 1.
    pub segment: u32,
    /// The number of its first chunk in the resource, from 0.
    pub first_chunk: u64,
}

impl SealedPlace {
    /// The resource.
    pub fn resource(&self) -> ResourceId {
        ResourceId(self.resource)
    }
}
