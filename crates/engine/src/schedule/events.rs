//! What is told of schedules while they run.

use std::sync::Arc;

use teeline_core::Timestamp;

use super::WorkReport;
use crate::report::DestinationError;

/// Is told what becomes of schedules. It must not block.
pub type ScheduleObserver = Arc<dyn Fn(&ScheduleEvent) + Send + Sync>;

/// What becomes of schedules.
#[derive(Debug, Clone)]
pub enum ScheduleEvent {
    /// When schedules last ran couldn't be found out, or not from everything that the destinations have which they share.
    Unasked {
        /// The schedules.
        names: Vec<String>,
        /// What couldn't be asked or read.
        errors: Vec<DestinationError>,
        /// Whether nothing could be asked. Then they are taken as if they had just run: nothing that they missed is caught up.
        unknown: bool,
    },
    /// Nothing is due now.
    Waits {
        /// What comes next, and when. `None`: nothing.
        next: Option<(String, Timestamp)>,
    },
    /// It begins.
    Begins {
        /// The schedule.
        name: String,
        /// The time that it is made for; it may be long ago, where it was missed.
        scheduled_at: Timestamp,
    },
    /// Another runner does it, or has done it: it is left to that one.
    Left {
        /// The schedule.
        name: String,
        /// The time that it would have been done for.
        scheduled_at: Timestamp,
        /// The destination that says so.
        destination: String,
        /// Who does it.
        holder: String,
    },
    /// At no destination could it be said that it is done here, so another runner may do the same.
    Unclaimed {
        /// The schedule.
        name: String,
        /// Why.
        errors: Vec<DestinationError>,
    },
    /// It has ended.
    Ended {
        /// The schedule.
        name: String,
        /// The time that it was done for.
        scheduled_at: Timestamp,
        /// When it began.
        started_at: Timestamp,
        /// When it ended.
        ended_at: Timestamp,
        /// What it came to.
        report: Box<WorkReport>,
    },
}
