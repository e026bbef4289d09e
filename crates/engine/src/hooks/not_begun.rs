//! Backups that fail before they can be asked for.

use std::sync::Arc;

use teeline_core::{BackupError, BackupType};

use super::{HookFailure, Hooks, RunEvent, RunLog};
use crate::engine::Engine;
use crate::failure::{Failure, Operation};
use crate::report::BackupReport;

impl Engine {
    /// Tells hooks, and whoever listens to [events](Engine::events), of a backup that failed before it could be asked for: by a host
    /// that makes its requests of something else, such as a configuration, a key or a database's address, and hadn't that. It may have
    /// been to be the run of a schedule. Gives the hooks that failed.
    ///
    /// ```
    /// use teeline::{BackupError, Engine, Hooks, Moment};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (told, news) = std::sync::mpsc::channel();
    /// let hooks = Hooks::default().callback("chat", &[Moment::BackupError], move |event| {
    ///     let told = told.clone();
    ///     async move {
    ///         told.send(event.error.unwrap().message).unwrap();
    ///         Ok(())
    ///     }
    /// });
    /// let error = BackupError::usage("key command", "exit status: 1");
    /// let engine = Engine::new()?;
    /// let telling = engine.tell_not_begun(&hooks, "full".parse()?, None, &error);
    /// assert!(futures::executor::block_on(telling).is_empty());
    /// assert!(news.recv()?.ends_with("key command: exit status: 1"));
    /// # Ok(()) }
    /// ```
    pub async fn tell_not_begun(
        &self,
        hooks: &Hooks,
        backup_type: BackupType,
        schedule: Option<&str>,
        error: &BackupError,
    ) -> Vec<HookFailure> {
        let (engine, hooks) = (self.clone(), hooks.clone());
        let at = (self.0.clock)();
        let mut report = BackupReport::failed(backup_type, at);
        report.error = Some(error.into());
        report.failure = Some(Failure::of(Operation::Backup, error));
        let log = RunLog::new(Arc::clone(&self.0.clock));
        let event = RunEvent::backed_up(&report, None, at, &log).of_schedule(schedule);
        let told = self.0.host.spawn(async move {
            engine.0.events.emit(&event);
            Ok(hooks.tell(&event).await)
        });
        let told = told.await.and_then(|told| told);
        told.unwrap_or_else(|error| {
            tracing::warn!(%error, "hooks could not be told of a backup that failed");
            Vec::new()
        })
    }
}
