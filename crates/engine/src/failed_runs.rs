//! Runs that failed and left no backup: only their records tell of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::{StreamExt, TryStreamExt, stream};
use teeline_core::commit::was_published;
use teeline_core::{
    BackupError, BackupId, ErrorReport, Metadata, ObjectKey, ObjectMeta, RunRecord, RunStatus,
    Timestamp, layout,
};

use crate::catalog::{Listed, READS_AT_ONCE, among, read_document};
use crate::engine::Engine;
use crate::failure::first_to_blame;
use crate::list::ListRequest;
use crate::open::{Opened, open_all};
use crate::report::{ListReport, ListedBackup};
use crate::run_records;

/// What the keys at a destination say of the runs that were asked for.
struct Keys {
    opened: Opened,
    records: HashMap<BackupId, Vec<ObjectKey>>,
    entries: HashMap<BackupId, Listed>,
}

/// Which failed runs count, beside what a request says of them.
pub(crate) struct Counting<'a> {
    /// By their ids: of no others are records read.
    pub(crate) takes: &'a (dyn Fn(&BackupId) -> bool + Sync),
    /// By their records.
    pub(crate) counts: &'a (dyn Fn(&RunRecord) -> bool + Sync),
    /// So many runs, the newest, by their ids.
    pub(crate) looked_at_max: usize,
}

impl Counting<'_> {
    pub(crate) const ALL: Counting<'static> = Counting {
        takes: &|_| true,
        counts: &|_| true,
        looked_at_max: usize::MAX,
    };
}

/// What is known of one run.
struct Run {
    failed: Option<ListedBackup>,
    /// Destinations whose documents about it couldn't be read.
    errors: Vec<(String, BackupError)>,
}

/// The runs that were asked for, the newest first. Records are read until there are enough.
pub(crate) async fn list(
    engine: &Engine,
    request: &ListRequest,
    counting: &Counting<'_>,
) -> ListReport {
    let mut report = ListReport::default();
    let concurrency = READS_AT_ONCE * request.destinations.len();
    let opened = open_all(engine, &request.destinations, concurrency).await;
    let keys = opened.into_iter().map(|opened| async move {
        let opened = opened?;
        let name = opened.name.clone();
        let keys = Keys::read(opened, request, counting).await;
        keys.map_err(|error| (name, error))
    });
    let mut places = Vec::new();
    for keys in futures::future::join_all(keys).await {
        match keys {
            Ok(keys) => places.push(keys),
            Err((name, error)) => report.failed(&name, &error),
        }
    }
    if !request.metadata.is_empty() {
        // Of failed runs nothing is said.
        return report;
    }
    let ids: BTreeSet<_> = places
        .iter()
        .flat_map(|place| place.records.keys())
        .map(|id| (Reverse(id.began()), id.clone()))
        .collect();
    // However few are wanted: how many records it takes to find one that counts nobody knows.
    let mut runs = stream::iter(ids)
        .take(counting.looked_at_max)
        .map(|(_, id)| look_at(&places, id, request, counting))
        .buffered(READS_AT_ONCE);
    while report.backups.len() < request.limit()
        && let Some(Run { failed, errors }) = runs.next().await
    {
        report.backups.extend(failed);
        for (name, error) in errors {
            report.failed(&name, &error);
        }
    }
    report
}

impl Keys {
    /// The keys of the records, and of the catalogue's entries, of the runs that may be meant.
    async fn read(
        opened: Opened,
        request: &ListRequest,
        counting: &Counting<'_>,
    ) -> Result<Self, BackupError> {
        let sink = opened.sink.as_ref();
        let mut records: HashMap<_, Vec<_>> = HashMap::new();
        let may_count = |id: &BackupId| request.may_take(id) && (counting.takes)(id);
        for (id, key) in run_records::keys(sink, may_count).await? {
            records.entry(id).or_default().push(key);
        }
        let folder = ObjectKey::new(layout::CATALOG)?;
        let objects: Vec<ObjectMeta> = sink.list(Some(&folder)).try_collect().await?;
        if records.is_empty() && objects.is_empty() {
            opened.look_for_folder().await?;
        }
        // Whether they are withdrawn makes no difference: they were made.
        let (listed, _) = among(objects, &mut BTreeMap::new());
        let entries = listed.into_iter().map(|listed| (listed.id.clone(), listed));
        let entries = entries.filter(|(id, _)| records.contains_key(id)).collect();
        Ok(Keys {
            opened,
            records,
            entries,
        })
    }

    /// Whether a run left its backup here, be it damaged; `records` are those that are here.
    async fn has_backup(&self, id: &BackupId, records: &[RunRecord]) -> Result<bool, BackupError> {
        let Some(listed) = self.entries.get(id) else {
            return Ok(false);
        };
        match listed.has_manifest(self.opened.sink.as_ref()).await {
            Ok(true) => Ok(true),
            Ok(false) => Ok(records
                .iter()
                .any(|record| was_published(record, &self.opened.location))),
            Err(error) if error.class().is_retriable() => Err(error),
            Err(_) => Ok(true),
        }
    }
}

impl ListRequest {
    /// Whether a run may be one of those that were asked for, as far as its id says: that has the second when it began.
    fn may_take(&self, id: &BackupId) -> bool {
        let second_of = |time: Timestamp| time.unix_ms() / 1_000;
        let takes = |began| {
            let after = self.since.is_none_or(|since| second_of(since) <= began);
            after && self.until.is_none_or(|until| began <= second_of(until))
        };
        self.takes_id(id) && id.began().is_none_or(|began| takes(second_of(began)))
    }
}

async fn look_at(
    places: &[Keys],
    id: BackupId,
    request: &ListRequest,
    counting: &Counting<'_>,
) -> Run {
    let mut run = Run {
        failed: None,
        errors: Vec::new(),
    };
    let mut destinations = Vec::new();
    let mut failed: Option<RunRecord> = None;
    for place in places {
        let name = &place.opened.name;
        let mut records: Vec<RunRecord> = Vec::new();
        for key in place.records.get(&id).into_iter().flatten() {
            match read_document(place.opened.sink.as_ref(), key).await {
                Ok(record) => records.push(record),
                Err(error) => run.errors.push((name.clone(), error)),
            }
        }
        match place.has_backup(&id, &records).await {
            Ok(true) => return run,
            Ok(false) => {}
            Err(error) => run.errors.push((name.clone(), error)),
        }
        if let Some(record) = records
            .into_iter()
            .find(|record| record.status == RunStatus::Failed)
        {
            destinations.push(name.clone());
            failed.get_or_insert(record);
        }
    }
    run.failed = failed
        .filter(|record| request.takes_time(record.started_at) && (counting.counts)(record))
        .map(|record| listed(record, destinations));
    run
}

/// Why a run failed.
pub(crate) fn why_failed(record: &RunRecord) -> Option<&ErrorReport> {
    let of_the_run = record.error.as_ref();
    of_the_run.or_else(|| first_to_blame(&record.destinations))
}

fn listed(record: RunRecord, destinations: Vec<String>) -> ListedBackup {
    let error = why_failed(&record).cloned();
    ListedBackup {
        id: record.id,
        backup_type: record.backup_type,
        status: record.status,
        timestamp: record.started_at,
        record_count: 0,
        size: 0,
        plain_bytes: 0,
        checksum: record.checksum,
        path: None,
        sealed: false,
        is_in_part: false,
        destinations,
        copies: Vec::new(),
        parent: None,
        include: Vec::new(),
        exclude: Vec::new(),
        metadata: Metadata::default(),
        error,
    }
}
