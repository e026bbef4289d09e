//! Which resources are wanted.

use std::sync::{Arc, Mutex};

use globset::{Glob, GlobSet, GlobSetBuilder};
use teeline_core::{BackupError, Selection, looks_like_url};

/// Globs of resources, and which of them have met one.
pub(super) struct Wanted {
    include: GlobSet,
    exclude: GlobSet,
    patterns: Vec<String>,
    met: Arc<Mutex<Met>>,
}

#[derive(Default)]
struct Met {
    patterns: Vec<bool>,
    names: Vec<String>,
}

impl Wanted {
    pub(super) fn new(include: &[String], exclude: &[String]) -> Result<Self, BackupError> {
        let met = Met {
            patterns: vec![false; include.len()],
            names: Vec::new(),
        };
        Ok(Wanted {
            include: glob_set("include", include)?,
            exclude: glob_set("exclude", exclude)?,
            patterns: include.to_vec(),
            met: Arc::new(Mutex::new(met)),
        })
    }

    pub(super) fn selection(&self) -> Selection {
        let (include, exclude) = (self.include.clone(), self.exclude.clone());
        let met = Arc::clone(&self.met);
        Selection::new(!self.patterns.is_empty(), move |name| {
            let matches = include.matches(name);
            if let Ok(mut met) = met.lock() {
                for index in &matches {
                    met.patterns[*index] = true;
                }
                if !met.names.iter().any(|known| known == name) {
                    met.names.push(name.to_owned());
                }
            }
            (include.is_empty() || !matches.is_empty()) && !exclude.is_match(name)
        })
    }

    /// A pattern that no resource answers to is a mistake that would be found out at the restore.
    pub(super) fn check(&self) -> Result<(), BackupError> {
        let Ok(met) = self.met.lock() else {
            return Ok(());
        };
        match met.patterns.iter().position(|met| !met) {
            None => Ok(()),
            Some(index) => {
                let message = format!(
                    "no resource is called so; there are: {}",
                    met.names.join(", ")
                );
                Err(BackupError::usage(
                    format!("include {:?}", self.patterns[index]),
                    message,
                ))
            }
        }
    }
}

fn glob_set(option: &str, patterns: &[String]) -> Result<GlobSet, BackupError> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(glob(pattern).map_err(|message| BackupError::usage(option, message))?);
    }
    set.build()
        .map_err(|error| BackupError::usage(option, error.kind()))
}

/// A pattern for the names of resources. Patterns are kept in the manifest, and what isn't one may be a connection string
/// that landed in the wrong option: so the message never quotes it.
pub(crate) fn glob(pattern: &str) -> Result<Glob, String> {
    if looks_like_url(pattern) {
        return Err("it looks like a URL, and resources have names".to_owned());
    }
    Glob::new(pattern).map_err(|error| format!("not a glob: {}", error.kind()))
}
