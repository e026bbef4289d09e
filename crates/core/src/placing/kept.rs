//! Placing of a resource goes on behind segments that are there already.

use super::{Placement, Placer};
use crate::block::ResourceId;
use crate::error::BackupError;
use crate::resume::KeptSegment;

impl Placer {
    /// Places the first segments of a resource as they are; where one of them was its last, the resource has ended.
    ///
    /// # Errors
    /// Where the resource wasn't planned, or has ended.
    pub fn keep(
        &mut self,
        id: ResourceId,
        segments: &[KeptSegment],
        out: &mut Vec<Placement>,
    ) -> Result<(), BackupError> {
        let resource = self.open_resource(id)?;
        for segment in segments {
            let entry = &segment.entry;
            resource.placed.plain += entry.plain_bytes;
            resource.placed.stored += entry.stored_bytes;
            resource.chunks += u64::from(entry.chunks);
            resource.end = segment.last;
            resource.segments.push(entry.clone());
            let entry = Box::new(entry.clone());
            out.push(Placement::Kept { entry });
        }
        Ok(())
    }
}
