//! Filling gaps: a listed backup that a destination lacks is copied there from one that has it. Nothing is deleted, and
//! nothing that is there is replaced.

use teeline_core::chain::{Linked, Links};
use teeline_core::{BackupError, BackupId, Class, SealedManifest};

use crate::catalog::{Asked, all_ids, ask_all, resolve};
use crate::catch_up::Completion;
use crate::check::read_manifest;
use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::report::{DestinationError, SyncReport, SyncStatus, SyncedBackup, SyncedCopy};
use crate::request::{Cancel, Which};
use crate::run_records;

/// How the ledger names what is checked here.
const BY_SYNC: &str = "sync";

/// Gaps to be filled.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SyncRequest {
    /// The destinations that are to have the same backups.
    pub destinations: Vec<DestinationSpec>,
    /// The backup that is meant, with those that it takes to restore it; without, each that a destination lists, the oldest
    /// first.
    pub id: Option<BackupId>,
    /// Ends it early. What was completed until then stays.
    pub cancel: Cancel,
}

impl SyncRequest {
    /// Every backup to every destination.
    pub fn new(destinations: Vec<DestinationSpec>) -> Self {
        SyncRequest {
            destinations,
            id: None,
            cancel: Cancel::new(),
        }
    }
}

impl Engine {
    /// Copies backups to destinations that lack them, from others that have them; every byte is compared when it is read
    /// and when it was written.
    pub async fn sync(&self, request: SyncRequest) -> SyncReport {
        let engine = self.clone();
        let syncing = async move {
            let mut report = SyncReport::default();
            let work = sync(&engine, &request, &mut report);
            if let Err(error) = request.cancel.guard(work).await {
                report.errors.push(DestinationError::of_none(&error));
            }
            Ok(report)
        };
        let result = self.0.host.spawn(syncing).await;
        result
            .and_then(|synced| synced)
            .unwrap_or_else(|error| SyncReport {
                errors: vec![DestinationError::of_none(&error)],
                ..SyncReport::default()
            })
            .concluded()
    }

    /// As [`Engine::sync`], for hosts without an executor.
    pub fn sync_blocking(&self, request: SyncRequest) -> SyncReport {
        futures::executor::block_on(self.sync(request))
    }
}

async fn sync(
    engine: &Engine,
    request: &SyncRequest,
    report: &mut SyncReport,
) -> Result<(), BackupError> {
    let asked = ask_all(engine, &request.destinations).await;
    for (destination, error) in asked.iter().filter_map(|asked| asked.as_ref().err()) {
        report.errors.push(DestinationError {
            destination: destination.clone(),
            error: error.into(),
        });
    }
    let entries = asked.iter().flatten().flat_map(|at| &at.catalog.entries);
    let links = Links::new(entries.map(Linked::from));
    // What others need is copied before them.
    let ids: Vec<BackupId> = match &request.id {
        Some(id) => {
            let id = resolve(&Which::Id(id.clone()), &asked).await?;
            let needed = links.needed_by(&id).into_iter().rev();
            needed.chain([id]).collect()
        }
        None => {
            let mut ids: Vec<BackupId> = all_ids(&asked).into_iter().rev().collect();
            ids.sort_by_cached_key(|id| links.needed_by(id).len());
            ids
        }
    };
    let asked: Vec<Asked> = asked.into_iter().flatten().collect();
    for id in &ids {
        let is_gap = |place: &Asked| place.entry(id).is_none() && !place.has_withdrawn(id);
        if asked.iter().any(is_gap) {
            let asked: Vec<&Asked> = asked.iter().collect();
            let gap = Gap {
                engine,
                asked: &asked,
                id,
            };
            let filled = gap.fill(&mut report.errors).await;
            let is_full =
                |copy: &SyncedCopy| matches!(copy.status, SyncStatus::Whole | SyncStatus::NotTaken);
            if !filled.destinations.iter().all(is_full) {
                report.backups.push(filled);
            }
        }
    }
    for place in &asked {
        let copies = report.backups.iter().flat_map(|it| &it.destinations);
        let mut here = copies.filter(|copy| copy.name == place.opened.name);
        if !here.any(|copy| copy.status == SyncStatus::Copied) {
            report.warnings.extend(place.nothing_listed());
        }
        if let Err(error) = place.mark_published(|id| ids.contains(id)).await {
            report.errors.push(DestinationError {
                destination: place.opened.name.clone(),
                error: (&error).into(),
            });
        }
    }
    Ok(())
}

