//! Deleting a backup: it is withdrawn from every destination that has it, and its files are removed once the grace is over;
//! by the same call made again, or by a cleanup.

use futures::TryStreamExt;
use futures::future::join_all;
use teeline_actors::are_gone;
use teeline_core::chain::{Linked, Links};
use teeline_core::commit::never_published;
use teeline_core::{
    BackupError, BackupId, Class, ObjectKey, Timestamp, UnfinishedUpload, Withdrawal,
    WithdrawalReason, layout,
};

use crate::catalog::{Asked, DamagedEntry, ask_all, not_found};
use crate::clocks;
use crate::dead_runs::{self, Bound};
use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::failure::{Failure, Operation};
use crate::ledger;
use crate::removal::Remains;
use crate::report::{DeleteReport, DeletedCopy, Removal, RemovalStatus};
use crate::request::{Cancel, RetentionPolicy, Which};
use crate::run_folders::{RunFolder, run_folders};
use crate::run_records;
use crate::set_aside;
use crate::unpublished::read_claim;
use crate::withdrawal::{Put, Withdrawn, removable_from, withdraw};

/// A backup to be deleted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeleteRequest {
    /// Where it is to be deleted.
    pub destinations: Vec<DestinationSpec>,
    /// The backup, or a run that left no backup.
    pub id: BackupId,
    /// Whether the backups that can't be restored without it go as well; no: then it isn't deleted as long as there are any.
    pub cascade: bool,
    /// How long its files stay, and when a run is dead, where a destination doesn't say it itself. Its rules have no part in
    /// this: what is named goes.
    pub retention: RetentionPolicy,
    /// Ends it early. What is half done is gone on with by the next, or by a cleanup.
    pub cancel: Cancel,
}

impl DeleteRequest {
    /// This backup, with the default grace.
    pub fn new(destinations: Vec<DestinationSpec>, id: BackupId) -> Self {
        DeleteRequest {
            destinations,
            id,
            cascade: false,
            retention: RetentionPolicy::default(),
            cancel: Cancel::new(),
        }
    }
}

impl Engine {
    /// Withdraws a backup from destinations, and removes its files where the grace is over.
    pub async fn delete(&self, request: DeleteRequest) -> DeleteReport {
        let engine = self.clone();
        let id = request.id.clone();
        let deleting = async move {
            let cancel = request.cancel.clone();
            cancel
                .guard(async { Ok(delete(&engine, &request).await) })
                .await
        };
        let result = self.0.host.spawn(deleting).await;
        let mut report = result
            .and_then(|deleted| deleted)
            .unwrap_or_else(|error| DeleteReport {
                id,
                destinations: Vec::new(),
                links: Vec::new(),
                error: Some((&error).into()),
                failure: None,
            });
        let at_destinations = report.destinations.iter().map(|at| &at.removal.error);
        let errors = at_destinations.chain([&report.error]).flatten();
        let failure = Failure::first(Operation::Delete, errors);
        report.failure = failure.map(|failure| failure.about(Some(&report.id)));
        report
    }

    /// As [`Engine::delete`], for hosts without an executor.
    pub fn delete_blocking(&self, request: DeleteRequest) -> DeleteReport {
        futures::executor::block_on(self.delete(request))
    }
}

async fn delete(engine: &Engine, request: &DeleteRequest) -> DeleteReport {
    let asked = ask_all(engine, &request.destinations).await;
    let needing = needing(&asked, &request.id);
    if !needing.is_empty() && !request.cascade {
        return DeleteReport {
            id: request.id.clone(),
            destinations: Vec::new(),
            links: Vec::new(),
            error: Some((&needed(&request.id, &needing)).into()),
            failure: None,
        };
    }
    let mut links: Vec<DeleteReport> = Vec::new();
    for link in &needing {
        let deleted = delete_one(engine, request, &asked, link, &links).await;
        links.push(deleted);
    }
    let deleted = delete_one(engine, request, &asked, &request.id, &links).await;
    DeleteReport { links, ..deleted }
}

/// The backups that can't be restored without one, at any of the destinations: what needs another one before that.
fn needing(asked: &[Result<Asked, (String, BackupError)>], id: &BackupId) -> Vec<BackupId> {
    let needing = links(asked).needing(id);
    needing.into_iter().map(|backup| backup.id).collect()
}

