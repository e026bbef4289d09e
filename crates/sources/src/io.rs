//! Where blocking calls run.

use teeline_core::{BackupError, Class};

/// Where blocking calls run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Io {
    /// On the runtime's threads for blocking work, so that no other task waits for them.
    #[default]
    Pool,
    /// Where they are made. For simulations, in which everything happens on one thread in one order.
    Inline,
}

impl Io {
    /// Does `work`, which ends in a time that is known.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BackupError> {
        match self {
            Io::Inline => Ok(work()),
            Io::Pool => tokio::task::spawn_blocking(work).await.map_err(|error| {
                BackupError::new(Class::Permanent, "read", "the source", "its reader failed")
                    .because(error)
            }),
        }
    }

    /// Does `work`, which may never end. A runtime that shuts down waits for its own blocking threads, so it gets
    /// another one.
    pub(crate) async fn run_alone<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BackupError> {
        if self == Io::Inline {
            return Ok(work());
        }
        let failed =
            || BackupError::new(Class::Permanent, "read", "the source", "its reader failed");
        let (done, result) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("teeline-read".to_owned())
            .spawn(move || drop(done.send(work())))
            .map_err(|error| failed().because(error))?;
        result.await.map_err(|error| failed().because(error))
    }
}
