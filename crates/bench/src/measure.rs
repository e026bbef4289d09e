//! Measuring: one backup after the other, the combinations by turns, so that what changes on the machine meanwhile is shared.

use std::sync::Arc;
use std::time::Instant;

use teeline::{
    BackupError, BackupReport, BackupRequest, Class, CustomSink, DestinationSpec, Engine,
    ErrorReport, Place, Source, StageReport,
};
use teeline_sinks::NullSink;

use crate::bottleneck::bottleneck;
use crate::place::Prepared;
use crate::process;
use crate::report::{BenchReport, Cell, MeasuredData, Repetition, Settings, Stage, Work};
use crate::stats::Spread;
use crate::sweep::{Combination, Sweep};

/// How far a measurement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Backups that are done.
    pub done: usize,
    /// Backups that there will be.
    pub all: usize,
}

/// What one combination came to so far.
struct Measured {
    combination: Combination,
    repetitions: Vec<(Repetition, BackupReport)>,
    /// Bytes of a copy, once that is known.
    stored_bytes: u64,
}

/// Measures a sweep; `progress` is told before each backup. Whatever is written is removed again.
///
/// # Errors
/// Where the sweep can't be, or a backup of it fails.
pub async fn measure(
    sweep: &Sweep,
    mut progress: impl FnMut(Progress),
) -> Result<BenchReport, BackupError> {
    let source = sweep.data.source();
    let combinations = sweep.combinations()?;
    check_combinations(sweep, &combinations, &source)?;
    // A stall is placed by the size of what was stored before.
    let needs_a_size = sweep.places.iter().any(crate::BenchPlace::needs_a_size);
    let warm_up = sweep.warm_up.max(usize::from(needs_a_size));
    let repeats = sweep.repeats.max(1);
    let mut all: Vec<Measured> = combinations
        .into_iter()
        .map(|combination| Measured {
            combination,
            repetitions: Vec::new(),
            stored_bytes: 0,
        })
        .collect();
    let mut at = Progress {
        done: 0,
        all: (warm_up + repeats) * all.len(),
    };
    for round in 0..warm_up + repeats {
        for measured in &mut all {
            progress(at);
            let (repetition, report) = repetition(sweep, measured, &source).await?;
            measured.stored_bytes = repetition.stored_bytes;
            if round >= warm_up {
                measured.repetitions.push((repetition, report));
            }
            at.done += 1;
        }
    }
    let first = all
        .first()
        .and_then(|measured| measured.repetitions.first());
    let (records, bytes) = first.map_or((0, 0), |(_, report)| {
        (report.record_count, report.plain_bytes)
    });
    Ok(BenchReport {
        written_by: format!("teeline {}", env!("CARGO_PKG_VERSION")),
        processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        data: MeasuredData {
            from: source.to_string(),
            records,
            bytes,
        },
        warm_up,
        repeats,
        cells: all
            .into_iter()
            .map(|measured| cell(measured, sweep))
            .collect(),
    })
}

fn engine(sweep: &Sweep, of: Combination) -> Result<Engine, BackupError> {
    let builder = Engine::builder().workers(of.workers);
    builder.budget_bytes(sweep.budget_bytes).build()
}

fn request(
    sweep: &Sweep,
    of: Combination,
    source: &Arc<dyn Source>,
    destinations: Vec<DestinationSpec>,
) -> BackupRequest {
    let mut request = BackupRequest::of(Arc::clone(source), destinations);
    request.compression = of.compression;
    request.block_bytes = Some(of.block_bytes);
    request.concurrency = request.concurrency.max(2 * of.destinations);
    request.cancel = sweep.cancel.clone();
    request
}

/// Finds out before anything is measured which combination can't be.
fn check_combinations(
    sweep: &Sweep,
    combinations: &[Combination],
    source: &Arc<dyn Source>,
) -> Result<(), BackupError> {
    for of in combinations {
        let anywhere = DestinationSpec::derived(Place::Sink(CustomSink::new(NullSink::default())));
        engine(sweep, *of)?.check(&request(sweep, *of, source, vec![anywhere]))?;
    }
    Ok(())
}

