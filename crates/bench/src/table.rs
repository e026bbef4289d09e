//! A report as text.

use std::fmt::Write;

use crate::report::{BenchReport, Cell};

/// A table of the cells, what held each of them up, and `with_stages` each stage of them.
pub fn table(report: &BenchReport, with_stages: bool) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}: {} records, {:.1} MB; {} processors, {} of {} repetitions counted",
        report.data.from,
        report.data.records,
        report.data.bytes as f64 / 1e6,
        report.processors,
        report.repeats,
        report.warm_up + report.repeats,
    );
    let most = report
        .cells
        .iter()
        .max_by_key(|cell| cell.settings.destinations.len());
    let destinations = most.map_or(&[][..], |cell| &cell.settings.destinations[..]);
    for (number, destination) in (1..).zip(destinations) {
        let _ = writeln!(text, "d{number} {destination}");
    }
    text.push('\n');
    let _ = writeln!(
        text,
        "{:16}{:>8}{:>9}{:>4}{:>9}{:>20}{:>8}{:>8}{:>7}{:>9}",
        "compression",
        "block",
        "workers",
        "to",
        "MB/s",
        "min to max",
        "CPU s",
        "ratio",
        "MiB",
        "budget"
    );
    for cell in &report.cells {
        let _ = writeln!(text, "{}", line(cell));
        let _ = writeln!(text, "    {}", cell.bottleneck);
        if with_stages {
            stages(cell, &mut text);
        }
    }
    text
}

fn line(cell: &Cell) -> String {
    let rate = cell.megabytes_per_second;
    let memory = cell
        .peak_memory_bytes
        .map_or(String::new(), |bytes| format!("{}", bytes >> 20));
    let budget = cell.budget_peak_bytes as f64 / (cell.budget_bytes as f64).max(1.0) * 100.0;
    format!(
        "{:16}{:>8}{:>9}{:>4}{:>9.1}{:>20}{:>8.2}{:>8.3}{:>7}{:>7.0} %",
        cell.settings.compression,
        format!("{}K", cell.settings.block_bytes >> 10),
        cell.settings.workers,
        cell.settings.destinations.len(),
        rate.median,
        format!("{:.1} to {:.1}", rate.min, rate.max),
        cell.cpu_seconds.median,
        cell.ratio,
        memory,
        budget,
    )
}

fn stages(cell: &Cell, text: &mut String) {
    let _ = writeln!(
        text,
        "    {:14}{:>9}{:>8}{:>9}{:>11}{:>12}  work",
        "stage", "MB/s", "CPU s", "busy s", "input s", "output s"
    );
    for stage in &cell.stages {
        let cpu = stage
            .cpu_seconds
            .map_or(String::new(), |seconds| format!("{seconds:.2}"));
        let work: Vec<String> = stage
            .work
            .iter()
            .map(|work| format!("{} {:.2}", work.what, work.seconds))
            .collect();
        let _ = writeln!(
            text,
            "    {:14}{:>9.1}{:>8}{:>9.2}{:>11.2}{:>12.2}  {}",
            stage.name,
            stage.megabytes_per_second,
            cpu,
            stage.busy_seconds,
            stage.waited_for_input_seconds,
            stage.waited_for_output_seconds,
            work.join(", "),
        );
    }
}
