//! Whether and when a call that failed is made again. It follows from the class of the failure, and from the pause that the
//! other side asked for, and nothing else.
//!
//! Pauses have full jitter: anything from nothing to a bound that doubles, so that many who failed together don't come back
//! together; from a server that is too busy at least half of the bound; and on top of a pause that was asked for by its length.
//! The clock of `elapsed_max_ms` starts with the first failure, not with the call, or a call that ended by its deadline would
//! never be repeated; while the other side has asked to wait it stands still.
//!
//! What many calls have together is beside it: how many repeats there are in all ([`RepeatBudget`]), and whether a place is asked
//! at all ([`Breaker`]).

mod after;
mod breaker;
mod budget;

pub use after::retry_after_ms;
pub use breaker::{Breaker, BreakerPolicy};
pub use budget::RepeatBudget;

use crate::error::{BackupError, Class};
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
    /// No try starts later than this after the first one failed, pauses that the other side asked for not counted.
    pub elapsed_max_ms: u64,
    /// The longest pause that is made because it was asked for. Where more is asked for there is no other try.
    pub asked_pause_max_ms: u64,
    /// Repeats that all calls together may make without one that succeeds.
    pub repeats_max: u32,
    /// When it isn't asked any more.
    pub breaker: BreakerPolicy,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            attempts: 4,
            backoff_initial_ms: 100,
            backoff_max_ms: 5_000,
            elapsed_max_ms: 30_000,
            asked_pause_max_ms: 60_000,
            repeats_max: 100,
            breaker: BreakerPolicy::default(),
        }
    }
}

/// The tries of one call.
///
/// ```
/// use teeline_core::{BackupError, Class, Random, RetryPolicy, Tries};
///
/// let random = Random::new(1);
/// let mut tries = Tries::new(RetryPolicy::default());
/// let busy = BackupError::new(Class::Throttled, "read", "x", "slow down").wait(Some(2_000));
/// assert!(tries.failed(&busy, 0, &random).is_some_and(|pause_ms| (2_050..=2_100).contains(&pause_ms)));
/// let lost = BackupError::new(Class::Transient, "read", "x", "reset");
/// assert!(tries.failed(&lost, 2_100, &random).is_some_and(|pause_ms| pause_ms <= 200));
/// let refused = BackupError::new(Class::Permanent, "read", "x", "no");
/// assert_eq!(tries.failed(&refused, 2_300, &random), None);
/// ```
#[derive(Debug)]
pub struct Tries {
    policy: RetryPolicy,
    failures: u32,
    first_failure_ms: u64,
    /// All pauses that were asked for.
    asked_ms: u64,
}

impl Tries {
    /// No try yet.
    pub fn new(policy: RetryPolicy) -> Self {
        Tries {
            policy,
            failures: 0,
            first_failure_ms: 0,
            asked_ms: 0,
        }
    }

    /// Tries that failed so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// A try has failed at `now_ms`, by any clock that doesn't go back: how many milliseconds to wait before the next one,
    /// or that there is none.
    pub fn failed(&mut self, error: &BackupError, now_ms: u64, random: &Random) -> Option<u64> {
        let policy = self.policy;
        let bound_ms = policy
            .backoff_initial_ms
            .saturating_mul(1 << self.failures.min(32))
            .min(policy.backoff_max_ms);
        if self.failures == 0 {
            self.first_failure_ms = now_ms;
        }
        self.failures += 1;
        let floor_ms = match error.class() {
            Class::Throttled => bound_ms / 2,
            _ => 0,
        };
        let asked_ms = error.wait_ms().unwrap_or(0);
        let pause_ms = floor_ms + random.below(bound_ms - floor_ms + 1);
        let elapsed_ms = now_ms
            .saturating_sub(self.first_failure_ms)
            .saturating_sub(self.asked_ms);
        let in_time = elapsed_ms.saturating_add(pause_ms) <= policy.elapsed_max_ms;
        self.asked_ms = self.asked_ms.saturating_add(asked_ms);
        let is_repeated = error.class().is_retriable()
            && self.failures < policy.attempts
            && asked_ms <= policy.asked_pause_max_ms
            && in_time;
        is_repeated.then(|| asked_ms.saturating_add(pause_ms))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn failure(class: Class, asked_ms: Option<u64>) -> BackupError {
        BackupError::new(class, "read", "x", "no").wait(asked_ms)
    }

    proptest! {
        #[test]
        fn pauses_and_tries_keep_to_their_bounds(
            seed: u64,
            steps in proptest::collection::vec((0_u64..5_000, any::<bool>(), proptest::option::of(0_u64..80_000)), 1..60),
        ) {
            let (policy, random) = (RetryPolicy { attempts: 20, ..RetryPolicy::default() }, Random::new(seed));
            let mut tries = Tries::new(policy);
            let (mut now_ms, mut all_asked_ms) = (0, 0);
            let mut first_ms = None;
            for (took_ms, throttled, asked_ms) in steps {
                now_ms += took_ms;
                first_ms.get_or_insert(now_ms);
                let class = if throttled { Class::Throttled } else { Class::Transient };
                let Some(pause_ms) = tries.failed(&failure(class, asked_ms), now_ms, &random) else { break };
                let asked_ms = asked_ms.unwrap_or(0);
                prop_assert!(asked_ms <= policy.asked_pause_max_ms);
                all_asked_ms += asked_ms;
                let bound_ms = (100 << (tries.failures() - 1).min(32)).min(5_000);
                let own_ms = pause_ms - asked_ms;
                prop_assert!(own_ms <= bound_ms && (!throttled || own_ms >= bound_ms / 2));
                now_ms += pause_ms;
                prop_assert!(now_ms - first_ms.unwrap_or(0) <= policy.elapsed_max_ms + all_asked_ms);
            }
            prop_assert!(tries.failures() <= policy.attempts);
        }

        /// So that those who failed together don't come back together.
        #[test]
        fn pauses_differ(seed: u64) {
            let random = Random::new(seed);
            let error = failure(Class::Transient, None);
            let first = || Tries::new(RetryPolicy::default()).failed(&error, 0, &random);
            let pauses: std::collections::BTreeSet<_> = (0..64).map(|_| first()).collect();
            let bound = RetryPolicy::default().backoff_initial_ms;
            prop_assert!(pauses.len() > 16, "{pauses:?}");
            let least = pauses.iter().flatten().min().copied().unwrap_or(bound);
            let most = pauses.iter().flatten().max().copied().unwrap_or(0);
            prop_assert!(least < bound / 4 && most > bound * 3 / 4, "{least} to {most} of {bound}");
        }

        #[test]
        fn only_what_may_succeed_is_repeated(seed: u64, asked_ms in proptest::option::of(0_u64..1_000)) {
            for class in [Class::Permanent, Class::NotFound, Class::Archived, Class::Conflict, Class::Corrupt, Class::Cancelled] {
                let mut tries = Tries::new(RetryPolicy::default());
                prop_assert_eq!(tries.failed(&failure(class, asked_ms), 0, &Random::new(seed)), None);
            }
        }
    }
}
