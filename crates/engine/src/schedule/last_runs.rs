//! When schedules last ran, as the records of their runs say, and their turns: what makes no backup leaves only these, and so
//! does a backup that ended before anything was written.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures::{StreamExt, stream};
use teeline_core::{BackupError, BackupType, ObjectKey, RunRecord, Sink, Timestamp, layout};

use super::turns::{self, Whose};
use super::{Entry, Work};
use crate::catalog::read_document;
use crate::engine::Engine;
use crate::open::{Opened, open_all};
use crate::report::{DestinationError, LastRun};
use crate::run_records;

/// Records that are read at once from one destination.
const READS_AT_ONCE: usize = 8;
/// Records of runs, of the types that are looked for, that are read at a destination at the most. A schedule that isn't in as
/// many is taken for one that never ran.
const READS_MAX: usize = 1_000;

/// What is known of several schedules.
#[derive(Debug, Default)]
pub(super) struct LastRuns {
    /// By the name of the schedule.
    pub(super) of_each: BTreeMap<String, LastRun>,
    /// The destinations that couldn't be asked, and the records that couldn't be read.
    pub(super) errors: Vec<DestinationError>,
    /// Whether no destination could be asked.
    pub(super) nobody_answered: bool,
}

/// Asks the destinations of these schedules, which are the same for all of them.
pub(super) async fn of(engine: &Engine, entries: &[&Entry]) -> LastRuns {
    let destinations = match entries.first() {
        Some(entry) => entry.schedule.work.destinations().to_vec(),
        None => return LastRuns::default(),
    };
    let (backups, others): (Vec<&Entry>, Vec<&Entry>) = entries
        .iter()
        .partition(|entry| matches!(entry.schedule.work, Work::Backup(_)));
    let whose = |entry: &&Entry| Whose::of(engine, &entry.schedule.name, &entry.schedule.work);
    let named = |entry: &&Entry| (entry.schedule.name.clone(), whose(entry));
    let wanted = Wanted {
        backups: backups.iter().map(named).collect(),
        types: backups
            .iter()
            .map(|entry| entry.schedule.work.label())
            .collect(),
        others: others.iter().map(whose).collect(),
        now: (engine.0.clock)(),
    };
    let asking = engine.clone();
    let asked = async move {
        let opened = open_all(&asking, &destinations, READS_AT_ONCE * destinations.len()).await;
        let asked = opened.into_iter().map(|opened| async {
            let opened = opened?;
            match wanted.read(&opened).await {
                Ok(found) => Ok((opened.name, found)),
                Err(error) => Err((opened.name, error)),
            }
        });
        futures::future::join_all(asked).await
    };
    match engine.0.host.spawn(asked).await {
        Ok(asked) => merged(asked),
        Err(error) => LastRuns {
            errors: vec![DestinationError::of_none(&error)],
            nobody_answered: true,
            ..LastRuns::default()
        },
    }
}

/// What a destination said: runs of schedules, and what was wrong with records.
type Answer = (BTreeMap<String, LastRun>, Vec<BackupError>);

fn merged(asked: Vec<Result<(String, Answer), (String, BackupError)>>) -> LastRuns {
    let mut last = LastRuns {
        nobody_answered: asked.iter().all(Result::is_err),
        ..LastRuns::default()
    };
    for asked in asked {
        let (destination, errors) = match asked {
            Err((destination, error)) => (destination, vec![error]),
            Ok((destination, (found, errors))) => {
                for (name, run) in found {
                    add(&mut last.of_each, name, run);
                }
                (destination, errors)
            }
        };
        last.errors
            .extend(errors.iter().map(|error| DestinationError {
                destination: destination.clone(),
                error: error.into(),
            }));
    }
    last
}

fn add(known: &mut BTreeMap<String, LastRun>, name: String, run: LastRun) {
    // A turn is taken before its run begins, or at the same moment, and the record of that says more.
    let newness = |run: &LastRun| (run.started_at, run.id.is_some());
    let is_older = |known: &LastRun| newness(known) < newness(&run);
    if known.get(&name).is_none_or(is_older) {
        known.insert(name, run);
    }
}

/// Which runs are looked for.
struct Wanted {
    /// Those of the schedules that make backups, by their names.
    backups: HashMap<String, Whose>,
    types: HashSet<BackupType>,
    /// The schedules that make none.
    others: Vec<Whose>,
    now: Timestamp,
}

impl Wanted {
    async fn read(&self, opened: &Opened) -> Result<Answer, BackupError> {
        let (mut found, errors) = match self.backups.is_empty() {
            true => Answer::default(),
            false => self.read_records(opened.sink.as_ref()).await?,
        };
        for whose in self.backups.values() {
            if let Some(run) = turns::last_ended(opened, whose, self.now).await? {
                add(&mut found, whose.schedule.clone(), run);
            }
        }
        for whose in &self.others {
            if let Some(run) = turns::last(opened, whose, self.now).await? {
                add(&mut found, whose.schedule.clone(), run);
            }
        }
        Ok((found, errors))
    }

    /// Reads records, those of the runs first that ended last, until each schedule is found.
    async fn read_records(&self, sink: &dyn Sink) -> Result<Answer, BackupError> {
        let mut records = stream::iter(self.keys(sink).await?)
            .map(|key| async move { read_document::<RunRecord>(sink, &key).await })
            .buffered(READS_AT_ONCE);
        let (mut found, mut errors) = Answer::default();
        while let Some(record) = records.next().await {
            match record {
                Ok(record) => self.take(record, &mut found),
                Err(error) if error.class().is_retriable() => return Err(error),
                Err(error) => errors.push(error),
            }
            if self.backups.keys().all(|name| found.contains_key(name)) {
                break;
            }
        }
        Ok((found, errors))
    }

    async fn keys(&self, sink: &dyn Sink) -> Result<Vec<ObjectKey>, BackupError> {
        let keys = run_records::keys(sink, |id| self.types.contains(&id.backup_type())).await?;
        let mut keys: Vec<ObjectKey> = keys.into_iter().map(|(_, key)| key).collect();
        let ended_at = |key: &ObjectKey| layout::named_by_run_record(key).map(|(_, ended)| ended);
        keys.sort_by_cached_key(|key| std::cmp::Reverse(ended_at(key)));
        keys.truncate(READS_MAX);
        Ok(keys)
    }

    fn take(&self, record: RunRecord, found: &mut BTreeMap<String, LastRun>) {
        let Some(name) = record.schedule else {
            return;
        };
        let is_its = |whose: &Whose| whose.has_done(record.subject);
        if !self.backups.get(&name).is_some_and(is_its) {
            return;
        }
        let run = LastRun {
            id: Some(record.id),
            status: record.status,
            started_at: record.started_at,
            ended_at: record.ended_at,
            error: record.error,
        };
        add(found, name, run);
    }
}
