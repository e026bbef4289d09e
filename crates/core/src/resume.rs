//! Taking up a run that broke off: what its destinations have of it, from where its source is read, and whether that gives
//! what it gave then.
//!
//! A run that is taken up makes the same backup: the same claim, so the same plan and files, and the same chunks. What nobody
//! lacks isn't read again, as far as the source is in the state that it was in; of the rest each chunk is compared with the
//! indexes that are there before it is sent to anybody.

mod comparison;
mod inventory;
mod objects;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::block::ResourceId;
use crate::chain::young_from;
use crate::chunk::ChunkEntry;
use crate::digest::Digest;
use crate::document::{self, Document};
use crate::error::{BackupError, Class};
use crate::id::BackupId;
use crate::index::ResourceEnd;
use crate::manifest::{SegmentEntry, SourceEntry};
use crate::records::{ClaimedResources, RunClaim};
use crate::source::ScanPlan;
use crate::time::Timestamp;

pub use comparison::Comparison;
pub use inventory::{Holdings, Inventory};
pub use objects::ObjectsRead;

/// A segment that a destination has of a run without a manifest, with its index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSegment {
    /// What the manifest will say of it.
    pub entry: SegmentEntry,
    /// Its chunks.
    pub chunks: Vec<ChunkEntry>,
    /// How its resource ended, where no segment of that follows.
    pub last: Option<ResourceEnd>,
}

/// By what a resource shows that it would give again what it gave.
#[derive(Debug, Clone)]
pub enum Basis {
    /// It is in this state.
    State(Digest),
    /// These are its records, objects of a store.
    Objects(Box<ObjectsRead>),
}

/// From where a resource is read again, if it shows that what is before is as it was.
#[derive(Debug, Clone)]
pub struct ResumePoint {
    /// The resource.
    pub resource: String,
    /// By what it shows it.
    pub basis: Basis,
    /// Its records before the point.
    pub records: u64,
    /// Their bytes.
    pub plain_bytes: u64,
    /// Whether these are all that it had.
    pub is_whole: bool,
    /// Those of them whose object is kept raw, in their line or elsewhere: known where it is whole.
    pub kept_raw: u64,
}

/// A data file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentPlace {
    /// The name of its resource.
    pub resource: String,
    /// Its number there, from 1.
    pub segment: u32,
}

/// What came of taking up a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resumed {
    /// The run.
    pub run: BackupId,
    /// Why its backup was begun afresh instead, if it was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub afresh_because: Option<String>,
    /// The first data file whose records were read; none where nothing had to be read any more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<SegmentPlace>,
    /// Bytes of records that weren't read again.
    pub bytes_not_read: u64,
    /// Bytes of data files that weren't sent again, of all destinations.
    pub bytes_not_sent: u64,
}

impl Resumed {
    /// Of a run of which nothing is skipped yet.
    pub fn new(run: BackupId) -> Self {
        Resumed {
            run,
            afresh_because: None,
            from: None,
            bytes_not_read: 0,
            bytes_not_sent: 0,
        }
    }
}

/// Says, in the folder of a run, that it is taken up; there is one for each time. Whoever has written it goes on with the run,
/// and nobody before may publish it any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumptionMarker {
    /// The run.
    pub id: BackupId,
    /// When it was taken up, by the clock of who did it.
    pub at: Timestamp,
    /// A random number, so that no two that do it at the same time write the same.
    pub by: crate::Hex32,
}

impl Document for ResumptionMarker {
    const FORMAT: &'static str = "teeline-resumption";
    const VERSION: u32 = 1;
    const BYTES_MAX: u64 = document::SMALL_BYTES_MAX;
}

/// How a run is gone on with.
#[derive(Debug)]
pub struct Resumption {
    claim: RunClaim,
    /// In the order of the claim.
    resources: Vec<KeptResource>,
    /// The destinations that couldn't be asked what they have of it.
    silent: Vec<String>,
}

#[derive(Debug)]
struct KeptResource {
    name: String,
    /// Those that any destination has.
    segments: Vec<KeptSegment>,
    /// How many of them all have.
    everywhere: usize,
    /// The objects that are in them, where these are all that it had.
    objects: Option<ObjectsRead>,
}

