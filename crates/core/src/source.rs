//! The contract of a source: a stream of resources, their records, and what else belongs to the database.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::block::{LineOrigin, ResourceId};
use crate::chain::{Base, Changes};
use crate::compress::Compression;
use crate::digest::Digest;
use crate::error::{BackupError, Class};
use crate::index;
use crate::manifest::{ResourceEntry, SourceKind};
use crate::part::{Partitions, Query};
use crate::placing::ResourceKind;
use crate::records::RunClaim;
use crate::resume::ResumePoint;
use crate::sample::{Sample, SampleLimits};
use crate::time::Timestamp;

/// Which resources are wanted, and which of their records. A source that can't tell records apart as it is asked to refuses.
#[derive(Clone)]
pub struct Selection {
    wants: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// Whether only named resources are wanted, so that what belongs to no resource isn't.
    pub only_named: bool,
    /// The partitions whose records are wanted, and nothing else; none for all.
    pub partitions: Partitions,
    /// What records of resources must meet.
    pub query: Query,
}

impl Selection {
    /// Everything.
    pub fn everything() -> Self {
        Selection {
            wants: Arc::new(|_| true),
            only_named: false,
            partitions: Partitions::default(),
            query: Query::default(),
        }
    }

    /// The resources for which `wants` is true.
    pub fn new(only_named: bool, wants: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Selection {
            wants: Arc::new(wants),
            only_named,
            ..Selection::everything()
        }
    }

    /// Of these, the records that are in the partitions and meet the query.
    #[must_use]
    pub fn of_records(self, partitions: Partitions, query: Query) -> Self {
        Selection {
            partitions,
            query,
            ..self
        }
    }

    /// Whether a resource is wanted.
    pub fn wants(&self, resource: &str) -> bool {
        (self.wants)(resource)
    }
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selection")
            .field("only_named", &self.only_named)
            .field("partitions", &self.partitions)
            .field("query", &self.query)
            .finish_non_exhaustive()
    }
}

/// Some records of one resource.
#[derive(Debug, Clone, Default)]
pub struct RecordBatch {
    /// The records one after the other: each one line, which ends in a newline, but for those of [objects](ResourceKind::Objects). Whatever a
    /// source gives otherwise fails the run.
    pub bytes: Bytes,
    /// Where each record ends in `bytes`, the last one at their end.
    pub ends: Vec<usize>,
    /// The row of the index for each record, a JSON line with its newline; empty where the source has none.
    pub rows: Vec<Vec<u8>>,
    /// Where the first record was read, where records are lines. The others follow it line by line.
    pub origin: Option<LineOrigin>,
    /// Whether these bytes go on with an object that began before, and so count as no record of their own.
    pub continues: bool,
}

impl RecordBatch {
    /// Whether it is what a batch of such a resource has to be. What isn't would be counted otherwise than whoever restores it counts, or be
    /// left out.
    ///
    /// # Errors
    /// What is wrong with it: a defect of the source.
    pub fn check(&self, kind: &ResourceKind) -> Result<(), BackupError> {
        let wrong = |what: String| {
            let subject = format!("resource {}", kind.name());
            let message = format!("the source gave a batch in which {what}");
            Err(BackupError::new(Class::Permanent, "read", subject, message))
        };
        if !self.rows.is_empty() && self.rows.len() != self.ends.len() {
            let (rows, records) = (self.rows.len(), self.ends.len());
            return wrong(format!("{rows} rows are for {records} records"));
        }
        let is_lines = !matches!(kind, ResourceKind::Objects);
        if self.continues && matches!(kind, ResourceKind::Records(_)) {
            return wrong("a record goes on that began before, as no line does".to_owned());
        }
        if let Some(row) = (1..).zip(&self.rows).find_map(|(number, row)| {
            let is_row = row.is_empty() || (is_one_line(row) && index::may_be_row(row));
            (!is_row).then_some(number)
        }) {
            return wrong(format!(
                "row {row} isn't one line of an index that ends in a newline"
            ));
        }
        let mut begin = 0;
        for (number, end) in (1..).zip(&self.ends) {
            let Some(record) = self.bytes.get(begin..*end).filter(|it| !it.is_empty()) else {
                return wrong(format!(
                    "record {number} of it has no bytes between {begin} and {end}"
                ));
            };
            if is_lines && !is_one_line(record) {
                return wrong(format!(
                    "record {number} of it isn't one line that ends in a newline"
                ));
            }
            begin = *end;
        }
        match self.bytes.len() - begin {
            0 => Ok(()),
            more => wrong(format!("{more} bytes are behind the last record")),
        }
    }

    /// Some of its records, which follow each other; at least one.
    #[must_use]
    pub fn part(&self, records: Range<usize>) -> Self {
        let begin = match records.start {
            0 => 0,
            start => self.ends[start - 1],
        };
        let ends = &self.ends[records.clone()];
        RecordBatch {
            bytes: self.bytes.slice(begin..self.ends[records.end - 1]),
            ends: ends.iter().map(|end| end - begin).collect(),
            rows: self.rows.get(records.clone()).unwrap_or_default().to_vec(),
            origin: self.origin.as_ref().map(|origin| LineOrigin {
                line: origin.line + records.start as u64,
                ..origin.clone()
            }),
            continues: self.continues && records.start == 0,
        }
    }
}

