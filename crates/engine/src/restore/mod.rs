//! Restoring a backup: verified chunks, from whichever copies have them right, to a target.

mod choice;
mod folder;
mod reading;
mod request;
mod staging;
mod target;
mod writer;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, TryStreamExt};
use teeline_core::{
    BackupError, BackupId, Class, ResourceEntry, ResourceKind, RestoreCounts, Restoring, Target,
    Thaw, Timestamp,
};
use teeline_sources::s3db::RestoreMode;

use crate::catalog::{ask_all, resolve};
use crate::chain::{Chain, Parents};
use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::failure::{Failure, Operation};
use crate::hooks::{Hooks, Moment, RunEvent};
use crate::keys::Keys;
use crate::plain::count_lines;
use crate::report::{RestoreReport, RestoreStatus, RestoredResource};
use crate::request::{Cancel, Which};

pub use request::RestoreRequest;
pub use target::RestoreTarget;

use choice::{Choice, in_part};
use reading::Tally;
pub(crate) use reading::{Contents, count_first};

/// Thaws take minutes to days.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(60);

impl Engine {
    /// Restores a backup. Failures are in the report.
    pub async fn restore(&self, request: RestoreRequest) -> RestoreReport {
        let engine = self.clone();
        let begun = (self.0.clock)();
        let restoring = self
            .0
            .host
            .spawn(async move { announced(&engine, request, begun).await });
        restoring.await.unwrap_or_else(|error| RestoreReport {
            error: Some((&error).into()),
            ..RestoreReport::failed("")
        })
    }

    /// As [`Engine::restore`], for hosts without an executor.
    pub fn restore_blocking(&self, request: RestoreRequest) -> RestoreReport {
        futures::executor::block_on(self.restore(request))
    }
}

impl RestoreReport {
    fn failed(target: &str) -> Self {
        RestoreReport {
            id: None,
            backup_id: None,
            status: RestoreStatus::Failed,
            target: target.to_owned(),
            in_part: None,
            include: Vec::new(),
            exclude: Vec::new(),
            restored: Vec::new(),
            objects_restored: 0,
            objects: RestoreCounts::default(),
            duration: 0,
            avoided: Vec::new(),
            error: None,
            failure: None,
            hook_failures: Vec::new(),
        }
    }
}

/// Restores, and tells the hooks before and after.
async fn announced(engine: &Engine, request: RestoreRequest, begun: Timestamp) -> RestoreReport {
    let is_announced = !request.dry_run;
    let hooks = match is_announced {
        true => request.hooks.clone(),
        false => Hooks::default(),
    };
    let id = match &request.which {
        Which::Id(id) => Some(id.clone()),
        Which::Latest | Which::At(_) => None,
    };
    let asked_for = id.clone();
    let backup_type = id.as_ref().map(BackupId::backup_type);
    let start = RunEvent::new(Moment::RestoreStart, id, backup_type, begun);
    if is_announced {
        engine.0.events.emit(&start);
    }
    let mut failures = Vec::new();
    let started = request.cancel.guard(hooks.start(&start, &mut failures));
    let mut report = match started.await {
        Ok(()) => Box::pin(restore(engine, request)).await,
        Err(error) => RestoreReport {
            error: Some((&error).into()),
            ..RestoreReport::failed(&request.target.to_string())
        },
    };
    let ended = (engine.0.clock)();
    report.duration = u64::try_from(ended.unix_ms() - begun.unix_ms()).unwrap_or(0);
    report.hook_failures = failures;
    let failure = Failure::first(Operation::Restore, &report.error);
    report.failure =
        failure.map(|failure| failure.about(report.id.as_ref().or(asked_for.as_ref())));
    let event = RunEvent::restored(&report, asked_for, ended);
    if is_announced {
        engine.0.events.emit(&event);
    }
    let told = hooks.tell(&event).await;
    report.hook_failures.extend(told);
    report
}

