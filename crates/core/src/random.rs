//! Numbers that look random and follow from a seed, so that a test which failed can be run again (SplitMix64).

use std::sync::atomic::{AtomicU64, Ordering};

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// A sequence that several calls may draw from at once. Not for secrets, nor for ids.
///
/// ```
/// use teeline_core::Random;
/// assert_eq!(Random::new(7).next(), Random::new(7).next());
/// ```
#[derive(Debug)]
pub struct Random(AtomicU64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Random(AtomicU64::new(seed))
    }

    /// The next number.
    pub fn next(&self) -> u64 {
        let state = self
            .0
            .fetch_add(GAMMA, Ordering::Relaxed)
            .wrapping_add(GAMMA);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to and without `end`; 0 where that is 0.
    pub fn below(&self, end: u64) -> u64 {
        // The bias of the remainder is of no account at these sizes.
        self.next().checked_rem(end).unwrap_or(0)
    }

    /// Whether something of this probability happens.
    pub fn happens(&self, probability: f64) -> bool {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        unit < probability
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn the_seed_decides() {
        let draw = |seed| {
            let random = Random::new(seed);
            [random.next(), random.next(), random.next()]
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        // The reference sequence of SplitMix64.
        assert_eq!(Random::new(0).next(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn probabilities_are_kept() {
        let random = Random::new(1);
        let hits = (0..10_000).filter(|_| random.happens(0.3)).count();
        assert!((2_800..3_200).contains(&hits), "{hits}");
        assert!(!random.happens(0.0));
        assert!(random.happens(1.0));
        assert_eq!(random.below(0), 0);
        assert!((0..100).all(|_| random.below(3) < 3));
    }
}
