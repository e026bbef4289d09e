//! Chunks → segments: which file a chunk goes to, and where in it.
//!
//! A segment closes before it would grow beyond `segment_bytes` (unless one chunk is larger), when its index has grown
//! to [`INDEX_BYTES_MAX`], which bounds what is held until it is written, and when its resource ends.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::block::ResourceId;
use crate::chunk::EncodedBlock;
use crate::compress::Compression;
use crate::document;
use crate::error::{BackupError, Class};
use crate::file_name::Stems;
use crate::id::BackupId;
use crate::index::{Index, IndexBuilder, ResourceEnd, SegmentNames};
use crate::manifest::{
    DELETED_NAME, LINES_NAME, OBJECTS_NAME, PlacedResources, SETTLED_NAME, SegmentEntry,
};
use crate::records::{ClaimedResource, ClaimedResources};
use crate::seal::{SEALED_SUFFIX, SealedPlace, Sealer, TAG_BYTES};
use crate::source::PlannedResource;
use crate::stream::{Epilogue, prologue};

mod kept;
mod seal;

use seal::sealed_end;

/// An index is held in memory until its segment closes; at this size it closes the segment.
pub const INDEX_BYTES_MAX: usize = 8 << 20;

/// The number of a segment within a pass, in order of opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentId(pub u32);

/// What a source calls a resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ResourceKind {
    /// A named collection of documents, carried as JSON lines.
    Records(String),
    /// Objects that are no records, and bodies too large for a line, carried as frames.
    Objects,
    /// What is gone of the parent's records and objects, carried as JSON lines.
    Deleted,
    /// Digests of all lines that a source of JSON lines has, carried as JSON lines.
    Lines,
    /// What of all of these had changed when it was read again, carried as JSON lines.
    Settled,
}

impl ResourceKind {
    /// The name in the manifest and in reports.
    pub fn name(&self) -> &str {
        match self {
            ResourceKind::Records(name) => name,
            ResourceKind::Objects => OBJECTS_NAME,
            ResourceKind::Deleted => DELETED_NAME,
            ResourceKind::Lines => LINES_NAME,
            ResourceKind::Settled => SETTLED_NAME,
        }
    }

    /// What the names of its data files end in.
    pub(crate) fn suffix(&self, compression: Compression, is_sealed: bool) -> String {
        let content = match self {
            ResourceKind::Records(_) => ".jsonl",
            ResourceKind::Objects => ".frames",
            ResourceKind::Deleted | ResourceKind::Settled => ".changes",
            ResourceKind::Lines => ".digests",
        };
        let sealed = if is_sealed { SEALED_SUFFIX } else { "" };
        format!("{content}{}{sealed}", compression.suffix())
    }
}

/// What is to be done with the bytes, in this order at every destination.
#[derive(Debug, Clone)]
pub enum Placement {
    /// A new data file.
    Open {
        /// Which segment.
        segment: SegmentId,
        /// Its files.
        names: SegmentNames,
        /// Its size, as far as can be told from what the source knows and how well the resource has compressed so far.
        expected_bytes: u64,
        /// What it begins with, before its first chunk; may be nothing.
        prologue: Bytes,
    },
    /// The next bytes of an open segment.
    Write {
        /// Which segment.
        segment: SegmentId,
        /// The chunk's stored bytes.
        bytes: Bytes,
    },
    /// A segment that every destination has, of which nothing is read again.
    Kept {
        /// What the manifest will say of it.
        entry: Box<SegmentEntry>,
    },
    /// No more chunks: with its last bytes the data file is complete, and so is its index.
    Close {
        /// Which segment.
        segment: SegmentId,
        /// What it ends in, behind its last chunk; may be nothing.
        epilogue: Bytes,
        /// What the manifest will say of it.
        entry: Box<SegmentEntry>,
        /// The index's bytes.
        index: Bytes,
    },
}

struct OpenSegment {
    id: SegmentId,
    names: SegmentNames,
    index: IndexBuilder,
    epilogue: Epilogue,
    place: SealedPlace,
}

struct Resource {
    kind: ResourceKind,
    stem: String,
    planned_bytes: Option<u64>,
    placed: Placed,
    segments: Vec<SegmentEntry>,
    open: Option<OpenSegment>,
    end: Option<ResourceEnd>,
    chunks: u64,
}

/// Bytes of the chunks that have a place.
#[derive(Default)]
struct Placed {
    plain: u64,
    stored: u64,
}

