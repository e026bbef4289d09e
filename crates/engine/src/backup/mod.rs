//! Making a backup: a plan, its passes, and the report of what became of them.

mod attempt;
mod behind;
mod check;
mod cleanup;
mod deadline;
mod dry_run;
mod extent;
mod indexed;
mod outcome;
mod parent;
mod record;
mod resume;
mod seal;
mod taking_part;
mod wanted;
mod warned;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use teeline_actors::{Clock, PassEnd, Sealing, Spool};
use teeline_core::{
    BackupError, BackupId, DestinationReport, ErrorReport, LagPolicy, Resumed, RunStatus,
    SealedManifest, Strategy, Timestamp,
};

use self::deadline::Deadline;
use self::extent::Extent;
use self::outcome::damaged_left;
pub(crate) use self::wanted::glob;
use crate::engine::{Engine, Running};
use crate::failure::Failure;
use crate::hooks::{Moment, RunEvent, RunLog};
use crate::open::{Opened, open_all};
use crate::report::{BackupReport, PluginResult};
use crate::request::{BackupRequest, CatchUp, Resume};

impl Engine {
    /// Makes a backup. Failures are in the report; nothing that isn't published is ever listed.
    pub async fn backup(&self, mut request: BackupRequest) -> BackupReport {
        let engine = self.clone();
        let started_at = (self.0.clock)();
        let backup_type = request.backup_type.clone();
        let running = Running::begin(self);
        let left_out = taking_part::narrow(&mut request);
        let run = self.0.host.spawn(async move {
            let _running = running;
            Run::new(&engine, &request, started_at).run(left_out).await
        });
        run.await.unwrap_or_else(|error| {
            let mut report = BackupReport::failed(backup_type, started_at);
            report.error = Some((&error).into());
            report
        })
    }

    /// As [`Engine::backup`], for hosts without an executor.
    pub fn backup_blocking(&self, request: BackupRequest) -> BackupReport {
        futures::executor::block_on(self.backup(request))
    }
}

/// A run can't be gone on with, so its backup is begun afresh.
fn afresh(report: &mut BackupReport, reason: String) {
    if let Some(resumed) = &mut report.resumed {
        *resumed = Resumed {
            afresh_because: Some(reason),
            ..Resumed::new(resumed.run.clone())
        };
    }
}

/// One execution of `backup`.
struct Run<'a> {
    engine: &'a Engine,
    request: &'a BackupRequest,
    deadline: Deadline,
    started_at: Timestamp,
    opened: Vec<Opened>,
    reports: Vec<Option<DestinationReport>>,
    /// The backup that the hooks were told of at the start.
    announced: Option<BackupId>,
    log: RunLog,
    /// Why a backup that was to be incremental has everything.
    whole_because: Option<String>,
    /// What is wrong with local indexes that it would have gone on from.
    unusable: Vec<String>,
    /// What the last pass made.
    made: Option<SealedManifest>,
    /// How often the run of the last pass has been taken up.
    attempt: u32,
    /// How much that has, and how it is sealed.
    pass_made: Option<(Extent, Option<Sealing>)>,
}

impl<'a> Run<'a> {
    fn new(engine: &'a Engine, request: &'a BackupRequest, started_at: Timestamp) -> Self {
        Run {
            engine,
            request,
            deadline: Deadline::start(request),
            started_at,
            opened: Vec::new(),
            reports: Vec::new(),
            announced: None,
            log: RunLog::new(Arc::clone(&engine.0.clock)),
            whole_because: None,
            unusable: Vec::new(),
            made: None,
            attempt: 0,
            pass_made: None,
        }
    }

    /// Makes it for the destinations that are left, if there are any.
    async fn run(mut self, left_out: Result<Vec<String>, BackupError>) -> BackupReport {
        let mut report = BackupReport::failed(self.request.backup_type.clone(), self.started_at);
        if let Err(error) = self.unless_a_hook_objects(left_out, &mut report).await {
            report.status = RunStatus::Failed;
            report.error = Some((&error).into());
        }
        report.error = report.error.map(|error| self.deadline.told(error));
        report.destinations = self.destination_reports();
        if let Some(resumed) = &mut report.resumed {
            let kept = report.destinations.iter().map(|at| at.kept_bytes);
            resumed.bytes_not_sent = kept.sum();
        }
        if self.request.catch_up == CatchUp::Wait {
            self.complete_who_is_behind(&mut report).await;
        }
        let of_the_run = report.error.clone();
        let of_indexes = self.index_warnings(&report).await;
        report.say_where_half_published();
        let ended_at = (self.engine.0.clock)();
        report.duration =
            u64::try_from(ended_at.unix_ms() - self.started_at.unix_ms()).unwrap_or(0);
        let (unrecorded, warnings) =
            futures::join!(self.record(&report, ended_at), self.warnings(&report));
        report.warnings = warnings;
        report.warnings.extend(of_indexes);
        for (index, error) in unrecorded {
            report.destinations[index]
                .error
                .get_or_insert_with(|| ErrorReport::from(&error));
        }
        report.cleanup = self.clean_up(&report).await;
        report.failure =
            Failure::of_backup(&report, of_the_run, self.announced.as_ref(), self.request);
        let made = self.made.as_ref().map(|made| &made.manifest);
        report.plugin = PluginResult::of(&report, made, &self.request.destinations);
        let event = RunEvent::backed_up(&report, self.announced.take(), ended_at, &self.log)
            .of_schedule(self.request.schedule.as_deref());
        self.engine.0.events.emit(&event);
        let told = self.request.hooks.tell(&event).await;
        report.hook_failures.extend(told);
        report
    }

