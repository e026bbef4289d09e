//! How many repeats a run has in all at one place, so that many calls that fail together aren't many times as many.

/// Tokens are counted in tenths of a repeat.
const TENTHS: u32 = 10;

/// Repeats that are left. Each takes one; a call that succeeds gives one back if it was repeated, else a tenth. So without a
/// success between them there are never more than at the start, and with them a call costs two tries on the average.
///
/// ```
/// use teeline_core::RepeatBudget;
///
/// let mut budget = RepeatBudget::new(2);
/// assert!(budget.take() && budget.take() && !budget.take());
/// budget.succeeded(true);
/// assert!(budget.take() && !budget.take());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepeatBudget {
    tenths: u32,
    tenths_max: u32,
}

impl RepeatBudget {
    /// With so many repeats, which is also the most that it ever has.
    pub fn new(repeats: u32) -> Self {
        let tenths_max = repeats.saturating_mul(TENTHS);
        RepeatBudget {
            tenths: tenths_max,
            tenths_max,
        }
    }

    /// Takes a repeat, if one is left.
    pub fn take(&mut self) -> bool {
        let left = self.tenths.checked_sub(TENTHS);
        self.tenths = left.unwrap_or(self.tenths);
        left.is_some()
    }

    /// A call has succeeded, with or without repeats.
    pub fn succeeded(&mut self, was_repeated: bool) {
        let returned = if was_repeated { TENTHS } else { 1 };
        self.tenths = self.tenths.saturating_add(returned).min(self.tenths_max);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn repeats_are_bounded_however_many_calls_there_are(
            repeats in 0_u32..50,
            calls in proptest::collection::vec((1_u32..6, any::<bool>()), 0..400),
        ) {
            let mut budget = RepeatBudget::new(repeats);
            let (mut taken, mut since_success, mut successes) = (0, 0, 0);
            for (wanted, succeeds) in calls {
                let made = (0..wanted).take_while(|_| budget.take()).count();
                let made = u32::try_from(made).unwrap();
                taken += made;
                since_success += made;
                prop_assert!(since_success <= repeats);
                prop_assert!(taken <= repeats + successes);
                if succeeds {
                    budget.succeeded(made > 0);
                    successes += 1;
                    since_success = 0;
                }
            }
        }

        #[test]
        fn what_rarely_fails_is_always_repeated(calls in 1_u32..2_000) {
            let mut budget = RepeatBudget::new(1);
            for call in 0..calls {
                let fails = call % 3 == 0;
                prop_assert!(!fails || budget.take());
                budget.succeeded(fails);
            }
        }
    }
}
