//! What was found of places that become destinations.

use serde::Serialize;
use teeline_core::{BackupError, ErrorReport, ProbeRecord, Promises};

use super::{exit, exit_code_of};
use crate::destination::DestinationSpec;
use crate::failure::{Failure, Operation};

/// What was found of each place.
#[derive(Debug, Clone, Serialize)]
pub struct InitReport {
    /// The places, in the order in which they were asked for.
    pub destinations: Vec<InitializedDestination>,
    /// What went wrong first, for callers of web APIs and those who know s3db.js's plugin.
    pub failure: Option<Failure>,
}

/// A place that was tried.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InitializedDestination {
    /// The destination's name.
    pub name: String,
    /// Where it is, without secrets.
    pub location: String,
    /// What came of it.
    pub status: InitStatus,
    /// What its store keeps; unknown where it failed.
    pub promises: Option<Promises>,
    /// What can't be relied on there, and what follows.
    pub weaknesses: Vec<String>,
    /// Why it can't be a destination.
    pub error: Option<ErrorReport>,
}

/// What came of trying a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitStatus {
    /// It is a destination, with everything that teeline relies on.
    Ready,
    /// It is one, but something can't be relied on.
    Weak,
    /// It is none.
    Failed,
}

impl InitializedDestination {
    pub(crate) fn new(place: &DestinationSpec, found: Result<&ProbeRecord, &BackupError>) -> Self {
        let promises = found.ok().map(|record| record.promises);
        let weaknesses = promises.map_or_else(Vec::new, |promises| promises.weaknesses());
        InitializedDestination {
            name: place.name.clone(),
            location: place.place.location(),
            status: match (&found, &weaknesses[..]) {
                (Err(_), _) => InitStatus::Failed,
                (Ok(_), []) => InitStatus::Ready,
                (Ok(_), _) => InitStatus::Weak,
            },
            promises,
            weaknesses: weaknesses.into_iter().map(str::to_owned).collect(),
            error: found.err().map(ErrorReport::from),
        }
    }

    fn exit_code(&self) -> u8 {
        match (&self.status, &self.error) {
            (_, Some(error)) => exit_code_of(error),
            (InitStatus::Weak, None) => exit::DEGRADED,
            (_, None) => exit::DONE,
        }
    }
}

impl InitReport {
    pub(crate) fn of(destinations: Vec<InitializedDestination>) -> Self {
        let errors = destinations.iter().filter_map(|at| at.error.as_ref());
        InitReport {
            failure: Failure::first(Operation::List, errors),
            destinations,
        }
    }

    /// 0; 3 where something can't be relied on; 1 where a place is none for backups, 13 where it gave something else than was
    /// written; 130.
    pub fn exit_code(&self) -> u8 {
        exit::worst(
            self.destinations
                .iter()
                .map(InitializedDestination::exit_code),
        )
    }
}
