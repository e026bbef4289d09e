//! Builds the topology of a pass, downstream first, so that each actor's receiver is there before it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context};
use teeline_core::{
    BackupError, CutLimits, ObjectKey, ProgressEvent, RunHead, Selection, Source, Strategy,
    chain::Base, layout,
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::budget::Budget;
use crate::driver::Verification;
use crate::encoder::{Encoders, Executor};
use crate::messages::SupervisorMessage;
use crate::placer::{Epilogue, PlacerActor, Prologue, RunOpening, Sealing};
use crate::reader::{Clock, Reader, Reading};
use crate::resuming::Resuming;
use crate::run_place::RunPlace;
use crate::sink::{PassDestination, SinkActor, SinkParts};
use crate::spool::{Spool, SpoolQueue};
use crate::stages::Stages;
use crate::supervisor::{Crew, Observer, PassReport, Supervisor, unless_it_panics};
use crate::tee::{Branch, LANE_STEPS, Tee, TeeParts};

/// Everything that a pass needs.
pub struct Pass {
    /// What is read.
    pub source: Arc<dyn Source>,
    /// Which resources of it.
    pub selection: Selection,
    /// What its parent and that one's own parents have, where the backup goes on from one.
    pub base: Option<Base>,
    /// How a run that broke off is gone on with, where it is one.
    pub resuming: Option<Resuming>,
    /// Where it goes.
    pub destinations: Vec<PassDestination>,
    /// When it is real.
    pub strategy: Strategy,
    /// What is known of the run before the source is opened.
    pub head: RunHead,
    /// The folder of the backup below each root.
    pub path: ObjectKey,
    /// How the backup is sealed, where its head says that it is.
    pub sealing: Option<Sealing>,
    /// Says whether what the source is going to give is what is wanted.
    pub prologue: Prologue,
    /// Makes the attachments that depend on what was placed.
    pub epilogue: Epilogue,
    /// How copies are checked.
    pub verification: Verification,
    /// How blocks are cut.
    pub limits: CutLimits,
    /// Bytes that a destination may have outstanding.
    pub window_bytes: u64,
    /// The bytes that all passes together may have in flight.
    pub budget: Budget,
    /// How long a destination that may leave the pass may hold it up, all in all.
    pub lag_patience: Duration,
    /// Where what destinations that spill are yet to be sent may wait.
    pub spool: Option<Spool>,
    /// How long the reader waits for a lease before it is looked into whether one will come.
    pub starved_after: Duration,
    /// Where blocks are encoded.
    pub executor: Executor,
    /// What the time is.
    pub clock: Clock,
    /// Is told what happens.
    pub observer: Observer,
    /// Turns true when the host wants the run to end.
    pub cancel: watch::Receiver<bool>,
}

/// A pass that runs.
pub(crate) struct Wired {
    /// Its report comes here.
    pub(crate) report: oneshot::Receiver<PassReport>,
    /// Closed when nothing of it is left.
    pub(crate) gone: mpsc::Receiver<Infallible>,
    /// What its stages did, once nothing is left.
    pub(crate) stages: Stages,
}

/// Starts a pass on the current actix system.
///
/// # Errors
/// Where the encoders' threads can't be started.
pub(crate) fn wire(pass: Pass) -> Result<Wired, BackupError> {
    let observer = unless_it_panics(pass.observer);
    let names = pass.destinations.iter().map(|to| (to.id, to.name.clone()));
    observer(ProgressEvent::PassStarted {
        id: pass.head.id.clone(),
        destinations: names.collect(),
    });
    let (reply, report) = oneshot::channel();
    let (alive, gone) = mpsc::channel(1);
    let stages = Stages::default();
    let supervisor_ctx = Context::<Supervisor>::new();
    let supervisor = supervisor_ctx.address().recipient::<SupervisorMessage>();
    let tee_ctx = Context::<Tee>::new();
    let tee = tee_ctx.address().recipient();

    let attempt = pass.resuming.as_ref().map_or(0, |it| it.attempt);
    let run = RunPlace {
        folder: pass.path,
        entry: layout::catalog_entry(&pass.head.id, pass.head.started_at)?,
        attempt: Some(attempt),
    };
    let mut branches = Vec::new();
    let mut sinks = BTreeMap::new();
    for destination in pass.destinations {
        let (id, name) = (destination.id, destination.name.clone());
        let lag = destination.lag;
        let lane = mpsc::channel(LANE_STEPS);
        let sender = lane.0.clone();
        let sink = SinkActor::new(SinkParts {
            destination,
            run: run.clone(),
            verification: pass.verification,
            lane,
            tee: tee.clone(),
            supervisor: supervisor.clone(),
            observer: Arc::clone(&observer),
            stages: stages.clone(),
            alive: alive.clone(),
        });
        let sink = sink.start();
        branches.push(Branch::new(id, name, lag, sender, sink.clone().recipient()));
        sinks.insert(id, sink.recipient());
    }
    let spool = pass.spool;
    tee_ctx.run(Tee::new(TeeParts {
        branches,
        window_bytes: pass.window_bytes,
        budget: pass.budget.clone(),
        lag_patience: pass.lag_patience,
        spool: spool.map(|spool| SpoolQueue::start(spool, tee.clone(), alive.clone())),
        address: tee.clone(),
        supervisor: supervisor.clone(),
        observer: Arc::clone(&observer),
        alive: alive.clone(),
    }));

    let compression = pass.head.plan.compression;
    let sealer = pass.sealing.as_ref().map(|it| Arc::clone(&it.sealer));
    let resumption = pass.resuming.as_ref().map(|it| Arc::clone(&it.resumption));
    let opening = RunOpening {
        head: pass.head,
        source: pass.source.kind(),
        location: pass.source.to_string(),
        prologue: pass.prologue,
        epilogue: pass.epilogue,
        sealing: pass.sealing,
        resuming: pass.resuming,
    };
    let placer = PlacerActor::new(
        opening,
        tee.clone(),
        supervisor.clone(),
        observer,
        alive.clone(),
    )
    .start();

    let encoders = Encoders::start(
        pass.executor,
        compression,
        sealer,
        placer.clone().recipient(),
        &alive,
        &stages,
    )?;
    let reading = Reading {
        source: pass.source,
        selection: pass.selection,
        resumption,
        limits: pass.limits,
        budget: pass.budget,
        starved_after: pass.starved_after,
        clock: pass.clock,
        meter: stages.meter("read"),
    };
    let reader = Reader::new(
        reading,
        pass.base,
        encoders,
        placer.clone().recipient(),
        tee.clone(),
        supervisor,
        alive,
    )
    .start();

    let crew = Crew {
        reader: reader.recipient(),
        placer: placer.recipient(),
        tee,
        sinks,
    };
    let supervisor = Supervisor::new(pass.strategy, attempt, crew, pass.cancel, reply);
    supervisor_ctx.run(supervisor);
    Ok(Wired {
        report,
        gone,
        stages,
    })
}
