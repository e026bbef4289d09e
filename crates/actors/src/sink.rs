//! A destination's actor: its state and its report. It decides nothing about bytes, and its driver decides nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::fut::ActorFutureExt;
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, Recipient, WrapFuture};
use teeline_core::{
    BackupError, Class, DestinationId, DestinationReport, DestinationState, DestinationStatus,
    ErrorReport, Holdings, LagPolicy, ProgressEvent, ReadBack, Sink, Verified,
};
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant, timeout_at};

use crate::driver::{BackupFolder, Driver, Verification};
use crate::guard::Alive;
use crate::messages::{
    Abandonment, DriverEvent, LaneItem, SinkMessage, SupervisorMessage, TeeMessage,
};
use crate::run_place::RunPlace;
use crate::stages::Stages;
use crate::supervisor::Observer;

/// How long an abandoned destination may take to free what the store holds for it.
const ABORT_TIMEOUT: Duration = Duration::from_secs(5);

/// A destination of a pass.
#[derive(Debug, Clone)]
pub struct PassDestination {
    /// Its number in the run.
    pub id: DestinationId,
    /// Its name in the configuration.
    pub name: String,
    /// Where it is, as every report shows it.
    pub location: String,
    /// Whether its failure fails the run.
    pub required: bool,
    /// What becomes of it where it falls behind.
    pub lag: LagPolicy,
    /// Its store, decorated.
    pub sink: Arc<dyn Sink>,
    /// Counts the calls that the store's decorators repeated.
    pub retries: Arc<AtomicU64>,
    /// What it has already of a run that is taken up; nothing.
    pub holdings: Holdings,
}

pub(crate) struct SinkActor {
    destination: PassDestination,
    to_drive: Option<(mpsc::Receiver<LaneItem>, RunPlace)>,
    lane: mpsc::Sender<LaneItem>,
    abandon: watch::Sender<Option<Abandonment>>,
    tee: Recipient<TeeMessage>,
    supervisor: Recipient<SupervisorMessage>,
    observer: Observer,
    started_at: Instant,
    publishing: bool,
    /// Why nothing more can wait on disk for it.
    spool_error: Option<ErrorReport>,
    report: DestinationReport,
    /// Whether the supervisor has the report.
    reported: bool,
    /// What is read again of what is written.
    read_back: ReadBack,
    stages: Stages,
    _alive: Alive,
}

/// What a destination's actor is made of.
pub(crate) struct SinkParts {
    pub(crate) destination: PassDestination,
    pub(crate) run: RunPlace,
    pub(crate) verification: Verification,
    pub(crate) lane: (mpsc::Sender<LaneItem>, mpsc::Receiver<LaneItem>),
    pub(crate) tee: Recipient<TeeMessage>,
    pub(crate) supervisor: Recipient<SupervisorMessage>,
    pub(crate) observer: Observer,
    pub(crate) stages: Stages,
    pub(crate) alive: Alive,
}

impl SinkActor {
    /// An actor whose driver isn't started yet.
    pub(crate) fn new(parts: SinkParts) -> Self {
        let sink = &parts.destination.sink;
        let read_back = match parts.verification {
            Verification::Read => sink.capabilities().read_back,
            Verification::Attested => ReadBack::Nothing,
        };
        let report = DestinationReport {
            name: parts.destination.name.clone(),
            location: parts.destination.location.clone(),
            status: DestinationStatus::Failed,
            required: parts.destination.required,
            bytes: 0,
            segments: 0,
            verified: Verified::No,
            retries: 0,
            duration_ms: 0,
            lag_bytes_max: 0,
            spooled_bytes: 0,
            kept_bytes: 0,
            error: None,
        };
        let (lane, receiver) = parts.lane;
        SinkActor {
            destination: parts.destination,
            to_drive: Some((receiver, parts.run)),
            lane,
            abandon: watch::Sender::new(None),
            tee: parts.tee,
            supervisor: parts.supervisor,
            observer: parts.observer,
            started_at: Instant::now(),
            publishing: false,
            spool_error: None,
            report,
            reported: false,
            read_back,
            stages: parts.stages,
            _alive: parts.alive,
        }
    }

