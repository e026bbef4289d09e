//! Which resources are wanted, and which of their records.

use std::sync::{Arc, Mutex, PoisonError};

use globset::{Glob, GlobSet, GlobSetBuilder};
use teeline_core::{
    BackupError, Partitions, PlannedResource, Query, ResourceKind, ScanPlan, Selection,
    looks_like_url,
};

use crate::request::BackupRequest;

/// Globs of resources, and which of them have met one.
pub(super) struct Wanted {
    include: GlobSet,
    exclude: GlobSet,
    patterns: Vec<String>,
    /// Whether some of them may have met none.
    includes_what_is_there: bool,
    partitions: Partitions,
    query: Query,
    met: Arc<Mutex<Met>>,
}

#[derive(Default)]
struct Met {
    patterns: Vec<bool>,
    names: Vec<String>,
}

impl Wanted {
    pub(super) fn new(request: &BackupRequest) -> Result<Self, BackupError> {
        let include = request.included();
        let met = Met {
            patterns: vec![false; include.len()],
            names: Vec::new(),
        };
        Ok(Wanted {
            include: glob_set("include", &include)?,
            exclude: glob_set("exclude", &request.exclude)?,
            patterns: include,
            includes_what_is_there: request.includes_what_is_there,
            partitions: request.partitions.clone(),
            query: request.query.clone(),
            met: Arc::new(Mutex::new(met)),
        })
    }

    pub(super) fn selection(&self) -> Selection {
        let (include, exclude) = (self.include.clone(), self.exclude.clone());
        let met = Arc::clone(&self.met);
        let selection = Selection::new(!self.patterns.is_empty(), move |name| {
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
        });
        selection.of_records(self.partitions.clone(), self.query.clone())
    }

    /// Refuses a pattern that no resource answers to, and patterns that leave none: mistakes that would be found out at the
    /// restore. The source has asked for each of its resources when it plans.
    pub(super) fn check(&self, plan: &ScanPlan) -> Result<(), BackupError> {
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let there_are = met.names.join(", ");
        let unmet = met.patterns.iter().position(|met| !met);
        if let Some(index) = unmet.filter(|_| !self.includes_what_is_there) {
            let subject = format!("resources {:?}", self.patterns[index]);
            let message = format!("no resource is called so; there are: {there_are}");
            return Err(BackupError::usage(subject, message));
        }
        self.check_query(plan)?;
        self.check_partitions(plan, &met)?;
        if met.names.is_empty()
            || plan
                .resources
                .iter()
                .any(|planned| name_of(planned).is_some())
        {
            return Ok(());
        }
        let message = format!("it leaves no resource; there are: {there_are}");
        Err(BackupError::usage("exclude", message))
    }

    /// Refuses conditions on a resource that isn't read.
    fn check_query(&self, plan: &ScanPlan) -> Result<(), BackupError> {
        let Some(name) = self.query.resources().find(|name| !plans(plan, name)) else {
            return Ok(());
        };
        let read: Vec<&str> = plan.resources.iter().filter_map(name_of).collect();
        let message = format!(
            "no resource that is read is called so; there are: {}",
            read.join(", ")
        );
        Err(BackupError::usage(format!("query {name:?}"), message))
    }

    /// Refuses a pattern whose resources all lack a partition. Of resources that nobody named, those that have it are read.
    fn check_partitions(&self, plan: &ScanPlan, met: &Met) -> Result<(), BackupError> {
        if self.partitions.is_empty() {
            return Ok(());
        }
        for (index, pattern) in self.patterns.iter().enumerate() {
            let answers = |name: &&String| {
                self.include.matches(name).contains(&index) && !self.exclude.is_match(name)
            };
            let answering: Vec<&String> = met.names.iter().filter(answers).collect();
            if !answering.is_empty() && !answering.iter().any(|name| plans(plan, name)) {
                let partitions: Vec<&str> = self.partitions.names().collect();
                let message = format!(
                    "it hasn't all of the partitions that are asked for: {}",
                    partitions.join(", ")
                );
                return Err(
                    BackupError::usage(format!("resources {pattern:?}"), message)
                        .suggest("leave it out, or back it up by itself"),
                );
            }
        }
        Ok(())
    }
}

fn name_of(planned: &PlannedResource) -> Option<&str> {
    match &planned.kind {
        ResourceKind::Records(name) => Some(name),
        ResourceKind::Objects
        | ResourceKind::Deleted
        | ResourceKind::Lines
        | ResourceKind::Settled => None,
    }
}

fn plans(plan: &ScanPlan, name: &str) -> bool {
    plan.resources
        .iter()
        .any(|planned| name_of(planned) == Some(name))
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
