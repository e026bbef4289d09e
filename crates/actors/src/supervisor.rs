//! The supervisor: feeds the strategy with what happens, carries its commands out, and ends the pass with a report of
//! every destination.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::fut::ActorFutureExt;
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Recipient, WrapFuture};
use teeline_core::{
    BackupError, Class, Command, DestinationId, DestinationReport, DestinationStatus, Event,
    Outcome, ProgressEvent, SealedManifest, SegmentPlace, Strategy,
};
use tokio::sync::{oneshot, watch};

use crate::messages::{Abandonment, SinkMessage, SupervisorMessage, TeeMessage};
use crate::placer::StopPlacing;
use crate::publish::Publication;
use crate::reader::StopReading;
use crate::stages::StageReport;

/// Is told what happens, from the actors' thread: it must not block. One that panics is told nothing more.
pub type Observer = Arc<dyn Fn(ProgressEvent) + Send + Sync>;

/// `observer`, whose panics end here: it is told nothing more, and the pass goes on.
pub(crate) fn unless_it_panics(observer: Observer) -> Observer {
    let panicked = AtomicBool::new(false);
    Arc::new(move |event| {
        if panicked.load(Ordering::Relaxed) {
            return;
        }
        if catch_unwind(AssertUnwindSafe(|| observer(event))).is_err()
            && !panicked.swap(true, Ordering::Relaxed)
        {
            tracing::error!("the observer of a backup panicked, and is told nothing more");
        }
    })
}

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassEnd {
    /// The run is over.
    Finished(Outcome),
    /// Under `priority`: this destination is tried next, by a pass of its own.
    Next(DestinationId),
}

/// What became of a pass.
#[derive(Debug)]
pub struct PassReport {
    /// How it ended.
    pub end: PassEnd,
    /// The strategy, for the next pass.
    pub strategy: Strategy,
    /// The manifest, where the source was read to its end.
    pub manifest: Option<SealedManifest>,
    /// Why there is no backup, where no destination is at fault.
    pub error: Option<BackupError>,
    /// Of a run that was taken up: whether that is the error, and the backup is to be begun afresh.
    pub source_differs: bool,
    /// Of a run that was taken up: where reading began, and how many bytes of records weren't read.
    pub skipped: Option<(Option<SegmentPlace>, u64)>,
    /// Every destination of the pass.
    pub destinations: Vec<(DestinationId, DestinationReport)>,
    /// What each stage did with its time.
    pub stages: Vec<StageReport>,
}

/// The actors of a pass that the supervisor speaks to. Dropped, it is dismissed: a supervisor that panicked must leave
/// nobody at work.
pub(crate) struct Crew {
    pub(crate) reader: Recipient<StopReading>,
    pub(crate) placer: Recipient<StopPlacing>,
    pub(crate) tee: Recipient<TeeMessage>,
    pub(crate) sinks: BTreeMap<DestinationId, Recipient<SinkMessage>>,
}

impl Crew {
    /// Tells whoever still works to stop.
    fn dismiss(&self, why: Abandonment) {
        self.reader.do_send(StopReading);
        self.placer.do_send(StopPlacing);
        self.tee.do_send(TeeMessage::Stop);
        for sink in self.sinks.values() {
            sink.do_send(SinkMessage::Abandon(why));
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.dismiss(Abandonment::RunFailed);
    }
}

pub(crate) struct Supervisor {
    strategy: Strategy,
    crew: Crew,
    cancel: watch::Receiver<bool>,
    /// With the folder of the backup's files below each root.
    manifest: Option<(SealedManifest, String)>,
    error: Option<BackupError>,
    source_differs: bool,
    /// Whether somebody was told to publish: what then turns out to be damaged at another one is that one's.
    is_publishing: bool,
    skipped: Option<(Option<SegmentPlace>, u64)>,
    /// The times that the run has been taken up.
    attempt: u32,
    end: Option<PassEnd>,
    reports: BTreeMap<DestinationId, DestinationReport>,
    reply: Option<oneshot::Sender<PassReport>>,
}

impl Supervisor {
    pub(crate) fn new(
        strategy: Strategy,
        attempt: u32,
        crew: Crew,
        cancel: watch::Receiver<bool>,
        reply: oneshot::Sender<PassReport>,
    ) -> Self {
        Supervisor {
            strategy,
            crew,
            cancel,
            manifest: None,
            error: None,
            source_differs: false,
            is_publishing: false,
            skipped: None,
            attempt,
            end: None,
            reports: BTreeMap::new(),
            reply: Some(reply),
        }
    }

