//! What a backup holds: written last, the same bytes at every destination.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::chain::{BackupRef, Changes};
use crate::compress::Compression;
use crate::digest::Digest;
use crate::document::Document;
use crate::id::{BackupId, BackupType};
use crate::index::{ResourceEnd, SegmentNames, SegmentSums};
use crate::metadata::Metadata;
use crate::part::{InPart, Partitions, Query};
use crate::placing::ResourceKind;
use crate::records::{AskedFor, ClaimedResource, RunClaim};
use crate::seal::SealEntry;
use crate::source::{ResourceCounts, Settling};
use crate::time::Timestamp;

mod seal;
mod stored;
mod totals;

pub use stored::SealedManifest;
pub use totals::Totals;
use totals::sum;

/// The name, in manifests and reports, of what is no resource: objects that are no records, and large bodies.
pub const OBJECTS_NAME: &str = "_objects";
/// The name, in manifests and reports, of what is gone since the parent.
pub const DELETED_NAME: &str = "_deleted";
/// The name, in manifests and reports, of the digests of all lines.
pub const LINES_NAME: &str = "_lines";
/// The name, in manifests and reports, of what had changed when it was read again.
pub const SETTLED_NAME: &str = "_settled";

/// The manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The backup.
    pub id: BackupId,
    /// Its type.
    #[serde(rename = "type")]
    pub backup_type: BackupType,
    /// When the run began.
    pub started_at: Timestamp,
    /// What was read, and when.
    pub source: SourceEntry,
    /// How it was to be written, and where.
    pub plan: PlanEntry,
    /// The backup that this one goes on from: it has only what is other than there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent: Option<BackupRef>,
    /// Where it has no parent and not everything: it has what was written then or later, and says nothing of what is gone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<Timestamp>,
    /// The link that this one was made of, which has the same in it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub consolidates: Option<BackupRef>,
    /// What somebody says of it.
    #[serde(skip_serializing_if = "Metadata::is_empty", default)]
    pub metadata: Metadata,
    /// The resources, in the source's order.
    pub resources: Vec<ResourceEntry>,
    /// Objects that are no records, where there are any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub objects: Option<ResourceEntry>,
    /// What is gone since the parent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deleted: Option<ResourceEntry>,
    /// Digests of all lines that the source had, those of the parents among them, where it is of JSON lines.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lines: Option<ResourceEntry>,
    /// What of the resources and the objects had changed when it was read again: it stands instead of what they say.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub settled: Option<ResourceEntry>,
    /// Whole small files beside the segments.
    pub attachments: Vec<AttachmentEntry>,
    /// Sums over all of it.
    pub totals: Totals,
    /// The version of teeline that wrote it.
    pub written_by: String,
}

impl Document for Manifest {
    const FORMAT: &'static str = "teeline-manifest";
    const VERSION: u32 = PLANNED_VERSION;

    fn version(&self) -> u32 {
        let is_part = self.parent.is_some() || self.since.is_some();
        version_of(&self.plan, self.settled.is_some(), is_part)
    }
}

/// The newest version of a claim and of a manifest.
pub(crate) const PLANNED_VERSION: u32 = 5;

/// The version of a claim and of a manifest. Whoever knows the first only would restore what was outdated when the scan
/// ended; whoever knows the first two has no decoder for a compression that came later; whoever knows the first three would
/// take a link of a chain, or what was written since a time, for all that there is; others can't open what is sealed.
pub(crate) fn version_of(plan: &PlanEntry, settles: bool, is_part: bool) -> u32 {
    match plan.compression {
        _ if plan.seal.is_some() => 5,
        _ if is_part => 4,
        Compression::Deflate { .. } | Compression::Brotli { .. } => 3,
        Compression::None | Compression::Gzip { .. } | Compression::Zstd { .. } if settles => 2,
        Compression::None | Compression::Gzip { .. } | Compression::Zstd { .. } => 1,
    }
}