/// What needs what, of all that any of the destinations has.
fn links(asked: &[Result<Asked, (String, BackupError)>]) -> Links {
    let catalogs = asked.iter().flatten().map(|at| &at.catalog);
    let entries =
        catalogs.flat_map(|catalog| catalog.entries.iter().chain(&catalog.without_manifest));
    Links::new(entries.map(Linked::from))
}

/// An entry at a destination that can't be read, nor elsewhere, and may be of a backup that goes on from this one.
fn unreadable_link<'a>(
    asked: &'a Asked,
    all: &[Result<Asked, (String, BackupError)>],
    id: &BackupId,
) -> Option<&'a DamagedEntry> {
    let is_known = |link: &BackupId| all.iter().flatten().any(|at| at.entry(link).is_some());
    let mut unreadable = asked.catalog.unreadable.iter();
    unreadable.find(|(link, ..)| {
        // An id has the second when its backup began, in which both may have.
        let is_later = link != id && link.began() >= id.began();
        link.backup_type().is_incremental() && is_later && !is_known(link)
    })
}

/// A backup that isn't in any catalogue while something goes on from it, and that may go on from this one.
fn missing_link(asked: &[Result<Asked, (String, BackupError)>], id: &BackupId) -> Option<BackupId> {
    let links = links(asked);
    let mut missing = links.missing();
    let link = missing.find(|link| *link != id && link.began() >= id.began())?;
    Some(link.clone())
}

fn is_missing(id: &BackupId, link: &BackupId) -> BackupError {
    let message = format!(
        "{link} may go on from it, isn't in the catalogue, and something that is goes on from that"
    );
    BackupError::new(Class::Conflict, "delete", id, message).suggest(
        "`teeline repair` lists it again, where it is whole; or delete what goes on from it first",
    )
}

/// A link that somebody else has just withdrawn, may yet keep, and that may go on from this one.
fn undecided_link<'a>(
    asked: &'a Asked,
    id: &BackupId,
    policy: RetentionPolicy,
    now: Timestamp,
) -> Option<&'a BackupId> {
    let mut withdrawn = asked.catalog.withdrawn.values();
    let link = withdrawn.find(|of| {
        of.id != *id && of.id.began() >= id.began() && of.is_undecided_link(&policy, now)
    });
    link.map(|of| &of.id)
}

fn being_withdrawn(id: &BackupId, link: &BackupId) -> BackupError {
    let message =
        format!("{link} may go on from it, and may yet be kept by who is just withdrawing it");
    BackupError::new(Class::Conflict, "delete", id, message).suggest(
        "try again in a while, or with `--dead-after 0s` where you know that nobody is at work",
    )
}

fn may_be_needed(id: &BackupId, (link, key, error): &DamagedEntry) -> BackupError {
    let message = format!("{link} may go on from it, and {key} can't be read: {error}");
    BackupError::new(Class::Conflict, "delete", id, message).suggest(format!(
        "`teeline repair {link}` makes its entry again; or delete that one first"
    ))
}

fn needed(id: &BackupId, needing: &[BackupId]) -> BackupError {
    let needing: Vec<&str> = needing.iter().map(BackupId::as_str).collect();
    let message = format!("it is needed to restore {}", needing.join(", "));
    BackupError::new(Class::Conflict, "delete", id, message).suggest(
        "--cascade deletes those as well; `teeline consolidate` makes a backup of one of them that needs no other",
    )
}

