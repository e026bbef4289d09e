//! A configuration and what runs on its behalf.

use std::path::{Path, PathBuf};

use teeline::{BackupError, Config, Engine, Executor};

use super::to_usize;
use crate::args::{EngineArguments, ExecutorArgument};
use crate::embedded::Server;
use crate::output::Output;
use crate::signals::Signals;

/// The variable that holds the address of the configuration's own server.
pub(super) const SERVER_VARIABLE: &str = "EMBEDDED_S3";
/// Stands for that address until the server runs.
pub(super) const SERVER_PLACEHOLDER: &str = "127.0.0.1:1";

/// A configuration with what runs on its behalf; everything at its default where none was named.
pub(crate) struct Setting {
    pub(super) config: Config,
    path: Option<PathBuf>,
    server: Option<Server>,
}

impl Setting {
    /// Reads a configuration, and starts the server that it may ask for.
    pub(crate) async fn open(
        path: Option<&Path>,
        output: &Output,
        signals: &Signals,
    ) -> Result<Self, BackupError> {
        let Some(path) = path else {
            return Ok(Setting {
                config: Config::default(),
                path: None,
                server: None,
            });
        };
        let config = load(path, None)?;
        let setting = |config, server| Setting {
            config,
            path: Some(path.to_owned()),
            server,
        };
        let Some(embedded) = &config.embedded_s3 else {
            return Ok(setting(config, None));
        };
        let server = Server::start(embedded, output, signals).await?;
        let config = load(path, Some(&server.address()))?;
        Ok(setting(config, Some(server)))
    }

    /// The configuration's file.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    pub(super) fn environment(&self) -> impl Fn(&str) -> Option<String> + use<> {
        environment(self.server.as_ref().map(Server::address))
    }

    pub(super) fn engine(&self, typed: &EngineArguments) -> Result<Engine, BackupError> {
        let is_inline = typed.executor == Some(ExecutorArgument::Inline);
        if is_inline && typed.workers.is_some() {
            let message = "goes with --executor threads; inline has none";
            return Err(BackupError::usage("--workers", message));
        }
        let configured = &self.config.engine;
        let budget_bytes = typed.budget_bytes;
        let mut builder =
            Engine::builder().budget_bytes(budget_bytes.unwrap_or(configured.budget_bytes as u64));
        if let Some(workers) = typed.workers.map(to_usize).or(configured.workers) {
            builder = builder.workers(workers);
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

/// Reads a configuration. Without a server's address, one is made up where the configuration has a server.
pub(super) fn load(path: &Path, server: Option<&str>) -> Result<Config, BackupError> {
    // Whether the variable is the configuration's own is only known once it was read.
    let own = server.unwrap_or(SERVER_PLACEHOLDER).to_owned();
    let variables = || {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
    };
    let config = Config::load(path, &environment(Some(own)), variables())?;
    match config.embedded_s3 {
        Some(_) => Ok(config),
        None => Config::load(path, &environment(None), variables()),
    }
}

/// The variables that configurations may name.
pub(super) fn environment(server: Option<String>) -> impl Fn(&str) -> Option<String> {
    move |name| match (name, &server) {
        (SERVER_VARIABLE, Some(address)) => Some(address.clone()),
        _ => std::env::var(name).ok(),
    }
}
