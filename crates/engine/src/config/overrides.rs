//! Environment variables that replace single settings: `TEELINE__BACKUP__STRATEGY=any` is `backup.strategy`.

use std::collections::BTreeMap;
use std::fmt;

use config::{ConfigError, Environment, Map, Source, Value, ValueKind};
use teeline_core::BackupError;

use super::blame::Variables;
use super::node::{KeyPath, Node, Origin};

const PREFIX: &str = "TEELINE";
const SEPARATOR: &str = "__";

/// The variables that replace settings.
pub(super) struct Overrides {
    variables: Variables,
    /// By the variable's name.
    values: BTreeMap<String, String>,
}

impl Overrides {
    pub(super) fn collect(
        env_vars: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, BackupError> {
        let mut overrides = Overrides {
            variables: BTreeMap::new(),
            values: BTreeMap::new(),
        };
        let start = format!("{PREFIX}{SEPARATOR}");
        for (variable, value) in env_vars {
            let Some(path) = variable.strip_prefix(&start) else {
                continue;
            };
            let key = key_path(path).ok_or_else(|| {
                let message = "names no setting; one looks like TEELINE__BACKUP__STRATEGY";
                BackupError::usage(format!("variable {variable}"), message)
            })?;
            if let Some(other) = overrides.variables.insert(key, variable.clone()) {
                let message = format!("is the same setting as variable {other}");
                return Err(BackupError::usage(format!("variable {variable}"), message));
            }
            overrides.values.insert(variable, value);
        }
        overrides.check_nesting()?;
        Ok(overrides)
    }

    pub(super) fn variables(&self) -> &Variables {
        &self.variables
    }

    /// The file's settings with the variables' in their place.
    pub(super) fn over(self, file: Map<String, Value>) -> Result<Node, BackupError> {
        let environment = Environment::with_prefix(PREFIX)
            .prefix_separator(SEPARATOR)
            .separator(SEPARATOR)
            .source(Some(self.values.into_iter().collect()));
        let layered = config::Config::builder()
            .add_source(Layer(file))
            .add_source(environment)
            .build();
        let origin = |key: &KeyPath| match self.variables.contains_key(key) {
            true => Origin::Variable,
            false => Origin::File,
        };
        match layered.map(|layered| layered.cache.kind) {
            Ok(ValueKind::Table(table)) => Ok(Node::from_table(table, &origin)),
            // Its text may quote values.
            _ => Err(BackupError::usage(
                "configuration",
                "can't be put together with the environment",
            )),
        }
    }

    /// A setting can't be both a value and a table; which of the two won would depend on their order.
    fn check_nesting(&self) -> Result<(), BackupError> {
        for (key, variable) in &self.variables {
            let below = self.variables.iter().find(|(other, _)| key.is_above(other));
            if let Some((_, below)) = below {
                let message = format!("is a value where variable {below} has a table");
                return Err(BackupError::usage(format!("variable {variable}"), message));
            }
        }
        Ok(())
    }
}

fn key_path(path: &str) -> Option<KeyPath> {
    let fits = |name: &str| {
        let usable = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        !name.is_empty() && name.bytes().all(usable)
    };
    let names: Vec<&str> = path.split(SEPARATOR).collect();
    let fit = names.iter().all(|name| fits(name));
    fit.then(|| names.iter().map(|name| name.to_ascii_lowercase()).collect())
}

/// What was parsed already, as a source of the `config` crate.
#[derive(Clone)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Layer(***)")
    }
}
