//! The placer: puts chunks back into the source's order, gives each its segment and offset, and hands every destination
//! the same steps.

use std::sync::Arc;

use actix::{Actor, ActorContext, Context, Handler, Message, Recipient};
use bytes::Bytes;
use teeline_core::document::Document;
use teeline_core::seal::{self, SEALED_SUFFIX, SealedKey, Sealer};
use teeline_core::{
    Attachment, AttachmentEntry, BackupError, Manifest, Placed, Placement, Placer, ProgressEvent,
    Reorder, RunClaim, RunHead, ScanPlan, SealedManifest, SourceEntry, SourceKind, Timestamp,
    document, layout,
};

use crate::budget::Lease;
use crate::guard::{Alive, DeathGuard};
use crate::messages::{PassItem, Sequenced, Step, SupervisorMessage, TeeMessage};
use crate::resuming::{Failure, GoingOn, Resuming};
use crate::supervisor::Observer;

/// Looks at what a scan is going to give, before anything is written anywhere: its error fails the backup.
pub type Prologue = Box<dyn FnOnce(&ScanPlan) -> Result<(), BackupError> + Send>;

/// Makes the attachments that depend on what was placed. The last word before the manifest: its error fails the backup.
pub type Epilogue = Box<dyn FnOnce(&Placed<'_>) -> Result<Vec<Attachment>, BackupError> + Send>;

/// How a backup is sealed.
#[derive(Debug, Clone)]
pub struct Sealing {
    /// Seals its parts.
    pub sealer: Arc<Sealer>,
    /// Its key, sealed for who may open it.
    pub keys: Vec<SealedKey>,
}

pub(crate) struct PlacerActor {
    state: State,
    reorder: Reorder<PassItem>,
    records: u64,
    plain_bytes: u64,
    stored_bytes: u64,
    tee: Recipient<TeeMessage>,
    supervisor: Recipient<SupervisorMessage>,
    observer: Observer,
    guard: DeathGuard,
}

enum State {
    /// The source isn't open yet.
    Waiting(Box<RunOpening>),
    Placing(Box<Placing>),
    /// All is placed, or nothing more will be.
    Ended,
}

/// What the placer has before the source is open.
pub(crate) struct RunOpening {
    pub(crate) head: RunHead,
    pub(crate) source: SourceKind,
    /// Where the source is, without secrets.
    pub(crate) location: String,
    pub(crate) prologue: Prologue,
    pub(crate) epilogue: Epilogue,
    pub(crate) sealing: Option<Sealing>,
    pub(crate) resuming: Option<Resuming>,
}

struct Placing {
    placer: Placer,
    claim: RunClaim,
    /// What the source planned, as it gave it.
    attachments: Vec<Attachment>,
    epilogue: Epilogue,
    sealer: Option<Arc<Sealer>>,
    going_on: Option<GoingOn>,
}

/// Stops the placer.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopPlacing;

impl PlacerActor {
    pub(crate) fn new(
        opening: RunOpening,
        tee: Recipient<TeeMessage>,
        supervisor: Recipient<SupervisorMessage>,
        observer: Observer,
        alive: Alive,
    ) -> Self {
        PlacerActor {
            state: State::Waiting(Box::new(opening)),
            reorder: Reorder::default(),
            records: 0,
            plain_bytes: 0,
            stored_bytes: 0,
            tee,
            guard: DeathGuard::new(supervisor.clone(), "placer", alive),
            supervisor,
            observer,
        }
    }

    fn take(&mut self, item: PassItem) -> Result<(), Failure> {
        let (mut placements, mut lease) = (Vec::new(), None);
        match (std::mem::replace(&mut self.state, State::Ended), item) {
            (_, PassItem::Failed(error)) => return Err(error.into()),
            (
                State::Waiting(opening),
                PassItem::Planned {
                    plan,
                    scan_started_at,
                },
            ) => {
                let placing = self.open(*opening, plan, scan_started_at)?;
                self.state = State::Placing(Box::new(placing));
            }
            (State::Placing(placing), PassItem::SourceEnded) => self.finish(*placing)?,
            (State::Placing(mut placing), item) => {
                lease = self.place(&mut placing, item, &mut placements)?;
                self.state = State::Placing(placing);
            }
            (State::Waiting(_) | State::Ended, _) => {}
        }
        for placement in placements {
            let is_write = matches!(placement, Placement::Write { .. });
            let lease = if is_write { lease.take() } else { None };
            let step = Step::Segment(placement);
            self.tee.do_send(TeeMessage::Step(step, lease));
        }
        Ok(())
    }

    /// Claims the id for what is about to be written, and writes what is known already.
    fn open(
        &self,
        opening: RunOpening,
        plan: ScanPlan,
        scan_started_at: Timestamp,
    ) -> Result<Placing, Failure> {
        let RunOpening {
            head,
            source,
            location,
            prologue,
            epilogue,
            sealing,
            resuming,
        } = opening;
        prologue(&plan)?;
        let (compression, segment_bytes) = (head.plan.compression, head.plan.segment_bytes);
        let (sealer, keys) = match sealing {
            None => (None, Vec::new()),
            Some(Sealing { sealer, keys }) => (Some(sealer), keys),
        };
        let placer = Placer::new(head.id.clone(), compression, segment_bytes, &plan.resources)?
            .sealing(sealer.clone())?;
        let stored = stored(sealer.as_deref(), &plan.attachments);
        let new = RunClaim {
            head,
            source: SourceEntry {
                kind: source,
                location,
                scan_started_at,
                scan_ended_at: None,
                server_time: plan.server_time,
                changes: None,
                settle: None,
            },
            claimed: placer.claimed(),
            attachments: entries(&stored),
            states: plan.states.clone(),
            bounds: plan.bounds.clone(),
        };
        let (claim, sealed, going_on) = match resuming {
            None => {
                let sealed = sealed_claim(&new, sealer.as_deref())?;
                (new, sealed, None)
            }
            Some(resuming) => {
                let (going_on, skipped) = GoingOn::begin(&resuming.resumption, &plan, &new)?;
                self.supervisor.do_send(skipped);
                let claim = resuming.resumption.claim().clone();
                (claim, resuming.claim, Some(going_on))
            }
        };
        let keys = keys.iter().map(|key| {
            let name = layout::key_object(&key.name);
            let sealed = document::readable::<SealedKey>(&name, document::seal(key))?;
            Ok((name, sealed))
        });
        let keys = keys.collect::<Result<Vec<_>, BackupError>>()?;
        self.step(Step::Claim(sealed));
        self.attach(&keys)?;
        self.attach(&stored)?;
        Ok(Placing {
            placer,
            claim,
            attachments: plan.attachments,
            epilogue,
            sealer,
            going_on,
        })
    }

    /// Gives an item its place; of a chunk, the lease back.
    fn place(
        &mut self,
        placing: &mut Placing,
        item: PassItem,
        placements: &mut Vec<Placement>,
    ) -> Result<Option<Lease>, Failure> {
        let Placing {
            placer, going_on, ..
        } = placing;
        match item {
            PassItem::Begin(id) => {
                if let Some(name) = placer.name(id).map(str::to_owned) {
                    (self.observer)(ProgressEvent::Resource { name });
                }
                if let Some(going_on) = going_on {
                    going_on.keep(id, placer, placements)?;
                }
            }
            PassItem::Chunk(chunk, lease) => {
                self.records += u64::from(chunk.entry.records);
                self.plain_bytes += chunk.entry.plain;
                self.stored_bytes += chunk.entry.stored;
                let id = chunk.resource;
                if let Some(going_on) = going_on {
                    going_on.chunk(&chunk)?;
                }
                placer.place(chunk, placements)?;
                if let Some(going_on) = going_on {
                    going_on.placed(id, placements)?;
                }
                (self.observer)(ProgressEvent::Read {
                    records: self.records,
                    plain_bytes: self.plain_bytes,
                    stored_bytes: self.stored_bytes,
                });
                return Ok(Some(lease));
            }
            PassItem::End(id, end) => {
                let end = match going_on {
                    None => end,
                    Some(going_on) => going_on.ended(id, end)?,
                };
                placer.end(id, end, placements)?;
                if let Some(going_on) = going_on {
                    going_on.placed(id, placements)?;
                }
            }
            PassItem::Planned { .. } | PassItem::SourceEnded | PassItem::Failed(_) => {}
        }
        Ok(None)
    }

    fn finish(&self, placing: Placing) -> Result<(), BackupError> {
        let Placing {
            placer,
            claim,
            attachments,
            epilogue,
            sealer,
            going_on: _,
        } = placing;
        let compression = claim.head.plan.compression;
        let placed = placer.finish()?;
        let made = epilogue(&Placed {
            claim: &claim,
            compression,
            resources: &placed.resources,
            attachments: &attachments,
        })?;
        let made = stored(sealer.as_deref(), &made);
        self.attach(&made)?;
        let mut attachments = claim.attachments.clone();
        attachments.extend(entries(&made));
        let path = claim.head.path.clone();
        let manifest = Manifest::new(claim, placed, attachments);
        let manifest = SealedManifest::authenticated(manifest, sealer.as_deref())?;
        // The supervisor must know how many segments there are before a destination can say that it has them all.
        self.supervisor
            .do_send(SupervisorMessage::SourceEnded(Box::new(manifest), path));
        self.step(Step::EndOfData);
        Ok(())
    }

    fn attach(&self, attachments: &[Attachment]) -> Result<(), BackupError> {
        for (file, bytes) in attachments {
            document::check_size(file, bytes.len() as u64, document::BYTES_MAX)?;
            self.step(Step::Attachment {
                file: file.clone(),
                bytes: bytes.clone(),
            });
        }
        Ok(())
    }

    fn step(&self, step: Step) {
        self.tee.do_send(TeeMessage::Step(step, None));
    }
}

/// The claim as it is stored.
fn sealed_claim(claim: &RunClaim, sealer: Option<&Sealer>) -> Result<Bytes, BackupError> {
    let sealed = match sealer {
        None => document::seal(claim),
        Some(sealer) => {
            document::seal_authenticated(claim, |body| sealer.mac(seal::Context::Claim, body))
        }
    };
    let sealed = document::within(layout::RUN_CLAIM, sealed, RunClaim::BYTES_MAX)?;
    document::readable::<RunClaim>(layout::RUN_CLAIM, sealed)
}

/// Small files as they are stored: where the backup is sealed, sealed and under another name.
fn stored(sealer: Option<&Sealer>, attachments: &[Attachment]) -> Vec<Attachment> {
    let seal = |(file, bytes): &Attachment| match sealer {
        None => (file.clone(), bytes.clone()),
        Some(sealer) => {
            let sealed = sealer.seal(seal::Context::File(file), bytes);
            (format!("{file}{SEALED_SUFFIX}"), sealed)
        }
    };
    attachments.iter().map(seal).collect()
}

fn entries(attachments: &[Attachment]) -> Vec<AttachmentEntry> {
    attachments
        .iter()
        .map(|(file, bytes)| AttachmentEntry::new(file, bytes))
        .collect()
}

impl Actor for PlacerActor {
    type Context = Context<Self>;
}

impl Handler<Sequenced> for PlacerActor {
    type Result = ();

    fn handle(&mut self, Sequenced { seq, item }: Sequenced, _: &mut Self::Context) {
        self.reorder.push(seq, item);
        while let Some(item) = self.reorder.pop() {
            if let Err(failure) = self.take(item) {
                self.state = State::Ended;
                self.supervisor.do_send(match failure {
                    Failure::Failed(error) => SupervisorMessage::SourceFailed(error),
                    Failure::Differs(error) => SupervisorMessage::SourceDiffers(error),
                });
            }
        }
    }
}

impl Handler<StopPlacing> for PlacerActor {
    type Result = ();

    fn handle(&mut self, _: StopPlacing, ctx: &mut Self::Context) {
        self.guard.disarm();
        ctx.stop();
    }
}
