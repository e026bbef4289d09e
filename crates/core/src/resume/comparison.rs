//! Whether what is read again is what the indexes of the run say.

use std::collections::HashMap;
use std::sync::Arc;

use super::{KeptSegment, Resumption, differs};
use crate::block::ResourceId;
use crate::chunk::EncodedBlock;
use crate::error::BackupError;
use crate::index::ResourceEnd;
use crate::manifest::SegmentEntry;

/// Compares what is encoded and placed with what is there of a run, before any of it is sent.
#[derive(Debug)]
pub struct Comparison {
    resumption: Arc<Resumption>,
    /// How far each resource has come, with what wasn't read again.
    come: HashMap<ResourceId, Position>,
}

/// Behind so many chunks of the segment with this number, from 0.
#[derive(Debug, Clone, Copy, Default)]
struct Position {
    segment: usize,
    chunk: usize,
}

impl Comparison {
    pub(super) fn new(resumption: Arc<Resumption>) -> Self {
        Comparison {
            resumption,
            come: HashMap::new(),
        }
    }

    /// Takes note that what everybody has of a resource isn't read again.
    pub fn keep(&mut self, id: ResourceId) {
        let segment = self.resumption.kept(id).len();
        self.come.insert(id, Position { segment, chunk: 0 });
    }

    /// Takes the next chunk of a resource.
    ///
    /// # Errors
    /// Where it is another one than is there.
    pub fn chunk(&mut self, chunk: &EncodedBlock) -> Result<(), BackupError> {
        let id = chunk.resource;
        let mut at = self.position(id);
        let known = self.segments(id).get(at.segment);
        let known = known.and_then(|segment| segment.chunks.get(at.chunk).copied());
        at.chunk += 1;
        self.come.insert(id, at);
        match known {
            Some(known) if known != chunk.entry => {
                Err(self.differs(id, "its records aren't those that were read before"))
            }
            None if self.ending(id).is_some() => {
                Err(self.differs(id, "it has more records than it had"))
            }
            _ => Ok(()),
        }
    }

    /// Looks at a segment that is complete.
    ///
    /// # Errors
    /// Where another one of that name is there.
    pub fn closed(&self, id: ResourceId, entry: &SegmentEntry) -> Result<(), BackupError> {
        let mut known = self.segments(id).iter();
        match known.find(|known| known.entry.file == entry.file) {
            Some(known) if known.entry != *entry => {
                Err(self.differs(id, "its objects aren't those that were read before"))
            }
            _ => Ok(()),
        }
    }

    /// The end of a resource: as the run had it, where it had got there.
    ///
    /// # Errors
    /// Where it ends before or otherwise than it did.
    pub fn ended(&self, id: ResourceId, end: ResourceEnd) -> Result<ResourceEnd, BackupError> {
        if self.position(id).segment < self.segments(id).len() {
            return Err(self.differs(id, "it has fewer records than it had"));
        }
        match self.ending(id) {
            Some(known) if known.counts != end.counts => Err(self.differs(
                id,
                "other objects of it had vanished when it was read before",
            )),
            Some(known) => Ok(known),
            None => Ok(end),
        }
    }

    fn segments(&self, id: ResourceId) -> &[KeptSegment] {
        let resource = self.resumption.resources.get(id.0 as usize);
        resource.map_or(&[], |resource| &resource.segments)
    }

    /// How far a resource has come: never behind the last chunk of a segment that is there, but before what follows.
    fn position(&self, id: ResourceId) -> Position {
        let at = self.come.get(&id).copied().unwrap_or_default();
        match self.segments(id).get(at.segment) {
            Some(segment) if segment.chunks.len() == at.chunk => Position {
                segment: at.segment + 1,
                chunk: 0,
            },
            _ => at,
        }
    }

    fn ending(&self, id: ResourceId) -> Option<ResourceEnd> {
        self.segments(id).last()?.last
    }

    fn differs(&self, id: ResourceId, message: &str) -> BackupError {
        let resource = self.resumption.resources.get(id.0 as usize);
        differs(resource.map_or("", |resource| &resource.name), message)
    }
}
