//! Healing a backup: each destination's copy of it is made whole again from those of the others.
//!
//! Every file is judged by the manifest that some destination has right, so digests lead to every byte that is written, also where
//! it is sealed and no key is given. What is damaged is moved below `damaged/`, and serves others from there with what is right of it.

mod copy;
mod data;
mod deeper;
mod keys;
mod site;
mod sources;
mod truth;

use std::collections::HashMap;

use teeline_core::{
    BackupError, BackupId, CatalogEntry, Class, Depth, Timestamp, Verified, layout,
};

use super::evidence::Evidence;
use super::lost::Refusal;
use super::rebuild::{BY_REPAIR, copy_at};
use super::{Mended, RepairRequest, RepairWork};
use crate::engine::Engine;
use crate::ledger::{self, Ledger, Noted};
use crate::report::{DestinationError, RepairStatus, RepairedCopy, RepairedRun};
use crate::run_folders::Searched;
use crate::run_records;

use copy::Healing;
use site::{Site, Standing};
use sources::Sources;
use truth::Truth;

/// The healing of one backup.
pub(super) struct Heal<'a> {
    pub(super) engine: &'a Engine,
    pub(super) request: &'a RepairRequest,
    pub(super) id: &'a BackupId,
    pub(super) places: &'a [Result<Searched, (String, BackupError)>],
    /// What checks have found before, by destination.
    pub(super) ledgers: &'a HashMap<String, Ledger>,
}

