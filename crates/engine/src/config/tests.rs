//! Configurations in, typed data or exact messages out.

mod accepted;
mod encryption;
#[cfg(unix)]
mod exposed;
mod plugin;
mod refused;
mod schedules;
mod storing;
mod syntax;
mod variables;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use teeline_core::{BackupError, Class};

use super::*;

/// Stands where secrets do; no message and no debug output may hold it.
const CANARY: &str = "CANARY";

/// A configuration under test.
struct Case<'a> {
    file: &'a str,
    text: &'a str,
    env: &'a [(&'a str, &'a str)],
}

fn toml(text: &str) -> Case<'_> {
    let file = "c.toml";
    Case {
        file,
        text,
        env: &[],
    }
}

fn yaml(text: &str) -> Case<'_> {
    let file = "c.yaml";
    Case {
        file,
        text,
        env: &[],
    }
}

fn json(text: &str) -> Case<'_> {
    let file = "c.json";
    Case {
        file,
        text,
        env: &[],
    }
}

impl<'a> Case<'a> {
    /// Variables, both for `${}` and to replace settings.
    fn env(mut self, env: &'a [(&'a str, &'a str)]) -> Self {
        self.env = env;
        self
    }

    fn load(&self) -> Result<Config, BackupError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(self.file);
        fs::write(&path, self.text).unwrap();
        load(&path, self.env)
    }

    /// The configuration, which must be accepted and show no secret.
    #[track_caller]
    fn accepted(&self) -> Config {
        let config = self.load().unwrap();
        assert!(!format!("{config:?}").contains(CANARY), "{config:?}");
        config
    }

    /// Checks the whole message, without the file's folder, and the suggestion.
    #[track_caller]
    fn refused(&self, expected: &str, suggestion: Option<&str>) {
        let error = self.load().unwrap_err();
        assert_eq!(error.class(), Class::Usage);
        let message = error.to_string();
        let message = match message.rfind(&format!("/{}", self.file)) {
            Some(folder_end) => &message[folder_end + 1..],
            None => message.as_str(),
        };
        assert_eq!((message, error.suggestion()), (expected, suggestion));
        let mut shown = format!("{error:?} {:?}", error.suggestion());
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            shown.push_str(&format!("{error} {error:?}"));
            cause = error.source();
        }
        assert!(!shown.contains(CANARY), "{shown}");
    }
}

fn load(path: &Path, env: &[(&str, &str)]) -> Result<Config, BackupError> {
    let variables: BTreeMap<String, String> = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Config::load(
        path,
        &|name| variables.get(name).cloned(),
        variables.clone().into_iter(),
    )
}
