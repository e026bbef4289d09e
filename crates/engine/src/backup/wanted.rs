//! Which resources are wanted.

use std::sync::{Arc, Mutex, PoisonError};

use globset::{Glob, GlobSet, GlobSetBuilder};
use teeline_core::{
    BackupError, PlannedResource, ResourceKind, ScanPlan, Selection, looks_like_url,
};

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
            // Names and flags, right also after a panic elsewhere.
            let mut met = met.lock().unwrap_or_else(PoisonError::into_inner);
            for index in &matches {
                met.patterns[*index] = true;
            }
            if !met.names.iter().any(|known| known == name) {
                met.names.push(name.to_owned());
            }
            (include.is_empty() || !matches.is_empty()) && !exclude.is_match(name)
        })
    }

    /// Refuses a pattern that no resource answers to, and patterns that leave none: mistakes that would be found out at the
    /// restore. The source has asked for each of its resources when it plans.
    pub(super) fn check(&self, plan: &ScanPlan) -> Result<(), BackupError> {
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let there_are = met.names.join(", ");
        if let Some(index) = met.patterns.iter().position(|met| !met) {
            let subject = format!("include {:?}", self.patterns[index]);
            let message = format!("no resource is called so; there are: {there_are}");
            return Err(BackupError::usage(subject, message));
        }
        let is_left = |planned: &PlannedResource| matches!(planned.kind, ResourceKind::Records(_));
        if met.names.is_empty() || plan.resources.iter().any(is_left) {
            return Ok(());
        }
        let message = format!("it leaves no resource; there are: {there_are}");
        Err(BackupError::usage("exclude", message))
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
