//! Running schedules: waiting for what comes next, and making it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use teeline_core::{Agenda, Awaited, BackupError, Class, RunStatus, Timestamp};
use tokio::sync::watch;

use super::last_runs::{self, LastRuns};
use super::turns::{self, Asked};
use super::{Entry, ScheduleEvent, ScheduleObserver, Work, WorkReport, with_same_destinations};
use crate::engine::Engine;
use crate::report::{DestinationError, LastRun, SchedulesReport, exit};
use crate::request::{Cancel, Resume};

/// The clock is looked at this often at least: it may be set, and the machine may sleep, which timers don't notice.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Schedules to be run.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct SchedulesRequest {
    /// Is told what happens.
    pub observer: Option<ScheduleObserver>,
    /// Ends it once the backup that is under way is made.
    pub finish: Cancel,
    /// Ends it at once: the backup that is under way is abandoned.
    pub cancel: Cancel,
}

impl fmt::Debug for SchedulesRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchedulesRequest").finish_non_exhaustive()
    }
}

impl Engine {
    /// Runs the schedules, one backup at a time, until it is told to end; those that are added meanwhile as well. What was
    /// missed since a schedule last ran is caught up once. One that never ran waits for its next time. A backup that fails
    /// ends nothing. A pass that broke off, since the process was killed for one, is taken up again by the next backup of its
    /// schedule.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use teeline::{BackupRequest, DestinationSpec, Engine, JsonlSource, Schedule, ScheduleEvent, SchedulesRequest, Timing};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # std::fs::write(folder.path().join("users.jsonl"), "{\"id\":1}\n")?;
    /// # let to = vec![DestinationSpec::parse(&folder.path().join("copy").display().to_string())?];
    /// # let source = JsonlSource::path(folder.path().join("users.jsonl"));
    /// let timing = Timing {
    ///     cron: "* * * * * *".parse()?,
    ///     time_zone: "Europe/Berlin".parse()?,
    ///     jitter: Default::default(),
    /// };
    /// let engine = Engine::new()?;
    /// engine.schedule(Schedule::new("each-second", timing, BackupRequest::new(source, to))?)?;
    ///
    /// let mut request = SchedulesRequest::default();
    /// let finish = request.finish.clone();
    /// request.observer = Some(Arc::new(move |event| {
    ///     if let ScheduleEvent::Ended { .. } = event {
    ///         finish.cancel();
    ///     }
    /// }));
    /// let report = engine.run_schedules_blocking(request)?;
    /// assert_eq!((report.made, report.exit_code()), (1, 0));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Of class [`Conflict`](Class::Conflict), where the engine runs its schedules already.
    pub async fn run_schedules(
        &self,
        request: SchedulesRequest,
    ) -> Result<SchedulesReport, BackupError> {
        let alone = Arc::clone(&self.0.schedules.runner).try_lock_owned();
        let _alone = alone.map_err(|_| {
            let message = "the engine runs them already";
            BackupError::new(Class::Conflict, "run", "schedules", message)
        })?;
        let runner = Runner {
            engine: self,
            changed: self.0.schedules.changed.subscribe(),
            request,
            known: Vec::new(),
            told: None,
            report: SchedulesReport::default(),
        };
        Ok(runner.run().await)
    }

    /// Does now what a schedule does, whatever its times, and remembers that as a run of it.
    ///
    /// # Errors
    /// Of class [`Usage`](Class::Usage), where there is no schedule of that name.
    pub async fn run_schedule(
        &self,
        name: &str,
        cancel: &Cancel,
    ) -> Result<WorkReport, BackupError> {
        let schedule = self
            .schedules()
            .into_iter()
            .find(|known| known.name() == name);
        let schedule = schedule.ok_or_else(|| {
            BackupError::usage(
                format!("schedule {name}"),
                "there is no schedule of that name",
            )
        })?;
        let now = (self.0.clock)();
        let work = schedule.work().clone().cancelled_by(cancel);
        let (engine, of, done) = (self.clone(), name.to_owned(), work.clone());
        let taking = async move { turns::take(&engine, &of, now, &done).await };
        let turn = match self.0.host.spawn(taking).await.and_then(|taken| taken)? {
            Asked::Ours(turn) => turn,
            Asked::Theirs {
                destination,
                holder,
            } => {
                let message =
                    format!("{holder} does it for the same time, as {destination} has it");
                let subject = format!("schedule {name}");
                return Err(BackupError::new(Class::Conflict, "run", subject, message));
            }
        };
        let report = self.carry_out(work).await;
        conclude(self, Some(turn), &report, (self.0.clock)()).await;
        Ok(report)
    }

