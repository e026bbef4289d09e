//! The placer: puts chunks back into the source's order, gives each its segment and offset, and hands every destination
//! the same steps.

use actix::{Actor, ActorContext, Context, Handler, Message, Recipient};
use bytes::Bytes;
use teeline_core::{
    Attachment, AttachmentEntry, BackupError, Digest, Placement, Placer, ProgressEvent, Reorder,
    ResourceEntry, Timestamp,
};

use crate::guard::{Alive, DeathGuard};
use crate::messages::{PassItem, Sequenced, SourceSummary, Step, SupervisorMessage, TeeMessage};
use crate::supervisor::Observer;

/// Makes the attachments that depend on what was placed, from the resources and the source's own attachments. The last
/// word before the manifest: its error fails the backup.
pub type Epilogue =
    Box<dyn FnOnce(&[ResourceEntry], &[Attachment]) -> Result<Vec<Attachment>, BackupError> + Send>;

pub(crate) struct PlacerActor {
    placer: Option<Placer>,
    reorder: Reorder<PassItem>,
    attachments: Vec<Attachment>,
    epilogue: Option<Epilogue>,
    records: u64,
    plain_bytes: u64,
    stored_bytes: u64,
    tee: Recipient<TeeMessage>,
    supervisor: Recipient<SupervisorMessage>,
    observer: Observer,
    guard: DeathGuard,
}

/// Stops the placer.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopPlacing;

impl PlacerActor {
    pub(crate) fn new(
        placer: Placer,
        epilogue: Epilogue,
        tee: Recipient<TeeMessage>,
        supervisor: Recipient<SupervisorMessage>,
        observer: Observer,
        alive: Alive,
    ) -> Self {
        PlacerActor {
            placer: Some(placer),
            reorder: Reorder::default(),
            attachments: Vec::new(),
            epilogue: Some(epilogue),
            records: 0,
            plain_bytes: 0,
            stored_bytes: 0,
            tee,
            guard: DeathGuard::new(supervisor.clone(), "placer", alive),
            supervisor,
            observer,
        }
    }

    fn take(&mut self, item: PassItem) -> Result<(), BackupError> {
        let Some(placer) = &mut self.placer else {
            return Ok(());
        };
        let mut placements = Vec::new();
        match item {
            PassItem::Resource(id, kind) => {
                (self.observer)(ProgressEvent::Resource {
                    name: kind.name().to_owned(),
                });
                placer.declare(id, kind)?;
            }
            PassItem::Chunk(chunk) => {
                self.records += u64::from(chunk.entry.records);
                self.plain_bytes += chunk.entry.plain;
                self.stored_bytes += chunk.entry.stored;
                placer.place(chunk, &mut placements)?;
                (self.observer)(ProgressEvent::Read {
                    records: self.records,
                    plain_bytes: self.plain_bytes,
                    stored_bytes: self.stored_bytes,
                });
            }
            PassItem::End(id, counts) => placer.end(id, counts, &mut placements)?,
            PassItem::Attachment { file, bytes } => self.attach(file, bytes),
            PassItem::SourceEnded {
                scan_started_at,
                scan_ended_at,
            } => {
                return self.finish(scan_started_at, scan_ended_at);
            }
            PassItem::Failed(error) => return Err(error),
        }
        self.send(placements);
        Ok(())
    }

    fn attach(&mut self, file: String, bytes: Bytes) {
        self.attachments.push((file.clone(), bytes.clone()));
        self.tee
            .do_send(TeeMessage::Step(Step::Attachment { file, bytes }));
    }

    fn finish(
        &mut self,
        scan_started_at: Timestamp,
        scan_ended_at: Timestamp,
    ) -> Result<(), BackupError> {
        let (Some(placer), Some(epilogue)) = (self.placer.take(), self.epilogue.take()) else {
            return Ok(());
        };
        let mut placements = Vec::new();
        let (resources, objects) = placer.finish(&mut placements)?;
        self.send(placements);
        for (file, bytes) in epilogue(&resources, &self.attachments)? {
            self.attach(file, bytes);
        }
        let attachments = std::mem::take(&mut self.attachments)
            .into_iter()
            .map(|(file, bytes)| AttachmentEntry {
                file,
                bytes: bytes.len() as u64,
                blake3: Digest::of(&bytes),
            })
            .collect();
        // The supervisor must know how many segments there are before a destination can say that it has them all.
        self.supervisor
            .do_send(SupervisorMessage::SourceEnded(SourceSummary {
                resources,
                objects,
                attachments,
                scan_started_at,
                scan_ended_at,
            }));
        self.tee.do_send(TeeMessage::Step(Step::EndOfData));
        Ok(())
    }

    fn send(&self, placements: Vec<Placement>) {
        for placement in placements {
            self.tee.do_send(TeeMessage::Step(Step::Segment(placement)));
        }
    }
}

impl Actor for PlacerActor {
    type Context = Context<Self>;
}

impl Handler<Sequenced> for PlacerActor {
    type Result = ();

    fn handle(&mut self, Sequenced { seq, item }: Sequenced, _: &mut Self::Context) {
        self.reorder.push(seq, item);
        while let Some(item) = self.reorder.pop() {
            if let Err(error) = self.take(item) {
                self.placer = None;
                self.supervisor
                    .do_send(SupervisorMessage::SourceFailed(error));
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
