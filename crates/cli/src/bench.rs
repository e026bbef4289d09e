//! `teeline bench`: from what was typed to a sweep, and its report to wherever it is wanted.

use std::fs;
use std::path::Path;

use serde::Serialize;
use teeline::{BackupError, Cancel, Class, exit};
use teeline_bench::{BenchPlace, BenchReport, Comparison, Data, Generated, Sweep};

use crate::args::BenchArguments;
use crate::output::{Output, Problem, Shown};
use crate::progress::Progress;

/// Measures what was asked for, and prints it.
pub(crate) async fn bench(
    typed: &BenchArguments,
    output: &Output,
    cancel: &Cancel,
) -> Result<u8, BackupError> {
    let old = typed.compare.as_deref().map(read_report).transpose()?;
    let sweep = sweep(typed, output, cancel)?;
    for path in [&typed.csv, &typed.plot].into_iter().flatten() {
        check_writable(path)?;
    }
    let progress = Progress::start(output, "measuring");
    let measured = teeline_bench::measure(&sweep, |at| {
        progress.doing(format!("measuring: backup {} of {}", at.done + 1, at.all));
    });
    let report = measured.await;
    drop(progress);
    let report = report?;
    if let Some(path) = &typed.csv {
        write(path, &teeline_bench::csv(&report)?)?;
    }
    if let Some(path) = &typed.plot {
        write(path, &teeline_bench::plot(&report)?)?;
    }
    let comparison = old.map(|old| teeline_bench::compare(&old, &report));
    let comparison = comparison.transpose()?;
    let is_slower = match (&comparison, typed.fail_if_slower) {
        (Some(comparison), Some(part)) => comparison.is_slower_by(part),
        _ => false,
    };
    Ok(output.report(&Figures {
        with_stages: typed.stages || report.cells.len() == 1,
        report,
        comparison,
        is_slower,
    }))
}

fn sweep(typed: &BenchArguments, output: &Output, cancel: &Cancel) -> Result<Sweep, BackupError> {
    let data = match &typed.from {
        Some(path) => Data::Path(path.clone()),
        None => Data::Generated(Generated {
            records: typed.records,
            record_bytes: to_usize(typed.record_size),
            redundancy: typed.redundancy,
            seed: typed.seed,
        }),
    };
    let places: Vec<BenchPlace> = match typed.to.as_slice() {
        [] => vec![BenchPlace::parse("null:")?],
        to => to
            .iter()
            .map(|text| BenchPlace::parse(text))
            .collect::<Result<_, _>>()?,
    };
    if places.iter().any(BenchPlace::has_inline_secret) {
        output.stderr.warn(
            "--to has a secret in it, which everyone on this machine can see in the list of processes",
            "keys of the environment and of the shared AWS configuration are found without being typed",
        );
    }
    let mut sweep = Sweep::new(data, places);
    let compressions = typed.compression.iter().map(|name| name.parse());
    sweep.compressions = compressions.collect::<Result<_, _>>()?;
    sweep.levels.clone_from(&typed.level);
    sweep.block_bytes = typed.block_bytes.iter().copied().map(to_usize).collect();
    sweep.workers = typed.workers.iter().copied().map(to_usize).collect();
    sweep.destinations = typed.destinations.iter().copied().map(to_usize).collect();
    if let Some(bytes) = typed.budget_bytes {
        sweep.budget_bytes = bytes;
    }
    sweep.warm_up = to_usize(typed.warm_up);
    sweep.repeats = to_usize(typed.repeats);
    sweep.cancel = cancel.clone();
    Ok(sweep)
}

/// Figures as they are printed.
#[derive(Serialize)]
struct Figures {
    #[serde(flatten)]
    report: BenchReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<Comparison>,
    #[serde(skip)]
    with_stages: bool,
    #[serde(skip)]
    is_slower: bool,
}

impl Shown for Figures {
    fn exit_code(&self) -> u8 {
        match self.is_slower {
            true => exit::FAILED,
            false => exit::DONE,
        }
    }

    fn text(&self) -> String {
        let table = teeline_bench::table(&self.report, self.with_stages);
        match &self.comparison {
            Some(comparison) => format!("{table}\n{comparison}"),
            None => table,
        }
    }

    fn problems(&self, problems: &mut Vec<Problem>) {
        if self.is_slower {
            problems.push(Problem::new("it takes longer than --fail-if-slower allows"));
        }
    }
}

fn read_report(path: &Path) -> Result<BenchReport, BackupError> {
    let subject = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        BackupError::new(Class::Permanent, "read", &subject, &error).because(error)
    })?;
    serde_json::from_str(&text).map_err(|error| {
        BackupError::usage(
            "--compare",
            format!("{subject} has no figures of teeline bench: {error}"),
        )
        .suggest("name a file that `teeline bench --json` was redirected to")
    })
}

/// Figures that took long aren't to be lost for a folder that isn't there.
fn check_writable(path: &Path) -> Result<(), BackupError> {
    let opened = fs::OpenOptions::new().create(true).append(true).open(path);
    opened.map(drop).map_err(|error| cannot_write(path, error))
}

fn write(path: &Path, text: &str) -> Result<(), BackupError> {
    fs::write(path, text).map_err(|error| cannot_write(path, error))
}

fn cannot_write(path: &Path, error: std::io::Error) -> BackupError {
    BackupError::new(Class::Permanent, "write", path.display(), &error).because(error)
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
