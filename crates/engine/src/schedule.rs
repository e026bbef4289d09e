//! Schedules: backups, and what keeps them worth having, that are made again and again, while [`Engine::run_schedules`] goes on.
//!
//! Nothing is kept of them but the records of their runs and their turns, which each destination has: when a schedule last ran is
//! asked there.

mod events;
mod last_runs;
mod process;
mod runner;
mod turns;
mod work;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use teeline_core::{BackupError, Timestamp, Timing};
use tokio::sync::watch;

pub use self::events::{ScheduleEvent, ScheduleObserver};
pub use self::runner::SchedulesRequest;
pub(crate) use self::turns::past_turns;
pub use self::work::{Work, WorkReport};
use crate::destination::{DestinationSpec, NAME_FORM, is_name};
use crate::engine::Engine;
use crate::report::{LastRun, ScheduleList, ScheduledBackup};
use crate::request::BackupRequest;

/// How many of the times that come next are told of a schedule.
const TIMES_TOLD: usize = 3;

/// A backup that is made again and again, or something else that is done so.
#[derive(Debug, Clone)]
pub struct Schedule {
    name: String,
    timing: Timing,
    work: Work,
}

impl Schedule {
    /// A backup as `request` says, at the times that `timing` comes to. Its source is read anew each time, and it is cancelled
    /// with all others by [`SchedulesRequest::cancel`] instead of its own.
    ///
    /// # Errors
    /// Of class [`Usage`](teeline_core::Class::Usage), where the name isn't of the form `[a-z][a-z0-9_-]*` or is longer than
    /// 63 characters, or the source can be read once only.
    pub fn new(name: &str, timing: Timing, request: BackupRequest) -> Result<Self, BackupError> {
        if !request.source.is_rereadable() {
            let message = "its source can be read once only, and a schedule reads it each time";
            return Err(BackupError::usage(format!("schedule {name}"), message)
                .suggest("write the records to a file"));
        }
        let request = BackupRequest {
            schedule: Some(name.to_owned()),
            ..request
        };
        Schedule::named(name, timing, Work::Backup(Box::new(request)))
    }

    /// Whatever is to be done, at the times that `timing` comes to; as [`Schedule::new`].
    ///
    /// # Errors
    /// As [`Schedule::new`].
    pub fn of(name: &str, timing: Timing, work: Work) -> Result<Self, BackupError> {
        match work {
            Work::Backup(request) => Schedule::new(name, timing, *request),
            work => Schedule::named(name, timing, work),
        }
    }