/// Copies a backup to a destination that lacks it, from the first of the others that can give it.
pub(crate) async fn complete_at(
    engine: &Engine,
    asked: &[&Asked],
    to: &Asked,
    id: &BackupId,
) -> Result<u64, BackupError> {
    let gap = Gap { engine, asked, id };
    let donors = gap.donors().await;
    match gap.complete(to, &donors).await {
        Ok(Completed { bytes, unrecorded }) => {
            if let Some(error) = unrecorded {
                tracing::warn!(at = to.opened.name, backup = %id, %error, "it is copied, and that isn't noted there");
            }
            Ok(bytes)
        }
        Err(Incomplete { error, .. }) => Err(error),
    }
}

/// A copy that is whole now.
struct Completed {
    bytes: u64,
    /// Why that isn't noted there.
    unrecorded: Option<BackupError>,
}

/// A copy that couldn't be completed.
struct Incomplete {
    error: BackupError,
    /// Whether it may be listed all the same.
    may_be_visible: bool,
}

impl From<BackupError> for Incomplete {
    fn from(error: BackupError) -> Self {
        Incomplete {
            error,
            may_be_visible: false,
        }
    }
}

/// A backup that isn't everywhere.
struct Gap<'a> {
    engine: &'a Engine,
    asked: &'a [&'a Asked],
    id: &'a BackupId,
}

/// A destination that has it, the folder that it is in there, and its manifest.
type Donor<'a> = (&'a Asked, &'a str, SealedManifest);

