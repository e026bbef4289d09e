//! What an incremental backup goes on from: the same for all destinations of a pass, and each of them has it.
//!
//! One that lacks some of the chain is completed first, from another one that has it. Where that fails it sits the pass out
//! as behind; one that the run can't do without makes it a full backup for all. So nobody ever has a link that can't be
//! restored from there. What was withdrawn from one of them isn't copied there again, so nothing goes on from that: it
//! would leave out a destination that nothing is wrong with. Nor does anything go on from what a check has found damaged at one of
//! them: as long as that is so, nothing that needs it can be restored from there.

use std::collections::HashMap;

use teeline_core::chain::{Linked, Links};
use teeline_core::{
    BackupError, BackupId, BackupRef, CatalogEntry, Class, Command, DestinationId,
    DestinationReport, DestinationStatus, ErrorReport, Event, Manifest, Strategy, Verified,
};

use super::Run;
use super::extent::{Extent, Parent};
use crate::catalog::{Asked, Wanted, ask_opened};
use crate::chain::{Chain, Parents};
use crate::ledger::Ledger;
use crate::request::IncrementalBase;
use crate::sync::complete_at;

/// So many of the newest backups are looked at first.
const RECENT: usize = 64;

/// So many backups that no key opens are tried: they may be another source's, and each takes a passphrase its time.
const UNOPENED_MAX: usize = 3;

pub(super) type AskedAll = Vec<Result<Asked, (String, BackupError)>>;

/// What was found to go on from.
#[derive(Default)]
struct Found {
    parent: Option<Parent>,
    /// How many sealed ones no key opens that was given.
    unread: usize,
    /// The newest backup that is of something else, and of what.
    other: Option<String>,
    /// What is wrong with what this host keeps of backups that it would have gone on from.
    unusable: Vec<String>,
}

