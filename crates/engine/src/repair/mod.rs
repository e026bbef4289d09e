//! Repairing what destinations hold: lost manifests are made again, and copies healed from each other. Nothing is deleted by it.

mod evidence;
mod heal;
mod lost;
mod rebuild;

use std::collections::{BTreeSet, HashMap};

use teeline_core::chain::{Linked, Links};
use teeline_core::{BackupError, BackupId, CatalogEntry, Class};

use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::keys::Keys;
use crate::ledger::Ledger;
use crate::report::{DestinationError, RepairReport, RepairStatus};
use crate::request::Cancel;
use crate::run_folders::{RunFolder, Searched, search_all};

use heal::Heal;
use rebuild::Rebuild;

/// The copies that this repair has made whole, each with its destination.
type Mended = Vec<(String, CatalogEntry)>;

/// What is repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairWork {
    /// Lost manifests are made again. Nothing that is there is replaced or moved.
    Manifests,
    /// Also whatever is missing or damaged of copies is written again, from destinations that have it right; what is damaged is moved to
    /// `damaged/`.
    Copies,
    /// Also each backup is copied to destinations that lack it.
    Everything,
}

/// A repair to be made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RepairRequest {
    /// Where the runs are.
    pub destinations: Vec<DestinationSpec>,
    /// What is repaired.
    pub work: RepairWork,
    /// The run, and where copies are healed the backups that it needs. Without, each backup; of runs without a manifest those not that
    /// may be going on, nor those that failed before they published anything.
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
    /// use teeline::{
    ///     BackupRequest, BackupState, DestinationSpec, Engine, JsonlSource, RepairRequest,
    /// };
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
    /// let status = engine.status_blocking(&to, made.id.as_ref().unwrap());
    /// assert_eq!(status.status, BackupState::Damaged);
    ///
    /// let mut request = RepairRequest::rebuild_manifests(to.clone());
    /// request.id = made.id.clone();
    /// let report = engine.repair_blocking(request);
    /// assert_eq!(report.exit_code(), 0, "{report:?}");
    /// assert_eq!(report.runs[0].destinations[0].checksum, made.checksum);
    /// let status = engine.status_blocking(&to, &made.id.unwrap());
    /// assert_eq!(status.status, BackupState::Completed);
    /// # Ok(()) }
    /// ```
    pub fn rebuild_manifests(destinations: Vec<DestinationSpec>) -> Self {
        Self::new(destinations, RepairWork::Manifests)
    }

    /// Heals the copies of all backups from each other.
    ///
    /// ```
    /// use teeline::{BackupRequest, DestinationSpec, Engine, JsonlSource, RepairRequest, RepairStatus};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # std::fs::write(folder.path().join("users.jsonl"), "{\"id\":1}\n")?;
    /// let engine = Engine::new()?;
    /// let source = JsonlSource::path(folder.path().join("users.jsonl"));
    /// let one = DestinationSpec::parse(&format!("one={}", folder.path().join("one").display()))?;
    /// let two = DestinationSpec::parse(&format!("two={}", folder.path().join("two").display()))?;
    /// let made = engine.backup_blocking(BackupRequest::new(source, vec![one.clone(), two.clone()]));
    ///
    /// let data = folder.path().join("two").join(made.id.unwrap().as_str()).join("users.jsonl.gz");
    /// std::fs::write(&data, "something else")?;
    ///
    /// let report = engine.repair_blocking(RepairRequest::heal(vec![one, two]));
    /// assert_eq!(report.exit_code(), 0, "{report:?}");
    /// let healed = &report.runs[0].destinations[1];
    /// assert_eq!(healed.status, RepairStatus::Healed);
    /// let kept = healed.files[0].moved_to.as_ref().unwrap();
    /// assert_eq!(std::fs::read(folder.path().join("two").join(kept))?, b"something else");
    /// # Ok(()) }
    /// ```
    pub fn heal(destinations: Vec<DestinationSpec>) -> Self {
        Self::new(destinations, RepairWork::Copies)
    }

    /// Repairs whatever can be, and copies each backup to wherever it lacks. Safe to be done again and again.
    pub fn everything(destinations: Vec<DestinationSpec>) -> Self {
        Self::new(destinations, RepairWork::Everything)
    }

    fn new(destinations: Vec<DestinationSpec>, work: RepairWork) -> Self {
        RepairRequest {
            destinations,
            work,
            id: None,
            keys: Keys::default(),
            cancel: Cancel::new(),
        }
    }
}

impl Engine {
    /// Makes lost manifests again, and heals copies from each other. Nothing is lost by it: what is damaged is moved. Nothing is
    /// published before every stored byte of it was read and compared.
    pub async fn repair(&self, request: RepairRequest) -> RepairReport {
        let engine = self.clone();
        let repairing = async move { Ok(repair(&engine, &request).await) };
        let result = self.0.host.spawn(repairing).await;
        result
            .and_then(|repaired| repaired)
            .unwrap_or_else(|error| RepairReport {
                errors: vec![DestinationError::of_none(&error)],
                ..RepairReport::default()
            })
            .concluded()
    }

