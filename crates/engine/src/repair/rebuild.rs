//! The lost manifest of one run, made again at every destination that has the run.
//!
//! Each destination is looked at; a manifest is taken from one that has it whole, or else follows from the files that are
//! there; it is compared with every checksum that is known, and every byte that it names is read; only then it is
//! published. No file is replaced or deleted. Last, a record is left wherever none says that the backup is there.

use std::sync::Arc;

use futures::future::join_all;
use teeline_actors::Clock;
use teeline_core::{
    BackupError, BackupId, CatalogEntry, Class, Digest, SealedManifest, Timestamp, Verified, layout,
};

use super::Mended;
use super::evidence::Evidence;
use super::lost::{Donor, Lost, Refusal, in_the_way};
use crate::check::read_manifest;
use crate::files::file_of;
use crate::keys::Keys;
use crate::open::Opened;
use crate::report::{DestinationError, RepairStatus, RepairedCopy, RepairedRun};
use crate::run_folders::Searched;
use crate::run_records;

/// How the ledger names what is checked here.
pub(super) const BY_REPAIR: &str = "repair";
/// A run that has written more recently than this may be going on.
const QUIET_MS: i64 = 60 * 60 * 1000;

/// The rebuilding of one run's manifest.
pub(super) struct Rebuild<'a> {
    pub(super) id: &'a BackupId,
    pub(super) places: &'a [Result<Searched, (String, BackupError)>],
    pub(super) clock: &'a Clock,
    pub(super) started_at: Timestamp,
    /// Whether this run was asked for, so that it isn't passed over.
    pub(super) is_named: bool,
    /// What opens it, if it is sealed.
    pub(super) keys: &'a Keys,
}

