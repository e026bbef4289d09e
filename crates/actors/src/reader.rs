//! The reader: pulls the source, cuts its records into blocks, leases their bytes, numbers them.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, Context, Handler, Message, Recipient};
use teeline_core::{
    BackupError, Block, Buffers, Class, CutLimits, Cutter, Item, LineOrigin, RecordBatch,
    ResourceEnd, ResourceId, Resumption, Scan, Selection, Seq, Source, Timestamp, chain::Base,
};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::budget::{Budget, Lease, block_lease_bytes};
use crate::encoder::{Encoders, Work};
use crate::guard::{Alive, DeathGuard};
use crate::messages::{PassItem, Sequenced, SupervisorMessage, TeeMessage};
use crate::stages::{Meter, Phase};

/// What a clock says. Passed in, so that a simulation can bring its own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What the reader reads, and how it cuts.
pub(crate) struct Reading {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) selection: Selection,
    /// How a run that broke off is gone on with.
    pub(crate) resumption: Option<Arc<Resumption>>,
    pub(crate) limits: CutLimits,
    pub(crate) budget: Budget,
    pub(crate) starved_after: Duration,
    pub(crate) clock: Clock,
    pub(crate) meter: Meter,
}

impl Reading {
    /// Begins the scan; of a run that is taken up where nobody has what follows. What goes on from a parent is compared with
    /// that from the beginning.
    async fn scan(&self, base: Option<Base>) -> Result<Box<dyn Scan>, BackupError> {
        let selection = self.selection.clone();
        match (base, &self.resumption) {
            (Some(base), _) => self.source.scan_changes(selection, base).await,
            (None, Some(resumption)) => self.source.scan_on(selection, resumption.points()).await,
            (None, None) => self.source.scan(selection).await,
        }
    }
}

pub(crate) struct Reader {
    pump: AbortHandle,
    guard: DeathGuard,
}

/// Stops the reader, wherever it is.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopReading;

impl Reader {
    pub(crate) fn new(
        reading: Reading,
        base: Option<Base>,
        encoders: Encoders,
        placer: Recipient<Sequenced>,
        tee: Recipient<TeeMessage>,
        supervisor: Recipient<SupervisorMessage>,
        alive: Alive,
    ) -> Self {
        let guard = DeathGuard::new(supervisor.clone(), "reader", alive.clone());
        let pump = Pump {
            reading,
            encoders,
            placer,
            tee,
            seq: 0,
            begun: HashSet::new(),
            cutters: HashMap::new(),
            buffers: Buffers::default(),
            _alive: alive,
        };
        let running = tokio::spawn(pump.run(base));
        let abort = running.abort_handle();
        tokio::spawn(async move {
            let error = match running.await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error,
                Err(end) if end.is_cancelled() => return,
                Err(_) => BackupError::new(Class::Permanent, "read", "the source", "it panicked"),
            };
            supervisor.do_send(SupervisorMessage::SourceFailed(error));
        });
        Reader { pump: abort, guard }
    }
}

impl Actor for Reader {
    type Context = Context<Self>;
}

impl Handler<StopReading> for Reader {
    type Result = ();

    fn handle(&mut self, _: StopReading, ctx: &mut Self::Context) {
        self.guard.disarm();
        self.pump.abort();
        ctx.stop();
    }
}

/// The reader's task: it waits for the source and for the budget, so that the actor never does.
struct Pump {
    reading: Reading,
    encoders: Encoders,
    placer: Recipient<Sequenced>,
    tee: Recipient<TeeMessage>,
    seq: Seq,
    begun: HashSet<ResourceId>,
    cutters: HashMap<ResourceId, Cutter>,
    /// What blocks are cut in.
    buffers: Buffers,
    /// The last field, so that it is dropped after the encoders.
    _alive: Alive,
}