async fn repetition(
    sweep: &Sweep,
    measured: &Measured,
    source: &Arc<dyn Source>,
) -> Result<(Repetition, BackupReport), BackupError> {
    let of = measured.combination;
    let engine = engine(sweep, of)?;
    let folder = format!("teeline-bench-{}-{}", std::process::id(), unique());
    let mut prepared = Vec::new();
    for (number, place) in sweep.places.iter().take(of.destinations).enumerate() {
        let name = format!("d{}", number + 1);
        let folder = format!("{folder}-{}", number + 1);
        prepared.push(
            place
                .prepare(&engine, &name, &folder, measured.stored_bytes)
                .await?,
        );
    }
    let specs = prepared.iter().map(|place| place.spec.clone()).collect();
    let request = request(sweep, of, source, specs);
    process::forget_peak_memory();
    let (cpu, began) = (process::cpu(), Instant::now());
    let report = engine.backup(request).await;
    let seconds = began.elapsed().as_secs_f64();
    let cpu_seconds = (process::cpu() - cpu).as_secs_f64();
    let peak_memory_bytes = process::peak_memory();
    let removed = remove(prepared).await;
    check(&report)?;
    removed?;
    let repetition = Repetition {
        seconds,
        cpu_seconds,
        retries: report.destinations.iter().map(|at| at.retries).sum(),
        stored_bytes: report.size,
        peak_memory_bytes,
    };
    Ok((repetition, report))
}

/// A number that no other backup of this process has.
fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

async fn remove(prepared: Vec<Prepared>) -> Result<(), BackupError> {
    let mut result = Ok(());
    for place in prepared {
        result = result.and(place.remove().await);
    }
    result
}

/// Only backups that every destination has are compared.
fn check(report: &BackupReport) -> Result<(), BackupError> {
    if report.exit_code() == 0 {
        return Ok(());
    }
    let mut of_destinations = report
        .destinations
        .iter()
        .filter_map(|at| at.error.as_ref());
    // Others were given up for the one that failed.
    let why = report
        .error
        .as_ref()
        .or_else(|| of_destinations.find(|error| error.class != Class::Cancelled));
    let class = why.map_or(Class::Permanent, |error: &ErrorReport| error.class);
    let message = why.map_or("it failed", |error| error.message.as_str());
    let failed = BackupError::new(class, "measure", "a backup", message);
    Err(match why.and_then(|error| error.suggestion.as_deref()) {
        Some(suggestion) => failed.suggest(suggestion),
        None => failed,
    })
}

fn cell(mut measured: Measured, sweep: &Sweep) -> Cell {
    let of = measured.combination;
    measured
        .repetitions
        .sort_by(|(one, _), (other, _)| one.seconds.total_cmp(&other.seconds));
    let (repetitions, mut reports): (Vec<Repetition>, Vec<BackupReport>) =
        measured.repetitions.into_iter().unzip();
    let middle = reports.swap_remove(reports.len() / 2);
    let seconds = repetitions[repetitions.len() / 2].seconds;
    let megabytes = middle.plain_bytes as f64 / 1e6;
    let stages: Vec<Stage> = in_order(&middle.stages)
        .map(|report| stage(report, seconds))
        .collect();
    Cell {
        settings: Settings {
            compression: of.compression.to_string(),
            block_bytes: of.block_bytes,
            workers: of.workers,
            destinations: sweep.places[..of.destinations]
                .iter()
                .map(ToString::to_string)
                .collect(),
        },
        seconds: Spread::of(repetitions.iter().map(|each| each.seconds)),
        megabytes_per_second: Spread::of(repetitions.iter().map(|each| megabytes / each.seconds)),
        cpu_seconds: Spread::of(repetitions.iter().map(|each| each.cpu_seconds)),
        ratio: middle.size as f64 / (middle.plain_bytes as f64).max(1.0),
        peak_memory_bytes: repetitions
            .iter()
            .filter_map(|each| each.peak_memory_bytes)
            .max(),
        budget_peak_bytes: reports
            .iter()
            .map(|report| report.budget_peak_bytes)
            .fold(middle.budget_peak_bytes, u64::max),
        budget_bytes: sweep.budget_bytes,
        bottleneck: bottleneck(&stages, seconds),
        stages,
        repetitions,
    }
}

/// In the order in which records pass them.
fn in_order(stages: &[StageReport]) -> impl Iterator<Item = &StageReport> {
    let rank = |stage: &&StageReport| match stage.name.as_str() {
        "read" => (0, 0, String::new()),
        "encode" => (1, 0, String::new()),
        // Destinations are numbered: the tenth has a longer name than the second.
        name => (2, name.len(), name.to_owned()),
    };
    let mut sorted: Vec<_> = stages.iter().collect();
    sorted.sort_by_key(rank);
    sorted.into_iter()
}

fn stage(report: &StageReport, seconds: f64) -> Stage {
    Stage {
        name: report.name.clone(),
        workers: report.workers,
        megabytes_per_second: report.bytes_in as f64 / 1e6 / seconds,
        cpu_seconds: report.cpu.map(|cpu| cpu.as_secs_f64()),
        busy_seconds: report.busy().as_secs_f64(),
        waited_for_input_seconds: report.waited_for_input.as_secs_f64(),
        waited_for_output_seconds: report.waited_for_output.as_secs_f64(),
        work: report
            .work
            .iter()
            .map(|(what, time)| Work {
                what: (*what).to_owned(),
                seconds: time.as_secs_f64(),
            })
            .collect(),
    }
}
