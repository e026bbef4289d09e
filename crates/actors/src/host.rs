//! Where passes run: a runtime and an actix system of the engine's own, made and dropped on one named thread, so that
//! any host can await a pass: one with a tokio runtime, one with another, one with none.

use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix::{ArbiterHandle, System};
use teeline_core::{BackupError, Class};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use crate::encoder::Executor;
use crate::supervisor::PassReport;
use crate::wire::{Pass, Wired, wire};

/// How long a call into the operating system that hangs may hold up the end of a host.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// A running host. Dropping it stops its actors, tasks and threads, if these are its own.
#[derive(Debug)]
pub struct Host {
    runtime: Handle,
    system: System,
    arbiter: ArbiterHandle,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// Starts a host: for `Threads(n)` a runtime of so many threads, for `Inline` one of a single thread.
    ///
    /// # Errors
    /// Where the operating system gives no thread.
    pub fn start(executor: Executor) -> Result<Self, BackupError> {
        let (ready, started) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("teeline".to_owned())
            .spawn(move || run(executor, &ready))
            .map_err(cannot_start)?;
        let (runtime, system) = match started.recv() {
            Ok(Ok(started)) => started,
            Ok(Err(error)) => return Err(cannot_start(error)),
            Err(_) => return Err(cannot_start("its thread ended at once")),
        };
        let arbiter = system.arbiter().clone();
        Ok(Host {
            runtime,
            system,
            arbiter,
            thread: Some(thread),
        })
    }

    /// A host on the actix system that the calling thread is in, which it neither makes nor stops: for simulations, which
    /// bring a time of their own with their runtime.
    ///
    /// # Errors
    /// Where the thread is in none.
    pub fn here() -> Result<Self, BackupError> {
        let system = System::try_current();
        let (Some(system), Ok(runtime)) = (system, Handle::try_current()) else {
            return Err(cannot_start("this thread is in no actix system"));
        };
        let arbiter = system.arbiter().clone();
        Ok(Host {
            runtime,
            system,
            arbiter,
            thread: None,
        })
    }

    /// Runs a pass to its end.
    ///
    /// # Errors
    /// Where the pass couldn't be started, or its supervisor died.
    pub async fn run(&self, pass: Pass) -> Result<PassReport, BackupError> {
        let Wired {
            report,
            mut gone,
            stages,
        } = self.on_arbiter(move || wire(pass)).await??;
        let report = report.await;
        // The report is out, or won't come; what the pass held, the budget's leases among it, is given back before it is passed on. An
        // actor's mailbox goes on the arbiter's thread right after the actor, so that thread has the last word.
        while gone.recv().await.is_some() {}
        self.on_arbiter(|| ()).await?;
        let mut report = report.map_err(|_| {
            let message = "the supervisor panicked; this is a defect of teeline";
            BackupError::new(Class::Permanent, "run", "the pass", message)
        })?;
        report.stages = stages.take();
        Ok(report)
    }

    /// Calls on the thread of the actors.
    async fn on_arbiter<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BackupError> {
        let (done, result) = oneshot::channel();
        self.arbiter.spawn_fn(move || {
            // Whoever asked may have gone; then nobody misses the result either.
            let _ = done.send(call());
        });
        result.await.map_err(|_| {
            BackupError::new(
                Class::Permanent,
                "run",
                "the pass",
                "the engine was stopped",
            )
        })
    }

    /// Runs a future on the host's runtime; it can be awaited anywhere.
    ///
    /// # Errors
    /// Where the future panicked or the host was stopped.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Result<T, BackupError>> {
        // Unoptimised, each call that it is handed through would have it on its stack.
        let future = Box::pin(future);
        async {
            self.runtime.spawn(future).await.map_err(|error| {
                let message = "it panicked or the engine was stopped";
                BackupError::new(Class::Permanent, "run", "a task of the engine", message)
                    .because(error)
            })
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.system.stop();
        if Handle::try_current().is_ok_and(|current| current.id() == self.runtime.id()) {
            // The last handle went with one of the host's own tasks, which its thread would wait for.
            return;
        }
        // A panic of that thread has been printed, and nothing depends on it any more.
        let _ = thread.join();
    }
}

fn cannot_start(error: impl std::fmt::Display) -> BackupError {
    BackupError::new(Class::Permanent, "start", "the engine", error)
}

fn run(executor: Executor, ready: &mpsc::Sender<Result<(Handle, System), std::io::Error>>) {
    let runtime = match runtime(executor) {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => {
            // The starter waits for this answer.
            let _ = ready.send(Err(error));
            return;
        }
    };
    let runner = System::with_tokio_rt(|| Arc::clone(&runtime));
    if ready
        .send(Ok((runtime.handle().clone(), System::current())))
        .is_ok()
    {
        // Its exit code is always the 0 that `System::stop` gives.
        let _ = runner.run();
    }
    if let Some(runtime) = Arc::into_inner(runtime) {
        runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    }
}

fn runtime(executor: Executor) -> Result<Runtime, std::io::Error> {
    match executor {
        Executor::Threads(threads) => Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("teeline-io")
            .enable_all()
            .build(),
        Executor::Inline => Builder::new_current_thread().enable_all().build(),
    }
}
