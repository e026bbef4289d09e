//! Blocks → chunks on worker threads, so that no actor waits for a compressor.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use actix::Recipient;
use crossbeam_channel::{Receiver, Sender, bounded};
use teeline_core::seal::Sealer;
use teeline_core::{BackupError, Block, BlockEncoder, Class, Compression, Seq};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::budget::Lease;
use crate::guard::Alive;
use crate::messages::{PassItem, Sequenced};
use crate::stages::{Meter, Phase, Stages};

/// Where blocks are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executor {
    /// On so many threads of their own.
    Threads(usize),
    /// Where the reader runs, one after the other: for simulation, and for machines with nothing to spare.
    Inline,
}

/// Blocks that wait for a worker, beside those that are being encoded. More would only take memory, and leave less of the
/// budget to destinations that are slow.
const BLOCKS_WAITING: usize = 1;

/// What the stage is called in reports.
const STAGE: &str = "encode";

/// A block on its way, with its lease.
pub(crate) struct Work {
    pub(crate) seq: Seq,
    pub(crate) block: Block,
    pub(crate) lease: Lease,
    pub(crate) turn: Turn,
}

/// The right to have a block encoded; over when it is.
pub(crate) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

pub(crate) enum Encoders {
    Pool(EncoderPool),
    Inline {
        encoder: Box<BlockEncoder>,
        meter: Meter,
        placer: Recipient<Sequenced>,
    },
}

/// Threads that encode. Dropped before it has finished, it leaves what is queued.
pub(crate) struct EncoderPool {
    queue: Option<Sender<Work>>,
    turns: Arc<Semaphore>,
    workers: Vec<JoinHandle<()>>,
    abandoned: Arc<AtomicBool>,
}

impl Encoders {
    /// Encoders that send to `placer`.
    pub(crate) fn start(
        executor: Executor,
        compression: Compression,
        sealer: Option<Arc<Sealer>>,
        placer: Recipient<Sequenced>,
        alive: &Alive,
        stages: &Stages,
    ) -> Result<Self, BackupError> {
        let workers = match executor {
            Executor::Inline => {
                let encoder = Box::new(BlockEncoder::new(compression)?.sealing(sealer));
                let meter = stages.meter(STAGE);
                return Ok(Encoders::Inline {
                    encoder,
                    meter,
                    placer,
                });
            }
            Executor::Threads(workers) => workers.max(1),
        };
        let blocks = workers
            .saturating_add(BLOCKS_WAITING)
            .min(Semaphore::MAX_PERMITS);
        let (sender, receiver) = bounded(blocks);
        let abandoned = Arc::new(AtomicBool::new(false));
        let mut pool = EncoderPool {
            queue: Some(sender),
            turns: Arc::new(Semaphore::new(blocks)),
            workers: Vec::new(),
            abandoned,
        };
        for number in 0..workers {
            let (receiver, placer) = (receiver.clone(), placer.clone());
            let mut encoder = BlockEncoder::new(compression)?.sealing(sealer.clone());
            let stages = stages.clone();
            let (abandoned, alive) = (Arc::clone(&pool.abandoned), alive.clone());
            let thread = std::thread::Builder::new()
                .name(format!("teeline-encode-{number}"))
                .spawn(move || {
                    let mut meter = stages.meter(STAGE);
                    encode_all(&mut encoder, &receiver, &placer, &abandoned, &mut meter);
                    meter.whole_thread();
                    drop(meter);
                    // What is left of the queue goes with the last worker, and only then is it gone.
                    drop(receiver);
                    drop(alive);
                })
                .map_err(|error| {
                    BackupError::new(Class::Permanent, "start", "an encoder thread", &error)
                        .because(error)
                })?;
            pool.workers.push(thread);
        }
        Ok(Encoders::Pool(pool))
    }

    /// Waits until every block that was handed over is encoded.
    pub(crate) async fn finish(self) -> Result<(), BackupError> {
        let Encoders::Pool(mut pool) = self else {
            return Ok(());
        };
        let _abandoned_if_dropped = AbandonOnDrop(Arc::clone(&pool.abandoned));
        tokio::task::spawn_blocking(move || pool.join())
            .await
            .map_err(|error| {
                BackupError::new(Class::Permanent, "encode", "the last blocks", &error)
                    .because(error)
            })
    }

    /// The turn of the next block, once there is a worker that will soon be free for it.
    pub(crate) async fn turn(&self) -> Turn {
        let permit = match self {
            Encoders::Inline { .. } => None,
            Encoders::Pool(pool) => {
                let permit = Arc::clone(&pool.turns).acquire_owned().await;
                Some(permit.expect("it is never closed"))
            }
        };
        Turn { _permit: permit }
    }

    /// Hands a block over. Never waits: the queue has room for as many blocks as have their turn.
    pub(crate) fn submit(&mut self, work: Work) -> Result<(), BackupError> {
        match self {
            Encoders::Inline {
                encoder,
                meter,
                placer,
            } => {
                meter.lap(Phase::Input);
                placer.do_send(encode_one(encoder, work, meter));
                Ok(())
            }
            Encoders::Pool(pool) => {
                let queue = pool
                    .queue
                    .as_ref()
                    .expect("the queue is there until the pool is dropped");
                queue
                    .try_send(work)
                    .map_err(|error| BackupError::new(Class::Permanent, "encode", "a block", error))
            }
        }
    }
}

/// Makes the workers leave what is queued, where nobody waits for them any more.
struct AbandonOnDrop(Arc<AtomicBool>);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl EncoderPool {
    fn join(&mut self) {
        self.queue = None;
        for worker in self.workers.drain(..) {
            // A worker catches the panics of its encoder, so there is nothing left that joining could report.
            let _ = worker.join();
        }
    }
}

impl Drop for EncoderPool {
    fn drop(&mut self) {
        self.abandoned.store(true, Ordering::Relaxed);
        self.join();
    }
}

fn encode_all(
    encoder: &mut BlockEncoder,
    queue: &Receiver<Work>,
    placer: &Recipient<Sequenced>,
    abandoned: &AtomicBool,
    meter: &mut Meter,
) {
    for work in queue {
        meter.lap(Phase::Input);
        if !abandoned.load(Ordering::Relaxed) {
            placer.do_send(encode_one(encoder, work, meter));
        }
    }
}

fn encode_one(encoder: &mut BlockEncoder, work: Work, meter: &mut Meter) -> Sequenced {
    let Work {
        seq,
        block,
        mut lease,
        turn,
    } = work;
    meter.came(block.bytes.len() as u64);
    let encoded = catch_unwind(AssertUnwindSafe(|| {
        encoder.encode_in_steps(block, |step| meter.lap(Phase::Work(step.name())))
    }))
    .unwrap_or_else(|_| {
        Err(BackupError::new(
            Class::Permanent,
            "encode",
            "a block",
            "the encoder panicked",
        ))
    });
    drop(turn);
    let item = match encoded {
        Ok(chunk) => {
            meter.gave(chunk.bytes.len() as u64);
            lease.shrink_to((chunk.bytes.len() + chunk.index_fragment.len()) as u64);
            PassItem::Chunk(chunk, lease)
        }
        Err(error) => PassItem::Failed(error),
    };
    Sequenced { seq, item }
}
