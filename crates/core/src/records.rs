//! The small documents around a manifest: the marker of a destination, the claim of an id, the catalogue's entries,
//! and the records of runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::chain::BackupRef;
use crate::digest::Digest;
use crate::document::{self, Document};
use crate::error::ErrorReport;
use crate::id::{BackupId, BackupType};
use crate::index::index_suffix;
use crate::layout;
use crate::manifest::{AttachmentEntry, PLANNED_VERSION, PlanEntry, SourceEntry, version_of};
use crate::metadata::Metadata;
use crate::part::InPart;
use crate::placing::ResourceKind;
use crate::resume::Resumed;
use crate::seal::SEALED_SUFFIX;
use crate::strategy::Outcome;
use crate::time::Timestamp;

/// Marks the root of a destination, so that a source which contains it doesn't read it as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationMarker {}

impl Document for DestinationMarker {
    const FORMAT: &'static str = "teeline-destination";
    const VERSION: u32 = 1;
    const BYTES_MAX: u64 = document::SMALL_BYTES_MAX;
}

/// Lies in a database while it is being restored into a place where there was none, so that a restore which was killed is
/// known when it is run again. It goes with the restore's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreMarker {
    /// The backup that is restored.
    pub backup: BackupId,
    /// What is restored of it: the name of each resource in the backup, and what it is called now.
    pub resources: Vec<(String, String)>,
    /// The ids of the records, where not all of them are.
    pub ids: Option<Vec<String>>,
}

impl Document for RestoreMarker {
    const FORMAT: &'static str = "teeline-restore";
    const VERSION: u32 = 1;
}

/// What is known of a run before its source is opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunHead {
    /// The backup.
    pub id: BackupId,
    /// Its type.
    #[serde(rename = "type")]
    pub backup_type: BackupType,
    /// When the run began.
    pub started_at: Timestamp,
    /// The folder below the root in which the run writes every file but its catalogue entry and run record.
    pub path: String,
    /// How it is to be written, and where.
    pub plan: PlanEntry,
    /// The backup that this one goes on from, of which it has what is other.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent: Option<BackupRef>,
    /// Where it has no parent and not everything: it has what was written then or later.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<Timestamp>,
    /// The link that this one was made of, which has the same in it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub consolidates: Option<BackupRef>,
    /// What somebody says of it.
    #[serde(skip_serializing_if = "Metadata::is_empty", default)]
    pub metadata: Metadata,
    /// The version of teeline that writes it.
    pub written_by: String,
}

/// `run.json`: claims an id and says which files the run is about to write. Written first; cleanup judges dead runs by it,
/// and with the indexes it is enough to make a lost manifest again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunClaim {
    /// The run.
    #[serde(flatten)]
    pub head: RunHead,
    /// What is read; when that ends isn't known yet.
    pub source: SourceEntry,
    /// What the files of the resources are called.
    #[serde(flatten)]
    pub claimed: ClaimedResources,
    /// Whole small files beside the segments, as far as they are known before the first record.
    pub attachments: Vec<AttachmentEntry>,
    /// What state resources were in when they were about to be read, by their names, where that could be told.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub states: BTreeMap<String, Digest>,
    /// [The bounds](crate::ScanPlan::bounds) by which the source tells what a record's line carries, where it has such.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub bounds: BTreeMap<String, u64>,
}

/// What a run is about to write.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClaimedResources {
    /// The resources, in the source's order.
    pub resources: Vec<ClaimedResource>,
    /// Objects that are no records, where the source has such.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub objects: Option<ClaimedResource>,
    /// What is gone since the parent, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deleted: Option<ClaimedResource>,
    /// Digests of all lines, where the source is of JSON lines and there is a parent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lines: Option<ClaimedResource>,
    /// What had changed when it was read again, where the source was asked for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub settled: Option<ClaimedResource>,
}

