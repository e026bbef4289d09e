//! Turns of schedules: who does what a schedule asks for at one of its times.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::document::{self, Document};
use crate::error::ErrorReport;
use crate::records::RunStatus;
use crate::time::Timestamp;

/// Says that a process has begun what a schedule asks for at one of its times. Whoever writes it first does it: a key is
/// written once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Turn {
    /// The schedule.
    pub schedule: String,
    /// The time that it is done for.
    pub scheduled_at: Timestamp,
    /// When the process began, by its clock.
    pub taken_at: Timestamp,
    /// The process, where it can be told from others.
    pub process: Option<ProcessMark>,
    /// Random text of the process, so that no two say the same.
    pub token: String,
}

/// Tells a process from all others, on all machines. It is of use to those only that can look whether it is still there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessMark {
    /// A digest of what the machine is called by its operating system.
    pub machine: Option<Digest>,
    /// A digest of the machine's name among others, or the container's. Earlier versions don't say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Digest>,
    /// A digest of what the machine's present run is called.
    pub boot: Digest,
    /// In which its numbers of processes count.
    pub namespace: String,
    /// In which its network is. Earlier versions don't say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The number of the process.
    pub pid: u32,
    /// When it was started, in the ticks of the operating system.
    pub started: u64,
}

/// Says what came of a turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnEnd {
    /// The schedule.
    pub schedule: String,
    /// The time that it was done for.
    pub scheduled_at: Timestamp,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// What became of it.
    pub status: RunStatus,
    /// Why it failed.
    pub error: Option<ErrorReport>,
}

impl Document for Turn {
    const FORMAT: &'static str = "teeline-turn";
    const VERSION: u32 = 1;
    const BYTES_MAX: u64 = document::SMALL_BYTES_MAX;
}

impl Document for TurnEnd {
    const FORMAT: &'static str = "teeline-turn-end";
    const VERSION: u32 = 1;
    const BYTES_MAX: u64 = document::SMALL_BYTES_MAX;
}
