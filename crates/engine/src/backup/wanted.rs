//! Which resources are wanted.

use std::sync::{Arc, Mutex};

use globset::{Glob, GlobSet, GlobSetBuilder};
use teeline_core::{BackupError, Selection};

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
    let refuse = |error: globset::Error| BackupError::usage(option, error);
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).map_err(refuse)?);
    }
    set.build().map_err(refuse)
}