/// Gives each chunk its place. Chunks come in `seq` order; the same chunks give the same places.
pub struct Placer {
    backup: BackupId,
    compression: Compression,
    segment_bytes: u64,
    resources: Vec<Resource>,
    segments_opened: u32,
    sealer: Option<Arc<Sealer>>,
}

impl Placer {
    /// A placer for one backup of these resources.
    ///
    /// # Errors
    /// Where two resources are the same: two files would be one.
    pub fn new(
        backup: BackupId,
        compression: Compression,
        segment_bytes: u64,
        planned: &[PlannedResource],
    ) -> Result<Self, BackupError> {
        let mut stems = Stems::default();
        let mut resources: Vec<Resource> = Vec::with_capacity(planned.len());
        let mut kinds = HashSet::new();
        for PlannedResource { kind, plain_bytes } in planned {
            if !kinds.insert(kind) {
                return Err(BackupError::new(
                    Class::Permanent,
                    "place",
                    format!("resource {:?}", kind.name()),
                    "the source has it twice",
                ));
            }
            let stem = match kind {
                ResourceKind::Records(name) => stems.take(name),
                // No resource's stem begins as these do.
                ResourceKind::Objects
                | ResourceKind::Deleted
                | ResourceKind::Lines
                | ResourceKind::Settled => kind.name().to_owned(),
            };
            resources.push(Resource {
                kind: kind.clone(),
                stem,
                planned_bytes: *plain_bytes,
                placed: Placed::default(),
                segments: Vec::new(),
                open: None,
                end: None,
                chunks: 0,
            });
        }
        Ok(Placer {
            backup,
            compression,
            segment_bytes,
            resources,
            segments_opened: 0,
            sealer: None,
        })
    }

    /// What the files of each resource will be called.
    pub fn claimed(&self) -> ClaimedResources {
        let mut claimed = ClaimedResources::default();
        for Resource { kind, stem, .. } in &self.resources {
            let resource = ClaimedResource {
                name: kind.name().to_owned(),
                stem: stem.clone(),
            };
            match kind {
                ResourceKind::Records(_) => claimed.resources.push(resource),
                ResourceKind::Objects => claimed.objects = Some(resource),
                ResourceKind::Deleted => claimed.deleted = Some(resource),
                ResourceKind::Lines => claimed.lines = Some(resource),
                ResourceKind::Settled => claimed.settled = Some(resource),
            }
        }
        claimed
    }

    /// The name of a resource.
    pub fn name(&self, id: ResourceId) -> Option<&str> {
        Some(self.resources.get(id.0 as usize)?.kind.name())
    }

    /// Places the next chunk.
    ///
    /// # Errors
    /// Where its resource wasn't planned or has ended: a defect of the source.
    pub fn place(
        &mut self,
        chunk: EncodedBlock,
        out: &mut Vec<Placement>,
    ) -> Result<(), BackupError> {
        let (segment_bytes, segment) = (self.segment_bytes, SegmentId(self.segments_opened));
        let (backup, compression) = (self.backup.clone(), self.compression);
        let sealer = self.sealer.clone();
        let resource = self.open_resource(chunk.resource)?;
        if sealer.is_some() && chunk.number != resource.chunks {
            return Err(not_open(
                chunk.resource,
                "its chunks don't follow each other",
            ));
        }
        resource.placed.plain += chunk.entry.plain;
        resource.placed.stored += chunk.entry.stored;
        let epilogue = Epilogue::new(compression);
        let tag_bytes = sealer.as_ref().map_or(0, |_| TAG_BYTES);
        let epilogue_bytes = (epilogue.bytes().len() + tag_bytes) as u64;
        let full = resource.open.as_ref().is_some_and(|open| {
            open.index.sums().stored + chunk.entry.stored + epilogue_bytes > segment_bytes
                || open.index.len() >= INDEX_BYTES_MAX
        });
        if full {
            resource.close(None, sealer.as_deref(), out)?;
        }
        let opens = resource.open.is_none();
        if opens {
            let number = u32::try_from(resource.segments.len() + 1).unwrap_or(u32::MAX);
            let suffix = resource.kind.suffix(compression, sealer.is_some());
            let names = SegmentNames::new(chunk.resource, &resource.stem, number, &suffix);
            let prologue = prologue(compression);
            let place = SealedPlace {
                resource: chunk.resource.0,
                segment: number,
                first_chunk: chunk.number,
            };
            let sealed_place = sealer.as_ref().map(|_| place);
            let index = IndexBuilder::in_place(&backup, &names.file, prologue, sealed_place)?;
            let least = index.sums().stored + chunk.entry.stored + epilogue_bytes;
            out.push(Placement::Open {
                segment,
                names: names.clone(),
                expected_bytes: resource.expected_bytes(least, segment_bytes),
                prologue: Bytes::from_static(prologue),
            });
            resource.open = Some(OpenSegment {
                id: segment,
                names,
                index,
                epilogue,
                place,
            });
        }
        if let Some(open) = &mut resource.open {
            open.index.push(&chunk.entry, &chunk.index_fragment);
            open.epilogue.push(chunk.stream, chunk.entry.plain);
            out.push(Placement::Write {
                segment: open.id,
                bytes: chunk.bytes,
            });
        }
        resource.chunks += 1;
        self.segments_opened += u32::from(opens);
        Ok(())
    }

