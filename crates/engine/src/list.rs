//! What there is: the backups that destinations hold, or the runs that left none.

use std::cmp::Reverse;
use std::collections::HashMap;

use futures::future::join_all;
use teeline_core::chain::Links;
use teeline_core::{
    BackupError, BackupId, BackupType, CatalogEntry, RunStatus, Timestamp, VerificationResult,
};

use crate::catalog::{Asked, Catalog, ToldBy, Wanted, ask_for};
use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::failed_runs::{self, Counting};
use crate::failure::{Failure, Operation};
use crate::ledger::Ledger;
use crate::report::{CopyState, DestinationError, ListReport, ListedBackup, ListedCopy};

/// What is to be listed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ListRequest {
    /// Where to look.
    pub destinations: Vec<DestinationSpec>,
    /// So many, the newest; all.
    pub limit: Option<usize>,
    /// Only those whose ids begin so; any.
    pub prefix: String,
    /// Only those of this type; any.
    pub backup_type: Option<BackupType>,
    /// Only those that began then or later; see [`Timestamp::first_of`].
    pub since: Option<Timestamp>,
    /// Only those that began then or earlier; see [`Timestamp::last_of`].
    pub until: Option<Timestamp>,
    /// Only those of which all of this is said, a name and the text of its value; see [`Metadata::has`]. Of failed runs
    /// nothing is.
    ///
    /// [`Metadata::has`]: teeline_core::Metadata::has
    pub metadata: Vec<(String, String)>,
    /// Backups, or failed runs; backups.
    pub status: ListedStatus,
}

/// Which of the things that there are is to be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListedStatus {
    /// Backups.
    #[default]
    Completed,
    /// Runs that failed and left no backup at any of the destinations.
    Failed,
}

impl ListRequest {
    /// Every backup.
    pub fn new(destinations: Vec<DestinationSpec>) -> Self {
        ListRequest {
            destinations,
            limit: None,
            prefix: String::new(),
            backup_type: None,
            since: None,
            until: None,
            metadata: Vec::new(),
            status: ListedStatus::default(),
        }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit.unwrap_or(usize::MAX)
    }

    /// Whether an id is one of those that were asked for.
    pub(crate) fn takes_id(&self, id: &BackupId) -> bool {
        let is_type = |wanted: &BackupType| id.backup_type() == *wanted;
        id.as_str().starts_with(&self.prefix) && self.backup_type.as_ref().is_none_or(is_type)
    }

    /// Whether a time is one of those that were asked for.
    pub(crate) fn takes_time(&self, began: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= began)
            && self.until.is_none_or(|until| began <= until)
    }
}

impl<D: AsRef<[DestinationSpec]> + ?Sized> From<&D> for ListRequest {
    fn from(destinations: &D) -> Self {
        ListRequest::new(destinations.as_ref().to_vec())
    }
}

impl Engine {
    /// The backups that destinations hold, the newest first: those that a [`ListRequest`] asks for, or every one at these
    /// destinations.
    pub async fn list(&self, request: impl Into<ListRequest>) -> ListReport {
        let (engine, request) = (self.clone(), request.into());
        let listing = async move {
            match request.status {
                ListedStatus::Completed => list(&engine, &request).await,
                ListedStatus::Failed => failed_runs::list(&engine, &request, &Counting::ALL).await,
            }
        };
        let mut report = self
            .0
            .host
            .spawn(listing)
            .await
            .unwrap_or_else(|error| ListReport {
                errors: vec![DestinationError::of_none(&error)],
                ..ListReport::default()
            });
        let errors = report.errors.iter().map(|failed| &failed.error);
        report.failure = Failure::first(Operation::List, errors);
        report
    }

    /// As [`Engine::list`], for hosts without an executor.
    pub fn list_blocking(&self, request: impl Into<ListRequest>) -> ListReport {
        futures::executor::block_on(self.list(request))
    }
}

/// A backup that is among the newest of all is among the newest of each destination that has it, so no destination is asked
/// for more than the limit.
async fn list(engine: &Engine, request: &ListRequest) -> ListReport {
    let wanted = Wanted {
        takes: &|id, began| request.takes_id(id) && request.takes_time(began),
        matches: &|entry| {
            let mut wanted = request.metadata.iter();
            wanted.all(|(name, text)| entry.metadata.has(name, text))
        },
        limit: request.limit(),
        told_by: ToldBy::Marker,
    };
    let mut report = ListReport::default();
    let mut known: HashMap<BackupId, usize> = HashMap::new();
    let asked = ask_for(engine, &request.destinations, &wanted).await;
    for asked in &asked {
        let Asked { opened, catalog } = match asked {
            Ok(asked) => asked,
            Err((name, error)) => {
                report.failed(name, error);
                continue;
            }
        };
        for (_, _, error) in catalog.damaged() {
            report.failed(&opened.name, error);
        }
        for entry in &catalog.entries {
            let next = report.backups.len();
            let at = *known.entry(entry.id.clone()).or_insert(next);
            if at == next {
                report.backups.push(listed(entry.clone()));
            }
            report.backups[at].destinations.push(opened.name.clone());
        }
    }
    // As the keys of the catalogue sort.
    let place = |listed: &ListedBackup| (Reverse(listed.timestamp), listed.id.clone());
    report.backups.sort_by_cached_key(place);
    report.backups.truncate(request.limit());
    if !report.backups.is_empty() {
        add_copies(engine, &asked, &mut report).await;
    }
    report
}

