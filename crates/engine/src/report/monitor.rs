//! What a monitor is told.

use serde::Serialize;
use teeline_core::{BackupId, ErrorReport};

use super::{exit, exit_code_of};
use crate::failure::{Failure, Operation};

/// Whether destinations have the backups that are expected of them.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MonitorReport {
    /// Each destination.
    pub destinations: Vec<MonitoredDestination>,
    /// Why nothing could be looked at.
    pub error: Option<ErrorReport>,
    /// What went wrong first, for callers of web APIs and those who know s3db.js's plugin.
    pub failure: Option<Failure>,
}

/// What a destination has.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MonitoredDestination {
    /// Its name.
    pub name: String,
    /// Backups.
    pub count: u64,
    /// The one that began last.
    pub latest: Option<BackupId>,
    /// Milliseconds since then.
    pub age: Option<u64>,
    /// Milliseconds since the backup was verified, or made, that nobody has looked at for longest.
    pub longest_unverified: Option<u64>,
    /// What isn't as it should be; nothing, where all is well.
    pub problems: Vec<ErrorReport>,
}

impl MonitoredDestination {
    pub(crate) fn new(name: &str) -> Self {
        MonitoredDestination {
            name: name.to_owned(),
            count: 0,
            latest: None,
            age: None,
            longest_unverified: None,
            problems: Vec::new(),
        }
    }
}

impl MonitorReport {
    pub(crate) fn new(destinations: Vec<MonitoredDestination>, error: Option<ErrorReport>) -> Self {
        let problems = destinations.iter().flat_map(|at| &at.problems);
        MonitorReport {
            failure: Failure::first(Operation::List, error.iter().chain(problems)),
            destinations,
            error,
        }
    }

    /// 0 where all is well, 1 where something isn't, 13 where that is damage.
    pub fn exit_code(&self) -> u8 {
        let problems = self.destinations.iter().flat_map(|at| &at.problems);
        exit::worst(problems.chain(&self.error).map(exit_code_of))
    }
}