impl Run<'_> {
    /// How much the next pass is to have. Those that can't have what it goes on from are behind then. A run that is taken up, which is
    /// `own`, doesn't go on from itself: where it couldn't be asked it may have become a backup.
    pub(super) async fn extent(
        &mut self,
        strategy: &mut Strategy,
        own: Option<&BackupId>,
    ) -> Result<Extent, BackupError> {
        if !self.request.is_incremental() {
            return Ok(Extent::Everything);
        }
        let active = strategy.active();
        let looking = async { Ok(self.look(&active, own).await) };
        let (asked, found) = self.deadline.cancel().guard(looking).await?;
        self.unusable = found.unusable;
        let Some(parent) = found.parent else {
            if let Some(time) = self.request.since {
                return Ok(Extent::Since(time));
            }
            let none = "there is no backup that it could go on from";
            self.whole_because = Some(match found.other {
                _ if found.unread > 0 => self.why_unread(),
                Some(other) => format!("{none}: {other}"),
                None => none.to_owned(),
            });
            return Ok(Extent::Everything);
        };
        let mut without = strategy.clone();
        let mut behind = Vec::new();
        for id in active {
            let healing = self.heal(&asked, id, &parent);
            let Err(error) = self.deadline.cancel().guard(healing).await else {
                continue;
            };
            if error.class() == Class::Cancelled {
                return Err(error);
            }
            let mut commands = Vec::new();
            without.step(Event::FellBehind(id), &mut commands);
            if !commands.contains(&Command::LeaveBehind(id)) {
                let name = &self.opened[id.0].name;
                let lacking = parent.reference().id;
                let message =
                    format!("{name} lacks {lacking}, and it can't be copied there: {error}");
                self.whole_because = Some(message);
                return Ok(Extent::Everything);
            }
            behind.push((id, error));
        }
        for (id, error) in behind {
            self.reports[id.0] = Some(self.sits_out(id, &error));
        }
        *strategy = without;
        self.whole_because = None;
        Ok(Extent::Onwards(parent))
    }

    /// What destinations have, and the newest backup to go on from. As long as the newest backups are enough to tell, the
    /// others aren't read.
    async fn look(&self, active: &[DestinationId], own: Option<&BackupId>) -> (AskedAll, Found) {
        let ask = async |limit| {
            let opened = self.opened.iter().cloned().map(Ok).collect();
            let wanted = Wanted {
                limit,
                ..Wanted::ALL
            };
            let asked = ask_opened(opened, &wanted).await;
            let found = self.newest(&asked, active, own).await;
            (asked, found)
        };
        let (asked, found) = ask(RECENT).await;
        let is_everywhere = found.parent.as_ref().is_some_and(|parent| {
            let backups = parent.references();
            let mut all = asked.iter().flatten();
            all.all(|at| links_at(at).lacking(&backups).is_empty())
        });
        match is_everywhere {
            true => (asked, found),
            false => ask(usize::MAX).await,
        }
    }

    /// The newest backup to go on from, that can be had whole from wherever it is, and that no destination of the pass
    /// has withdrawn any of.
    async fn newest(
        &self,
        asked: &AskedAll,
        active: &[DestinationId],
        own: Option<&BackupId>,
    ) -> Found {
        let mut found = Found::default();
        let damaged = self.damaged_at(asked, active).await;
        let entries = asked.iter().flatten().flat_map(|at| &at.catalog.entries);
        let links = Links::new(entries.map(Linked::from));
        for entry in newest_first(asked) {
            let is_too_late = self
                .request
                .since
                .is_some_and(|time| entry.started_at > time);
            let is_link = entry.parent.is_some();
            let is_own = own == Some(&entry.id);
            if is_own || is_too_late || (is_link && self.request.base == IncrementalBase::Full) {
                continue;
            }
            let needed = links.needed_by(&entry.id);
            let mut chain = [&entry.id].into_iter().chain(&needed);
            if let Some((id, at)) = chain.find_map(|id| damaged.get_key_value(id)) {
                let why = format!("{id} is damaged at {at}, as a check has found");
                found.other.get_or_insert(why);
                continue;
            }
            // What isn't sealed alike is none of its own: where it isn't sealed, there would be nothing that a key opens, and
            // that mustn't end the search.
            if entry.sealed == self.request.recipients.is_empty() {
                found.is_another(entry, other_seal(entry.sealed));
                continue;
            }
            if entry.sealed && self.request.keys.secrets.is_empty() {
                // A host that can't read its backups needn't try.
                found.unread += 1;
            } else {
                match self.usable(&entry.id, asked).await {
                    Ok(Ok(chain)) => found.parent = Some(Parent::Opened(chain)),
                    Ok(Err(other)) => found.is_another(entry, &other),
                    Err(error) => {
                        tracing::warn!(backup = %entry.id, %error, "nothing goes on from it");
                        if error.class() != Class::WrongKey {
                            continue;
                        }
                        found.unread += 1;
                    }
                }
            }
            if found.parent.is_none() && entry.sealed {
                match Box::pin(self.indexed(&entry.id, asked)).await {
                    Ok(index) => found.parent = index.map(Parent::Indexed),
                    Err(error) => found.unusable.push(error.to_string()),
                }
            }
            let withdrawn = found.parent.as_ref().and_then(|parent| {
                let places = active.iter().filter_map(|id| asked[id.0].as_ref().ok());
                withdrawn_from(&parent.references(), places)
            });
            if let Some(why) = withdrawn {
                found.parent = None;
                found.other.get_or_insert(why);
            }
            let has_tried_enough =
                found.unread == UNOPENED_MAX && !self.request.keys.secrets.is_empty();
            if found.parent.is_some() || has_tried_enough {
                break;
            }
        }
        found
    }

    /// The backups that a check has found damaged at one of these destinations, and at which.
    async fn damaged_at(
        &self,
        asked: &AskedAll,
        active: &[DestinationId],
    ) -> HashMap<BackupId, String> {
        let now = (self.engine.0.clock)();
        let mut damaged = HashMap::new();
        for place in active.iter().filter_map(|id| asked[id.0].as_ref().ok()) {
            let name = &place.opened.name;
            let looking = async {
                let ledger = Ledger::read(&place.opened, now).await?;
                for entry in &place.catalog.entries {
                    if ledger
                        .is_damaged(&place.opened, &Linked::from(entry).backup)
                        .await?
                    {
                        damaged.insert(entry.id.clone(), name.clone());
                    }
                }
                Ok::<_, BackupError>(())
            };
            if let Err(error) = looking.await {
                tracing::warn!(at = name, %error, "what checks have found there isn't known");
            }
        }
        damaged
    }

    /// The chain of a backup, if it can be gone on from: what it says of changes isn't archived. Of one that is of something else,
    /// what that is.
    async fn usable(
        &self,
        id: &BackupId,
        asked: &AskedAll,
    ) -> Result<Result<Chain, String>, BackupError> {
        let chain = Chain::open(id, asked, &self.request.keys, Parents::Listed).await?;
        if let Err(other) = self.is_of_the_same(chain.manifest()) {
            return Ok(Err(other));
        }
        let frozen = chain.frozen_changes().await?;
        match frozen.is_empty() {
            true => Ok(Ok(chain)),
            false => Err(frozen.error()),
        }
    }

    /// That a backup is of what is backed up now, and has all of that; or what it is instead.
    pub(super) fn is_of_the_same(&self, manifest: &Manifest) -> Result<(), String> {
        let (request, source) = (self.request, &manifest.source);
        // Whoever can write to a destination could put one there that isn't sealed.
        let is_sealed = manifest.plan.seal.is_some();
        let is_of_the_source =
            source.kind == request.source.kind() && source.location == request.source.to_string();
        let is_of_the_resources =
            manifest.plan.include == request.included() && manifest.plan.exclude == request.exclude;
        match () {
            () if is_sealed == request.recipients.is_empty() => {
                Err(other_seal(is_sealed).to_owned())
            }
            () if manifest.since.is_some() || manifest.plan.in_part().is_some() => {
                Err("has some records only".to_owned())
            }
            () if !is_of_the_source => Err(format!("is of {}", source.location)),
            () if !is_of_the_resources => Err("is of other resources".to_owned()),
            () => Ok(()),
        }
    }

    /// Sees to it that a destination has a chain.
    async fn heal(
        &self,
        asked: &AskedAll,
        id: DestinationId,
        parent: &Parent,
    ) -> Result<(), BackupError> {
        let to = match &asked[id.0] {
            Ok(to) => to,
            Err((_, error)) => {
                let message = "it can't be asked whether it has what the backup goes on from";
                return Err(BackupError::new(
                    error.class(),
                    "ask",
                    &self.opened[id.0].name,
                    message,
                )
                .because(error.to_string()));
            }
        };
        let there = links_at(to);
        let from: Vec<&Asked> = asked.iter().flatten().collect();
        for BackupRef { id, .. } in there.lacking(&parent.references()) {
            complete_at(self.engine, &from, to, &id).await?;
        }
        Ok(())
    }

    fn sits_out(
        &self,
        DestinationId(index): DestinationId,
        error: &BackupError,
    ) -> DestinationReport {
        DestinationReport {
            name: self.opened[index].name.clone(),
            location: self.opened[index].location.clone(),
            status: DestinationStatus::Behind,
            required: self.request.required()[index],
            bytes: 0,
            segments: 0,
            verified: Verified::No,
            retries: 0,
            duration_ms: 0,
            lag_bytes_max: 0,
            spooled_bytes: 0,
            kept_bytes: 0,
            error: Some(ErrorReport::from(error)),
        }
    }
}