    /// As [`Engine::run_schedule`], for hosts without an executor.
    ///
    /// # Errors
    /// As [`Engine::run_schedule`].
    pub fn run_schedule_blocking(
        &self,
        name: &str,
        cancel: &Cancel,
    ) -> Result<WorkReport, BackupError> {
        futures::executor::block_on(self.run_schedule(name, cancel))
    }

    /// As [`Engine::run_schedules`], for hosts without an executor.
    ///
    /// # Errors
    /// As [`Engine::run_schedules`].
    pub fn run_schedules_blocking(
        &self,
        request: SchedulesRequest,
    ) -> Result<SchedulesReport, BackupError> {
        futures::executor::block_on(self.run_schedules(request))
    }
}

struct Runner<'a> {
    engine: &'a Engine,
    changed: watch::Receiver<()>,
    request: SchedulesRequest,
    known: Vec<Known>,
    /// What was said to come next.
    told: Option<Option<(String, Timestamp)>>,
    report: SchedulesReport,
}

/// A schedule of which it is known, or given up, when it last ran.
#[derive(Clone)]
struct Known {
    entry: Arc<Entry>,
    since: Timestamp,
    /// Whether what ran then was interrupted.
    interrupted: bool,
    /// Whether a run of it may have broken off since a backup was made: what was killed has left no record.
    may_be_unfinished: bool,
}

/// Says what came of a turn. Where that can't be said any more, it is as if this process had died.
async fn conclude(
    engine: &Engine,
    turn: Option<turns::Ours>,
    report: &WorkReport,
    ended_at: Timestamp,
) {
    if let Some(turn) = turn {
        let ending = turn.end(ended_at, report.status(), report.error());
        let _ = engine.0.host.spawn(ending).await;
    }
}

/// Whose it is to do something.
enum Turn {
    Ours(Option<turns::Ours>),
    Left,
}

