//! What the actors say to each other. Every message is sent with `do_send`, which never waits: what waits in mailboxes is
//! bounded by the budget's leases (chunks, with their part of the index) and by the number of destinations (control). The
//! other steps follow from chunks: a resource has at least one.

use std::sync::Arc;

use actix::Message;
use bytes::Bytes;
use teeline_core::{
    BackupError, DestinationId, DestinationReport, EncodedBlock, ErrorReport, Placement,
    ResourceEnd, ResourceId, ScanPlan, SealedManifest, SegmentPlace, Seq, Timestamp,
};

use crate::account::Account;
use crate::budget::Lease;
use crate::publish::Publication;
use crate::spool::Slot;

/// From reader and encoders to the placer, numbered in the order of the source.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Sequenced {
    /// The place in the pass.
    pub(crate) seq: Seq,
    /// What has that place.
    pub(crate) item: PassItem,
}

/// What a pass is made of, once encoded.
#[derive(Debug)]
pub(crate) enum PassItem {
    /// The source is open, and says what it is going to give.
    Planned {
        /// What that is.
        plan: ScanPlan,
        /// When the scan began.
        scan_started_at: Timestamp,
    },
    /// A resource begins.
    Begin(ResourceId),
    /// A chunk, with the lease of its bytes and of its part of the index.
    Chunk(EncodedBlock, Lease),
    /// A resource ends.
    End(ResourceId, ResourceEnd),
    /// The source has ended.
    SourceEnded,
    /// The source, or the encoding of what it gave, has failed.
    Failed(BackupError),
}

/// To the tee.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) enum TeeMessage {
    /// The next step, for every destination; where it hands over a chunk, with its lease.
    Step(Step, Option<Lease>),
    /// The reader has waited long for a lease.
    Starved,
    /// A destination is done with an item of its lane.
    Acked {
        /// Which one.
        destination: DestinationId,
        /// Bytes that it took over.
        bytes: u64,
    },
    /// The payload of the step with this number is on disk, or can't be.
    Spooled(u64, Result<Slot, BackupError>),
    /// The payload that a destination is to be sent next was read from disk, or couldn't be.
    Fetched(DestinationId, Result<Bytes, BackupError>),
    /// A destination has left the pass, and holds nothing of the budget any more.
    Detach(DestinationId),
    /// The pass is over.
    Stop,
}

/// What every destination does, in the same order.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Mark the root as a destination's, and claim the backup's id there: this is `run.json`. The first step.
    Claim(Bytes),
    /// A step of a segment.
    Segment(Placement),
    /// Write a whole small file into the backup's folder.
    Attachment {
        /// Its name.
        file: String,
        /// Its content.
        bytes: Bytes,
    },
    /// Nothing more comes before the manifest.
    EndOfData,
}

impl Step {
    /// The step for one destination, in whose account the lease is shared.
    pub(crate) fn handed_to(&self, account: &Account, lease: Option<&Arc<Lease>>) -> Step {
        let mut step = self.clone();
        if let (Some(payload), Some(lease)) = (step.payload_mut(), lease) {
            *payload = account.hold(std::mem::take(payload), lease);
        }
        step
    }

    /// Bytes that the step hands over.
    pub(crate) fn bytes(&self) -> u64 {
        let around = match self {
            Step::Segment(Placement::Open { prologue, .. }) => prologue.len(),
            Step::Segment(Placement::Close { epilogue, .. }) => epilogue.len(),
            _ => 0,
        };
        (around + self.payload().map_or(0, Bytes::len)) as u64
    }

    /// What the step hands over, less what is around chunks, a few bytes.
    pub(crate) fn payload(&self) -> Option<&Bytes> {
        match self {
            Step::Claim(bytes)
            | Step::Segment(Placement::Write { bytes, .. })
            | Step::Attachment { bytes, .. } => Some(bytes),
            Step::Segment(Placement::Close { index, .. }) => Some(index),
            Step::Segment(Placement::Open { .. } | Placement::Kept { .. }) | Step::EndOfData => {
                None
            }
        }
    }

    /// As [`Step::payload`], to be put elsewhere and back.
    pub(crate) fn payload_mut(&mut self) -> Option<&mut Bytes> {
        match self {
            Step::Claim(bytes)
            | Step::Segment(Placement::Write { bytes, .. })
            | Step::Attachment { bytes, .. } => Some(bytes),
            Step::Segment(Placement::Close { index, .. }) => Some(index),
            Step::Segment(Placement::Open { .. } | Placement::Kept { .. }) | Step::EndOfData => {
                None
            }
        }
    }
}

/// What a driver finds in its lane.
#[derive(Debug)]
pub(crate) enum LaneItem {
    /// The next step of the pass.
    Step(Step),
    /// Make the backup visible.
    Publish(Publication),
    /// The next step can't be had any more.
    Lost(BackupError),
}

/// To a destination's actor.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) enum SinkMessage {
    /// From its driver.
    Driver(DriverEvent),
    /// How far the newest chunk is ahead of what the destination took over.
    Lag(u64),
    /// So many more bytes of what it is sent waited on disk.
    Spooled(u64),
    /// Nothing more can wait on disk for it.
    SpoolFailed(ErrorReport),
    /// Make the backup visible.
    Publish(Publication),
    /// Stop, whatever is under way, and report.
    Abandon(Abandonment),
}

/// Why a destination that did nothing wrong is given up. The first reason stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abandonment {
    /// The host wants the run to end.
    Interrupted,
    /// The run is decided without it.
    RunFailed,
    /// It held the others up; what it has committed is for later.
    FellBehind,
}

/// What a driver reports.
#[derive(Debug)]
pub(crate) enum DriverEvent {
    /// It is done with an item of its lane.
    Acked {
        /// What that handed over.
        bytes: u64,
        /// Whether it was there already, and wasn't sent.
        is_kept: bool,
    },
    /// What a segment consists of was there already.
    Kept(u64),
    /// What is read isn't what was read when the run broke off.
    Differs(BackupError),
    /// A whole segment is visible under its key, and verified as asked.
    SegmentCommitted,
    /// Everything but the manifest is there.
    Prepared,
    /// The manifest is about to be written: from now on it may be visible.
    Publishing,
    /// The manifest is visible.
    Published,
}

/// To the supervisor.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) enum SupervisorMessage {
    /// All of the source is placed: this is what the backup holds, and the folder of its files below each root.
    SourceEnded(Box<SealedManifest>, String),
    /// There will be no backup.
    SourceFailed(BackupError),
    /// The run that is taken up can't be gone on with: what is read isn't what was read.
    SourceDiffers(BackupError),
    /// Where reading begins for a run that is taken up, and how many bytes of records aren't read.
    Skipped(Option<SegmentPlace>, u64),
    /// A destination has a whole segment.
    SegmentCommitted(DestinationId),
    /// A destination has everything but the manifest.
    Prepared(DestinationId),
    /// A destination shows the backup.
    Published(DestinationId),
    /// A destination holds the others up.
    FellBehind(DestinationId),
    /// A destination's actor has ended, and says what became of it.
    SinkEnded(DestinationId, DestinationReport),
    /// An actor died without being told to.
    ActorDied(&'static str),
    /// The host wants the run to end.
    Cancel,
}