impl Resumption {
    /// Of the run with this claim, by what the destinations that take part have of it.
    ///
    /// # Errors
    /// [`Class::Corrupt`] where two of them have different segments of the same name.
    pub fn new(claim: RunClaim, holdings: &[&Holdings]) -> Result<Self, BackupError> {
        let names = claim.claimed.with_kinds();
        let names: Vec<String> = names.map(|(_, claimed)| claimed.name.clone()).collect();
        let resources = names.into_iter().enumerate().map(|(number, name)| {
            let all = holdings.iter().map(|held| held.of(number));
            let everywhere = all.clone().map(<[_]>::len).min().unwrap_or(0);
            let longest = all.clone().max_by_key(|segments| segments.len());
            let segments = longest.unwrap_or_default().to_vec();
            let differs = all
                .flat_map(|held| held.iter().zip(&segments))
                .find(|(one, other)| one != other);
            let objects = holdings.iter().find_map(|held| held.objects_of(number));
            match differs {
                None => Ok(KeptResource {
                    name,
                    segments,
                    everywhere,
                    objects: objects.cloned(),
                }),
                Some((one, _)) => Err(BackupError::corrupt(
                    &one.entry.file,
                    "destinations have different ones of that name",
                )),
            }
        });
        Ok(Resumption {
            resources: resources.collect::<Result<_, _>>()?,
            claim,
            silent: Vec::new(),
        })
    }

    /// Where these destinations couldn't be asked what they have of it. One of them may have it as a backup already, so what is made
    /// of it must be the very same.
    #[must_use]
    pub fn without_word_from(self, silent: Vec<String>) -> Self {
        Resumption { silent, ..self }
    }

    /// What the run had claimed.
    pub fn claim(&self) -> &RunClaim {
        &self.claim
    }

    /// What the claim says of the source.
    pub fn source(&self) -> &SourceEntry {
        &self.claim.source
    }

    /// From where resources are read, as far as they can show that they are as they were. What was counted in one that is told by
    /// its objects is known at its end only, so it is left out as a whole or not at all.
    pub fn points(&self) -> Vec<ResumePoint> {
        let young_from = young_from(self.claim.source.server_time);
        let known = self.resources.iter().filter_map(|resource| {
            let state = self.claim.states.get(&resource.name);
            let objects = resource.objects.as_ref().filter(|_| resource.is_whole());
            let objects = objects.filter(|objects| objects.are_before(young_from));
            let state = state.map(|state| Basis::State(*state));
            let basis = state
                .or_else(|| objects.map(|objects| Basis::Objects(Box::new(objects.clone()))))?;
            let kept = resource.kept();
            let sum = |bytes: fn(&SegmentEntry) -> u64| -> u64 {
                kept.iter().map(|segment| bytes(&segment.entry)).sum()
            };
            Some(ResumePoint {
                resource: resource.name.clone(),
                basis,
                records: sum(|entry| entry.records),
                plain_bytes: sum(|entry| entry.plain_bytes),
                is_whole: resource.is_whole(),
                kept_raw: resource.end().map_or(0, |end| end.counts.kept_raw),
            })
        });
        known.collect()
    }

    /// The first segments of a resource, as far as everybody has them.
    pub fn kept(&self, id: ResourceId) -> &[KeptSegment] {
        let resource = self.resources.get(id.0 as usize);
        resource.map_or(&[], KeptResource::kept)
    }

    /// Whether everybody has all of a resource.
    pub fn is_whole(&self, id: ResourceId) -> bool {
        let resource = self.resources.get(id.0 as usize);
        resource.is_some_and(KeptResource::is_whole)
    }