/// Deletes a backup, but not where something that needs it couldn't be deleted.
async fn delete_one(
    engine: &Engine,
    request: &DeleteRequest,
    asked: &[Result<Asked, (String, BackupError)>],
    id: &BackupId,
    links: &[DeleteReport],
) -> DeleteReport {
    let now = (engine.0.clock)();
    let deletions = asked
        .iter()
        .zip(&request.destinations)
        .map(|(at, spec)| async move {
            let absent = Removal::new(id, RemovalStatus::Absent);
            let stays = |link: &&DeleteReport| {
                let here = link.destinations.iter().find(|at| at.name == spec.name);
                here.is_some_and(|at| {
                    at.removal.status == RemovalStatus::Failed || at.removal.is_theirs
                })
            };
            let removal = match at {
                Err((_, error)) => absent.failed(error),
                Ok(_) if let Some(link) = links.iter().find(stays) => {
                    absent.failed(&needed(id, std::slice::from_ref(&link.id)))
                }
                Ok(at)
                    if let Some(link) = undecided_link(
                        at,
                        id,
                        spec.retention.unwrap_or(request.retention),
                        now,
                    ) =>
                {
                    absent.failed(&being_withdrawn(id, link))
                }
                Ok(at) if let Some(link) = unreadable_link(at, asked, id) => {
                    absent.failed(&may_be_needed(id, link))
                }
                Ok(_) if let Some(link) = missing_link(asked, id) => {
                    absent.failed(&is_missing(id, &link))
                }
                Ok(at) => {
                    let deletion = Deletion {
                        engine,
                        asked: at,
                        id,
                        policy: spec.retention.unwrap_or(request.retention),
                        now,
                    };
                    deletion
                        .run()
                        .await
                        .unwrap_or_else(|error| absent.failed(&error))
                }
            };
            DeletedCopy {
                name: spec.name.clone(),
                removal,
            }
        });
    let destinations = join_all(deletions).await;
    let is = |status| destinations.iter().any(|at| at.removal.status == status);
    let is_unknown = !is(RemovalStatus::Withdrawn) && !is(RemovalStatus::Removed);
    let error = match is_unknown && !is(RemovalStatus::Failed) {
        true => Some((&not_found(&Which::Id(id.clone()), false)).into()),
        false => None,
    };
    DeleteReport {
        id: id.clone(),
        destinations,
        links: Vec::new(),
        error,
        failure: None,
    }
}

/// The deletion at one destination.
struct Deletion<'a> {
    engine: &'a Engine,
    asked: &'a Asked,
    id: &'a BackupId,
    policy: RetentionPolicy,
    now: Timestamp,
}

/// What is to be withdrawn: the key of its entry, and its folder where that is known.
struct Known {
    entry: ObjectKey,
    path: Option<String>,
}

