//! Chunks → segments: which file a chunk goes to, and where in it.
//!
//! A segment closes before it would grow beyond `segment_bytes` (unless one chunk is larger), when its index has grown
//! to [`INDEX_BYTES_MAX`], which bounds what is held until it is written, and when its resource ends.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use crate::block::ResourceId;
use crate::chunk::EncodedBlock;
use crate::compress::Compression;
use crate::error::{BackupError, Class};
use crate::file_name::{file_stem, file_stem_case_escaped};
use crate::id::BackupId;
use crate::index::{IndexBuilder, SegmentNames};
use crate::manifest::{OBJECTS_NAME, ResourceEntry, SegmentEntry};
use crate::source::ResourceCounts;

/// An index is held in memory until its segment closes; at this size it closes the segment.
pub const INDEX_BYTES_MAX: usize = 8 << 20;

/// The number of a segment within a pass, in order of opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentId(pub u32);

/// What a source calls a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceKind {
    /// A named collection of documents, carried as JSON lines.
    Records(String),
    /// Objects that are no records, and bodies too large for a line, carried as frames.
    Objects,
}

impl ResourceKind {
    /// The name in the manifest and in reports.
    pub fn name(&self) -> &str {
        match self {
            ResourceKind::Records(name) => name,
            ResourceKind::Objects => OBJECTS_NAME,
        }
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
        /// The resource's name, for reports.
        resource: String,
    },
    /// The next bytes of an open segment.
    Write {
        /// Which segment.
        segment: SegmentId,
        /// The chunk's stored bytes.
        bytes: Bytes,
    },
    /// No more bytes: the data file is complete, and so is its index.
    Close {
        /// Which segment.
        segment: SegmentId,
        /// What the manifest will say of it.
        entry: SegmentEntry,
        /// The index's bytes.
        index: Bytes,
    },
}

struct OpenSegment {
    id: SegmentId,
    names: SegmentNames,
    index: IndexBuilder,
}

struct Resource {
    kind: ResourceKind,
    stem: String,
    segments: Vec<SegmentEntry>,
    open: Option<OpenSegment>,
    counts: ResourceCounts,
    ended: bool,
}

/// Gives each chunk its place. Chunks come in `seq` order; the same chunks give the same places.
pub struct Placer {
    backup: BackupId,
    compression: Compression,
    segment_bytes: u64,
    resources: HashMap<ResourceId, Resource>,
    order: Vec<ResourceId>,
    stems_taken: HashSet<String>,
    segments_opened: u32,
}

impl Placer {
    /// A placer for one backup.
    pub fn new(backup: BackupId, compression: Compression, segment_bytes: u64) -> Self {
        Placer {
            backup,
            compression,
            segment_bytes,
            resources: HashMap::new(),
            order: Vec::new(),
            stems_taken: HashSet::new(),
            segments_opened: 0,
        }
    }

    /// Declares a resource, before its first chunk.
    ///
    /// # Errors
    /// Where the id or the name was declared before: two files would be one.
    pub fn declare(&mut self, id: ResourceId, kind: ResourceKind) -> Result<(), BackupError> {
        let duplicate = |what: &str| {
            BackupError::new(
                Class::Permanent,
                "place",
                format!("resource {:?}", kind.name()),
                what,
            )
        };
        if self.resources.values().any(|known| known.kind == kind)
            || self.resources.contains_key(&id)
        {
            return Err(duplicate("the source declared it twice"));
        }
        let stem = match &kind {
            ResourceKind::Objects => OBJECTS_NAME.to_owned(),
            ResourceKind::Records(name) => self.free_stem(name),
        };
        self.stems_taken.insert(stem.to_lowercase());
        self.resources.insert(
            id,
            Resource {
                kind,
                stem,
                segments: Vec::new(),
                open: None,
                counts: ResourceCounts::default(),
                ended: false,
            },
        );
        self.order.push(id);
        Ok(())
    }

    /// A stem that no other resource of this backup has, not even where upper and lower case are the same.
    fn free_stem(&self, name: &str) -> String {
        let stem = file_stem(name);
        if self.stems_taken.contains(&stem.to_lowercase()) {
            file_stem_case_escaped(name)
        } else {
            stem
        }
    }

    /// Places the next chunk.
    ///
    /// # Errors
    /// Where its resource wasn't declared or has ended: a defect of the source.
    pub fn place(
        &mut self,
        chunk: EncodedBlock,
        out: &mut Vec<Placement>,
    ) -> Result<(), BackupError> {
        let suffix = self.suffix(chunk.resource);
        let resource = self
            .resources
            .get_mut(&chunk.resource)
            .filter(|resource| !resource.ended);
        let Some(resource) = resource else {
            let subject = format!("resource {}", chunk.resource.0);
            return Err(BackupError::new(
                Class::Permanent,
                "place",
                subject,
                "it isn't open",
            ));
        };
        let full = resource.open.as_ref().is_some_and(|open| {
            open.index.sums().stored + chunk.entry.stored > self.segment_bytes
                || open.index.len() >= INDEX_BYTES_MAX
        });
        if full {
            resource.close(out)?;
        }
        if resource.open.is_none() {
            let number = u32::try_from(resource.segments.len() + 1).unwrap_or(u32::MAX);
            let names = SegmentNames::new(chunk.resource, &resource.stem, number, suffix);
            let id = SegmentId(self.segments_opened);
            self.segments_opened += 1;
            let name = resource.kind.name().to_owned();
            out.push(Placement::Open {
                segment: id,
                names: names.clone(),
                resource: name,
            });
            let index = IndexBuilder::new(&self.backup, &names.file)?;
            resource.open = Some(OpenSegment { id, names, index });
        }
        if let Some(open) = &mut resource.open {
            open.index.push(&chunk.entry, &chunk.index_fragment);
            out.push(Placement::Write {
                segment: open.id,
                bytes: chunk.bytes,
            });
        }
        Ok(())
    }

