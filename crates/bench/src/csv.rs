//! A report as comma-separated values (RFC 4180): a line for each cell.

use teeline::{BackupError, Class};

use crate::report::BenchReport;

const HEADER: [&str; 14] = [
    "compression",
    "block_bytes",
    "workers",
    "destinations",
    "seconds_median",
    "seconds_min",
    "seconds_max",
    "megabytes_per_second",
    "cpu_seconds",
    "ratio",
    "peak_memory_bytes",
    "budget_peak_bytes",
    "budget_bytes",
    "bottleneck",
];

/// A line for each cell, behind one of names.
///
/// # Errors
/// Where there is no memory for it.
pub fn csv(report: &BenchReport) -> Result<String, BackupError> {
    let failed = |error: &dyn std::fmt::Display| {
        BackupError::new(Class::Permanent, "write", "the values", error)
    };
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer
        .write_record(HEADER)
        .map_err(|error| failed(&error))?;
    for cell in &report.cells {
        let record = [
            cell.settings.compression.clone(),
            cell.settings.block_bytes.to_string(),
            cell.settings.workers.to_string(),
            cell.settings.destinations.join(" "),
            cell.seconds.median.to_string(),
            cell.seconds.min.to_string(),
            cell.seconds.max.to_string(),
            cell.megabytes_per_second.median.to_string(),
            cell.cpu_seconds.median.to_string(),
            cell.ratio.to_string(),
            cell.peak_memory_bytes
                .map_or(String::new(), |bytes| bytes.to_string()),
            cell.budget_peak_bytes.to_string(),
            cell.budget_bytes.to_string(),
            cell.bottleneck.clone(),
        ];
        writer
            .write_record(record)
            .map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}
