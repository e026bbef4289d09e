//! The configuration as written: one file, environment variables over it, and what was found in them as plain typed
//! data. What follows from it (which destinations are required, how many workers there are) is decided by the plan.
//!
//! From text to [`Config`]: `file` (format, syntax, and at which line each key stands) → `overrides` (variables such as
//! `TEELINE__BACKUP__STRATEGY`) → `interpolate` (`${NAME}` within strings, after parsing, so that a value can't inject
//! syntax) → `sections`, which read typed values through `reader`.
//!
//! Invariants:
//! - an unknown key is an error, everywhere;
//! - an error names the file and line, or the variable, and the key; what it shows of a value is its type, save for
//!   sizes, numbers and words such as a strategy;
//! - destinations keep the order of the file, since `priority` tries them in it; those that only variables name come
//!   after them, in the order of their names.

mod blame;
mod connection;
mod destinations;
mod encryption;
mod exposed;
mod file;
mod hooks;
mod interpolate;
mod javascript;
mod json;
mod local_index;
mod nearest;
mod node;
mod overrides;
mod places;
mod plugin;
mod reader;
mod retention;
mod schedules;
mod sections;
mod size;
mod source;
mod storing;
mod targets;
#[cfg(test)]
mod tests;
mod types;
mod upkeep;
mod value;

use std::collections::BTreeMap;
use std::path::Path;

use config::Map;
use teeline_core::{BackupError, TimeZone};

use self::blame::Blame;
pub use self::connection::Connection;
pub use self::encryption::EncryptionConfig;
use self::file::File;
pub use self::hooks::{HookCall, HookConfig};
use self::interpolate::interpolate;
pub use self::local_index::{LocalIndexConfig, LocalIndexPlace};
pub(crate) use self::nearest::nearest;
use self::overrides::Overrides;
use self::plugin::Plugin;
pub use self::types::{
    BackupConfig, ConfigWarning, EmbeddedS3Config, EngineConfig, ExecutorConfig, LogLevel,
    SETTLE_PASSES_MAX, SampleConfig, ScheduleConfig, SourceConfig, SourceLocation, TargetLocation,
    UpkeepConfig, Verification,
};
use crate::destination::DestinationSpec;
use crate::hooks::Hooks;
use crate::request::RetentionPolicy;

/// A configuration, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where days, weeks, months and years begin, and clocks show the times of schedules. Default: UTC.
    pub time_zone: TimeZone,
    /// What becomes of backups in time, where a destination doesn't say it itself. Default: no rule, by which nothing goes.
    pub retention: RetentionPolicy,
    /// What is backed up. Default: nothing, which is enough to list, verify and restore.
    pub source: Option<SourceConfig>,
    /// How it is backed up.
    pub backup: BackupConfig,
    /// How backups are sealed. Default: not at all.
    pub encryption: Option<EncryptionConfig>,
    /// What `teeline run` makes, the short form first, each in the order of the file. Default: nothing.
    pub schedules: Vec<ScheduleConfig>,
    /// What the process may use.
    pub engine: EngineConfig,
    /// Where backups go, in the order of the file. Default: none.
    pub destinations: Vec<DestinationSpec>,
    /// Where restores may go, by name. Default: none.
    pub targets: BTreeMap<String, TargetLocation>,
    /// Who is told of runs, in the order of the file. Default: nobody.
    pub hooks: Vec<HookConfig>,
    /// An S3 server over a folder, to be run for as long as the command. Default: none.
    pub embedded_s3: Option<EmbeddedS3Config>,
    /// Whether the engine's [`events`](crate::Engine::events) have anything in them. Default: yes.
    pub emits_events: bool,
    /// What is accepted and had better be said in another way, each with its place.
    pub warnings: Vec<ConfigWarning>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            time_zone: TimeZone::default(),
            retention: RetentionPolicy::default(),
            source: None,
            backup: BackupConfig::default(),
            encryption: None,
            schedules: Vec::new(),
            engine: EngineConfig::default(),
            destinations: Vec::new(),
            targets: BTreeMap::new(),
            hooks: Vec::new(),
            embedded_s3: None,
            emits_events: true,
            warnings: Vec::new(),
        }
    }
}

impl Config {
    /// Its hooks.
    ///
    /// # Errors
    /// Of class [`Usage`](teeline_core::Class::Usage), where one can't be called. None that was read from a file is.
    pub fn hooks(&self) -> Result<Hooks, BackupError> {
        let none = Hooks::default();
        self.hooks
            .iter()
            .try_fold(none, |hooks, hook| hook.after(hooks))
    }

    /// What the options of s3db.js's plugin say, in the place of what sections do. They have no word for whether a cleanup follows
    /// each backup: unless a section says it, as `cleanup`, one does where there are rules for it.
    fn take(&mut self, plugin: Plugin<'_>, cleanup: Option<bool>) {
        self.backup = plugin.backup;
        self.destinations = plugin.destinations;
        self.retention = plugin.retention.unwrap_or(self.retention);
        self.backup.cleanup = cleanup.unwrap_or_else(|| self.has_rules());
        self.encryption = plugin.encryption.or(self.encryption.take());
        self.engine.temp_dir.get_or_insert(plugin.temp_dir);
        self.engine.log_level = self.engine.log_level.or(plugin.log_level);
        self.emits_events = plugin.emits_events;
        self.warnings = plugin.warnings;
    }

    /// Whether anything goes by its age, or its place among others, anywhere.
    fn has_rules(&self) -> bool {
        let of_destinations = self.destinations.iter().filter_map(|to| to.retention);
        let mut policies = of_destinations.chain([self.retention]);
        policies.any(|policy| !policy.rules.is_empty())
    }

    /// What the variables among `env_vars` whose names begin with `TEELINE__` say, where there is no file: they replace
    /// single settings of the default configuration.
    ///
    /// # Errors
    /// Of class [`Usage`](teeline_core::Class::Usage), where they don't say what they may; the variable is named.
    pub fn of_variables(
        env_vars: impl Iterator<Item = (String, String)>,
    ) -> Result<Config, BackupError> {
        let overrides = Overrides::collect(env_vars)?;
        let blame = Blame::new(
            "the environment".to_owned(),
            BTreeMap::new(),
            overrides.variables().clone(),
        );
        sections::config(overrides.over(Map::new())?, &blame)
    }

    /// Reads the file at `path`: TOML, YAML or JSON, as its extension says.
    ///
    /// Variables among `env_vars` whose names begin with `TEELINE__` replace single settings; others are ignored.
    /// `environment` is asked for the variables that are named as `${NAME}` within strings of the file.
    ///
    /// # Errors
    /// Of class [`Usage`](teeline_core::Class::Usage), where the file can't be read or doesn't say what it may.
    pub fn load(
        path: &Path,
        environment: &dyn Fn(&str) -> Option<String>,
        env_vars: impl Iterator<Item = (String, String)>,
    ) -> Result<Config, BackupError> {
        let File { name, table, keys } = File::read(path)?;
        let exposed = exposed::warning(path, &table);
        let overrides = Overrides::collect(env_vars)?;
        let blame = Blame::new(name, keys, overrides.variables().clone());
        // Before the variables are laid over it, since that would read a dot in such a key as a path.
        sections::check_names(&table, &blame)?;
        let mut root = overrides.over(table)?;
        interpolate(&mut root, &blame, environment)?;
        let mut config = sections::config(root, &blame)?;
        config.warnings.extend(exposed);
        Ok(config)
    }
}