    fn driver_said(&mut self, event: DriverEvent) {
        let id = self.destination.id;
        match event {
            DriverEvent::Acked { bytes, is_kept } => {
                self.report.bytes += if is_kept { 0 } else { bytes };
                self.tee.do_send(TeeMessage::Acked {
                    destination: id,
                    bytes,
                });
            }
            DriverEvent::Kept(bytes) => self.report.kept_bytes += bytes,
            DriverEvent::Differs(error) => {
                let message = SupervisorMessage::SourceDiffers(error);
                self.supervisor.do_send(message);
            }
            DriverEvent::SegmentCommitted => {
                self.report.segments += 1;
                self.supervisor
                    .do_send(SupervisorMessage::SegmentCommitted(id));
            }
            DriverEvent::Prepared => {
                self.tell(DestinationState::Prepared, None);
                self.supervisor.do_send(SupervisorMessage::Prepared(id));
            }
            DriverEvent::Publishing => self.publishing = true,
            DriverEvent::Published => {
                self.report.status = DestinationStatus::Committed;
                self.report.verified = match self.read_back.has_data() {
                    true => Verified::Read,
                    false => Verified::Attested,
                };
                self.supervisor.do_send(SupervisorMessage::Published(id));
                self.tell(DestinationState::Committed, None);
            }
        }
    }

    /// Reports what became of the destination. The last word.
    fn end(&mut self, result: Result<Driven, BackupError>) {
        if let Ok(Driven::LeftBehind) = result {
            self.report.status = DestinationStatus::Behind;
            self.report.error = self.spool_error.take();
            self.tell(DestinationState::Behind, None);
        }
        if let Err(error) = result {
            // Whatever went wrong once the manifest's write had begun leaves open whether it is visible. Only where another
            // one stands there it isn't.
            if self.publishing && error.class() != Class::Conflict {
                self.report.status = DestinationStatus::Unknown;
            }
            let error = ErrorReport::from(&error);
            self.report.error = Some(error.clone());
            self.tell(DestinationState::Down, Some(error));
        }
        self.report.retries = self.destination.retries.load(Ordering::Relaxed);
        self.report.duration_ms =
            u64::try_from(self.started_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let report = self.report.clone();
        self.reported = true;
        self.supervisor
            .do_send(SupervisorMessage::SinkEnded(self.destination.id, report));
    }

    fn tell(&self, state: DestinationState, error: Option<ErrorReport>) {
        (self.observer)(ProgressEvent::State {
            destination: self.destination.id,
            state,
            error,
        });
    }
}

impl Actor for SinkActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some((lane, run)) = self.to_drive.take() else {
            return;
        };
        let address = ctx.address();
        let driver = Driver {
            folder: BackupFolder {
                sink: Arc::clone(&self.destination.sink),
                run,
                read_back: self.read_back,
            },
            report: move |event| address.do_send(SinkMessage::Driver(event)),
            open: BTreeMap::new(),
            holdings: std::mem::take(&mut self.destination.holdings),
            kept: BTreeSet::new(),
            claimed: None,
            written: Vec::new(),
            meter: self.stages.meter(format!("to {}", self.destination.name)),
        };
        self.tell(DestinationState::Writing, None);
        // On the runtime's threads, not the arbiter's: what a sink does must not hold up an actor.
        let driving = tokio::spawn(drive(driver, lane, self.abandon.subscribe()));
        let name = self.destination.name.clone();
        let ended = async move {
            driving.await.unwrap_or_else(|_| {
                Err(BackupError::new(
                    Class::Permanent,
                    "write",
                    name,
                    "the destination's driver panicked",
                ))
            })
        };
        ctx.spawn(ended.into_actor(self).map(|result, actor, ctx| {
            // Whatever the driver reported before it ended is in the mailbox already, ahead of this.
            ctx.notify(DriverEnded(result));
            let _ = actor;
        }));
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct DriverEnded(Result<Driven, BackupError>);

/// How a driver ended that didn't fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driven {
    /// The backup is visible.
    ToTheEnd,
    /// It has left the pass for being slow.
    LeftBehind,
}

impl Handler<DriverEnded> for SinkActor {
    type Result = ();

    fn handle(&mut self, DriverEnded(result): DriverEnded, ctx: &mut Self::Context) {
        self.end(result);
        ctx.stop();
    }
}

impl Drop for SinkActor {
    /// A panic drops the actor and with it its mailbox, silently. The pass waits for every destination's report, so this one
    /// is made here; the driver ends by itself, since nobody is left who could abandon it.
    fn drop(&mut self) {
        if !self.reported {
            self.end(Err(BackupError::new(
                Class::Permanent,
                "write",
                &self.destination.name,
                "the destination's actor panicked; this is a defect of teeline",
            )));
        }
    }
}

impl Handler<SinkMessage> for SinkActor {
    type Result = ();