impl ClaimedResources {
    /// Each of them with what it is, in the order of writing.
    pub fn with_kinds(&self) -> impl Iterator<Item = (ResourceKind, &ClaimedResource)> {
        let records = self.resources.iter();
        let records = records.map(|claimed| (ResourceKind::Records(claimed.name.clone()), claimed));
        let objects = self.objects.iter();
        let objects = objects.map(|claimed| (ResourceKind::Objects, claimed));
        let deleted = self.deleted.iter();
        let deleted = deleted.map(|claimed| (ResourceKind::Deleted, claimed));
        let settled = self.settled.iter();
        let settled = settled.map(|claimed| (ResourceKind::Settled, claimed));
        let lines = self.lines.iter();
        let lines = lines.map(|claimed| (ResourceKind::Lines, claimed));
        let others = objects.chain(deleted).chain(lines).chain(settled);
        records.chain(others)
    }
}

/// A resource that a run is about to write. Its data files are `STEM.jsonl.gz`, `STEM~0002.jsonl.gz` and so on, each with
/// an index; the last index says that it is the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimedResource {
    /// The resource's name.
    pub name: String,
    /// What its files' names begin with.
    pub stem: String,
}

impl RunClaim {
    /// Whether a run with this claim may have written a file of this name into its folder.
    pub fn writes(&self, file: &str) -> bool {
        const ALWAYS: [&str; 4] = [
            layout::RUN_CLAIM,
            layout::MANIFEST,
            layout::DATABASE_CATALOGUE,
            layout::SCHEMA_EXPORT,
        ];
        let PlanEntry {
            compression, seal, ..
        } = &self.head.plan;
        let is_sealed = seal.is_some();
        if layout::resumption_number(file).is_some() {
            return true;
        }
        let is_attachment = self.attachments.iter().any(|entry| entry.file == file);
        let is_of = |(kind, claimed): (ResourceKind, &ClaimedResource)| {
            let Some(rest) = file.strip_prefix(&claimed.stem) else {
                return false;
            };
            let numbered = rest.strip_prefix('~');
            let suffix = numbered.map_or(rest, |rest| {
                rest.trim_start_matches(|c: char| c.is_ascii_digit())
            });
            suffix == index_suffix(is_sealed) || suffix == kind.suffix(*compression, is_sealed)
        };
        let unsealed = file.strip_suffix(SEALED_SUFFIX).filter(|_| is_sealed);
        ALWAYS.contains(&unsealed.unwrap_or(file))
            || is_attachment
            || self.claimed.with_kinds().any(is_of)
    }
}

impl Document for RunClaim {
    const FORMAT: &'static str = "teeline-run";
    const VERSION: u32 = PLANNED_VERSION;

    fn version(&self) -> u32 {
        version_of(
            &self.head.plan,
            self.claimed.settled.is_some(),
            self.head.parent.is_some() || self.head.since.is_some(),
        )
    }
}

/// An entry of the catalogue: from these a destination is listed. One without a manifest behind it is ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogEntry {
    /// The backup.
    pub id: BackupId,
    /// Its type.
    #[serde(rename = "type")]
    pub backup_type: BackupType,
    /// When the run began.
    pub started_at: Timestamp,
    /// The folder of its files below the root.
    pub path: String,
    /// Records of all resources.
    pub records: u64,
    /// Bytes of its files.
    pub stored_bytes: u64,
    /// Bytes of its records after decoding.
    pub plain_bytes: u64,
    /// BLAKE3 of the manifest.
    pub checksum: Digest,
    /// The manifest's size.
    pub manifest_bytes: u64,
    /// Whether the backup is sealed.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub sealed: bool,
    /// The backup without which this one can't be restored.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent: Option<BackupRef>,
    /// Whether it has some records of its resources only.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub in_part: bool,
    /// What was asked for. `None`: an earlier version has written the entry, and it isn't said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub asked_for: Option<AskedFor>,
    /// What somebody says of it.
    #[serde(skip_serializing_if = "Metadata::is_empty", default)]
    pub metadata: Metadata,
}

/// What a backup was made of, as a catalogue's entry has it, or was to be made of, as the record of its run has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AskedFor {
    /// Globs of the resources that were asked for; empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub include: Vec<String>,
    /// Globs of the resources that were left out.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub exclude: Vec<String>,
    /// Of some records only: BLAKE3 of the partitions and the query, as JSON.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub records: Option<Digest>,
}

