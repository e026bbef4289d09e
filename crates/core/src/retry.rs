//! Whether and when a call that failed is made again. It follows from the class of the failure and nothing else.
//!
//! Pauses have full jitter: anything from nothing to a bound that doubles, so that many who failed together don't come back
//! together; where the other side asked for a pause, at least half of the bound. The clock of `elapsed_max_ms` starts with
//! the first failure, not with the call, or a call that ended by its deadline would never be repeated.

use crate::error::Class;
use crate::random::Random;

/// How often a call is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a call is made at most, the first included.
    pub attempts: u32,
    /// The longest pause before the second try; it doubles from try to try.
    pub backoff_initial_ms: u64,
    /// The longest pause of all.
    pub backoff_max_ms: u64,
    /// No try starts later than this after the first one failed.
    pub elapsed_max_ms: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            attempts: 4,
            backoff_initial_ms: 100,
            backoff_max_ms: 5_000,
            elapsed_max_ms: 30_000,
        }
    }
}

/// The tries of one call.
///
/// ```
/// use teeline_core::{Class, Random, RetryPolicy, Tries};
///
/// let random = Random::new(1);
/// let mut tries = Tries::new(RetryPolicy::default());
/// assert!(tries.failed(Class::Transient, 0, &random).is_some_and(|pause_ms| pause_ms <= 100));
/// assert_eq!(tries.failed(Class::Permanent, 50, &random), None);
/// ```
#[derive(Debug)]
pub struct Tries {
    policy: RetryPolicy,
    failures: u32,
    first_failure_ms: u64,
}

impl Tries {
    /// No try yet.
    pub fn new(policy: RetryPolicy) -> Self {
        Tries {
            policy,
            failures: 0,
            first_failure_ms: 0,
        }
    }

    /// Tries that failed so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// A try has failed at `now_ms`, by any clock that doesn't go back: how many milliseconds to wait before the next one,
    /// or that there is none.
    pub fn failed(&mut self, class: Class, now_ms: u64, random: &Random) -> Option<u64> {
        let RetryPolicy {
            attempts,
            backoff_initial_ms,
            backoff_max_ms,
            elapsed_max_ms,
        } = self.policy;
        let bound_ms = backoff_initial_ms
            .saturating_mul(1 << self.failures.min(32))
            .min(backoff_max_ms);
        if self.failures == 0 {
            self.first_failure_ms = now_ms;
        }
        self.failures += 1;
        let floor_ms = match class {
            Class::Throttled => bound_ms / 2,
            _ => 0,
        };
        let pause_ms = floor_ms + random.below(bound_ms - floor_ms + 1);
        let elapsed_ms = now_ms.saturating_sub(self.first_failure_ms);
        let in_time = elapsed_ms.saturating_add(pause_ms) <= elapsed_max_ms;
        (class.is_retriable() && self.failures < attempts && in_time).then_some(pause_ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pauses_and_tries_keep_to_their_bounds(seed: u64, steps in proptest::collection::vec((0_u64..5_000, any::<bool>()), 1..60)) {
            let (policy, random) = (RetryPolicy { attempts: 20, ..RetryPolicy::default() }, Random::new(seed));
            let mut tries = Tries::new(policy);
            let mut now_ms = 0;
            let mut first_ms = None;
            for (took_ms, throttled) in steps {
                now_ms += took_ms;
                first_ms.get_or_insert(now_ms);
                let class = if throttled { Class::Throttled } else { Class::Transient };
                let Some(pause_ms) = tries.failed(class, now_ms, &random) else { break };
                let bound_ms = (100 << (tries.failures() - 1).min(32)).min(5_000);
                prop_assert!(pause_ms <= bound_ms && (!throttled || pause_ms >= bound_ms / 2));
                now_ms += pause_ms;
                prop_assert!(now_ms - first_ms.unwrap_or(0) <= policy.elapsed_max_ms);
            }
            prop_assert!(tries.failures() <= policy.attempts);
        }
    }
}
