//! The events of an engine: what hooks are told, for whoever listens in the same process.

use futures::stream::{self, Stream};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::engine::Engine;
use crate::hooks::RunEvent;

/// Events that wait for a listener; of one that is slower the oldest are dropped, so that nobody waits for it.
const WAITING_MAX: usize = 1_024;

/// Where events go.
pub(crate) struct Emitter(Option<broadcast::Sender<RunEvent>>);

impl Emitter {
    pub(crate) fn new(emits: bool) -> Self {
        Emitter(emits.then(|| broadcast::channel(WAITING_MAX).0))
    }

    pub(crate) fn emit(&self, event: &RunEvent) {
        if let Some(sender) = &self.0 {
            // Nobody needs to listen.
            let _ = sender.send(event.clone());
        }
    }
}

impl Engine {
    /// What happens from now on: every backup and restore of this engine, as it begins and as it ends, under the names
    /// of s3db.js's plugin (`plg:backup:start`, …). Nothing waits for a listener; one that is more than 1,024 events
    /// behind misses the oldest of them. It ends with the engine, and at once where that
    /// [emits none](crate::EngineBuilder::emit_events).
    ///
    /// ```
    /// use futures::StreamExt;
    /// use teeline::{BackupRequest, DestinationSpec, Engine, JsonlSource};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let folder = tempfile::tempdir()?;
    /// std::fs::write(folder.path().join("users.jsonl"), "{\"id\":1}\n")?;
    /// let engine = Engine::new()?;
    /// let events = engine.events();
    /// let source = JsonlSource::path(folder.path().join("users.jsonl"));
    /// let to = DestinationSpec::parse(&folder.path().join("copy").display().to_string())?;
    /// let report = engine.backup_blocking(BackupRequest::new(source, vec![to]));
    /// drop(engine);
    /// let events: Vec<_> = futures::executor::block_on(events.collect());
    /// assert_eq!(events[0].name, "plg:backup:start");
    /// assert_eq!((events[1].name, events[1].size), ("plg:backup:complete", Some(report.size)));
    /// # Ok(()) }
    /// ```
    pub fn events(&self) -> impl Stream<Item = RunEvent> + Send + Unpin + use<> {
        let receiver = self.0.events.0.as_ref().map(broadcast::Sender::subscribe);
        Box::pin(stream::unfold(receiver, |receiver| async {
            let mut receiver = receiver?;
            loop {
                match receiver.recv().await {
                    Ok(event) => return Some((event, Some(receiver))),
                    Err(RecvError::Closed) => return None,
                    Err(RecvError::Lagged(missed)) => {
                        tracing::warn!(missed, "a listener was too slow for the engine's events");
                    }
                }
            }
        }))
    }
}
