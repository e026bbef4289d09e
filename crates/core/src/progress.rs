//! What a host is told while a run goes on.

use crate::error::ErrorReport;
use crate::id::BackupId;
use crate::strategy::DestinationId;

/// How far a destination is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DestinationState {
    /// Taking chunks.
    Writing,
    /// Everything but the manifest is there.
    Prepared,
    /// The manifest is visible.
    Committed,
    /// It fell behind, and has left the pass.
    Behind,
    /// Out for this run.
    Down,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProgressEvent {
    /// A pass has begun, with these destinations.
    PassStarted {
        /// The backup that it makes.
        id: BackupId,
        /// Name of each destination, by number.
        destinations: Vec<(DestinationId, String)>,
    },
    /// The source has begun a resource; [`OBJECTS_NAME`](crate::OBJECTS_NAME) for what is no resource.
    Resource {
        /// Its name.
        name: String,
    },
    /// The source has been read up to here.
    Read {
        /// Records so far.
        records: u64,
        /// Bytes so far, uncompressed.
        plain_bytes: u64,
        /// Bytes so far, compressed: what each destination is to get.
        stored_bytes: u64,
    },
    /// A destination has taken over bytes.
    Acked {
        /// Which one.
        destination: DestinationId,
        /// Bytes so far.
        bytes: u64,
        /// How many bytes it is behind the newest chunk.
        lag_bytes: u64,
    },
    /// A destination's state has changed.
    State {
        /// Which one.
        destination: DestinationId,
        /// The new state.
        state: DestinationState,
        /// Why, where it went down.
        error: Option<ErrorReport>,
    },
}