/// The kind of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// A database in the storage format of s3db.js.
    S3db,
    /// Files of JSON lines.
    Jsonl,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceEntry {
    /// The kind.
    pub kind: SourceKind,
    /// Where it is, without secrets.
    pub location: String,
    /// When the scan began, by the clock of the machine that read.
    pub scan_started_at: Timestamp,
    /// When it ended, once that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scan_ended_at: Option<Timestamp>,
    /// What time it was at the source's server then, where it has one that says so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub server_time: Option<Timestamp>,
    /// What was found to be other than in the parent, where there is one, once it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub changes: Option<Changes>,
    /// What became of reading again what had changed meanwhile, where that was asked for, once it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub settle: Option<Settling>,
}

/// How a backup was to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanEntry {
    /// The strategy, as written: `all`, `any`, `priority`, `quorum:2`.
    pub strategy: String,
    /// Every destination that the run was to write to.
    pub destinations: Vec<PlannedDestination>,
    /// How chunks are compressed.
    pub compression: Compression,
    /// The size that blocks were cut to.
    pub block_bytes: u64,
    /// The size that segments were closed at.
    pub segment_bytes: u64,
    /// Globs of the resources that were asked for; empty for all.
    pub include: Vec<String>,
    /// Globs of the resources that were left out.
    pub exclude: Vec<String>,
    /// The partitions whose records were asked for; none for all.
    #[serde(skip_serializing_if = "Partitions::is_empty", default)]
    pub partitions: Partitions,
    /// Conditions on the records that were asked for; none for all.
    #[serde(skip_serializing_if = "Query::is_empty", default)]
    pub query: Query,
    /// How it is sealed, if it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seal: Option<SealEntry>,
}

impl PlanEntry {
    /// Whether only some records of a resource were asked for.
    pub fn is_of_some_records(&self, resource: &str) -> bool {
        !self.partitions.is_empty() || self.query.of(resource).is_some()
    }

    /// What was asked for, as a catalogue's entry has it.
    pub fn asked_for(&self) -> AskedFor {
        AskedFor::new(self.include.clone(), self.exclude.clone(), self.in_part())
    }

    /// Which records were asked for, where that isn't all.
    pub fn in_part(&self) -> Option<InPart> {
        InPart::of(&self.partitions, &self.query)
    }
}

/// A destination as planned; what became of it is in the run records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedDestination {
    /// Its name in the configuration.
    pub name: String,
    /// Whether its failure fails the run.
    pub required: bool,
}

/// One resource: its segments and their sums.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceEntry {
    /// The resource's name.
    pub name: String,
    /// What its files' names begin with.
    pub stem: String,
    /// Records in it.
    pub records: u64,
    /// Bytes as stored.
    pub stored_bytes: u64,
    /// Bytes after decoding.
    pub plain_bytes: u64,
    /// Records whose object is kept raw beside the document, since the document doesn't map back to it.
    #[serde(default)]
    pub kept_raw: u64,
    /// Objects that were listed and gone when they were read.
    #[serde(default)]
    pub vanished: u64,
    /// The segments, in order.
    pub segments: Vec<SegmentEntry>,
}

impl ResourceEntry {
    /// A resource with all of its segments.
    pub fn new(
        ClaimedResource { name, stem }: ClaimedResource,
        segments: Vec<SegmentEntry>,
        counts: ResourceCounts,
    ) -> Self {
        ResourceEntry {
            name,
            stem,
            records: sum(segments.iter().map(|segment| segment.records)),
            stored_bytes: sum(segments.iter().map(|segment| segment.stored_bytes)),
            plain_bytes: sum(segments.iter().map(|segment| segment.plain_bytes)),
            kept_raw: counts.kept_raw,
            vanished: counts.vanished,
            segments,
        }
    }
}

/// The resources of a backup, as a manifest has them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlacedResources {
    /// Those of records, in the source's order.
    pub resources: Vec<ResourceEntry>,
    /// Objects that are no records.
    pub objects: Option<ResourceEntry>,
    /// What is gone since the parent.
    pub deleted: Option<ResourceEntry>,
    /// What was found to be other than there.
    pub changes: Option<Changes>,
    /// Digests of all lines.
    pub lines: Option<ResourceEntry>,
    /// What had changed when it was read again.
    pub settled: Option<ResourceEntry>,
    /// What became of that.
    pub settle: Option<Settling>,
    /// When the last of them ended.
    pub ended_at: Option<Timestamp>,
}