fn is_one_line(bytes: &[u8]) -> bool {
    memchr::memchr(b'\n', bytes).is_some_and(|at| at + 1 == bytes.len())
}

/// What a scan is going to give, known before its first item: a run says so at its destinations before it writes any of it.
#[derive(Debug, Clone, Default)]
pub struct ScanPlan {
    /// The resources; the place of each in this list is its [`ResourceId`].
    pub resources: Vec<PlannedResource>,
    /// Whole small files for the backup's folder.
    pub attachments: Vec<Attachment>,
    /// What time it was at the server of the source before anything of it was listed or read, where it has one that says
    /// so.
    pub server_time: Option<Timestamp>,
    /// What state resources are in, by their names: as long as one is in the same, it gives the same records in the same order.
    /// Those of which that can't be told aren't among them. One that may be in a former state again, after another, isn't
    /// [continued](Self::continued): what a run has of it may be of the state between.
    pub states: BTreeMap<String, Digest>,
    /// By their names in the configuration, the bounds by which it tells what a record's line carries: by others, the same records
    /// give others.
    pub bounds: BTreeMap<String, u64>,
    /// The resources that the scan goes on with at the point that it was given, and of which it leaves out what is before.
    pub continued: BTreeSet<ResourceId>,
}

/// A resource that a scan is going to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedResource {
    /// What it is.
    pub kind: ResourceKind,
    /// Bytes of its records, where the source knows them. Whether a disk has room is judged by it.
    pub plain_bytes: Option<u64>,
}

/// What a scan gives, in order.
#[derive(Debug)]
pub enum Item {
    /// A planned resource begins; also one without records.
    Begin(ResourceId),
    /// Records of a resource that has begun and not ended.
    Records(ResourceId, RecordBatch),
    /// A resource ends.
    End(ResourceId, ResourceCounts),
}

/// What a source counted in a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceCounts {
    /// Records whose object is kept raw beside the document.
    pub kept_raw: u64,
    /// Objects that were listed and gone when they were read.
    pub vanished: u64,
    /// What was found to be other than in the parent; of [`ResourceKind::Deleted`] only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub changes: Option<Changes>,
    /// What the passes after the first reading came to; of [`ResourceKind::Settled`] only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub settle: Option<Settling>,
}

/// What became of reading again what had changed during a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settling {
    /// Whether it came to an end.
    pub outcome: SettleOutcome,
    /// Passes over the source after the first reading.
    pub passes: u32,
    /// What they found of the records of the scan's resources.
    pub records: SettledCounts,
    /// What they found of everything else.
    pub objects: SettledCounts,
}

/// How reading again ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettleOutcome {
    /// A pass found nothing that had changed.
    Settled,
    /// The last pass that was allowed still found something.
    Bound,
}

/// Things that were found to have changed, once for each pass that found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettledCounts {
    /// They weren't there before.
    pub created: u64,
    /// They are others than before.
    pub changed: u64,
    /// They are gone.
    pub deleted: u64,
}

impl SettledCounts {
    /// All of them.
    pub fn total(&self) -> u64 {
        let counted = self.created.saturating_add(self.changed);
        counted.saturating_add(self.deleted)
    }

    /// How many there are after these changes to so many.
    pub fn after(&self, before: u64) -> u64 {
        let counted = before.saturating_add(self.created);
        counted.saturating_sub(self.deleted)
    }
}

/// A place that records come from. `Display` names it without secrets.
#[async_trait]
pub trait Source: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// The kind.
    fn kind(&self) -> SourceKind;

    /// Why what is written below `prefix` of a bucket would be taken for its data, if it would be. `endpoint` is the server's
    /// address, without a slash at its end; none is AWS.
    fn reads(&self, _endpoint: Option<&str>, _bucket: &str, _prefix: &str) -> Option<&'static str> {
        None
    }

    /// Whether it can be read a second time.
    fn is_rereadable(&self) -> bool;

    /// Whether it says what is read; unless said otherwise, it does. What only stands for a source may not.
    fn is_named(&self) -> bool {
        true
    }

    /// Whether it can tell what has changed since a backup; unless said otherwise, it can't.
    fn tells_changes(&self) -> bool {
        false
    }

    /// Refuses a selection that it can't read so, as far as it knows that before anything is opened. Scans refuse the same.
    ///
    /// # Errors
    /// Of class [`Usage`](crate::Class::Usage).
    fn check(&self, _selection: &Selection) -> Result<(), BackupError> {
        Ok(())
    }

    /// Begins a scan.
    async fn scan(&self, selection: Selection) -> Result<Box<dyn Scan>, BackupError>;

    /// Begins a scan of what isn't as it was in a backup of the same selection. It plans [`ResourceKind::Deleted`] as well.
    ///
    /// # Errors
    /// Of class [`Usage`](crate::Class::Usage), unless the source [tells changes](Source::tells_changes).
    async fn scan_changes(
        &self,
        _selection: Selection,
        _base: Base,
    ) -> Result<Box<dyn Scan>, BackupError> {
        let message = "this source can't tell what has changed since a backup";
        Err(BackupError::usage(self, message).suggest("make full backups of it"))
    }

    /// Begins a scan for a run that is taken up again: resources that are in the state of their point are gone on with there,
    /// of all others everything is given again. Unless said otherwise that is all of them.
    async fn scan_on(
        &self,
        selection: Selection,
        _points: Vec<ResumePoint>,
    ) -> Result<Box<dyn Scan>, BackupError> {
        self.scan(selection).await
    }

    /// Begins a scan of a sample of each resource, from which all of it can be judged. Not every source can.
    async fn sample(&self, _: Selection, _: SampleLimits) -> Result<Sample, BackupError> {
        let message = "it can't be sampled, so how large a backup would be can't be told";
        Err(BackupError::usage(self, message))
    }

    /// Whole small files for the backup's folder that describe what was read, now that it is known where it was placed.
    fn describe(&self, placed: &Placed<'_>) -> Result<Vec<Attachment>, BackupError>;
}

