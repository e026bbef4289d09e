//! A lost manifest, made again byte for byte from the claim of its run, the indexes and the attachments.
//!
//! The claim says which resources there are and what their files are called. Those of a resource are numbered from 1 to the
//! one whose index says that it is the last, so no file can be missing without being noticed. Nothing is guessed: what is
//! missing is named, and what belongs elsewhere is refused.
//!
//! Of data files only the names are looked at. Whoever publishes a manifest that was made here compares their bytes with
//! the indexes first.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::block::ResourceId;
use crate::error::BackupError;
use crate::id::BackupId;
use crate::index::{Index, ResourceEnd, SegmentNames, index_suffix};
use crate::layout;
use crate::manifest::{AttachmentEntry, Manifest, PlacedResources, SegmentEntry, SourceKind};
use crate::placing::ResourceKind;
use crate::records::{ClaimedResource, RunClaim};
use crate::seal::{Context, SEALED_SUFFIX, SealedPlace, Sealer};

/// So many missing files of a run are named at most: more don't help anybody.
pub const MISSING_NAMED_MAX: usize = 1_000;

/// A file that a manifest follows from, or is about, and that isn't there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MissingFile {
    /// Its name.
    pub file: String,
    /// The resource that it is of; absent for files of the backup as a whole.
    pub resource: Option<String>,
    /// Whether it is an index and none of the resource's that are there is the last: then nobody can tell how many files
    /// the resource had, or was to have.
    pub last_index: bool,
}

/// Makes a manifest again, for whoever can read files: [`wanted`](Self::wanted) names the next one, [`give`](Self::give)
/// takes its bytes, and [`finish`](Self::finish) has the manifest or what is missing.
#[derive(Debug)]
pub struct Reconstruction {
    claim: RunClaim,
    sealer: Option<Sealer>,
    resources: Vec<Resource>,
    attachments: Vec<AttachmentEntry>,
    wanted: VecDeque<Wanted>,
    missing: Vec<MissingFile>,
}

#[derive(Debug)]
struct Resource {
    kind: ResourceKind,
    claimed: ClaimedResource,
    /// The highest number that is in the name of a file of it.
    highest: u32,
    segments: Vec<SegmentEntry>,
    end: Option<ResourceEnd>,
}

#[derive(Debug)]
enum Wanted {
    /// An attachment whose digest the claim has.
    Claimed(AttachmentEntry),
    /// The export of the schemas, whose digest was in the manifest only.
    Export,
    /// The index of a resource's file with this number.
    Index { resource: usize, number: u32 },
}

impl Reconstruction {
    /// Of the run that `claim` is of, with the names of the `files` that are in its folder. With the sealer of a sealed
    /// backup nothing is believed that its key doesn't authenticate; without one, no manifest of it can be sealed again.
    pub fn new(claim: RunClaim, files: &BTreeSet<String>, sealer: Option<Sealer>) -> Self {
        let compression = claim.head.plan.compression;
        let is_sealed = claim.head.plan.seal.is_some();
        let resources: Vec<Resource> = claim
            .claimed
            .with_kinds()
            .map(|(kind, claimed)| Resource {
                highest: highest_number(files, &claimed.stem, &kind.suffix(compression, is_sealed)),
                kind,
                claimed: claimed.clone(),
                segments: Vec::new(),
                end: None,
            })
            .collect();
        let mut new = Reconstruction {
            claim,
            sealer,
            resources,
            attachments: Vec::new(),
            wanted: VecDeque::new(),
            missing: Vec::new(),
        };
        new.want_attachments(files);
        for resource in 0..new.resources.len() {
            new.want_indexes(resource, files);
        }
        new
    }

    /// The name of the file whose bytes are to be given next.
    pub fn wanted(&self) -> Option<String> {
        Some(match self.wanted.front()? {
            Wanted::Claimed(entry) => entry.file.clone(),
            Wanted::Export => self.export(),
            Wanted::Index { resource, number } => self.names(*resource, *number).index,
        })
    }

