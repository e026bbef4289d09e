//! Repairing what destinations hold. There is one repair: making lost manifests again.

mod evidence;
mod lost;
mod rebuild;

use std::collections::BTreeSet;

use teeline_core::{BackupError, BackupId, Class};

use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::keys::Keys;
use crate::report::{DestinationError, RepairReport};
use crate::request::Cancel;
use crate::run_folders::{RunFolder, Searched, search_all};

use rebuild::Rebuild;

/// A repair to be made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RepairRequest {
    /// Where the runs are.
    pub destinations: Vec<DestinationSpec>,
    /// The run whose manifest is lost. Without, each that has no manifest somewhere, save those that may be going on and
    /// those that failed before they published anything.
    pub id: Option<BackupId>,
    /// What opens sealed runs: a manifest of theirs that can't be copied is made again with their key only.
    pub keys: Keys,
    /// Ends the repair early.
    pub cancel: Cancel,
}

impl RepairRequest {
    /// Makes the lost manifests of all runs again.
    ///
    /// ```
    /// use teeline::{BackupRequest, DestinationSpec, Engine, JsonlSource, RepairRequest};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # std::fs::write(folder.path().join("users.jsonl"), "{\"id\":1}\n")?;
    /// let engine = Engine::new()?;
    /// let source = JsonlSource::path(folder.path().join("users.jsonl"));
    /// let copy = folder.path().join("copy");
    /// let to = vec![DestinationSpec::parse(&copy.display().to_string())?];
    /// let made = engine.backup_blocking(BackupRequest::new(source, to.clone()));
    ///
    /// std::fs::remove_file(copy.join(made.id.as_ref().unwrap().as_str()).join("manifest.json"))?;
    /// assert!(engine.list_blocking(&to).backups.is_empty());
    ///
    /// let mut request = RepairRequest::rebuild_manifests(to.clone());
    /// request.id = made.id;
    /// let report = engine.repair_blocking(request);
    /// assert_eq!(report.exit_code(), 0, "{report:?}");
    /// assert_eq!(report.runs[0].destinations[0].checksum, made.checksum);
    /// assert_eq!(engine.list_blocking(&to).backups.len(), 1);
    /// # Ok(()) }
    /// ```
    pub fn rebuild_manifests(destinations: Vec<DestinationSpec>) -> Self {
        RepairRequest {
            destinations,
            id: None,
            keys: Keys::default(),
            cancel: Cancel::new(),
        }
    }
}

impl Engine {
    /// Makes lost manifests again. Nothing that is there is replaced or deleted, and nothing is published before every
    /// stored byte of it was read and compared.
    pub async fn repair(&self, request: RepairRequest) -> RepairReport {
        let engine = self.clone();
        let repairing = async move { Ok(repair(&engine, &request).await) };
        let result = self.0.host.spawn(repairing).await;
        result
            .and_then(|repaired| repaired)
            .unwrap_or_else(|error| RepairReport {
                runs: Vec::new(),
                errors: vec![DestinationError::of_none(&error)],
            })
    }

    /// As [`Engine::repair`], for hosts without an executor.
    pub fn repair_blocking(&self, request: RepairRequest) -> RepairReport {
        futures::executor::block_on(self.repair(request))
    }
}

async fn repair(engine: &Engine, request: &RepairRequest) -> RepairReport {
    let mut report = RepairReport::default();
    let work = rebuild_all(engine, request, &mut report);
    if let Err(error) = request.cancel.guard(work).await {
        report.errors.push(DestinationError::of_none(&error));
    }
    report
}

async fn rebuild_all(
    engine: &Engine,
    request: &RepairRequest,
    report: &mut RepairReport,
) -> Result<(), BackupError> {
    let places = search_all(engine, &request.destinations).await;
    for failed in &places {
        if let Err((destination, error)) = failed {
            report.errors.push(DestinationError {
                destination: destination.clone(),
                error: error.into(),
            });
        }
    }
    let searched: Vec<&Searched> = places.iter().flatten().collect();
    let ids = match &request.id {
        None => without_manifest(&searched),
        Some(id) if searched.iter().any(|place| place.knows(id)) => BTreeSet::from([id.clone()]),
        Some(id) => return Err(unknown(id)),
    };
    // What others go on from is published before them.
    let mut ids: Vec<BackupId> = ids.into_iter().collect();
    ids.sort_by_key(BackupId::began);
    for id in ids {
        let rebuild = Rebuild {
            id: &id,
            places: &places,
            clock: &engine.0.clock,
            started_at: (engine.0.clock)(),
            is_named: request.id.is_some(),
            keys: &request.keys,
        };
        let run = rebuild.run(&mut report.errors).await;
        report.runs.push(run);
    }
    Ok(())
}

/// The runs that have no manifest at some destination that has their claim, or has listed them.
fn without_manifest(searched: &[&Searched]) -> BTreeSet<BackupId> {
    let claimed = searched.iter().flat_map(|place| {
        let counts = |folder: &&RunFolder| !place.asked.has_withdrawn(&folder.id);
        place.folders.iter().filter(counts)
    });
    let claimed = claimed.filter(|folder| folder.has_claim && !folder.has_manifest);
    let lost = searched.iter().flat_map(|place| &place.asked.catalog.lost);
    claimed
        .map(|folder| &folder.id)
        .chain(lost.map(|(id, ..)| id))
        .cloned()
        .collect()
}

fn unknown(id: &BackupId) -> BackupError {
    let message = format!("no destination that could be asked has {id}");
    BackupError::new(Class::NotFound, "find", "the run", message).suggest(
        "a run's folder is called as the run; without an id, every run without a manifest is repaired",
    )
}