    /// As [`Engine::repair`], for hosts without an executor.
    pub fn repair_blocking(&self, request: RepairRequest) -> RepairReport {
        futures::executor::block_on(self.repair(request))
    }
}

async fn repair(engine: &Engine, request: &RepairRequest) -> RepairReport {
    let mut report = RepairReport::default();
    let work = repair_all(engine, request, &mut report);
    if let Err(error) = request.cancel.guard(work).await {
        report.errors.push(DestinationError::of_none(&error));
    }
    report
}

async fn repair_all(
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
    let heals = request.work != RepairWork::Manifests;
    let mut mended = Mended::new();
    let mut ledgers = HashMap::new();
    for Searched { asked, .. } in searched.iter().filter(|_| heals) {
        let name = asked.opened.name.clone();
        match Ledger::read(&asked.opened, (engine.0.clock)()).await {
            Ok(ledger) => drop(ledgers.insert(name, ledger)),
            Err(error) => report.errors.push(DestinationError {
                destination: name,
                error: (&error).into(),
            }),
        }
    }
    // What a manifest that was made again makes whole elsewhere.
    let incomplete: &[RepairStatus] = match request.work {
        RepairWork::Everything => &[RepairStatus::Refused, RepairStatus::Absent],
        RepairWork::Manifests | RepairWork::Copies => &[RepairStatus::Refused],
    };
    for id in wanted(request, &searched)? {
        let is_named = request.id.as_ref() == Some(&id);
        let heal = Heal {
            engine,
            request,
            id: &id,
            places: &places,
            ledgers: &ledgers,
        };
        if heals && let Some(run) = heal.run(&mut mended, &mut report.errors).await {
            report.runs.push(run);
            continue;
        }
        let rebuild = Rebuild {
            id: &id,
            places: &places,
            clock: &engine.0.clock,
            started_at: (engine.0.clock)(),
            is_named,
            keys: &request.keys,
        };
        let mut run = rebuild.run(&mut mended, &mut report.errors).await;
        if heals && run.has_its_manifest_again(incomplete) {
            // By what is there again the other copies heal. What can't be read beside them was said.
            let mut errors = Vec::new();
            if let Some(healed) = heal.run(&mut mended, &mut errors).await {
                run.incomplete_are_as_in(healed, incomplete);
            }
            errors.retain(|error| !report.errors.contains(error));
            report.errors.extend(errors);
        }
        report.runs.push(run);
    }
    for Searched { asked, .. } in searched {
        let name = &asked.opened.name;
        let is_whole = |id: &BackupId| {
            let runs = report.runs.iter().filter(|run| run.id == *id);
            let mut copies = runs.flat_map(|run| &run.destinations);
            copies.any(|copy| copy.name == *name && copy.checksum.is_some())
        };
        if !report.runs.iter().any(|run| is_whole(&run.id)) {
            report.warnings.extend(asked.nothing_listed());
        }
        if let Err(error) = asked.mark_published(is_whole).await {
            report.errors.push(DestinationError {
                destination: asked.opened.name.clone(),
                error: (&error).into(),
            });
        }
    }
    Ok(())
}

/// The runs that are to be repaired: what others go on from before them.
fn wanted(request: &RepairRequest, searched: &[&Searched]) -> Result<Vec<BackupId>, BackupError> {
    let catalogs = searched.iter().map(|place| &place.asked.catalog);
    let entries =
        catalogs.flat_map(|catalog| catalog.entries.iter().chain(&catalog.without_manifest));
    let links = Links::new(entries.map(Linked::from));
    let heals = request.work != RepairWork::Manifests;
    let ids = match &request.id {
        None if heals => {
            let mut ids = without_manifest(searched);
            ids.extend(searched.iter().flat_map(|place| known_at(place)));
            ids
        }
        None => without_manifest(searched),
        Some(id) if searched.iter().any(|place| place.knows(id)) => {
            let needed = links.needed_by(id).into_iter().filter(|_| heals);
            needed.chain([id.clone()]).collect()
        }
        Some(id) => return Err(unknown(id)),
    };
    let mut ids: Vec<BackupId> = ids.into_iter().collect();
    ids.sort_by_cached_key(|id| (links.needed_by(id).len(), id.began()));
    Ok(ids)
}

/// The backups that a destination lists, or should.
fn known_at(place: &Searched) -> impl Iterator<Item = BackupId> + '_ {
    let catalog = &place.asked.catalog;
    let listed = catalog.entries.iter().map(|entry| &entry.id);
    let damaged = catalog.damaged().map(|(id, ..)| id);
    let with_manifest = place
        .folders
        .iter()
        .filter(|folder| folder.has_manifest && !place.asked.has_withdrawn(&folder.id));
    let all = listed.chain(damaged);
    all.chain(with_manifest.map(|folder| &folder.id)).cloned()
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
