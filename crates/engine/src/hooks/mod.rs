//! Hooks: who is told of a run, and may stop one before it begins.
//!
//! - A hook that may stop a run does so by failing when it starts. A notifier never does.
//! - Whatever fails, later or in a notifier, changes nothing of what became of the run, and is in its report.
//! - Each call is limited in time. One that panics has failed.
//! - They are called however early a run fails: also where no destination can be opened.

mod command;
mod event;
mod log;
mod not_begun;
mod web;

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use futures::{FutureExt, future::BoxFuture};
use serde::Serialize;
use teeline_core::{BackupError, Class, ErrorReport};

pub use command::CommandHook;
pub use event::{CleanedUp, Moment, RunEvent};
pub(crate) use log::RunLog;
pub use web::{PingHook, WebhookHook};

/// How long a call may take, where nothing else is set.
pub const HOOK_TIMEOUT_MS_DEFAULT: u64 = 30_000;

/// Somebody who is told of runs.
#[async_trait]
pub trait Hook: fmt::Debug + Send + Sync + 'static {
    /// Whether its failure at the start stops the run. Who only passes news on must not.
    fn may_stop(&self) -> bool;

    /// Is told what has happened.
    async fn call(&self, event: &RunEvent) -> Result<(), BackupError>;
}

/// The hooks of a run.
///
/// ```
/// use teeline::{BackupRequest, DestinationSpec, Engine, Hooks, JsonlSource, Moment};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("users.jsonl"), "{\"id\":1}\n")?;
/// let (told, news) = std::sync::mpsc::channel();
///
/// let hooks = Hooks::default().callback("chat", &[Moment::BackupStart, Moment::BackupComplete], move |event| {
///     let told = told.clone();
///     async move {
///         told.send(format!("{} {}", event.name, event.backup_type.unwrap())).unwrap();
///         Ok(())
///     }
/// });
/// let source = JsonlSource::path(folder.path().join("users.jsonl"));
/// let to = DestinationSpec::parse(&folder.path().join("copy").display().to_string())?;
/// let mut request = BackupRequest::new(source, vec![to]);
/// request.hooks = hooks;
/// let report = Engine::new()?.backup_blocking(request);
/// assert!(report.hook_failures.is_empty());
/// assert_eq!(news.recv()?, "plg:backup:start full");
/// assert_eq!(news.recv()?, "plg:backup:complete full");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Hooks(Vec<Hooked>);

#[derive(Debug, Clone)]
struct Hooked {
    name: String,
    /// Empty for all.
    moments: Vec<Moment>,
    timeout: Duration,
    hook: Arc<dyn Hook>,
}

/// A hook that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HookFailure {
    /// Its name.
    pub hook: String,
    /// What it was to be told.
    pub event: &'static str,
    /// Why it wasn't.
    pub error: ErrorReport,
}

impl Hooks {
    /// Adds one, which is called at these moments, or at all where none is given. A call may take so long.
    #[must_use]
    pub fn with(
        mut self,
        name: &str,
        moments: &[Moment],
        timeout: Duration,
        hook: impl Hook,
    ) -> Self {
        self.0.push(Hooked {
            name: name.to_owned(),
            moments: moments.to_vec(),
            timeout,
            hook: Arc::new(hook),
        });
        self
    }

    /// Adds a function, which is called at these moments, or at all where none is given. Its error at a start stops the
    /// run; a call may take 30 s.
    #[must_use]
    pub fn callback<F, C>(self, name: &str, moments: &[Moment], call: C) -> Self
    where
        F: Future<Output = Result<(), BackupError>> + Send + 'static,
        C: Fn(RunEvent) -> F + Send + Sync + 'static,
    {
        let timeout = Duration::from_millis(HOOK_TIMEOUT_MS_DEFAULT);
        let hook = Callback(Box::new(move |event| call(event).boxed()));
        self.with(name, moments, timeout, hook)
    }

    /// Asks those that may stop a run and tells the others, one after the other. The first that stops it ends that.
    pub(crate) async fn start(
        &self,
        event: &RunEvent,
        failures: &mut Vec<HookFailure>,
    ) -> Result<(), BackupError> {
        for hooked in self.wanting(event) {
            match hooked.call(event).await {
                Ok(()) => {}
                Err(error) if hooked.hook.may_stop() => {
                    let message = format!("it stopped the run: {}", error.message());
                    let subject = format!("hook {}", hooked.name);
                    return Err(BackupError::new(error.class(), "call", subject, message));
                }
                Err(error) => failures.push(hooked.failure(event, &error)),
            }
        }
        Ok(())
    }

    /// Tells everybody at once.
    pub(crate) async fn tell(&self, event: &RunEvent) -> Vec<HookFailure> {
        let calls = self.wanting(event).map(|hooked| async move {
            let called = hooked.call(event).await;
            called.err().map(|error| hooked.failure(event, &error))
        });
        join_all(calls).await.into_iter().flatten().collect()
    }

    fn wanting(&self, event: &RunEvent) -> impl Iterator<Item = &Hooked> {
        let moment = event.moment;
        let wants =
            move |hooked: &&Hooked| hooked.moments.is_empty() || hooked.moments.contains(&moment);
        self.0.iter().filter(wants)
    }
}

impl Hooked {
    async fn call(&self, event: &RunEvent) -> Result<(), BackupError> {
        let failed = |message: String| {
            Err(BackupError::new(
                Class::Permanent,
                "call",
                format!("hook {}", self.name),
                message,
            ))
        };
        let call = AssertUnwindSafe(self.hook.call(event)).catch_unwind();
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => failed("it panicked".to_owned()),
            Err(_) => failed(format!(
                "it took longer than {} ms",
                self.timeout.as_millis()
            )),
        }
    }

    fn failure(&self, event: &RunEvent, error: &BackupError) -> HookFailure {
        HookFailure {
            hook: self.name.clone(),
            event: event.name,
            error: error.into(),
        }
    }
}

/// A function of the host's.
struct Callback(Box<Call>);

type Call = dyn Fn(RunEvent) -> BoxFuture<'static, Result<(), BackupError>> + Send + Sync;

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callback")
    }
}

#[async_trait]
impl Hook for Callback {
    fn may_stop(&self) -> bool {
        true
    }

    async fn call(&self, event: &RunEvent) -> Result<(), BackupError> {
        (self.0)(event.clone()).await
    }
}