impl Heal<'_> {
    /// Does it; or gives nothing, where no destination has a manifest of it. What can't be read beside its own files goes to
    /// `errors`.
    pub(super) async fn run(
        &self,
        mended: &mut Mended,
        errors: &mut Vec<DestinationError>,
    ) -> Option<RepairedRun> {
        let mut unreadable = Vec::new();
        let evidence = Evidence::gather(self.id, self.places, &mut unreadable).await;
        let sites = self.places.iter().flatten();
        let sites = sites.map(|place| Site::of(self.id, place, &evidence));
        let sites: Vec<Site<'_>> = sites.collect();
        let truth = truth::find(self.id, &sites, &evidence).await;
        if let Ok(None) = truth {
            return None;
        }
        // A record that is damaged is moved aside with the rest.
        unreadable.retain(|failed| failed.error.class != Class::Corrupt);
        errors.append(&mut unreadable);
        let mut destinations = Vec::new();
        let mut sites = sites.iter();
        for place in self.places {
            let copy = match (place, &truth) {
                (Err((name, error)), _) => RepairedCopy {
                    error: Some(error.into()),
                    ..copy_at(name, RepairStatus::Unreachable)
                },
                (Ok(_), truth) => {
                    let Some(site) = sites.next() else { continue };
                    match truth {
                        Ok(Some(truth)) => self.at(site, truth, &evidence, mended).await,
                        Ok(None) => continue,
                        Err(error) => refused_at(site, error),
                    }
                }
            };
            destinations.push(copy);
        }
        Some(RepairedRun {
            id: self.id.clone(),
            destinations,
        })
    }

    /// Heals the copy at one destination, if there is one or is to be one.
    async fn at(
        &self,
        site: &Site<'_>,
        truth: &Truth,
        evidence: &Evidence,
        mended: &mut Mended,
    ) -> RepairedCopy {
        let opened = site.opened();
        if let Some(status) = self.leaves_alone(site, truth) {
            return copy_at(&opened.name, status);
        }
        if let Some(path) = site.path.as_ref().filter(|path| **path != truth.path) {
            let message = format!("its folder here is {path}, and elsewhere {}", truth.path);
            let error = BackupError::corrupt(self.id, message);
            let error =
                error.suggest("its files belong in the same folder everywhere; move them there");
            return Refusal::from(error).into_copy(&opened.name);
        }
        let others = self
            .places
            .iter()
            .flatten()
            .map(|place| &place.asked.opened);
        let others = others.filter(|other| other.name != opened.name);
        let sources = Sources::new(others.chain([opened]));
        let started_at = (self.engine.0.clock)();
        let mut healing = Healing::new(opened, &truth.path, &truth.sealed, &sources);
        healing.is_new = is_new(site);
        let mut done = healing.run().await;
        let is_whole = done.is_ok() && healing.damage.is_empty();
        if !is_whole {
            done = done.and(healing.take_back_what_is_nobodys().await);
        }
        if done.is_ok()
            && let Err(broken) = self.chain(site, truth, mended)
        {
            let key = layout::catalog_entry(self.id, truth.sealed.manifest.started_at);
            let _ = key.map(|key| healing.found(&key, None, &broken));
        }
        let mut noted = Ok(());
        if done.is_ok() {
            noted = self.note(site, truth, &healing, evidence, started_at).await;
        }
        if done.is_ok() && healing.damage.is_empty() {
            done = self.look_closer(site).await;
        }
        if done.is_ok() && healing.damage.is_empty() {
            let entry = truth.sealed.entry(&truth.path);
            mended.push((opened.name.clone(), entry));
        }
        RepairedCopy {
            unrecorded: noted.err().as_ref().map(Into::into),
            ..self.outcome(site, truth, healing, done)
        }
    }

    /// Where an earlier check had looked closer and found damage.
    async fn look_closer(&self, site: &Site<'_>) -> Result<(), BackupError> {
        let name = &site.opened().name;
        let is_due = |ledger: &Ledger| deeper::is_due(ledger, self.id);
        let mut specs = self.request.destinations.iter();
        match specs.find(|spec| spec.name == *name) {
            Some(spec) if self.ledgers.get(name).is_some_and(is_due) => {
                deeper::look(self.engine, spec, self.id, &self.request.keys).await
            }
            _ => Ok(()),
        }
    }

    /// What becomes of a copy that isn't healed.
    fn leaves_alone(&self, site: &Site<'_>, truth: &Truth) -> Option<RepairStatus> {
        let links = site.searched.asked.catalog.links();
        let is_needed = || !links.needing(self.id).is_empty();
        // By its name also what a run has begun somewhere is completed.
        let is_named = self.request.id.as_ref() == Some(self.id);
        let everywhere = self.request.work == RepairWork::Everything;
        match site.standing {
            Standing::Withdrawn => Some(RepairStatus::Withdrawn),
            Standing::Listed | Standing::Lost => None,
            Standing::Begun | Standing::Absent
                if !site.opened().takes(&truth.sealed.manifest.plan.include) && !is_needed() =>
            {
                Some(RepairStatus::NotTaken)
            }
            Standing::Begun if is_named || everywhere || is_needed() => None,
            Standing::Absent if everywhere || is_needed() => None,
            Standing::Begun | Standing::Absent => Some(RepairStatus::Absent),
        }
    }

    /// Whether what it goes on from is there, as it was or as it was mended just now.
    fn chain(&self, site: &Site<'_>, truth: &Truth, mended: &Mended) -> Result<(), BackupError> {
        let name = &site.opened().name;
        let now_there = mended.iter().filter(|(at, _)| at == name);
        let its = truth.sealed.entry(&truth.path);
        let new: Vec<&CatalogEntry> = now_there.map(|(_, entry)| entry).chain([&its]).collect();
        let links = site.searched.asked.catalog.restored_with_new(&new);
        match links.chain(self.id) {
            Ok(_) => Ok(()),
            Err(error) => Err(BackupError::corrupt(name, error).suggest(
                "`teeline repair --auto`, or `teeline sync`, copies what a destination lacks",
            )),
        }
    }

    /// Leaves word of what was found; and, where the backup is there and no record says so, a record.
    async fn note(
        &self,
        site: &Site<'_>,
        truth: &Truth,
        healing: &Healing<'_>,
        evidence: &Evidence,
        started_at: Timestamp,
    ) -> Result<(), BackupError> {
        let (opened, sealed) = (site.opened(), &truth.sealed);
        let ended_at = (self.engine.0.clock)();
        let is_attested = healing.attested_files > 0;
        if healing.damage.is_empty() && !evidence.is_recorded_at(&opened.name) {
            let verified = match is_attested {
                true => Verified::Attested,
                false => Verified::Read,
            };
            let found = (verified, BY_REPAIR);
            return run_records::leave(opened, sealed, found, started_at, ended_at).await;
        }
        if !healing.damage.is_empty() && !matches!(site.standing, Standing::Listed | Standing::Lost)
        {
            // What was never published isn't missed.
            return Ok(());
        }
        let noted = Noted {
            id: self.id,
            checksum: sealed.checksum,
            how: match is_attested {
                true => Depth::Size,
                false => Depth::Digest,
            },
            by: BY_REPAIR,
            has_mended: !healing.files.is_empty(),
            started_at,
            ended_at,
            bytes: healing.bytes,
            damage: &healing.damage,
        };
        ledger::note(opened, &noted).await
    }

    fn outcome(
        &self,
        site: &Site<'_>,
        truth: &Truth,
        healing: Healing<'_>,
        done: Result<(), BackupError>,
    ) -> RepairedCopy {
        let name = &site.opened().name;
        let is_copy = is_new(site);
        let copy = match (done, healing.damage.first()) {
            (Err(error), _) => Refusal::from(error).into_copy(name),
            (Ok(()), Some(first)) => {
                let count = healing.damage.len();
                let message = match count {
                    1 => format!("{}: {}", first.file, first.message),
                    _ => format!(
                        "{}: {}; it is the first of {count} faults",
                        first.file, first.message
                    ),
                };
                let error = BackupError::new(Class::Corrupt, "heal", self.id, message);
                let error = error.suggest("name a further destination that has the backup; `teeline restore` still takes what is right");
                Refusal::from(error).into_copy(name)
            }
            (Ok(()), None) => {
                let status = match healing.files.is_empty() {
                    _ if is_copy => RepairStatus::Copied,
                    true => RepairStatus::Whole,
                    false => RepairStatus::Healed,
                };
                RepairedCopy {
                    checksum: Some(truth.sealed.checksum),
                    ..copy_at(name, status)
                }
            }
        };
        RepairedCopy {
            files: match is_copy {
                true => Vec::new(),
                false => healing.files,
            },
            damage: healing.damage,
            ..copy
        }
    }
}

/// Whether there is no copy yet that was ever listed.
fn is_new(site: &Site<'_>) -> bool {
    matches!(site.standing, Standing::Begun | Standing::Absent)
}

/// What can't be told is left as it is, wherever there is anything of it.
fn refused_at(site: &Site<'_>, error: &BackupError) -> RepairedCopy {
    let name = &site.opened().name;
    match site.standing {
        Standing::Withdrawn => copy_at(name, RepairStatus::Withdrawn),
        Standing::Absent => copy_at(name, RepairStatus::Absent),
        Standing::Listed | Standing::Lost | Standing::Begun => RepairedCopy {
            error: Some(error.into()),
            ..copy_at(name, RepairStatus::Refused)
        },
    }
}
