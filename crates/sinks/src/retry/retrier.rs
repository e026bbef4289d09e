//! What all calls to one place have together: how often they are repeated, and whether it is asked at all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use teeline_core::{
    BackupError, Breaker, Class, ErrorReport, Random, RepeatBudget, RetryPolicy, Tries,
};
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Retrier {
    place: String,
    policy: RetryPolicy,
    random: Random,
    retries: Arc<AtomicU64>,
    since: Instant,
    shared: Mutex<Shared>,
}

#[derive(Debug)]
struct Shared {
    budget: RepeatBudget,
    breaker: Breaker,
    /// Of the last call that was given up.
    failure: Option<ErrorReport>,
}

/// What the success of a call says of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Success {
    /// It is there, and answers.
    Answer,
    /// Nothing: it may not have been asked.
    Silence,
}

impl Retrier {
    pub(super) fn new(place: String, policy: RetryPolicy, seed: u64) -> Self {
        let shared = Shared {
            budget: RepeatBudget::new(policy.repeats_max),
            breaker: Breaker::new(policy.breaker),
            failure: None,
        };
        Retrier {
            place,
            policy,
            random: Random::new(seed),
            retries: Arc::default(),
            since: Instant::now(),
            shared: Mutex::new(shared),
        }
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn retries(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.retries)
    }

    /// Begins a call, unless the place is left alone for now.
    pub(super) fn begin(&self, success: Success) -> Result<Call<'_>, BackupError> {
        let now_ms = self.now_ms();
        let mut shared = self.shared();
        if !shared.breaker.admits(now_ms) {
            return Err(self.left_alone(shared.failure.as_ref()));
        }
        Ok(Call {
            retrier: self,
            tries: Tries::new(self.policy),
            success,
        })
    }

    fn left_alone(&self, failure: Option<&ErrorReport>) -> BackupError {
        let last = failure.map_or("", |failure| failure.message.as_str());
        let message = format!(
            "left alone for a while, since {} calls in a row came to nothing; the last one: {last}",
            self.policy.breaker.given_up_max
        );
        let error = BackupError::new(Class::Transient, "use", &self.place, message);
        match failure.and_then(|failure| failure.suggestion.clone()) {
            Some(suggestion) => error.suggest(suggestion),
            None => error,
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // Plain numbers, each right by itself.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tries of one call.
pub(super) struct Call<'a> {
    retrier: &'a Retrier,
    tries: Tries,
    success: Success,
}

impl Call<'_> {
    /// Waits until the next try is due, or gives the error back where there is none.
    pub(super) async fn pause_after(&mut self, error: BackupError) -> Result<(), BackupError> {
        let retrier = self.retrier;
        let Some(pause_ms) = self.next_try(&error) else {
            return Err(error);
        };
        tracing::debug!(%error, pause_ms, failures = self.tries.failures(), "repeating");
        retrier.retries.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        Ok(())
    }

    fn next_try(&mut self, error: &BackupError) -> Option<u64> {
        let Retrier { random, .. } = self.retrier;
        let now_ms = self.retrier.now_ms();
        let mut shared = self.retrier.shared();
        let pause_ms = self.tries.failed(error, now_ms, random);
        let pause_ms = pause_ms.filter(|_| shared.breaker.is_closed() && shared.budget.take());
        match error.class() {
            _ if pause_ms.is_some() => {}
            // It says something of who called only.
            Class::Cancelled => {}
            class if class.is_retriable() => {
                shared.breaker.given_up(now_ms);
                shared.failure = Some(error.into());
            }
            _ => shared.breaker.answered(),
        }
        pause_ms
    }

    /// The call has come to its end, or has got on.
    pub(super) fn succeeded(&mut self) {
        let was_repeated = self.tries.failures() > 0;
        self.tries = Tries::new(self.retrier.policy);
        let mut shared = self.retrier.shared();
        shared.budget.succeeded(was_repeated);
        if self.success == Success::Answer {
            shared.breaker.answered();
        }
    }
}