impl Found {
    /// Notes what a backup is of, where that is something else; the first counts.
    fn is_another(&mut self, entry: &CatalogEntry, what: &str) {
        let note = || format!("{} {what}", entry.id);
        self.other.get_or_insert_with(note);
    }
}

fn other_seal(is_sealed: bool) -> &'static str {
    match is_sealed {
        true => "is encrypted, and this one is not to be",
        false => "isn't encrypted, and this one is to be",
    }
}

/// The first of these backups that one of these places has withdrawn, and which place.
fn withdrawn_from<'a>(
    backups: &[BackupRef],
    mut places: impl Iterator<Item = &'a Asked>,
) -> Option<String> {
    places.find_map(|place| {
        let withdrawn = backups.iter().find(|it| place.has_withdrawn(&it.id))?;
        Some(format!(
            "{} was withdrawn from {}",
            withdrawn.id, place.opened.name
        ))
    })
}

/// Every backup that is listed somewhere. Of two of the same time first the one that restores alone.
fn newest_first(asked: &AskedAll) -> Vec<&CatalogEntry> {
    let all = asked.iter().flatten();
    let mut entries: Vec<&CatalogEntry> = all.flat_map(|at| &at.catalog.entries).collect();
    let place = |entry: &&CatalogEntry| {
        let is_link = entry.parent.is_some();
        (
            std::cmp::Reverse(entry.started_at),
            is_link,
            entry.id.clone(),
        )
    };
    entries.sort_by_key(place);
    entries.dedup_by(|one, other| one.id == other.id);
    entries
}

fn links_at(asked: &Asked) -> Links {
    Links::new(asked.catalog.entries.iter().map(Linked::from))
}