impl AskedFor {
    /// Bytes that the globs may take as JSON: a catalogue's entry has them whole.
    pub const BYTES_MAX: u64 = 512 << 10;

    /// All records of resources, or some of them.
    pub fn new(include: Vec<String>, exclude: Vec<String>, in_part: Option<InPart>) -> Self {
        let records = in_part.map(|part| {
            let json = serde_json::to_vec(&part).expect("it is made of texts and lists");
            Digest::of(&json)
        });
        AskedFor {
            include,
            exclude,
            records,
        }
    }

    /// Bytes that the globs take as JSON.
    pub fn bytes(&self) -> u64 {
        let json = serde_json::to_vec(&(&self.include, &self.exclude));
        json.map_or(u64::MAX, |json| json.len() as u64)
    }
}

impl CatalogEntry {
    /// Whether it says the same as the entry of a backup does: that one, or as an earlier version wrote it.
    pub fn is(&self, right: &CatalogEntry) -> bool {
        let as_before = || CatalogEntry {
            asked_for: None,
            ..right.clone()
        };
        self == right || self.asked_for.is_none() && *self == as_before()
    }

    /// Whether the backup began when its id says, where that says it. By its time a backup is kept or goes, so no second entry may give
    /// it another one.
    pub fn is_of_its_time(&self) -> bool {
        let second = |time: Timestamp| time.unix_ms().div_euclid(1000);
        let began = self.id.began();
        began.is_none_or(|began| second(began) == second(self.started_at))
    }
}

impl Document for CatalogEntry {
    const FORMAT: &'static str = "teeline-catalog-entry";
    const VERSION: u32 = 2;
    /// What was asked for and what is said of the backup have bounds of their own, and the rest is short.
    const BYTES_MAX: u64 = 1 << 20;

    /// Whoever doesn't know of parents would delete them.
    fn version(&self) -> u32 {
        match self.parent {
            None => 1,
            Some(_) => 2,
        }
    }
}

/// Withdraws a backup at a destination, or a run that left no backup there: from then on nothing of it counts, however whole
/// it is. It stays when the rest is gone, so that nobody copies the backup there again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Withdrawal {
    /// The backup.
    pub id: BackupId,
    /// The folder of its files below the root, where it was known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<String>,
    /// When it was withdrawn, by the clock of who did it.
    pub withdrawn_at: Timestamp,
    /// Why.
    pub reason: WithdrawalReason,
    /// A random number, so that no two that do it at the same time write the same; none, as earlier versions have written it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<crate::Hex32>,
}

impl Document for Withdrawal {
    const FORMAT: &'static str = "teeline-withdrawal";
    const VERSION: u32 = 1;
    const BYTES_MAX: u64 = document::SMALL_BYTES_MAX;
}

/// Why a backup was withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithdrawalReason {
    /// Somebody asked for it.
    Deleted,
    /// No rule kept it.
    Expired,
    /// It was no backup, but what a run had left that ended before it published anything.
    DeadRun,
}

/// What became of a backup as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunStatus {
    /// Every destination has it.
    Completed,
    /// The strategy is met, but not every destination has it.
    Degraded,
    /// The strategy isn't met.
    Failed,
}

impl From<Outcome> for RunStatus {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Completed => RunStatus::Completed,
            Outcome::Degraded => RunStatus::Degraded,
            Outcome::Failed => RunStatus::Failed,
        }
    }
}

/// What became of a backup at one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DestinationStatus {
    /// The manifest is visible there.
    Committed,
    /// It isn't, and won't be by this run.
    Failed,
    /// It isn't there, though it is elsewhere; it can be completed from there.
    Behind,
    /// It wasn't tried.
    Skipped,
    /// It failed after the manifest's write had begun: the backup may be there.
    Unknown,
}

/// How a destination's copy was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verified {
    /// Read back and equal.
    Read,
    /// By the store's word: each file has the size that was sent.
    Attested,
    /// Not at all.
    No,
}

