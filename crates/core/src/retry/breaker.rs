//! Whether a place is asked at all. One that has failed call after call is left alone for a while, and then tried with one
//! call: so what is dead costs its callers seconds, and what comes back is noticed.
//!
//! Calls are counted that were given up, not tries: a break that repeats get over never leads here.

/// When a place is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Calls given up in a row, from which on it is left alone.
    pub given_up_max: u32,
    /// For how long at first; it doubles each time that a trial call fails.
    pub pause_initial_ms: u64,
    /// For how long at most.
    pub pause_max_ms: u64,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        BreakerPolicy {
            given_up_max: 2,
            pause_initial_ms: 1_000,
            pause_max_ms: 30_000,
        }
    }
}

/// The circuit breaker of one place: closed, calls go; open, none does; half open, one does and decides. Times are by any clock
/// that doesn't go back.
///
/// ```
/// use teeline_core::{Breaker, BreakerPolicy};
///
/// let mut breaker = Breaker::new(BreakerPolicy { given_up_max: 1, ..BreakerPolicy::default() });
/// assert!(breaker.admits(0));
/// breaker.given_up(0);
/// assert!(!breaker.admits(500));
/// assert!(breaker.admits(1_000) && !breaker.admits(1_000), "one trial call");
/// breaker.answered();
/// assert!(breaker.admits(1_001));
/// ```
#[derive(Debug, Clone)]
pub struct Breaker {
    policy: BreakerPolicy,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed {
        given_up: u32,
    },
    Open(Pause),
    /// A trial call is under way. One that never ends is followed by another when the pause is over.
    HalfOpen(Pause),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pause {
    until_ms: u64,
    length_ms: u64,
}

impl Pause {
    fn from(now_ms: u64, length_ms: u64) -> Self {
        Pause {
            until_ms: now_ms.saturating_add(length_ms),
            length_ms,
        }
    }
}

impl Breaker {
    /// Closed.
    pub fn new(policy: BreakerPolicy) -> Self {
        Breaker {
            policy,
            state: State::Closed { given_up: 0 },
        }
    }

    /// Whether a call may be made at `now_ms`. Where the place was left alone for long enough, one may.
    pub fn admits(&mut self, now_ms: u64) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open(pause) | State::HalfOpen(pause) if now_ms >= pause.until_ms => {
                self.state = State::HalfOpen(Pause::from(now_ms, pause.length_ms));
                true
            }
            State::Open(_) | State::HalfOpen(_) => false,
        }
    }

    /// Whether calls are made as ever, and repeated.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// The place has answered a call, be it with a refusal: it is there.
    pub fn answered(&mut self) {
        self.state = State::Closed { given_up: 0 };
    }

    /// A call has been given up at `now_ms`, and might have succeeded.
    pub fn given_up(&mut self, now_ms: u64) {
        let BreakerPolicy {
            given_up_max,
            pause_initial_ms,
            pause_max_ms,
        } = self.policy;
        self.state = match self.state {
            State::Closed { given_up } if given_up.saturating_add(1) < given_up_max => {
                State::Closed {
                    given_up: given_up + 1,
                }
            }
            State::Closed { .. } => State::Open(Pause::from(now_ms, pause_initial_ms)),
            State::HalfOpen(pause) => {
                let length_ms = pause.length_ms.saturating_mul(2).min(pause_max_ms);
                State::Open(Pause::from(now_ms, length_ms))
            }
            // It was under way before.
            State::Open(pause) => State::Open(pause),
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Call {
            answered: bool,
        },
        /// Admitted, and never heard of again.
        Lost,
        Wait(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => Just(Step::Call { answered: false }),
            1 => Just(Step::Call { answered: true }),
            1 => Just(Step::Lost),
            3 => (0_u64..40_000).prop_map(Step::Wait),
        ];
        proptest::collection::vec(step, 1..200)
    }

    proptest! {
        /// After an answer every call goes; after too many that were given up the next ones go one by one, at least the first
        /// pause apart; and nobody is left alone for longer than the longest one.
        #[test]
        fn the_dead_are_asked_rarely_and_never_for_the_last_time(steps in steps()) {
            let policy = BreakerPolicy::default();
            let mut breaker = Breaker::new(policy);
            let (mut now_ms, mut in_a_row, mut last_ms, mut refused_since) = (0_u64, 0, None, None);
            for step in steps {
                let answered = match step {
                    Step::Wait(ms) => {
                        now_ms += ms;
                        continue;
                    }
                    Step::Call { answered } => Some(answered),
                    Step::Lost => None,
                };
                let is_admitted = breaker.admits(now_ms);
                if in_a_row < policy.given_up_max {
                    prop_assert!(is_admitted);
                }
                if !is_admitted {
                    let since = *refused_since.get_or_insert(now_ms);
                    prop_assert!(now_ms - since < policy.pause_max_ms);
                    continue;
                }
                refused_since = None;
                if in_a_row >= policy.given_up_max {
                    let apart = last_ms.map(|last| now_ms - last);
                    prop_assert!(apart.is_none_or(|apart| apart >= policy.pause_initial_ms));
                    prop_assert!(!breaker.is_closed(), "a trial isn't repeated");
                }
                match answered {
                    Some(true) => {
                        breaker.answered();
                        in_a_row = 0;
                        last_ms = None;
                        prop_assert!(breaker.is_closed());
                    }
                    Some(false) => {
                        breaker.given_up(now_ms);
                        in_a_row += 1;
                        last_ms = Some(now_ms);
                    }
                    None if in_a_row >= policy.given_up_max => last_ms = Some(now_ms),
                    None => {}
                }
            }
        }

        #[test]
        fn a_dead_place_is_asked_a_few_times_in_any_time(seconds in 1_u64..3_600) {
            let mut breaker = Breaker::new(BreakerPolicy::default());
            let mut asked = 0;
            for now_ms in (0..seconds * 1_000).step_by(100) {
                if breaker.admits(now_ms) {
                    asked += 1;
                    breaker.given_up(now_ms);
                }
            }
            // Two at first, five while the pause doubles, and then one in thirty seconds.
            prop_assert!(asked <= 8 + seconds / 30, "{} in {} s", asked, seconds);
        }
    }
}
