//! Calls to the server of a database: as many at once as it can take, each repeated as the rule of [`RetryPolicy`] has it.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use teeline_core::{BackupError, Class, Random, RetryPolicy, Tries};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::window::Window;

/// Calls at once, however fast the server is: more would only take memory.
pub(super) const CALLS_MAX: usize = 128;

/// A backup reads far more often than it writes, and one read that fails for good fails it.
const ATTEMPTS: u32 = 7;
/// A server that asks for a pause is there, so it is worth more of them.
const ATTEMPTS_THROTTLED: u32 = 12;

/// Shared by all calls to one server.
pub(super) struct Pace {
    permits: Arc<Semaphore>,
    state: Mutex<State>,
    random: Random,
    since: Instant,
}

struct State {
    window: Window,
    /// Permits that there are: as many as the window has, plus those that are still to be taken back.
    permits: usize,
    under_way: usize,
}

impl Pace {
    pub(super) fn new(calls_max: usize) -> Self {
        let window = Window::new(calls_max);
        let permits = window.calls();
        Pace {
            permits: Arc::new(Semaphore::new(permits)),
            state: Mutex::new(State {
                window,
                permits,
                under_way: 0,
            }),
            random: Random::new(RandomState::new().hash_one(())),
            since: Instant::now(),
        }
    }

    /// Makes a call when there is room for it, and again where it fails with hope.
    pub(super) async fn call<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, BackupError>
    where
        F: Future<Output = Result<T, BackupError>>,
    {
        let (mut tries, mut throttled) = (up_to(ATTEMPTS), up_to(ATTEMPTS_THROTTLED));
        loop {
            let place = self.begin().await;
            let result = call().await;
            place.end(result.as_ref().err().map(BackupError::class));
            let error = match result {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let now_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
            let tries = match error.class() {
                Class::Throttled => &mut throttled,
                _ => &mut tries,
            };
            let Some(pause_ms) = tries.failed(&error, now_ms, &self.random) else {
                return Err(error);
            };
            tracing::debug!(%error, pause_ms, failures = tries.failures(), "repeating");
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }

    async fn begin(&self) -> Place<'_> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        self.state().under_way += 1;
        Place {
            pace: self,
            permit: Some(permit.expect("the semaphore is never closed")),
            begun: Instant::now(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plain numbers, each right by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn up_to(attempts: u32) -> Tries {
    Tries::new(RetryPolicy {
        attempts,
        ..RetryPolicy::default()
    })
}

/// A call under way. Dropped, it isn't any more, also where the caller has given it up.
struct Place<'a> {
    pace: &'a Pace,
    permit: Option<OwnedSemaphorePermit>,
    begun: Instant,
}

impl Place<'_> {
    fn end(self, failure: Option<Class>) {
        let mut state = self.pace.state();
        let under_way = state.under_way;
        match failure {
            Some(Class::Throttled) => state.window.throttled(under_way),
            // How long it takes to fail says nothing of how long it takes to serve.
            Some(_) => {}
            None => {
                let took_ms = self.begun.elapsed().as_secs_f64() * 1_000.0;
                state.window.answered(took_ms, under_way);
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.pace.state();
        state.under_way -= 1;
        let wanted = state.window.calls();
        if wanted > state.permits {
            self.pace.permits.add_permits(wanted - state.permits);
            state.permits = wanted;
        } else if wanted < state.permits
            && let Some(permit) = self.permit.take()
        {
            state.permits -= 1;
            permit.forget();
        }
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_throttling_server_gets_fewer_calls_and_none_is_lost() {
        let pace = Arc::new(Pace::new(64));
        let under_way = Arc::new(AtomicUsize::new(0));
        let refused = Arc::new(AtomicUsize::new(0));
        // It serves four at once, and refuses the others.
        let calls = (0..400).map(|number| {
            let (pace, under_way, refused) = (pace.clone(), under_way.clone(), refused.clone());
            tokio::spawn(async move {
                pace.call(|| async {
                    let others = under_way.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    under_way.fetch_sub(1, Ordering::SeqCst);
                    if others < 4 {
                        return Ok(number);
                    }
                    refused.fetch_add(1, Ordering::SeqCst);
                    Err(BackupError::new(Class::Throttled, "read", "x", "slow down"))
                })
                .await
            })
        });
        let mut served = 0;
        for call in calls.collect::<Vec<_>>() {
            served += usize::from(call.await.is_ok_and(|result| result.is_ok()));
        }
        assert!(served > 390, "{served}");
        assert!(refused.load(Ordering::SeqCst) < 200);
        let state = pace.state();
        assert_eq!(
            (state.under_way, pace.permits.available_permits()),
            (0, state.permits)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_the_server_asks_for_is_made() {
        let (pace, tries) = (Pace::new(8), AtomicUsize::new(0));
        let begun = Instant::now();
        let call = || async {
            if tries.fetch_add(1, Ordering::SeqCst) > 0 {
                return Ok(());
            }
            let error = BackupError::new(Class::Throttled, "read", "x", "slow down");
            Err(error.wait(Some(20_000)))
        };
        pace.call(call).await.unwrap();
        assert!((20_050..=20_100).contains(&begun.elapsed().as_millis()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_will_fail_again_isnt_repeated() {
        let pace = Pace::new(8);
        let tries = AtomicUsize::new(0);
        let failed = pace
            .call(|| async {
                tries.fetch_add(1, Ordering::SeqCst);
                Err::<(), _>(BackupError::new(Class::Permanent, "read", "x", "no"))
            })
            .await;
        assert_eq!((failed.is_err(), tries.into_inner()), (true, 1));
    }
}
