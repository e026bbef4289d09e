//! How long a run may take: one that takes longer is ended as its host would end it, and says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use teeline_core::{BackupError, Class, ErrorReport, Span};
use tokio::task::AbortHandle;

use crate::request::{BackupRequest, Cancel};

const SUGGESTION: &str = "give it more time (deadline), or leave who is slow behind (lag, and a strategy that can do without it)";

/// What ends a run early: its host, or its deadline.
pub(super) struct Deadline {
    ends: Cancel,
    after: Option<Duration>,
    is_reached: Arc<AtomicBool>,
    waiting: AbortHandle,
}

impl Deadline {
    /// Its time begins now.
    pub(super) fn start(request: &BackupRequest) -> Self {
        let (ends, is_reached) = (Cancel::new(), Arc::new(AtomicBool::new(false)));
        let host = request.cancel.clone();
        let after = request.deadline;
        let (run, reached) = (ends.clone(), Arc::clone(&is_reached));
        let waiting = tokio::spawn(async move {
            let passed = async {
                match after {
                    Some(after) => tokio::time::sleep(after).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = host.cancelled() => {}
                () = passed => reached.store(true, Ordering::SeqCst),
            }
            run.cancel();
        });
        Deadline {
            ends,
            after,
            is_reached,
            waiting: waiting.abort_handle(),
        }
    }

    /// Ends when the run has to.
    pub(super) fn cancel(&self) -> &Cancel {
        &self.ends
    }

    /// What is to be said of a run, or of a part of it, that ended with `error`.
    pub(super) fn told(&self, error: ErrorReport) -> ErrorReport {
        match (error.class, self.after) {
            (Class::Cancelled, Some(after)) if self.is_reached.load(Ordering::SeqCst) => {
                let after = Span::from_ms(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
                let message = format!("it wasn't done within its deadline of {after}");
                let error = BackupError::new(Class::Transient, "run", "the backup", message);
                (&error.suggest(SUGGESTION)).into()
            }
            _ => error,
        }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.waiting.abort();
    }
}