/// Adds what each destination has of each backup: one more listing a destination, whatever is listed.
async fn add_copies(
    engine: &Engine,
    asked: &[Result<Asked, (String, BackupError)>],
    report: &mut ListReport,
) {
    let now = (engine.0.clock)();
    let ledgers = asked.iter().map(|asked| async move {
        match asked {
            Ok(asked) => Ledger::read(&asked.opened, now).await,
            Err(_) => Ok(Ledger::default()),
        }
    });
    let mut ledgers_read = Vec::new();
    for (asked, ledger) in asked.iter().zip(join_all(ledgers).await) {
        ledgers_read.push(ledger.unwrap_or_else(|error| {
            let name = asked
                .as_ref()
                .map_or("", |asked| asked.opened.name.as_str());
            report.failed(name, &error);
            Ledger::default()
        }));
    }
    let listed = asked.iter().map(|asked| {
        let entries = asked.iter().flat_map(|asked| &asked.catalog.entries);
        entries.map(|entry| (&entry.id, entry)).collect()
    });
    let listed: Vec<HashMap<&BackupId, &CatalogEntry>> = listed.collect();
    let restored_with = |asked: &Result<Asked, _>| {
        let catalog = asked.as_ref().ok().map(|asked| &asked.catalog);
        catalog.map(Catalog::restored_with).unwrap_or_default()
    };
    let links: Vec<Links> = asked.iter().map(restored_with).collect();
    for backup in &mut report.backups {
        let places = asked
            .iter()
            .zip(&listed)
            .zip(ledgers_read.iter().zip(&links));
        let entry = listed.iter().find_map(|listed| listed.get(&backup.id));
        let copy =
            |((asked, listed), (ledger, links)): ((_, &HashMap<_, _>), (&Ledger, &Links))| {
                let asked: &Result<Asked, (String, BackupError)> = asked;
                let is_listed = listed.contains_key(&backup.id);
                let not_a_chain = links.chain(&backup.id).err().filter(|_| is_listed);
                let may_be_for =
                    |asked: &Asked| entry.is_none_or(|entry| asked.opened.may_take(entry));
                let (destination, status) = match asked {
                    Err((name, _)) => (name, CopyState::Unreachable),
                    Ok(asked) => {
                        let found = match state(&asked.catalog, is_listed, ledger, &backup.id) {
                            CopyState::Absent if !may_be_for(asked) => CopyState::NotTaken,
                            CopyState::Ok if not_a_chain.is_some() => CopyState::Damaged,
                            found => found,
                        };
                        (&asked.opened.name, found)
                    }
                };
                ListedCopy {
                    destination: destination.clone(),
                    status,
                    lacks: not_a_chain.and_then(|why| why.lacking().cloned()),
                    last_verified: ledger.last(&backup.id),
                }
            };
        backup.copies = places.map(copy).collect();
    }
}

/// What is at a destination, as far as listings show it.
fn state(catalog: &Catalog, is_listed: bool, ledger: &Ledger, id: &BackupId) -> CopyState {
    let check = ledger.decisive(id);
    let was_damaged = check.is_some_and(|check| check.result == VerificationResult::Damaged);
    match () {
        () if catalog.withdrawn(id).is_some() => CopyState::Withdrawn,
        () if catalog.damaged_of(id).next().is_some() => CopyState::Damaged,
        () if !is_listed => CopyState::Absent,
        () if was_damaged => CopyState::Damaged,
        () => CopyState::Ok,
    }
}

fn listed(entry: CatalogEntry) -> ListedBackup {
    let asked_for = entry.asked_for.unwrap_or_default();
    ListedBackup {
        id: entry.id,
        backup_type: entry.backup_type,
        status: RunStatus::Completed,
        timestamp: entry.started_at,
        record_count: entry.records,
        size: entry.stored_bytes,
        plain_bytes: entry.plain_bytes,
        checksum: Some(entry.checksum),
        path: Some(entry.path),
        sealed: entry.sealed,
        is_in_part: entry.in_part,
        destinations: Vec::new(),
        copies: Vec::new(),
        parent: entry.parent,
        include: asked_for.include,
        exclude: asked_for.exclude,
        metadata: entry.metadata,
        error: None,
    }
}

impl ListReport {
    /// Notes what couldn't be read.
    pub(crate) fn failed(&mut self, destination: &str, error: &BackupError) {
        self.errors.push(DestinationError {
            destination: destination.to_owned(),
            error: error.into(),
        });
    }
}
