//! The figures, as they are kept.

use serde::{Deserialize, Serialize};

use crate::stats::Spread;

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BenchReport {
    /// The teeline that was measured.
    pub written_by: String,
    /// Processors of the machine.
    pub processors: usize,
    /// What was backed up.
    pub data: MeasuredData,
    /// Repetitions of each cell that weren't counted, and then those that were.
    pub warm_up: usize,
    /// As above.
    pub repeats: usize,
    /// The combinations of settings.
    pub cells: Vec<Cell>,
}

/// What was backed up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MeasuredData {
    /// Where it came from.
    pub from: String,
    /// Records.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One combination of settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cell {
    /// Which.
    pub settings: Settings,
    /// Seconds of a backup.
    pub seconds: Spread,
    /// Megabytes of records in a second.
    pub megabytes_per_second: Spread,
    /// Processor seconds of the whole process.
    pub cpu_seconds: Spread,
    /// Bytes of one copy, as a part of those of the records.
    pub ratio: f64,
    /// The most memory that the process had; None where the system doesn't say.
    pub peak_memory_bytes: Option<u64>,
    /// The most of the budget that was in use at once.
    pub budget_peak_bytes: u64,
    /// Of that many.
    pub budget_bytes: u64,
    /// What held it up, in a sentence.
    pub bottleneck: String,
    /// Each stage, in the repetition that took the median time.
    pub stages: Vec<Stage>,
    /// Every repetition that counted.
    pub repetitions: Vec<Repetition>,
}

/// What varies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// As in `gzip, level 5`.
    pub compression: String,
    /// Bytes of a block.
    pub block_bytes: usize,
    /// Threads that compress.
    pub workers: usize,
    /// The destinations, without secrets.
    pub destinations: Vec<String>,
}

/// One backup.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repetition {
    /// How long it took.
    pub seconds: f64,
    /// Processor time of the whole process.
    pub cpu_seconds: f64,
    /// Calls that were made again, of all destinations.
    pub retries: u64,
    /// Bytes of one copy.
    pub stored_bytes: u64,
    /// The most memory that the process had.
    pub peak_memory_bytes: Option<u64>,
}

/// One stage of a backup. Times are summed over its workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// `read`, `encode`, or `to ` and a destination.
    pub name: String,
    /// Threads or tasks.
    pub workers: usize,
    /// Megabytes that came, in a second of the backup.
    pub megabytes_per_second: f64,
    /// Processor seconds, where it has threads of its own.
    pub cpu_seconds: Option<f64>,
    /// At work.
    pub busy_seconds: f64,
    /// Waiting for what comes.
    pub waited_for_input_seconds: f64,
    /// Waiting for room behind it.
    pub waited_for_output_seconds: f64,
    /// What the work was.
    pub work: Vec<Work>,
}

/// A part of a stage's work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    /// Such as `compress`.
    pub what: String,
    /// How long it took.
    pub seconds: f64,
}
