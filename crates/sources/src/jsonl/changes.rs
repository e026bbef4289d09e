//! What of JSON lines isn't as a backup has it, by what they say: lines have no keys.
//!
//! A line that is there as often as before is as it was, wherever it stands. It takes 24 bytes of memory for a line of the
//! backup, and 16 for one of the source.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use teeline_core::chain::{Base, KnownLine, LineDigest};
use teeline_core::{BackupError, Changes, Item, RecordBatch, ResourceCounts, ResourceId};

/// Lines that are given at once.
const BATCH_LINES: usize = 4_096;

/// What the parent has, and what was found beside it.
pub(super) struct Comparison {
    /// Of each resource the lines that weren't found again yet, in the order of their digests.
    known: BTreeMap<String, Vec<(LineDigest, u64)>>,
    /// The lines of each resource that has ended, in the order of their digests.
    found: Vec<(String, Vec<LineDigest>)>,
    /// Those of the resource that is being read.
    reading: Vec<LineDigest>,
    changes: Changes,
}

impl Comparison {
    /// Takes all that a chain has.
    pub(super) async fn read(base: Base) -> Result<Self, BackupError> {
        let mut known: BTreeMap<String, Vec<(LineDigest, u64)>> = BTreeMap::new();
        if let Some(mut lines) = base.lines {
            while let Some(KnownLine {
                resource,
                line,
                times,
            }) = lines.try_next().await?
            {
                known.entry(resource).or_default().push((line, times));
            }
        }
        for lines in known.values_mut() {
            lines.sort_unstable();
            lines.dedup_by(|one, kept| {
                let is_same = one.0 == kept.0;
                if is_same {
                    kept.1 += one.1;
                }
                is_same
            });
        }
        Ok(Comparison {
            known,
            found: Vec::new(),
            reading: Vec::new(),
            changes: Changes::default(),
        })
    }

    /// Of a batch of a resource, the lines that the parent doesn't have.
    pub(super) fn compare(&mut self, resource: &str, batch: &RecordBatch) -> Vec<RecordBatch> {
        let mut is_new = Vec::with_capacity(batch.ends.len());
        let mut begin = 0;
        for end in &batch.ends {
            let line = LineDigest::of(&batch.bytes[begin..*end]);
            begin = *end;
            self.reading.push(line);
            let is_known = self.take(resource, line);
            match is_known {
                true => self.changes.records.unchanged += 1,
                false => self.changes.records.created += 1,
            }
            is_new.push(!is_known);
        }
        let mut from = 0;
        let runs = is_new.chunk_by(|one, other| one == other).map(|run| {
            let lines = from..from + run.len();
            from = lines.end;
            (run[0], lines)
        });
        let new = runs.filter(|(is_new, _)| *is_new);
        new.map(|(_, lines)| batch.part(lines)).collect()
    }

    /// Ends a resource.
    pub(super) fn end(&mut self, resource: &str) {
        let mut lines = std::mem::take(&mut self.reading);
        lines.sort_unstable();
        self.found.push((resource.to_owned(), lines));
    }

    /// What is to be given in the end: the lines that are gone, and then all lines that there are.
    pub(super) fn finish(
        mut self,
        deleted: ResourceId,
        all: ResourceId,
    ) -> Result<Vec<Item>, BackupError> {
        let mut gone = Vec::new();
        for (resource, lines) in &self.known {
            for (line, times) in lines.iter().filter(|(_, times)| *times > 0) {
                self.changes.records.deleted += times;
                gone.push(known(resource, *line, *times));
            }
        }
        let counts = ResourceCounts {
            changes: Some(self.changes),
            ..ResourceCounts::default()
        };
        let mut items = whole(deleted, gone, counts)?;
        let there = self.found.iter().flat_map(|(resource, lines)| {
            let same = lines.chunk_by(|one, other| one == other);
            same.map(move |same| known(resource, same[0], same.len() as u64))
        });
        items.extend(whole(all, there.collect(), ResourceCounts::default())?);
        Ok(items)
    }

    /// Takes a line from what the parent has; whether it was there.
    fn take(&mut self, resource: &str, line: LineDigest) -> bool {
        let Some(lines) = self.known.get_mut(resource) else {
            return false;
        };
        let Ok(at) = lines.binary_search_by_key(&line, |(line, _)| *line) else {
            return false;
        };
        let is_there = lines[at].1 > 0;
        lines[at].1 -= u64::from(is_there);
        is_there
    }
}

fn known(resource: &str, line: LineDigest, times: u64) -> KnownLine {
    KnownLine {
        resource: resource.to_owned(),
        line,
        times,
    }
}

/// A resource, from its beginning to its end.
fn whole(
    id: ResourceId,
    lines: Vec<KnownLine>,
    counts: ResourceCounts,
) -> Result<Vec<Item>, BackupError> {
    let mut items = vec![Item::Begin(id)];
    for lines in lines.chunks(BATCH_LINES) {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for line in lines {
            bytes.extend_from_slice(&line.encode()?);
            ends.push(bytes.len());
        }
        let batch = RecordBatch {
            bytes: bytes.into(),
            ends,
            ..RecordBatch::default()
        };
        items.push(Item::Records(id, batch));
    }
    items.push(Item::End(id, counts));
    Ok(items)
}
