//! What is logged, on standard error, where nothing else that a program would read is printed.

use std::fmt;
use std::io::IsTerminal;
use std::sync::Arc;

use teeline::BackupError;
use teeline::config::LogLevel;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::output::Stderr;

/// How much is logged until something else is said.
const LEVEL_DEFAULT: LogLevel = LogLevel::Warn;

/// How much is logged, which a configuration may say where nobody typed it.
#[derive(Clone, Default)]
pub(crate) struct Logging(Option<Arc<dyn Fn(LogLevel) + Send + Sync>>);

impl Logging {
    /// Begins to log what `typed` says.
    pub(crate) fn begin(typed: Option<&str>, stderr: &Stderr) -> Result<Self, BackupError> {
        let refused = |message: String| {
            BackupError::usage("--log-level", message).suggest(
                "accepted: error, warn, info, debug, trace, off, or a filter such as teeline=debug",
            )
        };
        let filter = typed.unwrap_or(LEVEL_DEFAULT.as_str());
        // A word alone would be taken for the name of what logs, and silence all the rest.
        let is_word = filter.chars().all(|c| c.is_ascii_alphabetic());
        if is_word && filter.parse::<LevelFilter>().is_err() {
            return Err(refused("it is no level".to_owned()));
        }
        let filter = EnvFilter::try_new(filter).map_err(|error| refused(error.to_string()))?;
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(stderr.clone())
            .with_ansi(std::io::stderr().is_terminal())
            .with_filter_reloading();
        let filter = subscriber.reload_handle();
        subscriber.init();
        if typed.is_some() {
            return Ok(Logging(None));
        }
        Ok(Logging(Some(Arc::new(move |level| {
            // It fails only where nothing is logged any more.
            let _ = filter.reload(EnvFilter::new(level.as_str()));
        }))))
    }

    /// Logs so much from now on, unless it was typed how much.
    pub(crate) fn configured(&self, level: LogLevel) {
        if let Some(reload) = &self.0 {
            reload(level);
        }
    }
}

impl fmt::Debug for Logging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logging")
    }
}
