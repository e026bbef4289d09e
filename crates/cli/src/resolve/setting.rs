//! A configuration and what runs on its behalf.

use std::path::{Path, PathBuf};

use teeline::config::ExecutorConfig;
use teeline::{BackupError, Config, Engine, Executor, TimeZone};

use super::to_usize;
use crate::args::{EngineArguments, ExecutorArgument, PlacesArguments};
use crate::embedded::Server;
use crate::output::Output;
use crate::signals::Signals;

/// The variable that holds the address of the configuration's own server.
const SERVER_VARIABLE: &str = "EMBEDDED_S3";
/// What the names of the variables begin with that replace settings.
const SETTING_VARIABLES: &str = "TEELINE__";
/// Stands for that address until the server runs.
const SERVER_PLACEHOLDER: &str = "127.0.0.1:1";

/// A configuration with what runs on its behalf; without a file, what the environment says and defaults.
pub(crate) struct Setting {
    pub(crate) config: Config,
    path: Option<PathBuf>,
    server: Option<Server>,
}

impl Setting {
    /// The configuration of a command that is about what is at destinations: those of a file, or those that are typed.
    pub(crate) async fn of(
        places: &PlacesArguments,
        output: &Output,
        signals: &Signals,
    ) -> Result<Self, BackupError> {
        if places.config.is_some() && !places.at.is_empty() && !places.goes_with_config {
            let message = "it goes with no --config, whose destinations are meant";
            return Err(BackupError::usage("--at", message));
        }
        Self::open(places.config.as_deref(), output, signals).await
    }

    /// Reads a configuration, and starts the server that it may ask for.
    pub(crate) async fn open(
        path: Option<&Path>,
        output: &Output,
        signals: &Signals,
    ) -> Result<Self, BackupError> {
        let setting = Self::read(path)?;
        if let Some(level) = setting.config.engine.log_level {
            output.logging.configured(level);
        }
        for warning in &setting.config.warnings {
            output.stderr.warn(&warning.message, &warning.help);
        }
        let Some(embedded) = &setting.config.embedded_s3 else {
            return Ok(setting);
        };
        let server = Server::start(embedded, output, signals).await?;
        let config = load(path, Some(server.address()))?;
        Ok(Setting {
            config,
            server: Some(server),
            ..setting
        })
    }

    /// Reads a configuration. A server that it asks for isn't started, so its address is made up.
    pub(super) fn read(path: Option<&Path>) -> Result<Self, BackupError> {
        // Whether the variable is the configuration's own is only known once it was read.
        let config = load(path, Some(SERVER_PLACEHOLDER.to_owned()))?;
        let config = match config.embedded_s3 {
            Some(_) => config,
            None => load(path, None)?,
        };
        Ok(Setting {
            config,
            path: path.map(Path::to_owned),
            server: None,
        })
    }

    /// The configuration's file.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Where clocks show what is said in times of the day.
    pub(crate) fn time_zone(&self) -> TimeZone {
        self.config.time_zone
    }

    /// The variables that the configuration may name.
    pub(super) fn environment(&self) -> impl Fn(&str) -> Option<String> + use<> {
        environment(self.server_address())
    }

    /// The address of the configuration's own server; a made up one, where that isn't started.
    fn server_address(&self) -> Option<String> {
        let made_up = self.config.embedded_s3.as_ref();
        let made_up = made_up.map(|_| SERVER_PLACEHOLDER.to_owned());
        self.server.as_ref().map(Server::address).or(made_up)
    }

    /// A place as it was written: by the name of the server whose address is made up.
    pub(super) fn as_written(&self, place: &str) -> String {
        match (&self.config.embedded_s3, &self.server) {
            (Some(_), None) => {
                place.replace(SERVER_PLACEHOLDER, &format!("${{{SERVER_VARIABLE}}}"))
            }
            _ => place.to_owned(),
        }
    }

    pub(super) fn engine(&self, typed: &EngineArguments) -> Result<Engine, BackupError> {
        let is_inline = match typed.executor {
            Some(executor) => executor == ExecutorArgument::Inline,
            None => self.config.engine.executor == Some(ExecutorConfig::Inline),
        };
        if is_inline && typed.workers.is_some() {
            let message = "goes with --executor threads; inline has none";
            return Err(BackupError::usage("--workers", message));
        }
        let configured = &self.config.engine;
        let mut builder = Engine::builder().emit_events(self.config.emits_events);
        if let Some(bytes) = typed.budget_bytes.or(configured.budget_bytes) {
            builder = builder.budget_bytes(bytes);
        }
        if let Some(workers) = typed.workers.map(to_usize).or(configured.workers) {
            builder = builder.workers(workers);
        }
        if let Some(folder) = typed.temp_dir.as_ref().or(configured.temp_dir.as_ref()) {
            builder = builder.temp_dir(folder);
        }
        if let (Some(embedded), Some(address)) = (&self.config.embedded_s3, self.server_address()) {
            let name = format!("{SERVER_VARIABLE} over {}", embedded.root.display());
            builder = builder.passing_address(address, name);
        }
        if is_inline {
            builder = builder.executor(Executor::Inline);
        }
        builder.build()
    }

    /// An engine as the configuration has it.
    pub(crate) fn plain_engine(&self) -> Result<Engine, BackupError> {
        self.engine(&EngineArguments::default())
    }
}

/// The configuration of a file, if there is one, and of the environment.
fn load(path: Option<&Path>, server: Option<String>) -> Result<Config, BackupError> {
    let variables = setting_variables()?.into_iter();
    match path {
        Some(path) => Config::load(path, &environment(server), variables),
        None => Config::of_variables(variables),
    }
}

/// The variables that replace settings.
///
/// # Errors
/// Where one isn't text: to pass over it would be to do something else than it says.
fn setting_variables() -> Result<Vec<(String, String)>, BackupError> {
    let named =
        std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), name, value));
    let settings = named.filter(|(shown, ..)| shown.starts_with(SETTING_VARIABLES));
    let texts = settings.map(|(shown, name, value)| {
        let not_text = |what: &str| {
            let message = format!("its {what} isn't UTF-8, which all settings are");
            BackupError::usage(format!("variable {shown}"), message)
        };
        let name = name.into_string().map_err(|_| not_text("name"))?;
        let value = value.into_string().map_err(|_| not_text("value"))?;
        Ok((name, value))
    });
    texts.collect()
}

fn environment(server: Option<String>) -> impl Fn(&str) -> Option<String> {
    move |name| match (name, &server) {
        (SERVER_VARIABLE, Some(address)) => Some(address.clone()),
        _ => std::env::var(name).ok(),
    }
}