/// What became of a run at one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationReport {
    /// Its name in the configuration.
    pub name: String,
    /// Where it is, without secrets.
    pub location: String,
    /// What became of the backup there.
    pub status: DestinationStatus,
    /// Whether its failure fails the run.
    pub required: bool,
    /// Bytes that it took over.
    pub bytes: u64,
    /// Segments that are whole there.
    pub segments: u64,
    /// How they were checked.
    pub verified: Verified,
    /// Calls that were repeated.
    pub retries: u64,
    /// Milliseconds from the run's start until it was done.
    pub duration_ms: u64,
    /// The most bytes that it was behind the newest chunk.
    pub lag_bytes_max: u64,
    /// Bytes that waited on disk for it.
    #[serde(default)]
    pub spooled_bytes: u64,
    /// Bytes of data files that it had already, and that weren't sent again.
    #[serde(default)]
    pub kept_bytes: u64,
    /// Why it failed.
    pub error: Option<ErrorReport>,
}

/// What became of a run, kept at every destination that can be reached at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// The backup.
    pub id: BackupId,
    /// Its type.
    #[serde(rename = "type")]
    pub backup_type: BackupType,
    /// The name of the schedule that it was run by.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub schedule: Option<String>,
    /// A digest of what that schedule backs up, since others may have its name. Earlier versions don't say it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<Digest>,
    /// What became of it.
    pub status: RunStatus,
    /// How it took up a run that had broken off, or why it didn't.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resumed: Option<Resumed>,
    /// How often it had been taken up by then. What came of it afterwards it doesn't say.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub attempt: u32,
    /// When the run began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// BLAKE3 of the manifest, where one was made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub checksum: Option<Digest>,
    /// What its backup has, or was to have. `None`: an earlier version has written the record, and it isn't said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub asked_for: Option<AskedFor>,
    /// Why the run failed, where no destination is at fault.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<ErrorReport>,
    /// What became of it at each destination.
    pub destinations: Vec<DestinationReport>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Document for RunRecord {
    const FORMAT: &'static str = "teeline-run-record";
    const VERSION: u32 = 1;
    const BYTES_MAX: u64 = 1 << 20;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> RunClaim {
        serde_json::from_str(
            r#"{"id":"full-2026-11-23T02-00-00-k3j9x0q2mz","type":"full","startedAt":"2026-11-23T02:00:00.000Z","path":"x",
            "plan":{"strategy":"all","destinations":[],"compression":{"name":"gzip","level":5},"blockBytes":1,"segmentBytes":1,
            "include":[],"exclude":[]},"writtenBy":"teeline","source":{"kind":"s3db","location":"s3://b",
            "scanStartedAt":"2026-11-23T02:00:00.000Z"},"resources":[{"name":"users","stem":"users"}],
            "objects":{"name":"_objects","stem":"_objects"},"attachments":[]}"#,
        )
        .unwrap()
    }

    #[test]
    fn what_is_said_of_a_backup_never_makes_its_claim_unreadable() {
        let mut nested = serde_json::Value::Null;
        for levels in 1..=200 {
            nested = serde_json::Value::Array(vec![nested]);
            let said = serde_json::Map::from_iter([("a".to_owned(), nested.clone())]);
            let Ok(metadata) = Metadata::new(said) else {
                assert!(levels >= crate::METADATA_LEVELS_MAX);
                continue;
            };
            let mut claim = claim();
            claim.head.metadata = metadata;
            let sealed = document::readable::<RunClaim>("run.json", document::seal(&claim));
            assert!(sealed.is_ok(), "{levels}: {sealed:?}");
        }
    }

    #[test]
    fn the_files_of_a_run_are_known_by_its_claim() {
        let claim = claim();
        for file in [
            "run.json",
            "manifest.json",
            "s3db.json",
            "_database.json",
            "users.jsonl.gz",
            "users.index",
            "users~0002.jsonl.gz",
            "users~12345.index",
            "resumed-0001.json",
            "_objects.frames.gz",
        ] {
            assert!(claim.writes(file), "{file}");
        }
        for file in [
            "notes.txt",
            "users",
            "users.txt",
            "users.jsonl",
            "users.frames.gz",
            "users2.jsonl.gz",
            "users~2.jsonl.gz.bak",
            "resumed-1.json",
            "_settled.changes.gz",
        ] {
            assert!(!claim.writes(file), "{file}");
        }
    }
}
