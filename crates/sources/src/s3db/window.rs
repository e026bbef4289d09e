//! How many calls to a server are worth having under way: a window that follows what the server can take.
//!
//! It compares how long a call takes with how long the fastest one took. As long as that isn't much longer, another call
//! costs nothing and the window grows; where it is, calls wait for each other and it shrinks; where the server asks for a
//! pause it is halved. (As TCP Vegas does it, and the gradient limit of Netflix's concurrency-limits.)
//!
//! Invariant: between [`CALLS_MIN`] and the bound that it was made with, whatever happens.

/// Enough to learn how long calls take.
const CALLS_INITIAL: f64 = 16.0;
/// Fewer would be slower than the server ever asks for.
pub(super) const CALLS_MIN: usize = 2;
/// Calls may take this much longer than the fastest before the window shrinks: object stores answer unevenly even where
/// nothing waits.
const TOLERANCE: f64 = 4.0;
/// Calls may take this long, however fast the fastest was. Against a server that is near, a few calls that wait keep it and
/// us busy, and waiting costs nobody anything; without this a backup read a fifth less (`benches/s3db.sh`).
const PATIENCE_MS: f64 = 30.0;
/// The fastest call counts for less with each one that follows, since servers get slower too.
const FASTEST_GROWTH: f64 = 1.000_05;
/// The share of a new estimate in the window.
const WINDOW_SHARE: f64 = 0.2;
/// Room for calls to wait in: what lets the window find out that more would go.
const ROOM: f64 = 4.0;

#[derive(Debug, Clone)]
pub(super) struct Window {
    calls: f64,
    calls_max: f64,
    /// How long the fastest call took.
    fastest_ms: f64,
    /// Calls that were under way when it was last halved, and haven't ended: their throttling says nothing new.
    halved_under: usize,
}

impl Window {
    pub(super) fn new(calls_max: usize) -> Self {
        let calls_max = calls_max.max(CALLS_MIN) as f64;
        Window {
            calls: CALLS_INITIAL.min(calls_max),
            calls_max,
            fastest_ms: f64::INFINITY,
            halved_under: 0,
        }
    }

    /// How many calls may be under way.
    pub(super) fn calls(&self) -> usize {
        // Within its bounds it is a small whole number.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "held between CALLS_MIN and calls_max"
        )]
        let calls = self.calls as usize;
        calls.max(CALLS_MIN)
    }

    /// A call was answered after so many milliseconds, with so many under way.
    pub(super) fn answered(&mut self, took_ms: f64, under_way: usize) {
        self.halved_under = self.halved_under.saturating_sub(1);
        let took_ms = took_ms.max(0.01);
        self.fastest_ms = (self.fastest_ms * FASTEST_GROWTH).min(took_ms);
        // A window that isn't used teaches nothing.
        if under_way * 2 < self.calls() {
            return;
        }
        let tolerated_ms = (TOLERANCE * self.fastest_ms).max(PATIENCE_MS);
        let gradient = (tolerated_ms / took_ms).clamp(0.5, 1.0);
        let estimate = self.calls * gradient + ROOM;
        let calls = self.calls * (1.0 - WINDOW_SHARE) + estimate * WINDOW_SHARE;
        self.calls = calls.clamp(CALLS_MIN as f64, self.calls_max);
    }

    /// The server asked for a pause, with so many calls under way.
    pub(super) fn throttled(&mut self, under_way: usize) {
        if self.halved_under > 0 {
            self.halved_under -= 1;
            return;
        }
        self.calls = (self.calls / 2.0).max(CALLS_MIN as f64);
        self.halved_under = under_way.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A server that answers `parallel` calls at once in `base_ms`; more wait for each other.
    fn settle(window: &mut Window, parallel: usize, base_ms: f64, calls: usize) {
        for _ in 0..calls {
            let under_way = window.calls();
            let queued = (under_way as f64 / parallel as f64).max(1.0);
            window.answered(base_ms * queued, under_way);
        }
    }

    #[test]
    fn it_finds_what_a_server_can_take() {
        let calls_for = |parallel| {
            let mut window = Window::new(256);
            settle(&mut window, parallel, 20.0, 3_000);
            window.calls()
        };
        let (small, large, huge) = (calls_for(4), calls_for(40), calls_for(4_000));
        assert!((16..128).contains(&small), "{small}");
        assert!((160..256).contains(&large), "{large}");
        assert_eq!(huge, 256, "as many as there may be");
    }

    #[test]
    fn a_server_that_is_near_is_kept_busy() {
        let mut window = Window::new(256);
        settle(&mut window, 2, 0.25, 3_000);
        let calls = window.calls();
        assert!(
            (200..256).contains(&calls),
            "{calls}: calls that take 30 ms"
        );
    }

    #[test]
    fn one_wave_of_throttling_halves_it_once() {
        let mut window = Window::new(64);
        for _ in 0..16 {
            window.throttled(16);
        }
        assert_eq!(window.calls(), 8);
        window.throttled(8);
        assert_eq!(window.calls(), 4);
    }

    proptest! {
        #[test]
        fn it_keeps_to_its_bounds(
            calls_max in 0_usize..300,
            events in proptest::collection::vec((any::<bool>(), 0.0_f64..1e6, 0_usize..300), 0..500),
        ) {
            let mut window = Window::new(calls_max);
            for (answered, took_ms, under_way) in events {
                match answered {
                    true => window.answered(took_ms, under_way),
                    false => window.throttled(under_way),
                }
                prop_assert!((CALLS_MIN..=calls_max.max(CALLS_MIN)).contains(&window.calls()));
            }
        }
    }
}
