//! The engine: what a host holds.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use teeline_actors::{Blocking, Budget, Clock, Executor, Host, block_lease_bytes};
use teeline_core::{BackupError, Timestamp};

use crate::events::Emitter;
use crate::schedule::Schedules;

/// The budget unless another is set, in bytes: 8 MiB, and 2 MiB for each processor.
pub fn budget_bytes_default() -> u64 {
    budget_bytes_for(cores())
}

/// Enough for blocks of 2 MiB on every processor, and for chunks that slow destinations haven't taken.
fn budget_bytes_for(cores: usize) -> u64 {
    (8 << 20) + cores as u64 * (2 << 20)
}

/// Makes backups, lists, checks, restores and repairs them. Cheap to clone; the last clone stops the engine's threads.
///
/// It lives in any host: its futures can be awaited from every executor, and each has a blocking twin. Several engines,
/// and several operations on one engine, run side by side. Nothing global is touched, nothing printed.
///
/// From a host without a runtime:
///
/// ```
/// use teeline::{BackupRequest, DestinationSpec, Engine, JsonlSource};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("users.jsonl"), "{\"id\":1}\n{\"id\":2}\n")?;
///
/// let engine = Engine::builder().workers(1).build()?;
/// let source = JsonlSource::path(folder.path().join("users.jsonl"));
/// let to = [DestinationSpec::parse(&folder.path().join("copy").display().to_string())?];
/// let report = engine.backup_blocking(BackupRequest::new(source, to.to_vec()));
/// assert_eq!(report.record_count, 2, "{report:?}");
/// assert_eq!(engine.list_blocking(&to).backups[0].id, report.id.unwrap());
/// # Ok(()) }
/// ```
///
/// From a host with a tokio runtime, two engines in one process:
///
/// ```
/// use teeline::{BackupRequest, DestinationSpec, Engine, JsonlSource};
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("users.jsonl"), "{\"id\":1}\n")?;
/// let copy = |name: &str| DestinationSpec::parse(&folder.path().join(name).display().to_string());
///
/// let (one, two) = (Engine::new()?, Engine::new()?);
/// let source = || JsonlSource::path(folder.path().join("users.jsonl"));
/// let (first, second) = tokio::join!(
///     one.backup(BackupRequest::new(source(), vec![copy("a")?])),
///     two.backup(BackupRequest::new(source(), vec![copy("b")?])),
/// );
/// assert_eq!((first.exit_code(), second.exit_code()), (0, 0));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Engine(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) host: Host,
    pub(crate) budget: Budget,
    pub(crate) budget_bytes: u64,
    pub(crate) temp_dir: PathBuf,
    /// Where work is done, if that was said.
    executor: Option<Executor>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) sleep: Sleep,
    pub(crate) schedules: Schedules,
    passing_address: Option<(String, String)>,
    pub(crate) events: Emitter,
    /// Runs under way, for hosts that wait for quiet.
    running: AtomicU64,
}

/// A run that is under way. It goes with the run and not with whoever waits for it: a host may drop the future.
pub(crate) struct Running(Engine);

