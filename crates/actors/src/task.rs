//! Work in a task of its own, beside that of whoever waits for it.

use std::future::Future;

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
}

fn lost(operation: &str, subject: &str, error: JoinError) -> BackupError {
    let (class, message) = match error.is_cancelled() {
        true => (Class::Cancelled, "the runtime is shutting down"),
        false => (Class::Permanent, "the code that does it panicked"),
    };
    BackupError::new(class, operation, subject, message).because(error)
}