/// One that lists it; or its name, and why its manifest can't be read.
type MayGive<'a> = Result<Donor<'a>, (&'a str, BackupError)>;

impl Gap<'_> {
    async fn fill(&self, errors: &mut Vec<DestinationError>) -> SyncedBackup {
        let donors = self.donors().await;
        let unread = donors.iter().filter_map(|donor| donor.as_ref().err());
        errors.extend(unread.map(|(name, error)| DestinationError {
            destination: (*name).to_owned(),
            error: error.into(),
        }));
        let mut destinations = Vec::new();
        for place in self.asked {
            let copy = SyncedCopy {
                name: place.opened.name.clone(),
                status: SyncStatus::Whole,
                bytes: 0,
                error: None,
            };
            destinations.push(match place.entry(self.id) {
                Some(_) => copy,
                None if place.has_withdrawn(self.id) => SyncedCopy {
                    status: SyncStatus::Withdrawn,
                    ..copy
                },
                None if !is_for(place, &donors) => SyncedCopy {
                    status: SyncStatus::NotTaken,
                    ..copy
                },
                None => match self.complete(place, &donors).await {
                    Ok(Completed { bytes, unrecorded }) => {
                        errors.extend(unrecorded.map(|error| DestinationError {
                            destination: place.opened.name.clone(),
                            error: (&error).into(),
                        }));
                        SyncedCopy {
                            status: SyncStatus::Copied,
                            bytes,
                            ..copy
                        }
                    }
                    Err(Incomplete {
                        error,
                        may_be_visible,
                    }) => SyncedCopy {
                        status: match may_be_visible {
                            true => SyncStatus::Unknown,
                            false => SyncStatus::Failed,
                        },
                        error: Some((&error).into()),
                        ..copy
                    },
                },
            });
        }
        SyncedBackup {
            id: self.id.clone(),
            destinations,
        }
    }

    async fn donors(&self) -> Vec<MayGive<'_>> {
        let mut donors = Vec::new();
        for place in self.asked.iter().copied() {
            let Some(entry) = place.entry(self.id) else {
                continue;
            };
            match read_manifest(&place.opened, entry).await {
                Ok(sealed) => donors.push(Ok((place, entry.path.as_str(), sealed))),
                Err(error) => donors.push(Err((place.opened.name.as_str(), error))),
            }
        }
        donors
    }

    /// Nobody can say which of two backups of one id is the right one.
    fn agree(&self) -> Result<(), BackupError> {
        let mut having = self.asked.iter().filter_map(|place| {
            let entry = place.entry(self.id)?;
            Some((&place.opened.name, &entry.checksum))
        });
        let Some((one, checksum)) = having.next() else {
            return Ok(());
        };
        match having.find(|(_, other)| *other != checksum) {
            None => Ok(()),
            Some((other, _)) => {
                let message = format!(
                    "{one} and {other} have different backups of this id; neither is copied"
                );
                Err(BackupError::corrupt(self.id, message)
                    .suggest("`teeline verify --deep`, with the key where it is encrypted, tells which is damaged; move that one away"))
            }
        }
    }

    /// Completes the copy at a destination, from the first that can give it.
    async fn complete(&self, to: &Asked, donors: &[MayGive<'_>]) -> Result<Completed, Incomplete> {
        if let Some((_, _, error)) = to.catalog.damaged_of(self.id).next() {
            return Err(Incomplete {
                error: in_the_way(error),
                // What couldn't be read may be right.
                may_be_visible: error.class() != Class::Corrupt,
            });
        }
        self.agree()?;
        let (mut failure, mut may_be_visible) = (None, false);
        for (from, path, sealed) in donors.iter().flatten() {
            let started_at = (self.engine.0.clock)();
            let mut completion = Completion::new(&from.opened, &to.opened, path, sealed);
            match completion.run().await {
                Ok(bytes) => {
                    let verified = completion.verified();
                    let ended_at = (self.engine.0.clock)();
                    let found = (verified, BY_SYNC);
                    let left =
                        run_records::leave(&to.opened, sealed, found, started_at, ended_at).await;
                    return Ok(Completed {
                        bytes,
                        unrecorded: left.err(),
                    });
                }
                Err(error) => {
                    may_be_visible |= completion.may_be_visible(&error);
                    failure = failure.or(Some(error));
                }
            }
        }
        let error = failure.unwrap_or_else(|| {
            let message = "no destination has a manifest of it that can be read";
            // Where one may only be out of reach, that isn't damage.
            let mut unread = donors.iter().filter_map(|donor| donor.as_ref().err());
            let out_of_reach = unread.find(|(_, error)| error.class() != Class::Corrupt);
            let class = out_of_reach.map_or(Class::Corrupt, |(_, error)| error.class());
            BackupError::new(class, "copy", self.id, message)
        });
        Err(Incomplete {
            error,
            may_be_visible,
        })
    }
}

/// Why a copy isn't completed of which something is there already.
fn in_the_way(error: &BackupError) -> BackupError {
    let message = format!("{}; nothing that is there is replaced", error.message());
    let in_the_way = BackupError::new(error.class(), error.operation(), error.subject(), message);
    let help = match error.class() {
        Class::Corrupt => Some("`teeline repair` makes it whole again"),
        _ => error.suggestion(),
    };
    match help {
        Some(help) => in_the_way.suggest(help),
        None => in_the_way,
    }
}

/// Whether the backup is one of those that a destination takes.
fn is_for(place: &Asked, donors: &[MayGive<'_>]) -> bool {
    let mut manifests = donors
        .iter()
        .flatten()
        .map(|(_, _, sealed)| &sealed.manifest);
    manifests.all(|manifest| place.opened.takes(&manifest.plan.include))
}