    fn happened(&mut self, event: Event) {
        if self.end.is_some() {
            return;
        }
        let mut commands = Vec::new();
        self.strategy.step(event, &mut commands);
        for command in commands {
            self.carry_out(command);
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Publish(id) => match (self.publication(), self.crew.sinks.get(&id)) {
                (Some(publication), Some(sink)) => {
                    self.is_publishing = true;
                    sink.do_send(SinkMessage::Publish(publication));
                }
                _ => self.fail(BackupError::new(
                    Class::Permanent,
                    "publish",
                    "the backup",
                    "there is no manifest yet; this is a defect of teeline",
                )),
            },
            Command::Detach(id) => self.crew.tee.do_send(TeeMessage::Detach(id)),
            Command::LeaveBehind(id) => {
                self.crew.tee.do_send(TeeMessage::Detach(id));
                if let Some(sink) = self.crew.sinks.get(&id) {
                    sink.do_send(SinkMessage::Abandon(Abandonment::FellBehind));
                }
            }
            Command::NextPass(id) => self.wind_up(PassEnd::Next(id)),
            Command::Finish(outcome) => self.wind_up(PassEnd::Finished(outcome)),
        }
    }

    fn publication(&self) -> Option<Publication> {
        let (sealed, path) = self.manifest.as_ref()?;
        Some(Publication::new(sealed, path).of_attempt(self.attempt))
    }

    fn fail(&mut self, error: BackupError) {
        self.error.get_or_insert(error);
        self.happened(Event::SourceFailed);
    }

    /// The pass is decided; the report waits for the last destination.
    fn wind_up(&mut self, end: PassEnd) {
        self.end = Some(end);
        let interrupted = self.error.as_ref().map(BackupError::class) == Some(Class::Cancelled);
        self.crew.dismiss(match interrupted {
            true => Abandonment::Interrupted,
            false => Abandonment::RunFailed,
        });
    }

    fn sink_ended(&mut self, id: DestinationId, report: DestinationReport) {
        let is_out = !matches!(
            report.status,
            DestinationStatus::Committed | DestinationStatus::Behind
        );
        self.reports.insert(id, report);
        self.crew.sinks.remove(&id);
        if is_out {
            self.happened(Event::Down(id));
        }
    }

    fn report_if_done(&mut self, ctx: &mut Context<Self>) {
        let Some(end) = self.end else { return };
        if !self.crew.sinks.is_empty() {
            return;
        }
        let destinations = std::mem::take(&mut self.reports).into_iter().collect();
        let report = PassReport {
            end,
            strategy: self.strategy.clone(),
            manifest: self.manifest.take().map(|(manifest, _)| manifest),
            error: self.error.take(),
            source_differs: self.source_differs,
            skipped: self.skipped.take(),
            destinations,
            stages: Vec::new(),
        };
        if let Some(reply) = self.reply.take() {
            // Whoever asked may have gone; the pass is over all the same.
            let _ = reply.send(report);
        }
        ctx.stop();
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let mut cancel = self.cancel.clone();
        // A host that drops its handle without cancelling lets the run go on.
        let cancelled = async move { cancel.wait_for(|cancelled| *cancelled).await.is_ok() };
        ctx.spawn(cancelled.into_actor(self).map(|cancelled, _, ctx| {
            if cancelled {
                ctx.notify(SupervisorMessage::Cancel);
            }
        }));
    }
}

impl Handler<SupervisorMessage> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: SupervisorMessage, ctx: &mut Self::Context) {
        match message {
            SupervisorMessage::SourceEnded(manifest, path) => {
                let all = manifest.manifest.all_resources();
                let segments = all.map(|resource| resource.segments.len() as u64).sum();
                self.manifest = Some((*manifest, path));
                self.happened(Event::SourceEnded { segments });
            }
            SupervisorMessage::SourceFailed(error) => self.fail(error),
            SupervisorMessage::SourceDiffers(_) if self.is_publishing => {}
            SupervisorMessage::SourceDiffers(error) => {
                self.source_differs |= self.error.is_none();
                self.fail(error);
            }
            SupervisorMessage::Skipped(from, bytes) => self.skipped = Some((from, bytes)),
            SupervisorMessage::SegmentCommitted(id) => self.happened(Event::SegmentCommitted(id)),
            SupervisorMessage::Prepared(id) => self.happened(Event::Prepared(id)),
            SupervisorMessage::Published(id) => self.happened(Event::Published(id)),
            SupervisorMessage::FellBehind(id) => self.happened(Event::FellBehind(id)),
            SupervisorMessage::SinkEnded(id, report) => self.sink_ended(id, report),
            SupervisorMessage::ActorDied(actor) => self.fail(BackupError::new(
                Class::Permanent,
                "run",
                format!("the {actor} actor"),
                "it panicked; this is a defect of teeline",
            )),
            SupervisorMessage::Cancel => self.fail(BackupError::cancelled("the backup")),
        }
        self.report_if_done(ctx);
    }
}