/// Restores, and tells nobody.
pub(crate) async fn restore(engine: &Engine, request: RestoreRequest) -> RestoreReport {
    let mut report = RestoreReport::failed(&request.target.to_string());
    let wanted = Wanted {
        which: request.which,
        resources: request.resources,
        ids: request.ids,
        renames: request.renames,
        replaces: request.mode == Some(RestoreMode::Replace),
        thaw: request.thaw.filter(|_| !request.dry_run),
        waits: request.wait_for_thaw,
        dry_run: request.dry_run,
        keys: request.keys,
    };
    let target = match request.target.open(request.overwrite, request.mode).await {
        Ok(target) => target,
        Err(error) => {
            report.error = Some((&error).into());
            return report;
        }
    };
    let mut restore = Restore {
        target,
        report,
        chain: None,
    };
    let work = restore.run(engine, &wanted, &request.destinations, &request.cancel);
    let result = unless_it_panics(Box::pin(work)).await;
    let Restore {
        mut target,
        mut report,
        chain,
    } = restore;
    if let Some(chain) = chain {
        report.avoided = chain.avoided();
    }
    if let Err(error) = result {
        if report.status != RestoreStatus::Thawing {
            report.status = RestoreStatus::Failed;
        }
        report.restored.clear();
        report.objects_restored = 0;
        report.error = Some((&error).into());
        if let Err(abort) = unless_it_panics(target.abort()).await {
            tracing::warn!(target = %target, error = %abort, "what was half restored could not be taken back");
        }
    }
    report
}

/// A panic of a target, or in what reads for it, as an error: what was half restored must be taken back all the same.
async fn unless_it_panics(
    work: impl Future<Output = Result<(), BackupError>>,
) -> Result<(), BackupError> {
    let panicked = |_| {
        let message = "it panicked; this is a defect of teeline or of the target";
        Err(BackupError::new(
            Class::Permanent,
            "run",
            "the restore",
            message,
        ))
    };
    let caught = AssertUnwindSafe(work).catch_unwind().await;
    caught.unwrap_or_else(panicked)
}

/// The error of a target: what isn't there says nothing of the backup, which is another thing that may not be there.
fn of_target(error: BackupError) -> BackupError {
    if error.class() != Class::NotFound {
        return error;
    }
    let (operation, subject) = (error.operation().to_owned(), error.subject().to_owned());
    let suggestion = error.suggestion().map(str::to_owned);
    let message = error.message().to_owned();
    let told = BackupError::new(Class::Permanent, operation, subject, message).because(error);
    match suggestion {
        Some(suggestion) => told.suggest(suggestion),
        None => told,
    }
}

/// What is wanted of which backup.
struct Wanted {
    which: Which,
    resources: Vec<String>,
    ids: Vec<String>,
    renames: Vec<(String, String)>,
    /// Whether what isn't in the backup is deleted at the target.
    replaces: bool,
    thaw: Option<Thaw>,
    waits: bool,
    dry_run: bool,
    keys: Keys,
}

struct Restore {
    target: Box<dyn Target>,
    report: RestoreReport,
    chain: Option<Chain>,
}

impl Restore {
    async fn run(
        &mut self,
        engine: &Engine,
        wanted: &Wanted,
        destinations: &[DestinationSpec],
        cancel: &Cancel,
    ) -> Result<(), BackupError> {
        let is_written = cancel
            .guard(self.write(engine, wanted, destinations))
            .await?;
        match (is_written, self.target.is_staged()) {
            (false, _) => {}
            // It is short, and could be taken back no more once it has begun.
            (true, true) => self.target.finish().await.map_err(of_target)?,
            (true, false) => {
                let finishing = cancel.guard(self.target.finish());
                finishing.await.map_err(of_target)?;
            }
        }
        self.count();
        self.report.status = match wanted.dry_run {
            true => RestoreStatus::DryRun,
            false => RestoreStatus::Completed,
        };
        Ok(())
    }

    /// Gives the target all that is wanted, short of finishing. Whether it was given anything: a dry run may not need it.
    async fn write(
        &mut self,
        engine: &Engine,
        wanted: &Wanted,
        destinations: &[DestinationSpec],
    ) -> Result<bool, BackupError> {
        let asked = ask_all(engine, destinations).await;
        let id = resolve(&wanted.which, &asked).await?;
        self.report.id = Some(id.clone());
        self.report.backup_id = Some(id.clone());
        let chain = Chain::open(&id, &asked, &wanted.keys, Parents::Withdrawn).await?;
        let chain = &*self.chain.insert(chain);
        let manifest = Arc::clone(chain.manifest());
        let choice = Choice::new(&manifest, &wanted.resources, &wanted.ids, &wanted.renames)?;
        let chosen = choice.of(&manifest);
        self.report.in_part = in_part(&manifest, &chosen, wanted.replaces)?;
        self.report.include.clone_from(&manifest.plan.include);
        self.report.exclude.clone_from(&manifest.plan.exclude);
        let chain = chain.clone();
        self.have_readable(engine, &chain, &chosen, wanted).await?;
        let contents = Contents::open(&chain).await?;
        let restoring = Restoring {
            backup: id,
            source: manifest.source.kind,
            resources: choice.resources.clone(),
            is_of_some: !manifest.plan.include.is_empty() || !manifest.plan.exclude.is_empty(),
            ids: (!wanted.ids.is_empty()).then(|| wanted.ids.clone()),
            database_catalogue: contents.database_catalogue.clone(),
            dry_run: wanted.dry_run,
        };
        self.target.check(&restoring).await.map_err(of_target)?;
        contents.find_ids(&chosen, &choice).await?;
        if wanted.dry_run && !self.target.compares() {
            self.describe(&contents, &chosen, &choice).await?;
            return Ok(false);
        }
        if !self.target.is_staged() {
            contents.check(&chosen).await?;
        }
        self.target.begin(&restoring).await.map_err(of_target)?;
        let records = self.write_lines(&contents, &chosen, &choice).await?;
        self.note(&choice, &records);
        self.report.objects_restored = self.write_frames(&contents, &chosen, &choice).await?;
        Ok(true)
    }