impl Deletion<'_> {
    async fn run(&self) -> Result<Removal, BackupError> {
        if let Some(withdrawn) = self.asked.catalog.withdrawn(self.id) {
            return self.go_on(withdrawn).await;
        }
        let Some(known) = self.find().await? else {
            return Ok(Removal::new(self.id, RemovalStatus::Absent));
        };
        let withdrawal = Withdrawal {
            id: self.id.clone(),
            path: known.path.clone(),
            withdrawn_at: self.now,
            reason: WithdrawalReason::Deleted,
            by: None,
        };
        let mut removal = Removal {
            reason: Some(withdrawal.reason),
            withdrawn_at: Some(self.now),
            ..Removal::new(self.id, RemovalStatus::Withdrawn)
        };
        let withdrawn = match withdraw(self.engine, self.asked, &known.entry, withdrawal).await? {
            Put::Ours(withdrawn) => withdrawn,
            Put::Theirs(withdrawn) => return Ok(withdrawn.as_theirs(removal, &self.policy)),
        };
        let grace = self.policy.grace;
        removal.removable_from = removable_from(Some(self.now), withdrawn.written_at, grace);
        match self.policy.grace.ms() {
            0 => Ok(self.remove(&withdrawn, known.path, removal).await),
            _ => Ok(removal),
        }
    }

    /// Removes what was withdrawn before, where its grace is over.
    async fn go_on(&self, withdrawn: &Withdrawn) -> Result<Removal, BackupError> {
        let opened = &self.asked.opened;
        let looked = withdrawn.look(opened, &self.policy, self.now).await;
        if !looked.may_go {
            let is_gone = self.is_gone(withdrawn, looked.path.as_deref()).await?;
            return Ok(match is_gone {
                false => looked.removal,
                true => Removal {
                    status: RemovalStatus::Removed,
                    removable_from: None,
                    ..looked.removal
                },
            });
        }
        if withdrawn.stays_for(&self.policy).ms() > 0 {
            clocks::check(self.engine, opened).await?;
        }
        Ok(self.remove(withdrawn, looked.path, looked.removal).await)
    }

    /// Whether only what withdrew it is left: its entry goes after all the rest, its claim after that.
    async fn is_gone(
        &self,
        withdrawn: &Withdrawn,
        path: Option<&str>,
    ) -> Result<bool, BackupError> {
        let (true, Some(path)) = (withdrawn.entries.is_empty(), path) else {
            return Ok(false);
        };
        let sink = self.asked.opened.sink.as_ref();
        let folder = ObjectKey::new(path)?;
        are_gone(sink, &folder, &[folder.join(layout::RUN_CLAIM)?]).await
    }

    async fn remove(
        &self,
        withdrawn: &Withdrawn,
        path: Option<String>,
        removal: Removal,
    ) -> Removal {
        let opened = &self.asked.opened;
        let removing = async {
            let mut remains = match path {
                None => run_folders(opened.sink.as_ref()).await?.remains(self.id),
                Some(path) => {
                    let is_it = |about: &BackupId| about == self.id;
                    let runs = run_records::keys(opened.sink.as_ref(), is_it).await?;
                    let mut records = ledger::keys(opened, is_it).await?;
                    records.extend(runs.into_iter().map(|(_, key)| key));
                    records.extend(set_aside::keys(opened, self.id).await?);
                    Remains {
                        folders: vec![path],
                        entries: Vec::new(),
                        records,
                    }
                }
            };
            remains.entries.clone_from(&withdrawn.entries);
            if withdrawn.is_of_dead_run() {
                remains.forget_last(&withdrawn.key);
            }
            remains.remove(opened, self.id, &withdrawn.key).await
        };
        removal.after(removing.await)
    }

    /// The backup, as the catalogue has it, or else a folder of it that is in no catalogue.
    async fn find(&self) -> Result<Option<Known>, BackupError> {
        if let Some(entry) = self.asked.entry(self.id) {
            return Ok(Some(Known {
                entry: layout::catalog_entry(&entry.id, entry.started_at)?,
                path: Some(entry.path.clone()),
            }));
        }
        if let Some((_, entry, _)) = self.asked.catalog.damaged_of(self.id).next() {
            return Ok(Some(Known {
                entry: entry.clone(),
                path: None,
            }));
        }
        let found = run_folders(self.asked.opened.sink.as_ref()).await?;
        let mut folders = found.folders.iter().filter(|folder| folder.id == *self.id);
        match folders.find(|folder| folder.has_claim) {
            Some(folder) => self.unlisted(folder).await.map(Some),
            None => Ok(None),
        }
    }

    /// A folder that no readable entry leads to: of a backup that has lost its entry, or of a run, which must have ended.
    async fn unlisted(&self, folder: &RunFolder) -> Result<Known, BackupError> {
        let opened = &self.asked.opened;
        let sink = opened.sink.as_ref();
        let claim = read_claim(sink, self.id, &folder.path).await?;
        let records = run_records::of(sink, self.id).await?;
        let has_ended = never_published(dead_runs::readable(&records), &opened.location)
            && !dead_runs::are_outdated(&records, folder);
        if !folder.has_manifest && !has_ended {
            let uploads: Vec<UnfinishedUpload> = sink.unfinished(None).try_collect().await?;
            let bound = Bound {
                now: self.now,
                dead_after: self.policy.dead_after,
            };
            let is_old = bound.is_passed_by(claim.head.started_at)
                && dead_runs::is_untouched(folder, &uploads, bound);
            if !is_old {
                return Err(self.in_use(folder));
            }
            clocks::check(self.engine, opened).await?;
        }
        Ok(Known {
            entry: layout::catalog_entry(self.id, claim.head.started_at)?,
            path: Some(folder.path.clone()),
        })
    }

    fn in_use(&self, folder: &RunFolder) -> BackupError {
        let place = format!("{}: {}", self.asked.opened.sink, folder.path);
        let message = "its run may be going on: it has published nothing yet, and no record says that it has ended";
        BackupError::new(Class::Conflict, "delete", place, message).suggest(format!(
            "try again when nothing of it was touched for {}, or with `--dead-after 0s` where you know that its process has ended",
            self.policy.dead_after
        ))
    }
}
