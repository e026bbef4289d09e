//! What there is: the stores of the destinations, and whoever works on them.

use teeline_core::DestinationStatus;
use teeline_core::commit::Traces;

use crate::janitor::Janitor;
use crate::restore::Restore;
use crate::run::Run;

/// A backup, by its place among those of the scene.
pub(crate) type BackupNumber = usize;

/// Everything at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) places: Vec<Place>,
    pub(crate) runs: Vec<Run>,
    pub(crate) janitor: Janitor,
    pub(crate) restore: Restore,
    /// How much may still go wrong.
    pub(crate) mishaps_left: u8,
}

/// The store of a destination.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) copies: Vec<Copy>,
}

/// What there is of one backup at one destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Copy {
    pub(crate) traces: Traces,
    /// The run whose claim is there.
    pub(crate) claimed_by: Option<usize>,
    /// Its segments, each a bit.
    pub(crate) segments: u8,
    /// What the run's record says of this destination, where there is one.
    pub(crate) record: Option<DestinationStatus>,
    /// Whether it was ever there for whoever asks. Nobody in the world knows this.
    pub(crate) was_backup: bool,
}

impl Copy {
    /// One that was published before.
    pub(crate) fn committed(segments: u8) -> Self {
        Copy {
            traces: Traces {
                claim: true,
                entry: true,
                manifest: true,
                ..Traces::default()
            },
            claimed_by: None,
            segments: all(segments),
            record: Some(DestinationStatus::Committed),
            was_backup: true,
        }
    }

    pub(crate) fn has_all(&self, segments: u8) -> bool {
        self.segments == all(segments)
    }

    /// Whether there is nothing of it but what says that it was withdrawn, and records.
    pub(crate) fn is_gone(&self) -> bool {
        let Traces {
            claim,
            entry,
            manifest,
            sweep,
            withdrawal: _,
        } = self.traces;
        !claim && !entry && !manifest && !sweep && self.segments == 0
    }
}

impl Place {
    /// The backups that are listed here.
    pub(crate) fn listed(&self) -> Vec<BackupNumber> {
        self.numbers(|copy| copy.traces.is_backup())
    }

    /// The backups for which `is_so`.
    pub(crate) fn numbers(&self, is_so: impl Fn(&Copy) -> bool) -> Vec<BackupNumber> {
        let copies = self.copies.iter().enumerate();
        copies
            .filter(|(_, copy)| is_so(copy))
            .map(|(number, _)| number)
            .collect()
    }
}

fn all(segments: u8) -> u8 {
    (1 << segments) - 1
}

/// What becomes of a call that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    /// It is done, and that is known.
    Answered,
    /// It isn't done.
    Failed,
    /// It is done, and nobody is told.
    Lost,
}

impl Call {
    pub(crate) fn is_done(self) -> bool {
        self != Call::Failed
    }
}