    fn named(name: &str, timing: Timing, work: Work) -> Result<Self, BackupError> {
        if !is_name(name) {
            let message = format!("that isn't a name for a schedule; accepted: {NAME_FORM}");
            return Err(BackupError::usage("schedule", message));
        }
        Ok(Schedule {
            name: name.to_owned(),
            timing,
            work,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When it runs.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// What it does.
    pub fn work(&self) -> &Work {
        &self.work
    }
}

/// The schedules of an engine.
#[derive(Debug, Default)]
pub(crate) struct Schedules {
    entries: Mutex<Vec<Arc<Entry>>>,
    /// Sees every change of them.
    changed: watch::Sender<()>,
    /// Held by whoever runs them, so that there is one.
    runner: Arc<tokio::sync::Mutex<()>>,
}

/// A schedule that was added. Another one in its place is another entry.
#[derive(Debug)]
struct Entry {
    schedule: Schedule,
    seed: u64,
}

impl Schedules {
    fn entries(&self) -> MutexGuard<'_, Vec<Arc<Entry>>> {
        // A list that is right after each change, also after a panic elsewhere.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Adds a schedule, in the place of one of the same name. It runs while [`Engine::run_schedules`] does.
    ///
    /// # Errors
    /// Of class [`Usage`](teeline_core::Class::Usage), where it can't be done so; of another one, where there is no
    /// randomness for its jitter.
    pub fn schedule(&self, schedule: Schedule) -> Result<(), BackupError> {
        let checked = match &schedule.work {
            Work::Backup(request) => self.check(request),
            Work::Drill(request) => request.check(),
            _ => Ok(()),
        };
        checked.map_err(|error| in_schedule(schedule.name(), &error))?;
        let mut seed = [0; 8];
        (self.0.random)(&mut seed)?;
        let added = Arc::new(Entry {
            schedule,
            seed: u64::from_le_bytes(seed),
        });
        let mut entries = self.0.schedules.entries();
        let same = |entry: &&mut Arc<Entry>| entry.schedule.name == added.schedule.name;
        match entries.iter_mut().find(same) {
            Some(entry) => *entry = added,
            None => entries.push(added),
        }
        drop(entries);
        self.0.schedules.changed.send_replace(());
        Ok(())
    }

    /// Takes a schedule away, and says whether there was one. What it is making is still made.
    pub fn unschedule(&self, name: &str) -> bool {
        let mut entries = self.0.schedules.entries();
        let count = entries.len();
        entries.retain(|entry| entry.schedule.name != name);
        let was_there = entries.len() < count;
        drop(entries);
        self.0.schedules.changed.send_replace(());
        was_there
    }

    /// The schedules, in the order in which they were added.
    pub fn schedules(&self) -> Vec<Schedule> {
        let entries = self.0.schedules.entries();
        entries.iter().map(|entry| entry.schedule.clone()).collect()
    }

    /// The schedules, each with what comes next and what its last run came to.
    pub async fn list_schedules(&self) -> ScheduleList {
        let entries = self.0.schedules.entries().clone();
        let now = (self.0.clock)();
        let mut list = ScheduleList::default();
        for group in with_same_destinations(&entries) {
            let found = last_runs::of(self, &group).await;
            for entry in group {
                let last = found.of_each.get(entry.schedule.name());
                list.schedules
                    .push(listed(&entry.schedule, now, last.cloned()));
            }
            list.errors.extend(found.errors);
        }
        let place = |name: &str| {
            let same = |entry: &Arc<Entry>| entry.schedule.name == name;
            entries.iter().position(same)
        };
        list.schedules
            .sort_by_key(|scheduled| place(&scheduled.name));
        list
    }

    /// As [`Engine::list_schedules`], for hosts without an executor.
    pub fn list_schedules_blocking(&self) -> ScheduleList {
        futures::executor::block_on(self.list_schedules())
    }
}

/// An error about a request; the settings in it are named by the error itself.
fn in_schedule(name: &str, error: &BackupError) -> BackupError {
    let subject = format!("schedule {name}");
    let in_schedule = BackupError::new(error.class(), error.operation(), subject, error);
    match error.suggestion() {
        Some(suggestion) => in_schedule.suggest(suggestion),
        None => in_schedule,
    }
}

fn listed(schedule: &Schedule, now: Timestamp, last: Option<LastRun>) -> ScheduledBackup {
    let timing = &schedule.timing;
    ScheduledBackup {
        name: schedule.name.clone(),
        cron: timing.cron.to_string(),
        time_zone: timing.time_zone,
        jitter: timing.jitter,
        backup_type: schedule.work.label(),
        next: timing.times_after(now).take(TIMES_TOLD).collect(),
        last,
    }
}

/// Those that go to the same places, which then are asked once.
fn with_same_destinations(entries: &[Arc<Entry>]) -> Vec<Vec<&Entry>> {
    let mut groups: Vec<Vec<&Entry>> = Vec::new();
    for entry in entries {
        let destinations =
            |entry: &Entry| -> Vec<DestinationSpec> { entry.schedule.work.destinations().to_vec() };
        let same = |group: &&mut Vec<&Entry>| destinations(group[0]) == destinations(entry);
        match groups.iter_mut().find(same) {
            Some(group) => group.push(entry),
            None => groups.push(vec![entry]),
        }
    }
    groups
}