    /// That a scan is going to give what the run had claimed; `claimed` and `attachments` follow from its plan.
    ///
    /// # Errors
    /// Where it isn't. What is sealed has to be in a state that is known besides: a key seals once, and nobody knows any more
    /// what it has sealed since the last index. So has what a destination that couldn't be asked may have.
    pub fn check(
        &self,
        plan: &ScanPlan,
        claimed: &ClaimedResources,
        attachments: &[crate::AttachmentEntry],
    ) -> Result<(), BackupError> {
        let claim = &self.claim;
        if claim.claimed != *claimed {
            return Err(differs("the source", "it has other resources than it had"));
        }
        if let Some(file) = differing(&claim.attachments, attachments) {
            return Err(differs(file, "it isn't what it was"));
        }
        check_bounds(&claim.bounds, &plan.bounds)?;
        let Some(why) = self.why_the_very_same() else {
            return Ok(());
        };
        let head = &claim.head;
        if head.parent.is_some() || head.since.is_some() {
            let message = "it is incremental, and depends on more than the state of the source";
            return Err(differs(&head.id, &format!("{message}; {why}")));
        }
        let is_same = |name: &&String| plan.states.get(*name) == claim.states.get(*name);
        let names = claim.claimed.resources.iter().map(|claimed| &claimed.name);
        let unknown = |name: &&String| !claim.states.contains_key(*name) || !is_same(name);
        if let Some(name) = names.clone().find(unknown) {
            let message = "whether it is as it was can't be told";
            return Err(differs(name, &format!("{message}; {why}")));
        }
        // When it ended is in its last index, and so in the manifest.
        let mut resources = self.resources.iter();
        match resources.find(|resource| !resource.has_end()) {
            Some(resource) if !self.silent.is_empty() => {
                let message = "nobody who can be asked has its end";
                Err(differs(&resource.name, &format!("{message}; {why}")))
            }
            _ => Ok(()),
        }
    }

    /// Why it isn't enough that what is read and is there as well is the same, if it isn't.
    fn why_the_very_same(&self) -> Option<String> {
        let is_sealed = self.claim.head.plan.seal.is_some();
        match &self.silent[..] {
            [] => is_sealed.then(|| "what is sealed mustn't be sealed again otherwise".to_owned()),
            silent => Some(format!(
                "{} can't be asked or written to, and may have it as a backup already",
                silent.join(", ")
            )),
        }
    }

    /// Where the reading begins, and how many bytes of records aren't read, where the scan continues these resources.
    pub fn skipped(&self, plan: &ScanPlan) -> (Option<SegmentPlace>, u64) {
        let mut unread = 0;
        let mut from = None;
        for (id, resource) in (0..).map(ResourceId).zip(&self.resources) {
            let continued = plan.continued.contains(&id);
            let kept = if continued { resource.kept() } else { &[] };
            let bytes = kept.iter().map(|segment| segment.entry.plain_bytes);
            unread += bytes.sum::<u64>();
            if from.is_none() && !(continued && resource.is_whole()) {
                from = Some(SegmentPlace {
                    resource: resource.name.clone(),
                    segment: u32::try_from(kept.len() + 1).unwrap_or(u32::MAX),
                });
            }
        }
        (from, unread)
    }

    /// Compares what is read with what is there.
    pub fn comparison(self: &Arc<Self>) -> Comparison {
        Comparison::new(Arc::clone(self))
    }
}

impl KeptResource {
    /// Whether any destination has all of it.
    fn has_end(&self) -> bool {
        let last = self.segments.last();
        last.is_some_and(|segment| segment.last.is_some())
    }

    fn kept(&self) -> &[KeptSegment] {
        &self.segments[..self.everywhere]
    }

    fn is_whole(&self) -> bool {
        self.end().is_some()
    }

    /// How it ended, where everybody has all of it.
    fn end(&self) -> Option<ResourceEnd> {
        self.kept().last()?.last
    }
}

/// That a source reads by the bounds that it had: what a line didn't carry by one of them is elsewhere, and may have been lost with
/// the run.
fn check_bounds(
    then: &BTreeMap<String, u64>,
    now: &BTreeMap<String, u64>,
) -> Result<(), BackupError> {
    let mut names = then.keys().chain(now.keys());
    let Some(name) = names.find(|name| then.get(*name) != now.get(*name)) else {
        return Ok(());
    };
    let said = |bounds: &BTreeMap<String, u64>| match bounds.get(name) {
        Some(bytes) => format!("{bytes} bytes"),
        None => "not said".to_owned(),
    };
    let message = format!("it is {} now, and was {}", said(now), said(then));
    Err(differs(name, &message))
}

/// The first file that isn't the same in both.
fn differing<'a>(
    then: &'a [crate::AttachmentEntry],
    now: &'a [crate::AttachmentEntry],
) -> Option<&'a str> {
    let longer = if then.len() > now.len() { then } else { now };
    let same = then.iter().zip(now).take_while(|(one, other)| one == other);
    longer.get(same.count()).map(|entry| entry.file.as_str())
}

/// The run can't be gone on with, for what is read isn't what was read.
fn differs(subject: impl std::fmt::Display, message: &str) -> BackupError {
    BackupError::new(Class::Permanent, "resume", subject, message)
}

#[cfg(test)]
mod tests;