    /// Has what is archived thawed, and waits for it, as far as either is wanted.
    async fn have_readable(
        &mut self,
        engine: &Engine,
        chain: &Chain,
        chosen: &[&ResourceEntry],
        wanted: &Wanted,
    ) -> Result<(), BackupError> {
        let mut frozen = chain.frozen(chosen).await?;
        if let Some(thaw) = wanted.thaw
            && !frozen.is_empty()
        {
            frozen.thaw(thaw).await?;
            frozen = chain.frozen(chosen).await?;
        }
        while wanted.waits && frozen.is_thawing() && !frozen.is_empty() {
            (engine.0.sleep)(LOOK_AGAIN_AFTER).await;
            frozen = chain.frozen(chosen).await?;
        }
        if frozen.is_empty() {
            return Ok(());
        }
        if wanted.thaw.is_some() && frozen.is_thawing() {
            self.report.status = RestoreStatus::Thawing;
        }
        Err(frozen.error())
    }

    /// What would be restored to a target where that doesn't depend on what is there.
    async fn describe(
        &mut self,
        contents: &Contents,
        chosen: &[&ResourceEntry],
        choice: &Choice,
    ) -> Result<(), BackupError> {
        let records = contents.count(chosen, choice).await?;
        self.note(choice, &records);
        if self.target.takes_objects() {
            self.report.objects_restored = contents.count_objects(chosen, choice).await?;
        }
        Ok(())
    }

    fn note(&mut self, choice: &Choice, records: &Tally) {
        for (name, restored_as) in choice.names() {
            let (total_records, records_restored) = records.of(name);
            self.report.restored.push(RestoredResource {
                name: name.to_owned(),
                restored_as: restored_as.to_owned(),
                records_restored,
                total_records,
                counts: RestoreCounts::default(),
            });
        }
    }

    /// What became of the records, as the target has it.
    fn count(&mut self) {
        let created = |count| RestoreCounts {
            created: count,
            ..RestoreCounts::default()
        };
        for restored in &mut self.report.restored {
            let of = ResourceKind::Records(restored.name.clone());
            let counts = self.target.counts(&of);
            restored.counts = counts.unwrap_or(created(restored.records_restored));
        }
        let counts = self.target.counts(&ResourceKind::Objects);
        self.report.objects = counts.unwrap_or(created(self.report.objects_restored));
    }

    async fn write_lines(
        &mut self,
        contents: &Contents,
        chosen: &[&ResourceEntry],
        choice: &Choice,
    ) -> Result<Tally, BackupError> {
        let mut tally = Tally::default();
        let mut all = contents.lines(chosen);
        while let Some((name, lines)) = all.try_next().await? {
            let standing = count_lines(&lines);
            let lines = choice.lines(lines)?;
            tally.add(&name, standing, count_lines(&lines));
            if !lines.is_empty() {
                let written = self.target.lines(&name, lines).await;
                written.map_err(of_target)?;
            }
        }
        Ok(tally)
    }

    async fn write_frames(
        &mut self,
        contents: &Contents,
        chosen: &[&ResourceEntry],
        choice: &Choice,
    ) -> Result<u64, BackupError> {
        if !self.target.takes_objects() {
            return Ok(0);
        }
        let mut restored = 0;
        let mut all = contents.frames(chosen);
        while let Some(frames) = all.try_next().await? {
            let frames = choice.frames(frames);
            restored += count_first(&frames);
            self.target.frames(frames).await.map_err(of_target)?;
        }
        Ok(restored)
    }
}