    /// Makes the backup, if no hook has something against it.
    async fn unless_a_hook_objects(
        &mut self,
        left_out: Result<Vec<String>, BackupError>,
        report: &mut BackupReport,
    ) -> Result<(), BackupError> {
        report.left_out = left_out?;
        let strategy = check::strategy(self.engine, self.request, &report.left_out)?;
        let (request, started_at) = (self.request, self.started_at);
        let id = match &request.resume {
            Some(Resume::Run(id)) => id.clone(),
            Some(Resume::Unfinished) | None => self.new_id(self.began_at())?,
        };
        self.announced = Some(id.clone());
        let backup_type = Some(request.backup_type.clone());
        let start = RunEvent::new(
            Moment::BackupStart,
            Some(id.clone()),
            backup_type,
            started_at,
        )
        .of_schedule(request.schedule.as_deref());
        self.engine.0.events.emit(&start);
        let started = request.hooks.start(&start, &mut report.hook_failures);
        if let Err(error) = self.deadline.cancel().guard(started).await {
            self.open_for_the_record().await;
            return Err(error);
        }
        Box::pin(self.passes(strategy, id, report)).await
    }

    async fn passes(
        &mut self,
        mut strategy: Strategy,
        mut id: BackupId,
        report: &mut BackupReport,
    ) -> Result<(), BackupError> {
        let required = self.request.required();
        self.open().await?;
        // Under `priority`, which has several passes, nobody spills.
        let mut spool = self.spool().await?;
        let mut started_at = self.began_at();
        let mut going_on = self.take_up(&strategy, report).await?;
        if report.resumed.is_some() && going_on.is_none() {
            id = self.new_id(started_at)?;
        }
        loop {
            let before = strategy.clone();
            let own = going_on.as_ref().map(|on| &on.claim().head.id);
            let extent = self.extent(&mut strategy, own).await?;
            if let Some(on) = &going_on
                && let Some(reason) = on.other_extent(&extent)
            {
                afresh(report, reason);
                (going_on, id) = (None, self.new_id(started_at)?);
            }
            report.parent = extent.parent();
            report.since = extent.since();
            report.whole_because.clone_from(&self.whole_because);
            let attempt = match &going_on {
                Some(on) => on.attempt(),
                None => {
                    let sealing = self.sealing(&id, started_at).await?;
                    self.new_attempt((id.clone(), started_at), &extent, sealing, &required)?
                }
            };
            id.clone_from(&attempt.head.id);
            self.attempt = attempt.resuming.as_ref().map_or(0, |on| on.attempt);
            self.pass_made = Some((extent.clone(), attempt.sealing.clone()));
            let mut pass = self.pass(strategy, attempt, &extent, &required)?;
            pass.spool = spool.take();
            let path = pass.path.to_string();
            let done = self.engine.0.host.run(pass).await?;
            let differs = done.error.as_ref().filter(|_| done.source_differs);
            let differs = differs.map(ToString::to_string);
            let is_gone_on_with = going_on.is_some();
            if let Some(reason) =
                differs.or_else(|| damaged_left(&done).filter(|_| is_gone_on_with))
            {
                self.record_given_up(&id, &done).await;
                afresh(report, reason);
                (strategy, going_on) = (before, None);
                spool = self.spool().await?;
                started_at = (self.engine.0.clock)();
                id = self.new_id(started_at)?;
                continue;
            }
            strategy = done.strategy.clone();
            match done.end {
                PassEnd::Finished(outcome) => {
                    self.take(done, id, path, report);
                    report.status = outcome.into();
                    return Ok(());
                }
                PassEnd::Next(_) => {
                    self.record_given_up(&id, &done).await;
                    self.take(done, id, path, report);
                    if going_on.take().is_some() {
                        let reason = "the destination that has it failed, and the next one gets a pass of its own";
                        afresh(report, reason.to_owned());
                    }
                    started_at = (self.engine.0.clock)();
                    id = self.new_id(started_at)?;
                }
            }
        }
    }

    fn new_id(&self, started_at: Timestamp) -> Result<BackupId, BackupError> {
        let mut random = [0; 10];
        (self.engine.0.random)(&mut random)?;
        Ok(BackupId::new(
            &self.request.backup_type,
            started_at,
            &random,
        ))
    }

    async fn open(&mut self) -> Result<(), BackupError> {
        let request = self.request;
        for opened in open_all(self.engine, &request.destinations, request.concurrency).await {
            self.opened.push(opened.map_err(|(_, error)| error)?);
        }
        self.reports = self.opened.iter().map(|_| None).collect();
        Ok(())
    }

    /// When the backup began that is made: where it is made of another one, when that did.
    fn began_at(&self) -> Timestamp {
        let as_of = self.request.as_of.as_ref();
        as_of.map_or(self.started_at, |as_of| as_of.link.started_at)
    }

    /// The time as the source has it: first when a scan begins, then when it ends.
    fn clock(&self) -> Clock {
        let Some(as_of) = self.request.as_of.clone() else {
            return Arc::clone(&self.engine.0.clock);
        };
        let has_begun = AtomicBool::new(false);
        Arc::new(move || match has_begun.swap(true, Ordering::Relaxed) {
            false => as_of.scan_started_at,
            true => as_of.scan_ended_at,
        })
    }

    /// Where what destinations that spill are yet to be sent may wait, if there are any.
    async fn spool(&self) -> Result<Option<Spool>, BackupError> {
        if !self.request.lag_policies().contains(&LagPolicy::Spill) {
            return Ok(None);
        }
        let folder = self.engine.0.temp_dir.clone();
        let bytes_max = self.request.spill_bytes;
        let blocking = self.engine.0.blocking();
        let open = move || Spool::open(&folder, bytes_max, blocking);
        let opened = blocking.run_in_time("the temporary folder", 0, open);
        opened.await?.map(Some)
    }
}
