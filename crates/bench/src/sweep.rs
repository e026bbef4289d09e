//! What is measured: every combination of some settings.

use teeline::{BackupError, Cancel, Compression, budget_bytes_default};

use crate::data::Data;
use crate::place::BenchPlace;

/// The combinations to measure, and how often.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Sweep {
    /// What is backed up.
    pub data: Data,
    /// Where to.
    pub places: Vec<BenchPlace>,
    /// How chunks are compressed; gzip.
    pub compressions: Vec<Compression>,
    /// Their levels; those that each compression has by default. One that a compression doesn't have is left out for it.
    pub levels: Vec<u8>,
    /// Bytes of blocks; what suits each compression.
    pub block_bytes: Vec<usize>,
    /// Threads that compress; as many as there are processors.
    pub workers: Vec<usize>,
    /// How many of the destinations, from the first; all.
    pub destinations: Vec<usize>,
    /// The engine's budget in bytes; as an engine has it by default.
    pub budget_bytes: u64,
    /// Repetitions of each combination that aren't counted; 1.
    pub warm_up: usize,
    /// Repetitions that are; 3.
    pub repeats: usize,
    /// Ends it early; what was written is removed all the same.
    pub cancel: Cancel,
}

/// One combination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Combination {
    pub(crate) compression: Compression,
    pub(crate) block_bytes: usize,
    pub(crate) workers: usize,
    pub(crate) destinations: usize,
}

impl Sweep {
    /// One combination: every default, to all of these places.
    pub fn new(data: Data, places: Vec<BenchPlace>) -> Self {
        Sweep {
            data,
            places,
            compressions: vec![Compression::default()],
            levels: Vec::new(),
            block_bytes: Vec::new(),
            workers: Vec::new(),
            destinations: Vec::new(),
            budget_bytes: budget_bytes_default(),
            warm_up: 1,
            repeats: 3,
            cancel: Cancel::new(),
        }
    }

    pub(crate) fn combinations(&self) -> Result<Vec<Combination>, BackupError> {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let workers = or_default(&self.workers, processors);
        let destinations = or_default(&self.destinations, self.places.len());
        if let Some(many) = destinations
            .iter()
            .find(|many| !(1..=self.places.len()).contains(*many))
        {
            let message = format!("{many} of {} destinations", self.places.len());
            return Err(BackupError::usage("--destinations", message)
                .suggest("give --to for each, and numbers from 1 to how many there are"));
        }
        let mut combinations = Vec::new();
        for compression in self.with_levels()? {
            for block_bytes in or_default(&self.block_bytes, compression.block_bytes_default()) {
                for workers in &workers {
                    combinations.extend(destinations.iter().map(|destinations| Combination {
                        compression,
                        block_bytes,
                        workers: *workers,
                        destinations: *destinations,
                    }));
                }
            }
        }
        Ok(combinations)
    }

    fn with_levels(&self) -> Result<Vec<Compression>, BackupError> {
        let mut all = Vec::new();
        for compression in &self.compressions {
            let has = |level: &u8| {
                compression
                    .levels()
                    .is_some_and(|levels| levels.contains(level))
            };
            let levels: Vec<_> = self.levels.iter().copied().filter(has).collect();
            if levels.is_empty() {
                all.push(*compression);
            }
            for level in levels {
                all.push(compression.with_level(level)?);
            }
        }
        for level in &self.levels {
            let is_used = |compression: &Compression| {
                compression
                    .with_level(*level)
                    .is_ok_and(|at| at == *compression)
            };
            if !all.iter().any(is_used) {
                let message = format!("{level} is a level of none of the compressions");
                return Err(BackupError::usage("--level", message));
            }
        }
        Ok(all)
    }
}

fn or_default(values: &[usize], default: usize) -> Vec<usize> {
    match values {
        [] => vec![default],
        values => values.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Generated;

    #[test]
    fn every_combination_comes_once() {
        let places = ["null:", "memory:"].map(|place| BenchPlace::parse(place).unwrap());
        let mut sweep = Sweep::new(Data::Generated(Generated::default()), places.to_vec());
        assert_eq!(sweep.combinations().unwrap().len(), 1);
        sweep.compressions = Compression::NAMES
            .map(|name| name.parse().unwrap())
            .to_vec();
        sweep.levels = vec![1, 15];
        sweep.workers = vec![1, 2];
        sweep.destinations = vec![1, 2];
        // zstd has both levels, none has none, the others have level 1 only.
        let combinations = sweep.combinations().unwrap();
        assert_eq!(combinations.len(), (1 + 2 + 1 + 1 + 1) * 2 * 2);
        let zstd = |of: &&Combination| matches!(of.compression, Compression::Zstd { .. });
        assert!(
            combinations
                .iter()
                .filter(zstd)
                .all(|of| of.block_bytes == 2 << 20)
        );
        sweep.levels = vec![20];
        assert!(sweep.combinations().is_err());
        sweep.levels.clear();
        sweep.destinations = vec![3];
        assert!(sweep.combinations().is_err());
    }
}
