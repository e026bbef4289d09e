//! What a host is told while a run goes on.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::ErrorReport;
use crate::id::BackupId;
use crate::printable::one_line;
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

impl fmt::Display for DestinationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            DestinationState::Writing => "writing",
            DestinationState::Prepared => "prepared",
            DestinationState::Committed => "committed",
            DestinationState::Behind => "behind",
            DestinationState::Down => "down",
        })
    }
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

/// Makes the lines of a log of events: one for what happens seldom, none for the rest.
#[derive(Debug, Default)]
pub struct Narrator {
    destinations: BTreeMap<DestinationId, (String, DestinationState)>,
}

impl Narrator {
    /// What is worth a line, without an end of line or another control character.
    pub fn line(&mut self, event: &ProgressEvent) -> Option<String> {
        match event {
            ProgressEvent::PassStarted { id, destinations } => {
                let new =
                    |(id, name): &(_, String)| (*id, (one_line(name), DestinationState::Writing));
                self.destinations.extend(destinations.iter().map(new));
                Some(format!("{id}: begins"))
            }
            ProgressEvent::Resource { name } => Some(format!("reading {}", one_line(name))),
            ProgressEvent::State {
                destination,
                state,
                error,
            } => {
                let (name, before) = self.destinations.get_mut(destination)?;
                if before == state {
                    return None;
                }
                *before = *state;
                let why = error.as_ref();
                let why = why.map_or(String::new(), |why| format!(": {}", one_line(&why.message)));
                Some(format!("{name}: {state}{why}"))
            }
            ProgressEvent::Read { .. } | ProgressEvent::Acked { .. } => None,
        }
    }
}