impl Runner<'_> {
    async fn run(mut self) -> SchedulesReport {
        while !self.is_over() {
            self.changed.borrow_and_update();
            let entries = self.engine.0.schedules.entries().clone();
            let known = self.know(&entries);
            let Some(known) = until_cancelled(&self.request, known).await else {
                break;
            };
            self.known = known;
            let now = (self.engine.0.clock)();
            for known in &mut self.known {
                known.since = Awaited::believed(known.since, now);
            }
            let agenda = self.agenda(now);
            match agenda.due.first() {
                Some(index) => self.make(*index, now).await,
                None => self.wait(now, agenda.next).await,
            }
        }
        self.report
    }

    fn is_over(&self) -> bool {
        self.request.finish.is_cancelled() || self.request.cancel.is_cancelled()
    }

    /// When each schedule last ran: those that weren't known are asked for.
    async fn know(&self, entries: &[Arc<Entry>]) -> Vec<Known> {
        let now = (self.engine.0.clock)();
        let of_entry = |entry: &Arc<Entry>| {
            let same = |known: &&Known| Arc::ptr_eq(&known.entry, entry);
            self.known.iter().find(same).cloned()
        };
        let new = entries.iter().filter(|entry| of_entry(entry).is_none());
        let new: Vec<Arc<Entry>> = new.cloned().collect();
        let mut asked = LastRuns::default();
        for group in with_same_destinations(&new) {
            let found = last_runs::of(self.engine, &group).await;
            self.tell_unasked(&group, &found);
            asked.of_each.extend(found.of_each);
        }
        let as_asked = |entry: &Arc<Entry>| {
            let last = asked.of_each.get(&entry.schedule.name);
            Known {
                entry: Arc::clone(entry),
                since: last.map_or(now, |run| run.started_at),
                interrupted: last.is_some_and(LastRun::is_interrupted),
                may_be_unfinished: true,
            }
        };
        let known = entries
            .iter()
            .map(|entry| of_entry(entry).unwrap_or_else(|| as_asked(entry)));
        known.collect()
    }

    fn tell_unasked(&self, group: &[&Entry], found: &LastRuns) {
        if !found.errors.is_empty() {
            let names = group.iter().map(|entry| entry.schedule.name.clone());
            self.tell(&ScheduleEvent::Unasked {
                names: names.collect(),
                errors: found.errors.clone(),
                unknown: found.nobody_answered,
            });
        }
    }

    fn agenda(&self, now: Timestamp) -> Agenda {
        let awaited = self.known.iter().map(|known| Awaited {
            timing: &known.entry.schedule.timing,
            since: known.since,
            interrupted: known.interrupted,
            seed: known.entry.seed,
        });
        Agenda::at(now, &awaited.collect::<Vec<_>>())
    }

    async fn make(&mut self, index: usize, now: Timestamp) {
        self.told = None;
        let known = &mut self.known[index];
        let schedule = &known.entry.schedule;
        let scheduled_at = match known.interrupted {
            true => Some(known.since),
            false => schedule.timing.next_after(known.since),
        };
        let scheduled_at = scheduled_at.unwrap_or(now);
        let (name, work) = (schedule.name.clone(), schedule.work.clone());
        (known.since, known.interrupted) = (now, false);
        let is_unfinished = known.may_be_unfinished;
        let turn = match self.take_turn(&name, scheduled_at, &work).await {
            Turn::Ours(turn) => turn,
            Turn::Left => return,
        };
        self.tell(&ScheduleEvent::Begins {
            name: name.clone(),
            scheduled_at,
        });
        let mut work = work.cancelled_by(&self.request.cancel);
        if let Work::Backup(request) = &mut work
            && is_unfinished
        {
            request.resume = Some(Resume::Unfinished);
        }
        let report = Box::new(self.engine.carry_out(work).await);
        let ended_at = (self.engine.0.clock)();
        conclude(self.engine, turn, &report, ended_at).await;
        self.known[index].may_be_unfinished = report.status() == RunStatus::Failed;
        match report.status() {
            RunStatus::Completed | RunStatus::Degraded => self.report.made += 1,
            RunStatus::Failed if report.exit_code() == exit::INTERRUPTED => {
                self.report.interrupted = true;
            }
            RunStatus::Failed => self.report.failed += 1,
        }
        self.tell(&ScheduleEvent::Ended {
            name,
            scheduled_at,
            started_at: now,
            ended_at,
            report,
        });
    }

    /// Says at the destinations that this runner does it, unless another one has said so.
    async fn take_turn(&mut self, name: &str, scheduled_at: Timestamp, work: &Work) -> Turn {
        let (engine, of, done) = (self.engine.clone(), name.to_owned(), work.clone());
        let taking = async move { turns::take(&engine, &of, scheduled_at, &done).await };
        let taken = self.engine.0.host.spawn(taking).await;
        match taken.and_then(|taken| taken) {
            Ok(Asked::Theirs {
                destination,
                holder,
            }) => {
                self.report.left += 1;
                self.tell(&ScheduleEvent::Left {
                    name: name.to_owned(),
                    scheduled_at,
                    destination,
                    holder,
                });
                Turn::Left
            }
            Ok(Asked::Ours(turn)) => {
                if turn.is_nowhere() {
                    self.tell(&ScheduleEvent::Unclaimed {
                        name: name.to_owned(),
                        errors: turn.errors.clone(),
                    });
                }
                Turn::Ours(Some(turn))
            }
            Err(error) => {
                self.tell(&ScheduleEvent::Unclaimed {
                    name: name.to_owned(),
                    errors: vec![DestinationError::of_none(&error)],
                });
                Turn::Ours(None)
            }
        }
    }

    async fn wait(&mut self, now: Timestamp, next: Option<(usize, Timestamp)>) {
        let next = next.map(|(index, at)| (self.known[index].entry.schedule.name.clone(), at));
        let wait = next.as_ref().map_or(WAIT_MAX, |(_, at)| {
            Duration::from_millis(now.until(*at).ms()).min(WAIT_MAX)
        });
        if self.told.as_ref() != Some(&next) {
            self.tell(&ScheduleEvent::Waits { next: next.clone() });
            self.told = Some(next);
        }
        // On the engine's runtime: the host's executor may have no timers.
        let sleep = self.engine.0.host.spawn((self.engine.0.sleep)(wait));
        let changed = self.changed.changed();
        let due_or_changed = async {
            tokio::select! {
                _ = sleep => {}
                _ = changed => {}
            }
        };
        until_cancelled(&self.request, due_or_changed).await;
    }

    fn tell(&self, event: &ScheduleEvent) {
        if let Some(observer) = &self.request.observer {
            observer(event);
        }
    }
}

/// `None`: it was cancelled meanwhile, either way.
async fn until_cancelled<T>(
    request: &SchedulesRequest,
    future: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        done = future => Some(done),
        () = request.finish.cancelled() => None,
        () = request.cancel.cancelled() => None,
    }
}