    /// Takes the bytes of the wanted file; `subject` names it in errors.
    ///
    /// # Errors
    /// [`Class::Corrupt`](crate::Class::Corrupt) where it isn't what the run has written under that name; as
    /// [`Index::parse`] where it is an index.
    pub fn give(&mut self, subject: &str, bytes: &Bytes) -> Result<(), BackupError> {
        match self.wanted.pop_front() {
            Some(Wanted::Claimed(entry)) => {
                if AttachmentEntry::new(&entry.file, bytes) != entry {
                    let message = "its digest isn't the one in run.json";
                    return Err(BackupError::corrupt(subject, message));
                }
                self.attachments.push(entry);
            }
            Some(Wanted::Export) => {
                self.check_export(subject, bytes)?;
                let entry = AttachmentEntry::new(&self.export(), bytes);
                self.attachments.push(entry);
            }
            Some(Wanted::Index { resource, number }) => {
                self.take_index(subject, resource, number, bytes)?;
            }
            None => {}
        }
        Ok(())
    }

    /// What is missing as far as can be told yet.
    pub fn missing(&self) -> &[MissingFile] {
        &self.missing
    }

    /// The manifest; sealed it has the checksum that it had before.
    ///
    /// # Errors
    /// The files that are missing; one that was wanted and not given is as good as missing.
    pub fn finish(mut self) -> Result<Manifest, Vec<MissingFile>> {
        while let Some(file) = self.wanted() {
            let resource = match self.wanted.pop_front() {
                Some(Wanted::Index { resource, .. }) => Some(resource),
                _ => None,
            };
            self.miss(file, resource, false);
        }
        let mut placed = PlacedResources::default();
        for resource in self.resources {
            // One without an end has its last index among the missing.
            let Some(end) = resource.end else { continue };
            placed.push(&resource.kind, resource.claimed, resource.segments, end);
        }
        match self.missing.is_empty() {
            true => Ok(Manifest::new(self.claim, placed, self.attachments)),
            false => Err(self.missing),
        }
    }

    fn want_attachments(&mut self, files: &BTreeSet<String>) {
        for entry in self.claim.attachments.clone() {
            match files.contains(&entry.file) {
                true => self.wanted.push_back(Wanted::Claimed(entry)),
                false => self.miss(entry.file, None, false),
            }
        }
        if self.claim.source.kind == SourceKind::S3db {
            let export = self.export();
            match files.contains(&export) {
                true => self.wanted.push_back(Wanted::Export),
                false => self.miss(export, None, false),
            }
        }
    }

    fn want_indexes(&mut self, resource: usize, files: &BTreeSet<String>) {
        let highest = self.resources[resource].highest;
        for number in 1..=highest {
            if self.missing.len() == MISSING_NAMED_MAX {
                // The number may come from a stray name, and be anything.
                return;
            }
            let SegmentNames { file, index, .. } = self.names(resource, number);
            if !files.contains(&file) {
                self.miss(file, Some(resource), false);
            }
            match files.contains(&index) {
                true => self.wanted.push_back(Wanted::Index { resource, number }),
                false => self.miss(index, Some(resource), number == highest),
            }
        }
    }

    fn take_index(
        &mut self,
        subject: &str,
        resource: usize,
        number: u32,
        bytes: &Bytes,
    ) -> Result<(), BackupError> {
        let names = self.names(resource, number);
        let place = (number, self.chunks_before(resource));
        let sealer = self.sealer.as_ref();
        let index = open_index(&self.claim, sealer, subject, bytes, (&names, place))?;
        let of = &mut self.resources[resource];
        let entry = SegmentEntry::new(&names, index.sums, index.blake3, bytes);
        of.segments.push(entry);
        match index.last {
            Some(_) if number < of.highest => {
                let message = format!(
                    "it says that it is the last of {}, but a file number {} of that is there, which its run can't have written",
                    of.claimed.name, of.highest
                );
                return Err(BackupError::corrupt(subject, message));
            }
            None if number == of.highest => {
                let next = self.names(resource, number.saturating_add(1));
                self.miss(next.index, Some(resource), true);
            }
            last => of.end = last,
        }
        Ok(())
    }

