//! Work in a task of its own, beside that of whoever waits for it.

use std::future::Future;
use std::time::Duration;

use teeline_core::{BackupError, Class};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

/// Reads `subject` in a task of its own, which ends with whoever waits for it.
///
/// # Errors
/// Those of the reading; [`Class::Permanent`] where it panicked, [`Class::Cancelled`] where the runtime shuts down.
pub async fn read_aside<T: Send + 'static>(
    subject: &str,
    reading: impl Future<Output = Result<T, BackupError>> + Send + 'static,
) -> Result<T, BackupError> {
    let task = AbortOnDropHandle::new(tokio::spawn(reading));
    task.await
        .unwrap_or_else(|error| Err(lost("read", subject, error)))
}

/// How long work on a disk may take, beside what its bytes take.
const BASE: Duration = Duration::from_secs(30);
/// The slowest rate at which these may go.
const BYTES_PER_SECOND_MIN: u64 = 256 << 10;

/// Where work is done that blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocking {
    /// On a thread for it, where it holds up nothing else.
    Aside,
    /// Where it is waited for, so that everything happens on one thread, in one order.
    Inline,
}

impl Blocking {
    /// Does it; `subject` is what it is about, in errors.
    ///
    /// # Errors
    /// [`Class::Permanent`] where it panicked, [`Class::Cancelled`] where the runtime shuts down; aside only.
    pub async fn run<T: Send + 'static>(
        self,
        subject: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BackupError> {
        match self {
            Blocking::Inline => Ok(work()),
            Blocking::Aside => {
                let done = tokio::task::spawn_blocking(work).await;
                done.map_err(|error| lost("use", subject, error))
            }
        }
    }

    /// As [`Blocking::run`], for what moves so many bytes to or from a disk. What hangs in the operating system is waited for no longer
    /// than a call to a destination would be, and goes on without anybody.
    ///
    /// # Errors
    /// As [`Blocking::run`]; [`Class::Transient`] where it isn't done in time.
    pub async fn run_in_time<T: Send + 'static>(
        self,
        subject: &str,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BackupError> {
        let at_rate = bytes as u64 * 1_000 / BYTES_PER_SECOND_MIN;
        let limit = BASE + Duration::from_millis(at_rate);
        self.run_within(subject, limit, work).await
    }

    async fn run_within<T: Send + 'static>(
        self,
        subject: &str,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BackupError> {
        let done = tokio::time::timeout(limit, self.run(subject, work));
        done.await.unwrap_or_else(|_| {
            let message = format!("timed out after {} ms", limit.as_millis());
            Err(BackupError::new(Class::Transient, "use", subject, message))
        })
    }
}

fn lost(operation: &str, subject: &str, error: JoinError) -> BackupError {
    let (class, message) = match error.is_cancelled() {
        true => (Class::Cancelled, "the runtime is shutting down"),
        false => (Class::Permanent, "the code that does it panicked"),
    };
    BackupError::new(class, operation, subject, message).because(error)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_hangs_is_not_waited_for() {
        let (ends, hangs) = mpsc::channel::<()>();
        let limit = Duration::from_millis(10);
        let work = move || hangs.recv().is_err();
        let error = Blocking::Aside.run_within("a folder", limit, work).await;
        let error = error.unwrap_err();
        assert_eq!(error.class(), Class::Transient);
        assert!(
            error.to_string().contains("timed out after 10 ms"),
            "{error}"
        );
        drop(ends);
        let done = Blocking::Aside.run_in_time("a folder", 1, || 7).await;
        assert_eq!(done.unwrap(), 7);
    }
}
