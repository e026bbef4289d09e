//! What changed between two reports, beyond the noise of both.

use std::fmt;

use crate::report::{BenchReport, Settings};

/// Differences below this part are noise whatever the repetitions say.
const NOISE_MIN: f64 = 0.01;

/// Two reports side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The cells that both have.
    pub changes: Vec<Change>,
    /// The cells that only one has.
    pub only_one: usize,
}

/// What changed of one cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Which.
    pub settings: Settings,
    /// How much longer it takes, as a part of what it took: -0.1 is a tenth less.
    pub seconds: f64,
    /// How much of that may be noise.
    pub noise: f64,
}

/// What changed from `old` to `new`.
pub fn compare(old: &BenchReport, new: &BenchReport) -> Comparison {
    let mut changes = Vec::new();
    for cell in &new.cells {
        let before = old
            .cells
            .iter()
            .find(|before| before.settings == cell.settings);
        if let Some(before) = before.filter(|before| before.seconds.median > 0.0) {
            changes.push(Change {
                settings: cell.settings.clone(),
                seconds: cell.seconds.median / before.seconds.median - 1.0,
                noise: (before.seconds.noise() + cell.seconds.noise()).max(NOISE_MIN),
            });
        }
    }
    let only_one = old.cells.len() + new.cells.len() - 2 * changes.len();
    Comparison { changes, only_one }
}

impl Change {
    /// Whether it is more than noise.
    pub fn is_real(&self) -> bool {
        self.seconds.abs() > self.noise
    }
}

impl Comparison {
    /// Whether any cell takes longer by more than this part, beyond the noise.
    pub fn is_slower_by(&self, part: f64) -> bool {
        self.changes
            .iter()
            .any(|change| change.is_real() && change.seconds > part)
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
            let noise = change.noise * 100.0;
            let percent = change.seconds.abs() * 100.0;
            match (change.is_real(), change.seconds > 0.0) {
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