impl Running {
    pub(crate) fn begin(engine: &Engine) -> Self {
        engine.0.running.fetch_add(1, Ordering::AcqRel);
        Running(engine.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Fills bytes at random. Passed in, so that a simulation can bring its own.
pub type Random = Arc<dyn Fn(&mut [u8]) -> Result<(), BackupError> + Send + Sync>;

/// Is over after that time. Passed in with a clock that the same time passes by, so that a simulation need not wait.
pub type Sleep = Arc<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>;

/// How an engine is to be.
#[derive(Clone)]
pub struct EngineBuilder {
    executor: Option<Executor>,
    budget_bytes: u64,
    temp_dir: PathBuf,
    clock: Clock,
    random: Random,
    sleep: Sleep,
    passing_address: Option<(String, String)>,
    emits_events: bool,
    is_here: bool,
}

impl Engine {
    /// An engine as it is by default.
    ///
    /// # Errors
    /// Where the operating system gives no threads.
    pub fn new() -> Result<Self, BackupError> {
        Self::builder().build()
    }

    /// An engine to be shaped.
    pub fn builder() -> EngineBuilder {
        EngineBuilder {
            executor: None,
            budget_bytes: budget_bytes_default(),
            temp_dir: std::env::temp_dir(),
            clock: Arc::new(system_time),
            random: Arc::new(system_random),
            sleep: Arc::new(|time| Box::pin(async move { tokio::time::sleep(time).await })),
            passing_address: None,
            emits_events: true,
            is_here: false,
        }
    }

    /// Whether every byte of the budget is back and no backup is under way.
    pub fn is_idle(&self) -> bool {
        self.0.running.load(Ordering::Acquire) == 0 && self.0.budget.is_whole()
    }
}

impl Inner {
    /// Where blocks of this size are encoded.
    pub(crate) fn executor(&self, block_bytes: usize) -> Executor {
        let workers = || workers_default(cores(), self.budget_bytes, block_bytes);
        self.executor
            .unwrap_or_else(|| Executor::Threads(workers()))
    }

    /// A place as it is called the next time as well, whatever the address is then of what is only there for now.
    pub(crate) fn lasting_name(&self, place: &str) -> String {
        match &self.passing_address {
            Some((address, name)) => place.replace(&format!("{address}/"), &format!("{name}/")),
            None => place.to_owned(),
        }
    }

    /// Where work is done that blocks.
    pub(crate) fn blocking(&self) -> Blocking {
        match self.executor {
            Some(Executor::Inline) => Blocking::Inline,
            Some(Executor::Threads(_)) | None => Blocking::Aside,
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("executor", &self.0.executor)
            .field("budget_bytes", &self.0.budget_bytes)
            .finish_non_exhaustive()
    }
}

impl EngineBuilder {
    /// Encodes on so many threads; by default as many as there are cores, as far as the budget has blocks for them.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.executor = Some(Executor::Threads(workers.max(1)));
        self
    }

    /// Where work is done: `Threads(n)`, or `Inline` for everything on one thread. The backups are the same.
    #[must_use]
    pub fn executor(mut self, executor: Executor) -> Self {
        self.executor = Some(executor);
        self
    }

    /// Bytes that all backups together may have in flight; by default
    /// [what suits the processors](budget_bytes_default). What a call of a destination that is out still
    /// holds, since it hangs, isn't counted.
    #[must_use]
    pub fn budget_bytes(mut self, bytes: u64) -> Self {
        self.budget_bytes = bytes;
        self
    }

    /// The folder for what slow destinations are yet to be sent, where they spill; made where it isn't there. By default the
    /// operating system's temporary folder. Files in it have no names, so nothing of them stays.
    #[must_use]
    pub fn temp_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.temp_dir = folder.into();
        self
    }

    /// Another clock than the system's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Another source of randomness than the system's.
    #[must_use]
    pub fn random(mut self, random: Random) -> Self {
        self.random = random;
        self
    }

    /// Another way for [`Engine::run_schedules`] to wait until something is due than the system's timers.
    #[must_use]
    pub fn sleep(mut self, sleep: Sleep) -> Self {
        self.sleep = sleep;
        self
    }

    /// That a server at this address, `host:port`, has another one the next time, as where it is given any free port; schedules know what
    /// they are of, and where, by `name` in its place.
    #[must_use]
    pub fn passing_address(mut self, address: impl Into<String>, name: impl Into<String>) -> Self {
        self.passing_address = Some((address.into(), name.into()));
        self
    }

    /// Whether [`Engine::events`] has anything in it; by default it does.
    #[must_use]
    pub fn emit_events(mut self, emits_events: bool) -> Self {
        self.emits_events = emits_events;
        self
    }

    /// Works on the actix system that the thread is in which builds it, instead of on threads of its own: for simulations,
    /// which bring a time of their own with their runtime. With [`Executor::Inline`], all that happens follows from what is
    /// passed in.
    #[must_use]
    pub fn on_this_thread(mut self) -> Self {
        self.is_here = true;
        self
    }

    /// Starts the engine's threads.
    ///
    /// # Errors
    /// Where the operating system gives none; where it is to be on this thread, and that is in no actix system.
    pub fn build(self) -> Result<Engine, BackupError> {
        let host = match self.is_here {
            true => Host::here()?,
            false => Host::start(self.executor.unwrap_or(Executor::Threads(cores())))?,
        };
        Ok(Engine(Arc::new(Inner {
            host,
            budget: Budget::new(self.budget_bytes),
            budget_bytes: self.budget_bytes,
            temp_dir: self.temp_dir,
            executor: self.executor,
            clock: self.clock,
            random: self.random,
            sleep: self.sleep,
            schedules: Schedules::default(),
            passing_address: self.passing_address,
            events: Emitter::new(self.emits_events),
            running: AtomicU64::new(0),
        })))
    }
}

/// What so many workers need of a budget to go on: a block for each, and one on its way.
pub(crate) fn budget_needed(block_bytes: usize, workers: usize) -> u64 {
    block_lease_bytes(block_bytes, 0).saturating_mul(workers as u64 + 1)
}

/// As many workers as there are cores, as far as the budget has blocks for them. One is left in any case: a budget that is
/// too small for it was set by somebody, who is told.
fn workers_default(cores: usize, budget_bytes: u64, block_bytes: usize) -> usize {
    let fits = |workers: &usize| budget_needed(block_bytes, *workers) <= budget_bytes;
    (1..=cores).rev().find(fits).unwrap_or(1)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn system_time() -> Timestamp {
    SystemTime::now().into()
}

pub(crate) fn system_random(bytes: &mut [u8]) -> Result<(), BackupError> {
    getrandom::fill(bytes).map_err(|error| {
        BackupError::new(
            teeline_core::Class::Permanent,
            "get",
            "randomness of the system",
            error,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_cores_has_workers_that_the_budget_can_feed() {
        for cores in 1..=256 {
            let budget_bytes = budget_bytes_for(cores);
            for block_bytes in [1 << 20, 2 << 20] {
                let workers = workers_default(cores, budget_bytes, block_bytes);
                assert_eq!(workers, cores);
                assert!(budget_needed(block_bytes, workers) <= budget_bytes);
            }
        }
        assert_eq!(workers_default(64, 1 << 30, 1 << 20), 64);
        assert_eq!(workers_default(64, 8 << 20, 1 << 20), 6);
        assert_eq!(workers_default(64, 0, 1 << 20), 1);
    }
}
