//! What sealing adds to placing.

use std::sync::Arc;

use bytes::Bytes;

use super::Placer;
use crate::error::{BackupError, Class};
use crate::index::IndexBuilder;
use crate::seal::{Context, SealedPlace, Sealer};

impl Placer {
    /// As this one, of a backup that is sealed; none where it isn't.
    ///
    /// # Errors
    /// Where the resources aren't in the order in which a manifest has them, by which they are sealed: a defect of the source.
    pub fn sealing(self, sealer: Option<Arc<Sealer>>) -> Result<Self, BackupError> {
        let claimed = self.claimed();
        let written = claimed.with_kinds().map(|(kind, _)| kind);
        let given = self.resources.iter().map(|resource| &resource.kind);
        if sealer.is_some() && !written.eq(given.cloned()) {
            let message = "the source gives them in another order than a manifest has them";
            return Err(BackupError::new(
                Class::Permanent,
                "place",
                "the resources",
                message,
            ));
        }
        Ok(Placer { sealer, ..self })
    }
}

/// What a data file ends in: its epilogue, or where it is sealed its end, with the epilogue in it.
pub(super) fn sealed_end(
    sealer: Option<&Sealer>,
    place: SealedPlace,
    index: &IndexBuilder,
    is_last: bool,
    epilogue: Bytes,
) -> Bytes {
    let Some(sealer) = sealer else {
        return epilogue;
    };
    let context = Context::End {
        resource: place.resource(),
        segment: place.segment,
        first_chunk: place.first_chunk,
        chunks: index.sums().chunks,
        is_last,
    };
    sealer.seal(context, &epilogue)
}
