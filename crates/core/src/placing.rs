//! Chunks → segments: which file a chunk goes to, and where in it.
//!
//! A segment closes before it would grow beyond `segment_bytes` (unless one chunk is larger), when its index has grown
//! to [`INDEX_BYTES_MAX`], which bounds what is held until it is written, and when its resource ends.

use std::collections::HashSet;

use bytes::Bytes;

use crate::block::ResourceId;
use crate::chunk::EncodedBlock;
use crate::compress::Compression;
use crate::document;
use crate::error::{BackupError, Class};
use crate::file_name::Stems;
use crate::id::BackupId;
use crate::index::{Index, IndexBuilder, ResourceEnd, SegmentNames};
use crate::manifest::{OBJECTS_NAME, PlacedResources, SETTLED_NAME, SegmentEntry};
use crate::records::{ClaimedResource, ClaimedResources};
use crate::source::PlannedResource;

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
    /// What of all of these had changed when it was read again, carried as JSON lines.
    Settled,
}

impl ResourceKind {
    /// The name in the manifest and in reports.
    pub fn name(&self) -> &str {
        match self {
            ResourceKind::Records(name) => name,
            ResourceKind::Objects => OBJECTS_NAME,
            ResourceKind::Settled => SETTLED_NAME,
        }
    }

