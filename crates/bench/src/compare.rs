//! What changed between two reports, beyond the noise of both.

use std::fmt;

use serde::Serialize;
use teeline::BackupError;

use crate::report::{BenchReport, Cell, Settings};

/// Differences below this part are noise whatever the repetitions say.
const NOISE_MIN: f64 = 0.01;

/// Two reports side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// The cells that both have.
    pub changes: Vec<Change>,
    /// How many cells only one has.
    pub only_one: usize,
}

/// What changed of one cell.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Which.
    pub settings: Settings,
    /// How much longer it takes, as a part of what it took: -0.1 is a tenth less.
    pub longer: f64,
    /// How much of that may be noise. None where that isn't known, since one of the two was measured only once.
    pub noise: Option<f64>,
    /// Whether it is more than noise.
    pub is_real: bool,
}

/// What changed from `old` to `new`.
///
/// # Errors
/// Where they are of other data, or have no combination of settings in common.
pub fn compare(old: &BenchReport, new: &BenchReport) -> Result<Comparison, BackupError> {
    // Where the records came from may be written in several ways.
    if (old.data.records, old.data.bytes) != (new.data.records, new.data.bytes) {
        let message = format!(
            "the older figures are of {} records in {} bytes, the new ones of {} in {}",
            old.data.records, old.data.bytes, new.data.records, new.data.bytes
        );
        return Err(BackupError::usage("--compare", message)
            .suggest("measure with the same records: --from, or --records, --record-size, --redundancy and --seed"));
    }
    let mut changes = Vec::new();
    for cell in &new.cells {
        let before = old
            .cells
            .iter()
            .find(|before| before.settings == cell.settings);
        changes.extend(before.map(|before| Change::between(before, cell)));
    }
    if changes.is_empty() {
        let message = "the older figures are of other combinations of settings and destinations";
        return Err(BackupError::usage("--compare", message)
            .suggest("measure at least one of those that it has"));
    }
    let only_one = old.cells.len() + new.cells.len() - 2 * changes.len();
    Ok(Comparison { changes, only_one })
}

impl Change {
    fn between(old: &Cell, new: &Cell) -> Self {
        let longer = new.seconds.median / old.seconds.median.max(f64::MIN_POSITIVE) - 1.0;
        let is_known = old.repetitions.len().min(new.repetitions.len()) > 1;
        let noise = (old.seconds.noise() + new.seconds.noise()).max(NOISE_MIN);
        Change {
            settings: new.settings.clone(),
            longer,
            noise: is_known.then_some(noise),
            is_real: is_known && longer.abs() > noise,
        }
    }
}

impl Comparison {
    /// Whether any cell takes longer by more than this part, beyond the noise.
    pub fn is_slower_by(&self, part: f64) -> bool {
        self.changes
            .iter()
            .any(|change| change.is_real && change.longer > part)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            let Settings {
                compression,
                block_bytes,
                workers,
                destinations,
            } = &change.settings;
            write!(
                f,
                "{compression}, {}K, {workers} workers, to {}: ",
                block_bytes >> 10,
                destinations.len()
            )?;
            let percent = change.longer.abs() * 100.0;
            let Some(noise) = change.noise.map(|noise| noise * 100.0) else {
                let percent = change.longer * 100.0;
                writeln!(
                    f,
                    "{percent:+.1} %, of which one backup doesn't say whether it is noise"
                )?;
                continue;
            };
            match (change.is_real, change.longer > 0.0) {
                (false, _) => writeln!(f, "no change beyond the noise (±{noise:.1} %)")?,
                (true, true) => writeln!(f, "takes {percent:.1} % longer (±{noise:.1} %)")?,
                (true, false) => writeln!(f, "takes {percent:.1} % less (±{noise:.1} %)")?,
            }
        }
        match self.only_one {
            0 => Ok(()),
            1 => writeln!(f, "1 combination was measured in one of the two only"),
            many => writeln!(
                f,
                "{many} combinations were measured in one of the two only"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{MeasuredData, Repetition};
    use crate::stats::Spread;

    fn report(seconds: &[f64]) -> BenchReport {
        let spread = Spread::of(seconds.iter().copied());
        let repetition = |seconds: &f64| Repetition {
            seconds: *seconds,
            cpu_seconds: *seconds,
            retries: 0,
            stored_bytes: 1,
            peak_memory_bytes: None,
        };
        let cell = Cell {
            settings: Settings {
                compression: "none".to_owned(),
                block_bytes: 1 << 20,
                workers: 2,
                destinations: vec!["null:".to_owned()],
            },
            seconds: spread,
            megabytes_per_second: spread,
            cpu_seconds: spread,
            ratio: 1.0,
            peak_memory_bytes: None,
            budget_peak_bytes: 0,
            budget_bytes: 0,
            bottleneck: String::new(),
            stages: Vec::new(),
            repetitions: seconds.iter().map(repetition).collect(),
        };
        BenchReport {
            written_by: String::new(),
            processors: 2,
            data: MeasuredData {
                from: String::new(),
                records: 1,
                bytes: 1,
            },
            warm_up: 0,
            repeats: seconds.len(),
            cells: vec![cell],
        }
    }

    #[test]
    fn only_what_is_beyond_the_noise_of_both_is_a_change() {
        let old = report(&[1.0, 1.02, 0.98]);
        for (new, is_real, words) in [
            (&[1.5, 1.52, 1.48][..], true, "takes 50.0 % longer"),
            (&[0.5, 0.51, 0.49], true, "takes 50.0 % less"),
            (&[1.02, 1.03, 1.01], false, "no change beyond the noise"),
            (&[1.2, 1.7, 1.0], false, "no change beyond the noise"),
            (&[2.0], false, "+100.0 %, of which one backup"),
        ] {
            let comparison = compare(&old, &report(new)).unwrap();
            assert_eq!(comparison.changes[0].is_real, is_real, "{new:?}");
            assert!(comparison.to_string().contains(words), "{comparison}");
            assert_eq!(comparison.is_slower_by(0.1), new[0] == 1.5, "{new:?}");
            assert!(!comparison.is_slower_by(0.6));
        }
    }

    #[test]
    fn what_is_not_comparable_is_refused() {
        let (old, mut new) = (report(&[1.0, 1.0]), report(&[1.0, 1.0]));
        new.data.records = 2;
        assert!(compare(&old, &new).is_err());
        new.data.records = 1;
        new.cells[0].settings.workers = 1;
        assert!(compare(&old, &new).is_err());
        new.cells.push(old.cells[0].clone());
        let comparison = compare(&old, &new).unwrap();
        assert_eq!((comparison.changes.len(), comparison.only_one), (1, 1));
        assert!(comparison.to_string().contains("1 combination was"));
    }
}
