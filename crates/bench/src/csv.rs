//! A report as comma-separated values (RFC 4180): a line for each cell, and after it one for each of its stages.

use teeline::{BackupError, Class};

use crate::report::{BenchReport, Cell, Stage};

const HEADER: [&str; 18] = [
    "compression",
    "block_bytes",
    "workers",
    "destinations",
    "stage",
    "megabytes_per_second",
    "cpu_seconds",
    "busy_seconds",
    "waited_for_input_seconds",
    "waited_for_output_seconds",
    "seconds_median",
    "seconds_min",
    "seconds_max",
    "ratio",
    "peak_memory_bytes",
    "budget_peak_bytes",
    "budget_bytes",
    "bottleneck",
];

/// A line for each cell, whose stage is empty, and then one for each of its stages, behind one of names. What a line has
/// nothing for is empty.
///
/// # Errors
/// Where there is no memory for it.
pub fn csv(report: &BenchReport) -> Result<String, BackupError> {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADER).map_err(failed)?;
    for cell in &report.cells {
        writer.write_record(whole(cell)).map_err(failed)?;
        for stage in &cell.stages {
            writer.write_record(part(cell, stage)).map_err(failed)?;
        }
    }
    let bytes = writer.into_inner().map_err(failed)?;
    String::from_utf8(bytes).map_err(failed)
}

fn whole(cell: &Cell) -> Vec<String> {
    let mut line = settings(cell);
    line.extend([
        String::new(),
        cell.megabytes_per_second.median.to_string(),
        cell.cpu_seconds.median.to_string(),
        String::new(),
        String::new(),
        String::new(),
        cell.seconds.median.to_string(),
        cell.seconds.min.to_string(),
        cell.seconds.max.to_string(),
        cell.ratio.to_string(),
        or_empty(cell.peak_memory_bytes),
        cell.budget_peak_bytes.to_string(),
        cell.budget_bytes.to_string(),
        cell.bottleneck.clone(),
    ]);
    line
}

fn part(cell: &Cell, stage: &Stage) -> Vec<String> {
    let mut line = settings(cell);
    line.extend([
        stage.name.clone(),
        stage.megabytes_per_second.to_string(),
        or_empty(stage.cpu_seconds),
        stage.busy_seconds.to_string(),
        stage.waited_for_input_seconds.to_string(),
        stage.waited_for_output_seconds.to_string(),
    ]);
    line.resize(HEADER.len(), String::new());
    line
}

fn settings(cell: &Cell) -> Vec<String> {
    vec![
        cell.settings.compression.clone(),
        cell.settings.block_bytes.to_string(),
        cell.settings.workers.to_string(),
        cell.settings.destinations.join(" "),
    ]
}

fn or_empty(value: Option<impl ToString>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

fn failed(error: impl std::fmt::Display) -> BackupError {
    BackupError::new(Class::Permanent, "write", "the values", error)
}