    fn handle(&mut self, message: SinkMessage, _: &mut Self::Context) {
        match message {
            SinkMessage::Driver(event) => self.driver_said(event),
            SinkMessage::Lag(bytes) => {
                self.report.lag_bytes_max = self.report.lag_bytes_max.max(bytes);
            }
            SinkMessage::Spooled(bytes) => self.report.spooled_bytes += bytes,
            SinkMessage::SpoolFailed(error) => self.spool_error = Some(error),
            SinkMessage::Publish(publication) => {
                // A closed lane means that the driver has ended, which is reported by its end.
                let _ = self.lane.try_send(LaneItem::Publish(publication));
            }
            SinkMessage::Abandon(why) => {
                self.abandon.send_if_modified(|known| {
                    let is_first = known.is_none();
                    known.get_or_insert(why);
                    is_first
                });
            }
        }
    }
}

fn given_up(subject: &str) -> BackupError {
    let message = "given up, since the run failed";
    BackupError::new(Class::Cancelled, "write", subject, message)
}

/// Runs a driver to its end, or until it is abandoned; frees what the store holds for unfinished segments, and what nobody would
/// ever remove.
async fn drive<R: Fn(DriverEvent) + Send + Sync>(
    mut driver: Driver<R>,
    mut lane: mpsc::Receiver<LaneItem>,
    mut abandoned: watch::Receiver<Option<Abandonment>>,
) -> Result<Driven, BackupError> {
    let subject = driver.folder.sink.to_string();
    // In this order: what is done is done, and a simulation goes the same way each time.
    let result = tokio::select! {
        biased;
        result = driver.run(&mut lane) => result.map(|()| Driven::ToTheEnd),
        why = abandoned.wait_for(Option::is_some) => match why.as_deref() {
            Ok(Some(Abandonment::FellBehind)) => Ok(Driven::LeftBehind),
            Ok(Some(Abandonment::RunFailed)) => Err(given_up(&subject)),
            _ => Err(BackupError::cancelled(&subject)),
        },
    };
    drop(lane);
    if matches!(result, Ok(Driven::ToTheEnd)) {
        return result;
    }
    let deadline = Instant::now() + ABORT_TIMEOUT;
    let aborted = timeout_at(deadline, driver.abort()).await;
    if result.is_err() {
        let taking_back = timeout_at(deadline, driver.take_back_what_is_nobodys());
        if let Ok(Err(error)) = taking_back.await {
            tracing::debug!(at = subject, %error, "whether anything is left that is nobody's can't be told");
        }
    }
    match (result, aborted) {
        (Err(error), Ok(Err(_)) | Err(_)) => Err(error.suggest(
            "parts of an unfinished upload may be left there; a lifecycle rule for incomplete uploads removes them",
        )),
        (result, _) => result,
    }
}

#[cfg(test)]
mod tests {
    use actix::System;
    use teeline_core::ObjectKey;
    use teeline_sinks::MemorySink;

    use super::*;

    /// Notes the reports of destinations.
    struct Supervisor(mpsc::UnboundedSender<DestinationReport>);

    impl Actor for Supervisor {
        type Context = Context<Self>;
    }

    impl Handler<SupervisorMessage> for Supervisor {
        type Result = ();

        fn handle(&mut self, message: SupervisorMessage, _: &mut Self::Context) {
            if let SupervisorMessage::SinkEnded(_, report) = message {
                self.0.send(report).unwrap();
            }
        }
    }

    struct Tee;

    impl Actor for Tee {
        type Context = Context<Self>;
    }

    impl Handler<TeeMessage> for Tee {
        type Result = ();

        fn handle(&mut self, _: TeeMessage, _: &mut Self::Context) {}
    }

    #[test]
    fn a_dead_actor_is_the_end_of_its_destination() {
        for (publishing, status) in [
            (false, DestinationStatus::Failed),
            (true, DestinationStatus::Unknown),
        ] {
            let report = System::new().block_on(async {
                let (reports, mut reported) = mpsc::unbounded_channel();
                let mut actor = SinkActor::new(SinkParts {
                    destination: PassDestination {
                        id: DestinationId(0),
                        name: "one".to_owned(),
                        location: "memory:one".to_owned(),
                        required: true,
                        lag: LagPolicy::Block,
                        sink: Arc::new(MemorySink::new("one")),
                        retries: Arc::default(),
                        holdings: Holdings::default(),
                    },
                    run: RunPlace {
                        folder: ObjectKey::new("backup").unwrap(),
                        entry: ObjectKey::new("catalog/backup").unwrap(),
                        attempt: Some(0),
                    },
                    verification: Verification::Read,
                    lane: mpsc::channel(1),
                    tee: Tee.start().recipient(),
                    supervisor: Supervisor(reports).start().recipient(),
                    observer: Arc::new(|_| ()),
                    stages: Stages::default(),
                    alive: mpsc::channel(1).0,
                });
                actor.publishing = publishing;
                drop(actor);
                reported.recv().await.unwrap()
            });
            assert_eq!(report.status, status);
            assert!(report.error.unwrap().message.contains("panicked"));
        }
    }
}