    /// Its digest was in the manifest only, so it is taken as it is if it is about this backup. One that is sealed can't have been
    /// sealed for another.
    fn check_export(&self, subject: &str, bytes: &Bytes) -> Result<(), BackupError> {
        let id = &self.claim.head.id;
        match (&self.sealer, &self.claim.head.plan.seal) {
            (_, None) => check_export(subject, id, bytes),
            (None, Some(_)) => Ok(()),
            (Some(sealer), Some(_)) => {
                let context = Context::File(layout::SCHEMA_EXPORT);
                check_export(subject, id, &sealer.open(subject, context, bytes)?)
            }
        }
    }

    /// Chunks in the data files of a resource whose indexes were taken.
    fn chunks_before(&self, resource: usize) -> u64 {
        let segments = self.resources[resource].segments.iter();
        segments.map(|segment| u64::from(segment.chunks)).sum()
    }

    /// The name of the export of the schemas.
    fn export(&self) -> String {
        self.claim.head.plan.stored_name(layout::SCHEMA_EXPORT)
    }

    fn names(&self, resource: usize, number: u32) -> SegmentNames {
        let id = ResourceId(u32::try_from(resource).unwrap_or(u32::MAX));
        let Resource { kind, claimed, .. } = &self.resources[resource];
        SegmentNames::of(&self.claim.head.plan, id, (kind, &claimed.stem), number)
    }

    fn miss(&mut self, file: String, resource: Option<usize>, last_index: bool) {
        if self.missing.len() < MISSING_NAMED_MAX {
            self.missing.push(MissingFile {
                file,
                resource: resource.map(|number| self.resources[number].claimed.name.clone()),
                last_index,
            });
        }
    }
}

/// The index of a data file of the run with this claim, which is the one of this number of its resource and begins with a chunk
/// of this number; with a sealer it is authenticated.
pub(crate) fn open_index(
    claim: &RunClaim,
    sealer: Option<&Sealer>,
    subject: &str,
    bytes: &Bytes,
    (names, (segment, first_chunk)): (&SegmentNames, (u32, u64)),
) -> Result<Index, BackupError> {
    let index = match sealer {
        None => Index::parse(subject, bytes)?,
        Some(sealer) => sealer.open_index(subject, bytes)?,
    };
    let place = claim.head.plan.seal.is_some().then_some(SealedPlace {
        resource: names.resource.0,
        segment,
        first_chunk,
    });
    if index.backup == claim.head.id && index.file == names.file && index.seal == place {
        return Ok(index);
    }
    let message = format!(
        "it is the index of {} in {}, and should be that of {}",
        index.file, index.backup, names.file
    );
    Err(BackupError::corrupt(subject, message))
}

/// The highest number of a resource's files, by their names; at least 1, since each resource has a file.
fn highest_number(files: &BTreeSet<String>, stem: &str, suffix: &str) -> u32 {
    let numbered = format!("{stem}~");
    let number = |file: &String| -> Option<u32> {
        let rest = &file[numbered.len()..];
        let digits = rest
            .strip_suffix(index_suffix(suffix.ends_with(SEALED_SUFFIX)))
            .or_else(|| rest.strip_suffix(suffix))?;
        let number: u32 = digits.parse().ok()?;
        (format!("{number:04}") == digits).then_some(number)
    };
    let from = (Bound::Included(numbered.as_str()), Bound::Unbounded);
    files
        .range::<str, _>(from)
        .take_while(|file| file.starts_with(&numbered))
        .filter_map(number)
        .max()
        .unwrap_or(1)
        .max(1)
}

fn check_export(subject: &str, id: &BackupId, bytes: &[u8]) -> Result<(), BackupError> {
    #[derive(Deserialize)]
    struct Export {
        #[serde(rename = "backupId")]
        backup: BackupId,
    }
    let export: Export = serde_json::from_slice(bytes).map_err(|error| {
        BackupError::corrupt(subject, format!("no export of schemas: {error}")).because(error)
    })?;
    if export.backup == *id {
        return Ok(());
    }
    let message = format!("it is about the backup {}", export.backup);
    Err(BackupError::corrupt(subject, message))
}

#[cfg(test)]
mod tests;