impl Pump {
    async fn run(mut self, base: Option<Base>) -> Result<(), BackupError> {
        let scan_started_at = (self.reading.clock)();
        let mut scan = self.reading.scan(base).await?;
        self.place(PassItem::Planned {
            plan: scan.plan().clone(),
            scan_started_at,
        });
        let continued = scan.plan().continued.clone();
        while let Some(item) = scan.next().await? {
            self.reading.meter.lap(Phase::Input);
            match item {
                Item::Begin(id) => {
                    if !self.begun.insert(id) {
                        return Err(out_of_order(id, "begins a second time"));
                    }
                    let cutter = self.cutter(id, continued.contains(&id));
                    self.cutters.extend(cutter.map(|cutter| (id, cutter)));
                    self.place(PassItem::Begin(id));
                }
                Item::Records(id, batch) => {
                    self.reading.meter.came(batch.bytes.len() as u64);
                    let Some(planned) = scan.plan().resources.get(id.0 as usize) else {
                        return Err(out_of_order(id, "wasn't planned"));
                    };
                    batch.check(&planned.kind)?;
                    self.cut(id, &batch).await?;
                }
                Item::End(id, counts) => {
                    if let Some(cutter) = self.cutters.remove(&id) {
                        self.encode(cutter.finish()).await?;
                        let ended_at = (self.reading.clock)();
                        self.place(PassItem::End(id, ResourceEnd { counts, ended_at }));
                    }
                }
            }
            self.reading.meter.lap(Phase::Work("cut"));
        }
        self.place(PassItem::SourceEnded);
        self.encoders.finish().await
    }

    /// What cuts a resource; none where it was placed as a whole before it was read.
    fn cutter(&self, id: ResourceId, is_continued: bool) -> Option<Cutter> {
        let new = Cutter::new(id, self.reading.limits, self.buffers.clone());
        match self.reading.resumption.as_ref().filter(|_| is_continued) {
            None => Some(new),
            Some(resumption) if resumption.is_whole(id) => None,
            Some(resumption) => {
                let kept = resumption.kept(id).iter().map(|segment| &segment.entry);
                let (records, chunks) = kept.fold((0, 0), |(records, chunks), entry| {
                    (records + entry.records, chunks + u64::from(entry.chunks))
                });
                Some(new.behind(records, chunks))
            }
        }
    }

    async fn cut(&mut self, id: ResourceId, batch: &RecordBatch) -> Result<(), BackupError> {
        let Some(mut cutter) = self.cutters.remove(&id) else {
            return Err(out_of_order(id, "has records while it isn't open"));
        };
        let mut begin = 0;
        for (index, end) in batch.ends.iter().enumerate() {
            let record = &batch.bytes[begin..*end];
            begin = *end;
            let row = batch.rows.get(index).map_or(&[][..], Vec::as_slice);
            let origin = batch.origin.as_ref().map(|origin| LineOrigin {
                file: Arc::clone(&origin.file),
                line: origin.line + index as u64,
                check: origin.check,
            });
            while let Some(block) = cutter.push(record, row, origin.as_ref(), batch.continues)? {
                self.encode(block).await?;
            }
        }
        self.cutters.insert(id, cutter);
        Ok(())
    }

    async fn encode(&mut self, block: Block) -> Result<(), BackupError> {
        self.reading.meter.gave(block.bytes.len() as u64);
        self.reading.meter.lap(Phase::Work("cut"));
        let turn = self.encoders.turn().await;
        let lease = self
            .lease(block_lease_bytes(block.bytes.len(), block.rows.len()))
            .await;
        self.reading.meter.lap(Phase::Output);
        let seq = self.number();
        self.encoders.submit(Work {
            seq,
            block,
            lease,
            turn,
        })
    }

    /// A lease of `bytes`. Where it doesn't come, the tee is asked, again and again, whether it ever will.
    async fn lease(&self, bytes: u64) -> Lease {
        let mut lease = pin!(self.reading.budget.lease(bytes));
        loop {
            match timeout(self.reading.starved_after, &mut lease).await {
                Ok(lease) => return lease,
                Err(_) => self.tee.do_send(TeeMessage::Starved),
            }
        }
    }

    fn place(&mut self, item: PassItem) {
        let seq = self.number();
        self.placer.do_send(Sequenced { seq, item });
    }

    fn number(&mut self) -> Seq {
        let seq = self.seq;
        self.seq += 1;
        seq
    }
}

/// The failure of a source whose items don't come in the order that they are to come in.
fn out_of_order(id: ResourceId, what: &str) -> BackupError {
    let subject = format!("resource {}", id.0);
    let message = format!("the source gave it out of order: it {what}");
    BackupError::new(Class::Permanent, "read", subject, message)
}