/// What a destination has of the run.
enum Found<'a> {
    /// Nothing that anything is to be done about.
    Settled(Box<RepairedCopy>),
    /// A whole backup.
    Whole(Arc<Donor<'a>>),
    /// Files, and no backup.
    Lost(Box<Lost<'a>>),
}

/// What is to be done at a destination.
enum Step<'a> {
    /// Nothing, for there is nothing that could be done.
    Settled(Box<RepairedCopy>),
    /// Nothing, for it is whole.
    Keep(Arc<Donor<'a>>),
    /// Publish this.
    Publish(Box<Lost<'a>>, Box<SealedManifest>, RepairStatus),
}

impl<'a> Rebuild<'a> {
    /// Does what can be done at each destination. What can't be read beside the run's own files goes to `errors`.
    pub(super) async fn run(
        &self,
        mended: &mut Mended,
        errors: &mut Vec<DestinationError>,
    ) -> RepairedRun {
        let evidence = Evidence::gather(self.id, self.places, errors).await;
        let looks = self.places.iter().map(|place| self.look(place));
        let mut found = join_all(looks).await;
        if let Some(reason) = self.reason_to_skip(&found, &evidence) {
            skip(&mut found, &reason);
        }
        let mut steps = prepare(found, &evidence, self.keys).await;
        pass_over_where_not_taken(&mut steps, self.places);
        refuse_different(&mut steps);
        let destinations = join_all(steps.iter().map(take)).await;
        let taken = steps.iter().zip(&destinations);
        mended.extend(taken.clone().filter_map(now_listed));
        let records = taken.map(|(step, copy)| self.record(step, copy, &evidence));
        errors.extend(join_all(records).await.into_iter().flatten());
        RepairedRun {
            id: self.id.clone(),
            destinations,
        }
    }

    /// Leaves a record at a destination that has the backup now and no record of it, and otherwise word that it is right, where a check
    /// may have noted that it was lost; or says why there is none.
    async fn record(
        &self,
        step: &Step<'_>,
        copy: &RepairedCopy,
        evidence: &Evidence,
    ) -> Option<DestinationError> {
        let (opened, sealed, verified): (&Opened, _, _) = match step {
            Step::Settled(_) => return None,
            Step::Keep(whole) => (whole.opened, &whole.sealed, Verified::No),
            Step::Publish(lost, sealed, _) => (lost.opened, &**sealed, Verified::Read),
        };
        // Without one, it hasn't the backup.
        copy.checksum?;
        let (found, now) = ((verified, BY_REPAIR), (self.clock)());
        let left = match evidence.is_recorded_at(&opened.name) {
            true => run_records::note_checked(opened, sealed, found, self.started_at, now).await,
            false => run_records::leave(opened, sealed, found, self.started_at, now).await,
        };
        left.err().map(|error| DestinationError {
            destination: opened.name.clone(),
            error: (&error).into(),
        })
    }

    async fn look(&self, place: &'a Result<Searched, (String, BackupError)>) -> Found<'a> {
        match place {
            Ok(searched) => self.find(searched).await.unwrap_or_else(|refusal| {
                Found::Settled(Box::new(refusal.into_copy(&searched.asked.opened.name)))
            }),
            Err((name, error)) => Found::Settled(Box::new(RepairedCopy {
                error: Some(error.into()),
                ..copy_at(name, RepairStatus::Unreachable)
            })),
        }
    }

    /// What a destination has of the run.
    async fn find(&self, searched: &'a Searched) -> Result<Found<'a>, Refusal> {
        let (opened, catalog) = (&searched.asked.opened, &searched.asked.catalog);
        if catalog.withdrawn(self.id).is_some() {
            let copy = copy_at(&opened.name, RepairStatus::Withdrawn);
            return Ok(Found::Settled(Box::new(copy)));
        }
        let unreadable = catalog.unreadable.iter().find(|(id, ..)| id == self.id);
        if let Some((_, key, error)) = unreadable {
            return Err(in_the_way(opened, key, error).into());
        }
        if let Some(entry) = searched.asked.entry(self.id) {
            let manifest = file_of(&entry.path, layout::MANIFEST)?;
            return match read_manifest(opened, entry).await {
                Ok(sealed) => Ok(Found::Whole(Arc::new(Donor {
                    opened,
                    path: &entry.path,
                    sealed,
                }))),
                Err(error) => Err(in_the_way(opened, &manifest, &error).into()),
            };
        }
        let mut without_manifest = catalog.without_manifest.iter();
        let entry = without_manifest.find(|entry| entry.id == *self.id);
        let path = entry.map(|entry| entry.path.as_str());
        let folder = searched
            .folders
            .iter()
            .find(|folder| folder.id == *self.id && path.is_none_or(|path| path == folder.path));
        let Some(path) = path.or(folder.map(|folder| folder.path.as_str())) else {
            let copy = copy_at(&opened.name, RepairStatus::Absent);
            return Ok(Found::Settled(Box::new(copy)));
        };
        let lost = Lost::find(opened, self.id, path, folder).await?;
        Ok(Found::Lost(Box::new(lost)))
    }

    /// Why a run that nobody named is better left alone.
    fn reason_to_skip(&self, found: &[Found<'_>], evidence: &Evidence) -> Option<BackupError> {
        if self.is_named {
            return None;
        }
        let skipped = |class, message: &str| {
            BackupError::new(class, "rebuild", format!("the run {}", self.id), message)
        };
        let written_at = found.iter().filter_map(|found| match found {
            Found::Lost(lost) => lost.newest_at,
            Found::Whole(_) | Found::Settled(_) => None,
        });
        // A store without a clock says nothing. It doesn't have to: what a run publishes later are the same bytes.
        let age_ms = written_at
            .max()
            .map(|at| self.started_at.unix_ms() - at.unix_ms());
        if let Some(age_ms) = age_ms.filter(|age_ms| *age_ms < QUIET_MS) {
            let minutes = age_ms.max(0) / 60_000;
            let message =
                format!("its newest file was written {minutes} minutes ago, so it may be going on");
            return Some(skipped(Class::Transient, &message).suggest(
                "give its id to go on all the same, or try again when an hour has passed since",
            ));
        }
        let is_whole = |found: &Found<'_>| matches!(found, Found::Whole(_));
        if evidence.says_never_published() && !found.iter().any(is_whole) {
            return Some(
                skipped(Class::Permanent, "it failed, and published nothing").suggest(
                    "`teeline status ID` says why; give its id to publish what it has written, if that is whole",
                ),
            );
        }
        None
    }
}

/// Tells the destinations that lack the backup from those that it isn't for, where one has it whole, or is about to.
fn pass_over_where_not_taken(
    steps: &mut [Step<'_>],
    places: &[Result<Searched, (String, BackupError)>],
) {
    let include = steps.iter().find_map(|step| match step {
        Step::Settled(_) => None,
        Step::Keep(whole) => Some(whole.sealed.manifest.plan.include.clone()),
        Step::Publish(_, sealed, _) => Some(sealed.manifest.plan.include.clone()),
    });
    let Some(include) = include else { return };
    for (step, place) in steps.iter_mut().zip(places) {
        if let (Step::Settled(copy), Ok(searched)) = (step, place)
            && copy.status == RepairStatus::Absent
            && !searched.asked.opened.takes(&include)
        {
            copy.status = RepairStatus::NotTaken;
        }
    }
}

/// One that is whole, if there is any.
fn whole<'a>(found: &[Found<'a>]) -> Option<Arc<Donor<'a>>> {
    found.iter().find_map(|found| match found {
        Found::Whole(donor) => Some(Arc::clone(donor)),
        Found::Lost(_) | Found::Settled(_) => None,
    })
}

fn skip(found: &mut [Found<'_>], reason: &BackupError) {
    for found in found {
        if let Found::Lost(lost) = found {
            *found = Found::Settled(Box::new(RepairedCopy {
                error: Some(reason.into()),
                ..copy_at(&lost.opened.name, RepairStatus::Skipped)
            }));
        }
    }
}

/// Has a manifest made wherever it is lost, from one that is whole if there is any.
async fn prepare<'a>(found: Vec<Found<'a>>, evidence: &Evidence, keys: &Keys) -> Vec<Step<'a>> {
    let donor = whole(&found);
    let prepared = found.into_iter().map(|found| async {
        match found {
            Found::Settled(copy) => Step::Settled(copy),
            Found::Whole(whole) => Step::Keep(whole),
            Found::Lost(lost) => match lost.prepare(donor.as_deref(), evidence, keys).await {
                Ok((sealed, status)) => Step::Publish(lost, Box::new(sealed), status),
                Err(refusal) => Step::Settled(Box::new(refusal.into_copy(&lost.opened.name))),
            },
        }
    });
    join_all(prepared).await
}

/// A backup is the same everywhere. Where destinations come to different manifests, and nothing is known that says which
/// one is right, none is published.
fn refuse_different(steps: &mut [Step<'_>]) {
    let made: Vec<(String, Digest)> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Publish(lost, sealed, _) => Some((lost.opened.name.clone(), sealed.checksum)),
            Step::Settled(_) | Step::Keep(_) => None,
        })
        .collect();
    for step in steps {
        let Step::Publish(lost, sealed, _) = step else {
            continue;
        };
        let different = |(_, checksum): &&(String, Digest)| *checksum != sealed.checksum;
        if let Some((name, checksum)) = made.iter().find(different) {
            let other = format!("the one of destination {name}");
            let refusal = Refusal::from(lost.contradicted(sealed, *checksum, &other));
            *step = Step::Settled(Box::new(refusal.into_copy(&lost.opened.name)));
        }
    }
}

async fn take(step: &Step<'_>) -> RepairedCopy {
    let now_there = |opened: &Opened, sealed: &SealedManifest, status| RepairedCopy {
        checksum: Some(sealed.checksum),
        ..copy_at(&opened.name, status)
    };
    match step {
        Step::Settled(copy) => (**copy).clone(),
        Step::Keep(whole) => now_there(whole.opened, &whole.sealed, RepairStatus::Whole),
        Step::Publish(lost, sealed, status) => match lost.publish(sealed).await {
            Ok(()) => now_there(lost.opened, sealed, *status),
            Err(error) => Refusal::from(error).into_copy(&lost.opened.name),
        },
    }
}

/// What a destination lists now, and didn't before.
fn now_listed((step, copy): (&Step<'_>, &RepairedCopy)) -> Option<(String, CatalogEntry)> {
    let Step::Publish(lost, sealed, _) = step else {
        return None;
    };
    // Without one, it hasn't the backup.
    copy.checksum?;
    Some((copy.name.clone(), sealed.entry(lost.path)))
}

impl Refusal {
    pub(super) fn into_copy(self, destination: &str) -> RepairedCopy {
        let status = match self.error.class().is_retriable() {
            true => RepairStatus::Unreachable,
            false => RepairStatus::Refused,
        };
        RepairedCopy {
            error: Some((&self.error).into()),
            missing: self.missing,
            ..copy_at(destination, status)
        }
    }
}

pub(super) fn copy_at(destination: &str, status: RepairStatus) -> RepairedCopy {
    RepairedCopy {
        name: destination.to_owned(),
        status,
        checksum: None,
        error: None,
        missing: Vec::new(),
        files: Vec::new(),
        damage: Vec::new(),
        unrecorded: None,
    }
}