impl PlacedResources {
    /// Adds the next resource, with all of its segments.
    pub fn push(
        &mut self,
        kind: &ResourceKind,
        claimed: ClaimedResource,
        segments: Vec<SegmentEntry>,
        end: ResourceEnd,
    ) {
        let entry = ResourceEntry::new(claimed, segments, end.counts);
        match kind {
            ResourceKind::Records(_) => self.resources.push(entry),
            ResourceKind::Objects => self.objects = Some(entry),
            ResourceKind::Deleted => {
                self.deleted = Some(entry);
                self.changes = end.counts.changes;
            }
            ResourceKind::Lines => self.lines = Some(entry),
            ResourceKind::Settled => {
                self.settled = Some(entry);
                self.settle = end.counts.settle;
            }
        }
        self.ended_at = self.ended_at.max(Some(end.ended_at));
    }
}

/// One data file and its index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SegmentEntry {
    /// The data file's name.
    pub file: String,
    /// Chunks in it.
    pub chunks: u32,
    /// Records in it.
    pub records: u64,
    /// The data file's size.
    pub stored_bytes: u64,
    /// Bytes after decoding.
    pub plain_bytes: u64,
    /// BLAKE3 over the BLAKE3 digests of what it consists of, in order: chunks, and what stands around them.
    pub blake3: Digest,
    /// The index's name.
    pub index: String,
    /// The index's size.
    pub index_bytes: u64,
    /// BLAKE3 of the index.
    pub index_blake3: Digest,
}

impl SegmentEntry {
    /// What the manifest says of a closed segment.
    pub fn new(names: &SegmentNames, sums: SegmentSums, blake3: Digest, index: &Bytes) -> Self {
        SegmentEntry {
            file: names.file.clone(),
            chunks: sums.chunks,
            records: sums.records,
            stored_bytes: sums.stored,
            plain_bytes: sums.plain,
            blake3,
            index: names.index.clone(),
            index_bytes: index.len() as u64,
            index_blake3: Digest::of(index),
        }
    }
}

/// A whole small file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachmentEntry {
    /// Its name.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of it.
    pub blake3: Digest,
}

impl AttachmentEntry {
    /// What the manifest says of a file with this content.
    pub fn new(file: &str, bytes: &[u8]) -> Self {
        AttachmentEntry {
            file: file.to_owned(),
            bytes: bytes.len() as u64,
            blake3: Digest::of(bytes),
        }
    }
}

impl Manifest {
    /// The manifest of a run, now that it is known what it has written. It says nothing that its claim, its indexes and its
    /// attachments don't say, so a lost one can be made again byte for byte.
    pub fn new(
        claim: RunClaim,
        placed: PlacedResources,
        attachments: Vec<AttachmentEntry>,
    ) -> Self {
        let RunClaim { head, source, .. } = claim;
        let PlacedResources {
            resources,
            objects,
            deleted,
            changes,
            lines,
            settled,
            settle,
            ended_at,
        } = placed;
        let mut manifest = Manifest {
            id: head.id,
            backup_type: head.backup_type,
            started_at: head.started_at,
            source: SourceEntry {
                scan_ended_at: ended_at,
                changes,
                settle,
                ..source
            },
            plan: head.plan,
            parent: head.parent,
            since: head.since,
            consolidates: head.consolidates,
            metadata: head.metadata,
            totals: Totals::default(),
            resources,
            objects,
            deleted,
            lines,
            settled,
            attachments,
            written_by: head.written_by,
        };
        manifest.totals = Totals::of(&manifest);
        manifest
    }

    /// Every resource, those last that are none of the source's own.
    pub fn all_resources(&self) -> impl Iterator<Item = &ResourceEntry> {
        let others = self.objects.iter().chain(&self.deleted);
        let others = others.chain(&self.lines).chain(&self.settled);
        self.resources.iter().chain(others)
    }
}