    /// What the names of its data files end in.
    pub(crate) fn suffix(&self, compression: Compression) -> &'static str {
        match (self, compression) {
            (ResourceKind::Records(_), Compression::None) => ".jsonl",
            (ResourceKind::Records(_), Compression::Gzip { .. }) => ".jsonl.gz",
            (ResourceKind::Objects, Compression::None) => ".frames",
            (ResourceKind::Objects, Compression::Gzip { .. }) => ".frames.gz",
            (ResourceKind::Settled, Compression::None) => ".changes",
            (ResourceKind::Settled, Compression::Gzip { .. }) => ".changes.gz",
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
        /// Its size, as far as can be told from what the source knows and how well the resource has compressed so far.
        expected_bytes: u64,
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
    planned_bytes: Option<u64>,
    placed: Placed,
    segments: Vec<SegmentEntry>,
    open: Option<OpenSegment>,
    end: Option<ResourceEnd>,
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
                ResourceKind::Objects | ResourceKind::Settled => kind.name().to_owned(),
            };
            resources.push(Resource {
                kind: kind.clone(),
                stem,
                planned_bytes: *plain_bytes,
                placed: Placed::default(),
                segments: Vec::new(),
                open: None,
                end: None,
            });
        }
        Ok(Placer {
            backup,
            compression,
            segment_bytes,
            resources,
            segments_opened: 0,
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
        let resource = self.open_resource(chunk.resource)?;
        resource.placed.plain += chunk.entry.plain;
        resource.placed.stored += chunk.entry.stored;
        let full = resource.open.as_ref().is_some_and(|open| {
            open.index.sums().stored + chunk.entry.stored > segment_bytes
                || open.index.len() >= INDEX_BYTES_MAX
        });
        if full {
            resource.close(None, out)?;
        }
        let opens = resource.open.is_none();
        if opens {
            let number = u32::try_from(resource.segments.len() + 1).unwrap_or(u32::MAX);
            let suffix = resource.kind.suffix(compression);
            let names = SegmentNames::new(chunk.resource, &resource.stem, number, suffix);
            out.push(Placement::Open {
                segment,
                names: names.clone(),
                expected_bytes: resource.expected_bytes(&chunk, segment_bytes),
            });
            resource.open = Some(OpenSegment {
                id: segment,
                index: IndexBuilder::new(&backup, &names.file)?,
                names,
            });
        }
        if let Some(open) = &mut resource.open {
            open.index.push(&chunk.entry, &chunk.index_fragment);
            out.push(Placement::Write {
                segment: open.id,
                bytes: chunk.bytes,
            });
        }
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
        let resource = self.open_resource(id)?;
        if resource.open.is_none() {
            return Err(not_open(id, "it has no chunk"));
        }
        resource.close(Some(end), out)?;
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
        out: &mut Vec<Placement>,
    ) -> Result<(), BackupError> {
        let Some(OpenSegment { id, names, index }) = self.open.take() else {
            return Ok(());
        };
        let sums = index.sums();
        let (index, blake3) = index.finish(last)?;
        document::check_size(&names.index, index.len() as u64, Index::BYTES_MAX)
            .map_err(|error| error.suggest("lower block_bytes: a block has fewer rows then"))?;
        let entry = SegmentEntry::new(&names, sums, blake3, &index);
        self.segments.push(entry.clone());
        out.push(Placement::Close {
            segment: id,
            entry,
            index,
        });
        Ok(())
    }

    /// How large a segment that begins with `chunk`, which is counted as placed, is likely to become.
    fn expected_bytes(&self, chunk: &EncodedBlock, segment_bytes: u64) -> u64 {
        let Placed { plain, stored } = self.placed;
        let remaining = self.planned_bytes.unwrap_or(0).saturating_sub(plain);
        let rest = u128::from(remaining) * u128::from(stored) / u128::from(plain.max(1));
        let rest = u64::try_from(rest).unwrap_or(u64::MAX);
        let fits = segment_bytes.max(chunk.entry.stored);
        chunk.entry.stored.saturating_add(rest).min(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{ChunkEntry, ChunkLine, json_line};
    use crate::compress::GzipEncoder;
    use crate::digest::Digest;
    use crate::source::ResourceCounts;
    use crate::time::Timestamp;

    fn chunk(resource: u32, stored: u64) -> EncodedBlock {
        let bytes = Bytes::from(vec![0; usize::try_from(stored).unwrap()]);
        let entry = ChunkEntry {
            stored,
            plain: stored,
            records: 1,
            blake3: Digest::of(&bytes),
        };
        let line = json_line(&ChunkLine { chunk: entry });
        EncodedBlock {
            resource: ResourceId(resource),
            entry,
            bytes,
            index_fragment: GzipEncoder::new(1).encode(&line).unwrap().into(),
        }
    }

    fn records(name: &str) -> PlannedResource {
        PlannedResource {
            kind: ResourceKind::Records(name.into()),
            plain_bytes: None,
        }
    }

    fn placer(planned: &[PlannedResource]) -> Result<Placer, BackupError> {
        let id = "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap();
        Placer::new(id, Compression::default(), 100, planned)
    }

    #[test]
    fn a_resource_may_be_called_as_the_objects_are() {
        let objects = PlannedResource {
            kind: ResourceKind::Objects,
            plain_bytes: None,
        };
        let placer = placer(&[records(OBJECTS_NAME), objects.clone()]).unwrap();
        let stems = placer.resources.iter().map(|resource| &resource.stem);
        let [of_records, of_objects] = stems.collect::<Vec<_>>()[..] else {
            panic!("two resources")
        };
        assert_ne!(of_records, of_objects);
        assert!(self::placer(&[objects.clone(), objects]).is_err());
    }

    fn end_all(placer: &mut Placer, out: &mut Vec<Placement>) {
        for id in 0..u32::try_from(placer.resources.len()).unwrap() {
            let end = ResourceEnd {
                counts: ResourceCounts::default(),
                ended_at: Timestamp::from_unix_ms(i64::from(id)),
            };
            placer.end(ResourceId(id), end, out).unwrap();
        }
    }

    #[test]
    fn segments_keep_to_their_size_and_resources_to_their_files() {
        let objects = PlannedResource {
            kind: ResourceKind::Objects,
            plain_bytes: None,
        };
        let mut placer = placer(&[records("a"), objects]).unwrap();
        let mut out = Vec::new();
        for (resource, stored) in [(0, 60), (1, 10), (0, 40), (0, 1), (0, 500), (1, 5)] {
            placer.place(chunk(resource, stored), &mut out).unwrap();
        }
        end_all(&mut placer, &mut out);
        let placed = placer.finish().unwrap();
        let files: Vec<_> = placed.resources[0]
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
        let objects = &placed.objects.unwrap();
        assert_eq!(objects.segments[0].file, "_objects.frames.gz");
        assert_eq!(placed.ended_at, Some(Timestamp::from_unix_ms(1)));
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
    fn only_the_last_index_of_a_resource_says_so() {
        let mut placer = placer(&[records("a")]).unwrap();
        let mut out = Vec::new();
        for stored in [60, 60, 60] {
            placer.place(chunk(0, stored), &mut out).unwrap();
        }
        let counts = ResourceCounts {
            kept_raw: 2,
            vanished: 1,
            settle: None,
        };
        let end = ResourceEnd {
            counts,
            ended_at: Timestamp::from_unix_ms(5),
        };
        placer.end(ResourceId(0), end, &mut out).unwrap();
        let lasts: Vec<_> = out
            .iter()
            .filter_map(|placement| match placement {
                Placement::Close { index, .. } => Some(Index::parse("i", index).unwrap().last),
                _ => None,
            })
            .collect();
        assert_eq!(lasts, [None, None, Some(end)]);
        assert!(placer.place(chunk(0, 1), &mut out).is_err());
    }

    #[test]
    fn names_that_differ_in_case_only_have_different_files() {
        let names = ["A", "a", "users", "Users", "USERS"];
        let planned: Vec<_> = names.iter().map(|name| records(name)).collect();
        let claimed = placer(&planned).unwrap().claimed().resources;
        let stems: HashSet<_> = claimed.iter().map(|r| r.stem.to_lowercase()).collect();
        assert_eq!(stems.len(), names.len(), "{claimed:?}");
        assert_eq!(
            (claimed[0].stem.as_str(), claimed[2].stem.as_str()),
            ("A", "users")
        );
        assert!(placer(&[records("users"), records("users")]).is_err());
    }

    #[test]
    fn what_a_segment_will_take_follows_from_what_is_left_and_how_it_compresses() {
        let planned = PlannedResource {
            plain_bytes: Some(500),
            ..records("a")
        };
        let mut placer = placer(&[planned]).unwrap();
        let mut out = Vec::new();
        let mut half = chunk(0, 30);
        half.entry.plain = 60;
        for _ in 0..4 {
            placer.place(half.clone(), &mut out).unwrap();
        }
        let expected: Vec<u64> = out
            .iter()
            .filter_map(|placement| match placement {
                Placement::Open { expected_bytes, .. } => Some(*expected_bytes),
                _ => None,
            })
            .collect();
        assert_eq!(expected, [100, 100], "a full segment");
        let mut all = chunk(0, 130);
        all.entry.plain = 260;
        placer.place(all, &mut out).unwrap();
        let Some(Placement::Open { expected_bytes, .. }) = out.iter().rev().nth(1) else {
            panic!("a segment of its own");
        };
        assert_eq!(*expected_bytes, 130, "nothing is left after it");
    }
}