    /// Ends a resource: no chunk of it follows.
    ///
    /// # Errors
    /// Where its index can't be written.
    pub fn end(
        &mut self,
        id: ResourceId,
        counts: ResourceCounts,
        out: &mut Vec<Placement>,
    ) -> Result<(), BackupError> {
        match self.resources.get_mut(&id) {
            Some(resource) => {
                resource.ended = true;
                resource.counts = counts;
                resource.close(out)
            }
            None => Ok(()),
        }
    }

    /// Ends every resource; gives what the manifest says of the records' resources and of the objects.
    ///
    /// # Errors
    /// Where an index can't be written.
    pub fn finish(
        mut self,
        out: &mut Vec<Placement>,
    ) -> Result<(Vec<ResourceEntry>, Option<ResourceEntry>), BackupError> {
        let (mut records, mut objects) = (Vec::new(), None);
        for id in self.order {
            let Some(mut resource) = self.resources.remove(&id) else {
                continue;
            };
            resource.close(out)?;
            let entry = ResourceEntry::new(
                resource.kind.name().to_owned(),
                resource.stem,
                resource.segments,
                resource.counts,
            );
            match resource.kind {
                ResourceKind::Records(_) => records.push(entry),
                ResourceKind::Objects => objects = Some(entry),
            }
        }
        Ok((records, objects))
    }

    fn suffix(&self, id: ResourceId) -> &'static str {
        let objects = matches!(
            self.resources.get(&id).map(|r| &r.kind),
            Some(ResourceKind::Objects)
        );
        match (objects, self.compression) {
            (false, Compression::None) => ".jsonl",
            (false, Compression::Gzip { .. }) => ".jsonl.gz",
            (true, Compression::None) => ".frames",
            (true, Compression::Gzip { .. }) => ".frames.gz",
        }
    }
}

impl Resource {
    fn close(&mut self, out: &mut Vec<Placement>) -> Result<(), BackupError> {
        let Some(OpenSegment { id, names, index }) = self.open.take() else {
            return Ok(());
        };
        let sums = index.sums();
        let (index, blake3) = index.finish()?;
        let entry = SegmentEntry::new(&names, sums, blake3, &index);
        self.segments.push(entry.clone());
        out.push(Placement::Close {
            segment: id,
            entry,
            index,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::ChunkEntry;
    use crate::digest::Digest;

    fn chunk(resource: u32, stored: u64) -> EncodedBlock {
        let bytes = Bytes::from(vec![0; usize::try_from(stored).unwrap()]);
        let entry = ChunkEntry {
            stored,
            plain: stored,
            records: 1,
            blake3: Digest::of(&bytes),
        };
        EncodedBlock {
            resource: ResourceId(resource),
            entry,
            bytes,
            index_fragment: Bytes::new(),
        }
    }

    fn placer() -> Placer {
        let id = "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap();
        Placer::new(id, Compression::default(), 100)
    }

    #[test]
    fn segments_keep_to_their_size_and_resources_to_their_files() {
        let mut placer = placer();
        let mut out = Vec::new();
        placer
            .declare(ResourceId(0), ResourceKind::Records("a".into()))
            .unwrap();
        placer
            .declare(ResourceId(1), ResourceKind::Objects)
            .unwrap();
        for (resource, stored) in [(0, 60), (1, 10), (0, 40), (0, 1), (0, 500), (1, 5)] {
            placer.place(chunk(resource, stored), &mut out).unwrap();
        }
        let (records, objects) = placer.finish(&mut out).unwrap();
        let files: Vec<_> = records[0]
            .segments
            .iter()
            .map(|s| (s.file.as_str(), s.stored_bytes))
            .collect();
        assert_eq!(
            files,
            [
                ("a.jsonl.gz", 100),
                ("a~0002.jsonl.gz", 1),
                ("a~0003.jsonl.gz", 500)
            ]
        );
        assert_eq!(objects.unwrap().segments[0].file, "_objects.frames.gz");
        let opened = out
            .iter()
            .filter(|p| matches!(p, Placement::Open { .. }))
            .count();
        let closed = out
            .iter()
            .filter(|p| matches!(p, Placement::Close { .. }))
            .count();
        assert_eq!((opened, closed), (4, 4));
    }

    #[test]
    fn names_that_differ_in_case_only_have_different_files() {
        let mut placer = placer();
        for (id, name) in [(0, "users"), (1, "Users"), (2, "USERS")] {
            placer
                .declare(ResourceId(id), ResourceKind::Records(name.into()))
                .unwrap();
        }
        assert!(
            placer
                .declare(ResourceId(3), ResourceKind::Records("users".into()))
                .is_err()
        );
        let (records, _) = placer.finish(&mut Vec::new()).unwrap();
        let stems: Vec<_> = records.iter().map(|r| r.stem.as_str()).collect();
        assert_eq!(stems, ["users", "=55sers", "=55=53=45=52=53"]);
    }
}