    /// Ends a resource: no chunk of it follows.
    ///
    /// # Errors
    /// Where it wasn't planned, has no chunk or has ended before (a defect of the source), or its index can't be written.
    pub fn end(
        &mut self,
        id: ResourceId,
        end: ResourceEnd,
        out: &mut Vec<Placement>,
    ) -> Result<(), BackupError> {
        let sealer = self.sealer.clone();
        let resource = self.open_resource(id)?;
        if resource.open.is_none() {
            return Err(not_open(id, "it has no chunk"));
        }
        resource.close(Some(end), sealer.as_deref(), out)?;
        resource.end = Some(end);
        Ok(())
    }

    /// What the manifest says of the resources.
    ///
    /// # Errors
    /// Where a resource hasn't ended: a defect of the source.
    pub fn finish(self) -> Result<PlacedResources, BackupError> {
        let mut placed = PlacedResources::default();
        for (number, resource) in (0..).zip(self.resources) {
            let end = resource
                .end
                .ok_or_else(|| not_open(ResourceId(number), "the source didn't end it"))?;
            let claimed = ClaimedResource {
                name: resource.kind.name().to_owned(),
                stem: resource.stem,
            };
            placed.push(&resource.kind, claimed, resource.segments, end);
        }
        Ok(placed)
    }

    fn open_resource(&mut self, id: ResourceId) -> Result<&mut Resource, BackupError> {
        self.resources
            .get_mut(id.0 as usize)
            .filter(|resource| resource.end.is_none())
            .ok_or_else(|| not_open(id, "it wasn't planned, or has ended"))
    }
}

fn not_open(id: ResourceId, message: &str) -> BackupError {
    let subject = format!("resource {}", id.0);
    BackupError::new(Class::Permanent, "place", subject, message)
}

impl Resource {
    fn close(
        &mut self,
        last: Option<ResourceEnd>,
        sealer: Option<&Sealer>,
        out: &mut Vec<Placement>,
    ) -> Result<(), BackupError> {
        let Some(OpenSegment {
            id,
            names,
            index,
            epilogue,
            place,
        }) = self.open.take()
        else {
            return Ok(());
        };
        let epilogue = sealed_end(sealer, place, &index, last.is_some(), epilogue.bytes());
        let (mut index, sums, blake3) = index.finish(&epilogue, last)?;
        if let Some(sealer) = sealer {
            let mac = sealer.index_mac(place, &index);
            index = [index, mac].concat().into();
        }
        document::check_size(&names.index, index.len() as u64, Index::BYTES_MAX)
            .map_err(|error| error.suggest("lower block_bytes: a block has fewer rows then"))?;
        let entry = SegmentEntry::new(&names, sums, blake3, &index);
        self.segments.push(entry.clone());
        out.push(Placement::Close {
            segment: id,
            epilogue,
            entry: Box::new(entry),
            index,
        });
        Ok(())
    }

    /// How large a segment is likely to become that takes `least` bytes with its first chunk, which is counted as placed.
    fn expected_bytes(&self, least: u64, segment_bytes: u64) -> u64 {
        let Placed { plain, stored } = self.placed;
        let remaining = self.planned_bytes.unwrap_or(0).saturating_sub(plain);
        let rest = u128::from(remaining) * u128::from(stored) / u128::from(plain.max(1));
        let rest = u64::try_from(rest).unwrap_or(u64::MAX);
        least.saturating_add(rest).min(segment_bytes.max(least))
    }
}

#[cfg(test)]
mod tests;
