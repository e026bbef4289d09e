//! What sealing adds to a manifest.

use super::{Manifest, PlanEntry, SealedManifest};
use crate::document;
use crate::error::BackupError;
use crate::layout;
use crate::seal::{Context, SEALED_SUFFIX, SealedPlace, Sealer};

impl PlanEntry {
    /// What a small file is called where it is stored.
    pub fn stored_name(&self, file: &str) -> String {
        match self.seal {
            None => file.to_owned(),
            Some(_) => format!("{file}{SEALED_SUFFIX}"),
        }
    }
}

impl Manifest {
    /// Where a data file of it belongs, if it is sealed.
    pub fn sealed_place(&self, file: &str) -> Option<SealedPlace> {
        self.plan.seal.as_ref()?;
        let found = (0..)
            .zip(self.all_resources())
            .find_map(|(resource, entry)| {
                let number = entry.segments.iter().position(|it| it.file == file)?;
                Some((resource, number, &entry.segments[..number]))
            });
        let (resource, number, before) = found?;
        Some(SealedPlace {
            resource,
            segment: u32::try_from(number + 1).ok()?,
            first_chunk: before.iter().map(|it| u64::from(it.chunks)).sum(),
        })
    }
}

impl SealedManifest {
    /// As [`SealedManifest::new`]; that of a sealed backup is authenticated.
    ///
    /// # Errors
    /// As [`SealedManifest::new`].
    pub fn authenticated(manifest: Manifest, sealer: Option<&Sealer>) -> Result<Self, BackupError> {
        let bytes = match sealer {
            None => document::seal(&manifest),
            Some(sealer) => {
                document::seal_authenticated(&manifest, |body| sealer.mac(Context::Manifest, body))
            }
        };
        let bytes = document::within(layout::MANIFEST, bytes, document::BYTES_MAX)?;
        let read = Self::open(layout::MANIFEST, bytes);
        read.map_err(|error| document::unreadable(layout::MANIFEST, error))
    }
}
