//! When a destination has fallen behind, and what becomes of it then.
//!
//! A destination holds up a pass while the reader waits for the budget and what is held there is held for it: others have
//! had the next step, and it has no credit for it. Being slow is no fault; being held up by it is what the policy is about.

use std::fmt;
use std::str::FromStr;

use crate::error::BackupError;

/// What becomes of a destination that falls behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LagPolicy {
    /// The pass goes on at its pace.
    Block,
    /// What it is yet to be sent waits on disk, as long as there is room; then as [`LagPolicy::Detach`], or where it can't
    /// be done without, [`LagPolicy::Block`].
    Spill,
    /// It leaves the pass, and is completed afterwards from a copy that is whole.
    Detach,
}

impl LagPolicy {
    /// As they are written.
    pub const NAMES: [&'static str; 3] = ["block", "spill", "detach"];

    /// What holds where nothing is said: a destination that the backup can't be without is waited for.
    pub fn default_for(required: bool) -> Self {
        match required {
            true => LagPolicy::Block,
            false => LagPolicy::Detach,
        }
    }
}

impl FromStr for LagPolicy {
    type Err = BackupError;

    fn from_str(text: &str) -> Result<Self, BackupError> {
        match text {
            "block" => Ok(LagPolicy::Block),
            "spill" => Ok(LagPolicy::Spill),
            "detach" => Ok(LagPolicy::Detach),
            _ => Err(BackupError::usage(
                "lag",
                format!(
                    "unknown policy {text:?}; accepted: {}",
                    Self::NAMES.join(", ")
                ),
            )),
        }
    }
}

impl fmt::Display for LagPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LagPolicy::Block => "block",
            LagPolicy::Spill => "spill",
            LagPolicy::Detach => "detach",
        })
    }
}

/// How much of the disk a pass may take for what slow destinations are yet to be sent, in bytes, where nothing else is set.
pub const SPILL_BYTES_DEFAULT: u64 = 1 << 30;

/// How long a destination may hold a pass up, all in all, where nothing else is set.
pub const LAG_PATIENCE_MS_DEFAULT: u64 = 10_000;

/// How long it may where it has taken less than half of what the fastest one has: longer than a healthy disk pauses to
/// make something durable, and not long beside any backup that fills the budget.
const SLOW_PATIENCE_MS: u64 = 100;

/// How a destination stands in a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Bytes that it has taken over.
    pub acked_bytes: u64,
    /// Bytes that the one has taken over which has taken the most.
    pub fastest_bytes: u64,
    /// For how long it has held up the pass, all in all.
    pub held_up_ms: u64,
}

impl Standing {
    /// Whether it has fallen behind, for somebody with so much patience.
    pub fn has_fallen_behind(&self, patience_ms: u64) -> bool {
        let is_slow = self.acked_bytes < self.fastest_bytes / 2;
        self.held_up_ms >= patience_ms || (is_slow && self.held_up_ms >= SLOW_PATIENCE_MS)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn only_who_holds_up_the_pass_falls_behind(
            acked_bytes in any::<u64>(),
            ahead in any::<u64>(),
            held_up_ms in 0u64..30_000,
            patience_ms in 1u64..30_000,
        ) {
            let fastest_bytes = acked_bytes.saturating_add(ahead);
            let standing = Standing { acked_bytes, fastest_bytes, held_up_ms };
            let behind = standing.has_fallen_behind(patience_ms);
            let never = Standing { held_up_ms: 0, ..standing };
            prop_assert!(!never.has_fallen_behind(patience_ms));
            let at_par = Standing { fastest_bytes: acked_bytes, ..standing };
            prop_assert_eq!(at_par.has_fallen_behind(patience_ms), held_up_ms >= patience_ms);
            // More of what speaks against it never speaks for it.
            let worse = Standing { held_up_ms: held_up_ms + 1, acked_bytes: acked_bytes / 2, ..standing };
            prop_assert!(!behind || worse.has_fallen_behind(patience_ms));
        }
    }

    #[test]
    fn a_pause_is_forgiven_and_a_hundredth_of_the_pace_is_not() {
        let pause = Standing {
            acked_bytes: 60 << 20,
            fastest_bytes: 84 << 20,
            held_up_ms: 2_000,
        };
        assert!(!pause.has_fallen_behind(LAG_PATIENCE_MS_DEFAULT));
        let slow = Standing {
            acked_bytes: 1 << 20,
            fastest_bytes: 24 << 20,
            held_up_ms: 100,
        };
        assert!(slow.has_fallen_behind(LAG_PATIENCE_MS_DEFAULT));
    }

    #[test]
    fn policies_are_said_as_they_are_read() {
        for name in LagPolicy::NAMES {
            assert_eq!(name.parse::<LagPolicy>().unwrap().to_string(), name);
        }
        assert!("wait".parse::<LagPolicy>().is_err());
    }
}