/// A whole small file: its name and its content.
pub type Attachment = (String, Bytes);

/// What became of a scan's items.
#[derive(Debug, Clone, Copy)]
pub struct Placed<'a> {
    /// The run.
    pub claim: &'a RunClaim,
    /// How its data files are compressed.
    pub compression: Compression,
    /// The resources, with their files.
    pub resources: &'a [ResourceEntry],
    /// The attachments that the scan planned.
    pub attachments: &'a [Attachment],
}

/// One reading of a source.
#[async_trait]
pub trait Scan: Send {
    /// What it is going to give. Each planned resource begins once and ends once.
    fn plan(&self) -> &ScanPlan;

    /// The next item; `None` at the end. Dropped while it waits, nothing is lost but the scan.
    async fn next(&mut self) -> Result<Option<Item>, BackupError>;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn batch(bytes: &'static [u8], ends: &[usize]) -> RecordBatch {
        RecordBatch {
            bytes: Bytes::from_static(bytes),
            ends: ends.to_vec(),
            ..RecordBatch::default()
        }
    }

    #[test]
    fn what_a_batch_of_lines_has_to_be() {
        let lines = ResourceKind::Records("users".to_owned());
        let of_objects = RecordBatch {
            continues: true,
            ..batch(b"ab", &[1, 2])
        };
        let rowless = RecordBatch {
            rows: vec![b"{}\n".to_vec()],
            ..batch(b"a\nb\n", &[2, 4])
        };
        let rows = |row: &[u8]| RecordBatch {
            rows: vec![row.to_vec()],
            ..batch(b"a\n", &[2])
        };
        assert!(rows(b"").check(&lines).is_ok());
        assert!(rows(b"{\"object\":{}}\n").check(&lines).is_ok());
        for (wrong, what) in [
            (rows(b"{\"object\":{}}"), "row 1 isn't one line of an index"),
            (rows(b"{\"end\":{}}\n"), "row 1 isn't one line of an index"),
            (
                rows(b"{\"chunk\":{}}\n"),
                "row 1 isn't one line of an index",
            ),
            (batch(b"ab\n", &[1, 3]), "record 1 of it isn't one line"),
            (batch(b"a\nb\n", &[4]), "record 1 of it isn't one line"),
            (batch(b"a\nb\n", &[2]), "2 bytes are behind the last record"),
            (batch(b"a\n", &[2, 2]), "no bytes between 2 and 2"),
            (batch(b"a\nb\n", &[4, 2]), "record 1 of it isn't one line"),
            (batch(b"a\n", &[3]), "no bytes between 0 and 3"),
            (of_objects.clone(), "as no line does"),
            (rowless, "1 rows are for 2 records"),
        ] {
            let error = wrong.check(&lines).unwrap_err().to_string();
            assert!(
                error.contains("resource users") && error.contains(what),
                "{error}"
            );
        }
        assert!(of_objects.check(&ResourceKind::Objects).is_ok());
    }

    proptest! {
        #[test]
        fn lines_are_right_and_without_one_of_their_ends_wrong(lines in proptest::collection::vec("[a-z]{0,9}", 1..9), which in any::<proptest::sample::Index>()) {
            let ends = lines.iter().scan(0, |end, line| {
                *end += line.len() + 1;
                Some(*end)
            });
            let bytes: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
            let right = RecordBatch { bytes: bytes.into(), ends: ends.collect(), ..RecordBatch::default() };
            let kind = ResourceKind::Records("users".to_owned());
            prop_assert!(right.check(&kind).is_ok());
            let mut wrong = right.clone();
            wrong.ends.remove(which.index(lines.len()));
            prop_assert!(wrong.check(&kind).is_err());
        }
    }
}
