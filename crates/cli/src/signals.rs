//! Ctrl-C and SIGTERM: the first ends the run cleanly, the second ends the process.
//!
//! A thread of its own listens, and another one says so, so that neither a full pipe nor a hanging call holds the second one up.

use teeline::{BackupError, Cancel, Class, exit};
use tokio::sync::watch;

use crate::output::Stderr;

/// Whether the run was interrupted.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    /// What operations are given.
    pub(crate) cancel: Cancel,
    interrupted: watch::Receiver<bool>,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// Where the operating system doesn't allow it.
    pub(crate) fn listen(stderr: Stderr) -> Result<Self, BackupError> {
        let cancel = Cancel::new();
        let (interrupt, interrupted) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(cannot_listen)?;
        let entered = runtime.enter();
        let mut arrivals = Arrivals::new().map_err(cannot_listen)?;
        drop(entered);
        let listening = cancel.clone();
        let listen = move || {
            runtime.block_on(arrivals.next());
            let say = move || stderr.line("interrupted: cleaning up; once more ends it at once");
            // Where there can't be a thread more, it isn't said.
            let _ = std::thread::Builder::new()
                .name("teeline-interrupted".to_owned())
                .spawn(say);
            listening.cancel();
            interrupt.send_replace(true);
            runtime.block_on(arrivals.next());
            std::process::exit(i32::from(exit::INTERRUPTED));
        };
        std::thread::Builder::new()
            .name("teeline-signals".to_owned())
            .spawn(listen)
            .map_err(cannot_listen)?;
        Ok(Signals {
            cancel,
            interrupted,
        })
    }

    /// Runs what can be dropped at any moment, until it is interrupted.
    ///
    /// # Errors
    /// Of class [`Cancelled`](Class::Cancelled), where it was.
    pub(crate) async fn guard<T>(
        &self,
        operation: impl Future<Output = T>,
    ) -> Result<T, BackupError> {
        let mut interrupted = self.interrupted.clone();
        tokio::select! {
            done = operation => Ok(done),
            Ok(_) = interrupted.wait_for(|interrupted| *interrupted) => Err(BackupError::cancelled("the command")),
        }
    }
}

fn cannot_listen(error: std::io::Error) -> BackupError {
    BackupError::new(Class::Permanent, "listen", "for signals", &error).because(error)
}

#[cfg(unix)]
struct Arrivals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Arrivals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Arrivals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Arrivals;

#[cfg(not(unix))]
impl Arrivals {
    fn new() -> std::io::Result<Self> {
        Ok(Arrivals)
    }

    async fn next(&mut self) {
        // Without a way to be told, there is nothing to wait for but the end of the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
