//! A part of a source that is read to judge the whole by.

use std::fmt;

use crate::source::Scan;

/// How much of each resource is read, at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleLimits {
    /// Records; 1,000.
    pub records: u64,
    /// Bytes, as the source counts them before it reads; 16 MiB.
    pub bytes: u64,
}

impl Default for SampleLimits {
    fn default() -> Self {
        SampleLimits {
            records: 1_000,
            bytes: 16 << 20,
        }
    }
}

/// A scan of a sample, and what it is a sample of.
pub struct Sample {
    /// Gives so much of each resource. Its plan is that of a scan of everything.
    pub scan: Box<dyn Scan>,
    /// The shares of the resources, in the order of that plan.
    pub shares: Vec<SampleShare>,
}

impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sample")
            .field("shares", &self.shares)
            .finish_non_exhaustive()
    }
}

/// How much of a resource a sample has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SampleShare {
    /// Records, or objects, that there are, where that is known before they are read.
    pub records: Option<u64>,
    /// Of them, those in the sample.
    pub sampled_records: u64,
    /// Bytes that there are, as the source counts them before it reads.
    pub bytes: u64,
    /// Of them, those in the sample.
    pub sampled_bytes: u64,
    /// Bytes of objects that are too large for a sample. They count as they are.
    pub large_bytes: u64,
}

impl SampleShare {
    /// Whether the sample is all that there is.
    pub fn is_whole(&self) -> bool {
        self.sampled_bytes == self.bytes && self.large_bytes == 0
    }

    /// A number of bytes that was found in the sample, for all that there is.
    pub fn of_bytes(&self, found: u64) -> u64 {
        let rest = scaled(found, self.bytes, self.sampled_bytes);
        rest.saturating_add(self.large_bytes)
    }

    /// A number of records that was found in the sample, for all that there are.
    pub fn of_records(&self, found: u64) -> u64 {
        match self.records {
            Some(records) => scaled(found, records, self.sampled_records),
            None => scaled(found, self.bytes, self.sampled_bytes),
        }
    }
}

/// What `found` of `sampled` comes to, of `all`.
fn scaled(found: u64, all: u64, sampled: u64) -> u64 {
    if sampled == 0 || sampled == all {
        return found;
    }
    let scaled = u128::from(found) * u128::from(all) / u128::from(sampled);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_stands_for_the_whole() {
        let share = SampleShare {
            records: Some(5_000),
            sampled_records: 1_000,
            bytes: 40_000,
            sampled_bytes: 10_000,
            large_bytes: 7,
        };
        assert_eq!(share.of_records(900), 4_500, "a tenth isn't wanted");
        assert_eq!(share.of_bytes(2_500), 10_007);
        assert!(!share.is_whole());
        let uncounted = SampleShare {
            records: None,
            large_bytes: 0,
            ..share
        };
        assert_eq!(uncounted.of_records(1_000), 4_000);
        let whole = SampleShare {
            sampled_bytes: 40_000,
            ..uncounted
        };
        assert!(whole.is_whole());
        assert_eq!((whole.of_records(3), whole.of_bytes(3)), (3, 3));
        assert_eq!(SampleShare::default().of_bytes(0), 0);
    }
}
