//! What a destination has of a run: found out index by index.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{KeptSegment, ObjectsRead};
use crate::block::ResourceId;
use crate::chain::version_of;
use crate::error::BackupError;
use crate::index::{Index, SegmentNames};
use crate::key::ObjectKey;
use crate::manifest::{SegmentEntry, SourceKind};
use crate::placing::ResourceKind;
use crate::reconstruct::open_index;
use crate::records::{ClaimedResource, RunClaim};
use crate::seal::Sealer;
use crate::sink::UnfinishedUpload;

/// What a destination has of a run.
#[derive(Debug, Clone, Default)]
pub struct Holdings {
    /// Of each resource of the claim, in its order, the first segments.
    segments: Vec<Vec<KeptSegment>>,
    /// The objects that are in them, where the source is a store of objects.
    objects: Vec<ObjectsRead>,
    /// The data files that are there.
    files: BTreeSet<String>,
    /// Those of them whose index isn't.
    unindexed: BTreeSet<String>,
    /// The unfinished uploads of data files.
    begun: BTreeMap<String, UnfinishedUpload>,
}

impl Holdings {
    /// The first segments of the resource of this number in the claim.
    pub(super) fn of(&self, number: usize) -> &[KeptSegment] {
        self.segments.get(number).map_or(&[], Vec::as_slice)
    }

    /// The objects that are in those.
    pub(super) fn objects_of(&self, number: usize) -> Option<&ObjectsRead> {
        let has_all = self.of(number).last()?.last.is_some();
        self.objects.get(number).filter(|_| has_all)
    }

    /// With these unfinished uploads below the run's folder; of several for the same file, that which was touched last.
    #[must_use]
    pub fn with_begun(mut self, folder: &ObjectKey, mut uploads: Vec<UnfinishedUpload>) -> Self {
        uploads.sort_by_key(|upload| upload.touched_at);
        for upload in uploads {
            let below = upload.key.as_str().strip_prefix(folder.as_str());
            if let Some(file) = below.and_then(|below| below.strip_prefix('/')) {
                self.begun.insert(file.to_owned(), upload);
            }
        }
        self
    }

    /// The unfinished upload of a data file of this name.
    pub fn begun(&self, file: &str) -> Option<&UnfinishedUpload> {
        self.begun.get(file)
    }

    /// Whether a data file of this name is there.
    pub fn has(&self, file: &str) -> bool {
        self.files.contains(file)
    }

    /// Whether a data file is there and its index isn't: the run broke off between the two.
    pub fn lacks_index_of(&self, file: &str) -> bool {
        self.unindexed.contains(file)
    }

    /// Whether there are such data files.
    pub fn lacks_indexes(&self) -> bool {
        !self.unindexed.is_empty()
    }
}

/// Finds out what a destination has, for whoever can read files: [`wanted`](Self::wanted) names the next index,
/// [`give`](Self::give) takes its bytes.
#[derive(Debug)]
pub struct Inventory<'a> {
    claim: &'a RunClaim,
    sealer: Option<&'a Sealer>,
    /// The sizes of the files that are there.
    files: &'a BTreeMap<String, u64>,
    resources: Vec<(ResourceKind, &'a ClaimedResource)>,
    holdings: Holdings,
    wanted: Option<SegmentNames>,
}

impl<'a> Inventory<'a> {
    /// Of a run with this claim, of whose folder these are the files with their sizes; with its sealer, if it is sealed.
    pub fn new(
        claim: &'a RunClaim,
        sealer: Option<&'a Sealer>,
        files: &'a BTreeMap<String, u64>,
    ) -> Self {
        let mut new = Inventory {
            claim,
            sealer,
            files,
            resources: claim.claimed.with_kinds().collect(),
            holdings: Holdings::default(),
            wanted: None,
        };
        new.next_resource();
        new
    }

    /// The name of the index whose bytes are to be given next.
    pub fn wanted(&self) -> Option<&str> {
        Some(&self.wanted.as_ref()?.index)
    }

    /// Takes the bytes of the wanted index; `subject` names it in errors.
    ///
    /// # Errors
    /// [`Class::Corrupt`](crate::Class::Corrupt) where it isn't what the run has written under that name, or the data file has
    /// another size.
    pub fn give(&mut self, subject: &str, bytes: &Bytes) -> Result<(), BackupError> {
        let Some(names) = self.wanted.take() else {
            return Ok(());
        };
        let segments = self.holdings.segments.last();
        let number = u32::try_from(segments.map_or(0, Vec::len) + 1).unwrap_or(u32::MAX);
        let chunks = segments.into_iter().flatten();
        let first_chunk = chunks.map(|segment| segment.chunks.len() as u64).sum();
        let place = (number, first_chunk);
        let index = open_index(self.claim, self.sealer, subject, bytes, (&names, place))?;
        if self.files.get(&names.file) != Some(&index.sums.stored) {
            let message = format!(
                "it says that {} has {} bytes",
                names.file, index.sums.stored
            );
            return Err(BackupError::corrupt(subject, message));
        }
        let kept = KeptSegment {
            entry: SegmentEntry::new(&names, index.sums, index.blake3, bytes),
            chunks: index.chunks,
            last: index.last,
        };
        let is_last = kept.last.is_some();
        if let Some(objects) = self.holdings.objects.last_mut() {
            for row in Index::rows(subject, bytes)? {
                let version = version_of(row.last_modified, row.etag.as_deref(), row.size);
                objects.take(&row.key, version, row.last_modified);
            }
        }
        self.holdings.files.insert(names.file);
        if let Some(segments) = self.holdings.segments.last_mut() {
            segments.push(kept);
        }
        match is_last {
            true => self.next_resource(),
            false => self.next_segment(),
        }
        Ok(())
    }

    /// What the destination has.
    pub fn finish(self) -> Holdings {
        self.holdings
    }

    fn next_resource(&mut self) {
        while self.wanted.is_none() && self.holdings.segments.len() < self.resources.len() {
            self.holdings.segments.push(Vec::new());
            // What is sealed isn't read in part: see `Resumption::check`.
            if self.claim.source.kind == SourceKind::S3db && self.sealer.is_none() {
                self.holdings.objects.push(ObjectsRead::default());
            }
            self.want();
        }
    }

    fn next_segment(&mut self) {
        self.want();
        self.next_resource();
    }

    /// Wants the index of the next segment of the last resource, if both are there.
    fn want(&mut self) {
        let resource = self.holdings.segments.len() - 1;
        let (kind, claimed) = &self.resources[resource];
        let number = u32::try_from(self.holdings.segments[resource].len() + 1).unwrap_or(u32::MAX);
        let id = ResourceId(u32::try_from(resource).unwrap_or(u32::MAX));
        let names = SegmentNames::of(&self.claim.head.plan, id, (kind, &claimed.stem), number);
        match (
            self.files.contains_key(&names.file),
            self.files.contains_key(&names.index),
        ) {
            (true, true) => self.wanted = Some(names),
            (true, false) => {
                self.holdings.unindexed.insert(names.file.clone());
                self.holdings.files.insert(names.file);
            }
            (false, _) => {}
        }
    }
}
