//! What withdraws backups from a destination: beside the catalogue's entries, and whatever it holds, that it is there decides.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};

use teeline_core::{
    BackupError, BackupId, Class, Hex32, ObjectKey, ObjectMeta, Span, Timestamp, Withdrawal,
    WithdrawalReason, document, layout,
};

use crate::catalog::{Asked, Catalog, Wanted, located, read_document, unmark};
use crate::engine::Engine;
use crate::open::Opened;
use crate::report::{Removal, RemovalStatus};
use crate::request::RetentionPolicy;

/// For so long whoever has withdrawn something may be at work on it, and take that back where it finds that it has to. Nobody else
/// goes on with it before: what one takes back the other might go on removing, and a link be made of it in between. It is more than
/// [`TAKEN_BACK_WITHIN`] by an hour and a half, since clocks may be an hour apart.
const AT_WORK_MAX: Span = Span::from_ms(7_200_000);
/// Past this it takes nothing back itself: by then somebody else may be about to go on with it.
const TAKEN_BACK_WITHIN: Span = Span::from_ms(1_800_000);

/// A backup that is withdrawn from a destination.
#[derive(Debug, Clone)]
pub(crate) struct Withdrawn {
    pub(crate) id: BackupId,
    /// What withdraws it.
    pub(crate) key: ObjectKey,
    /// When that was written, by the store's clock.
    pub(crate) written_at: Option<Timestamp>,
    /// What else of it is left in the catalogue: its entry, be it that only that one's marker is left, and what sweeps it.
    pub(crate) entries: Vec<ObjectKey>,
    /// Whether it is marked as published: whoever has withdrawn it hasn't looked yet whether it may be.
    pub(crate) is_marked: bool,
}

/// What has withdrawn something now.
pub(crate) enum Put {
    /// This call has, which goes on with it, or takes it back.
    Ours(Withdrawn),
    /// Somebody else was faster, and goes on with it.
    Theirs(Withdrawn),
}

/// What was found out of a backup that is withdrawn.
pub(crate) struct Looked {
    /// What is to be said of it.
    pub(crate) removal: Removal,
    /// Whether its files may be removed now.
    pub(crate) may_go: bool,
    /// The folder of its files, where that is known.
    pub(crate) path: Option<String>,
}

/// The backups that are withdrawn, of the objects in a catalogue. One that is being swept as well is withdrawn for good.
pub(crate) fn among(objects: &[ObjectMeta]) -> BTreeMap<BackupId, Withdrawn> {
    let mut among: BTreeMap<BackupId, Withdrawn> = BTreeMap::new();
    let known = objects.iter().filter_map(|object| {
        let id = layout::withdrawn_id(&object.key)?;
        Some((layout::is_sweep(&object.key), object, id))
    });
    let mut known: Vec<_> = known.collect();
    known.sort_by_key(|(is_sweep, ..)| *is_sweep);
    for (_, object, id) in known {
        match among.entry(id.clone()) {
            Entry::Occupied(mut there) => there.get_mut().entries.push(object.key.clone()),
            Entry::Vacant(free) => {
                free.insert(Withdrawn {
                    id,
                    key: object.key.clone(),
                    written_at: object.modified_at,
                    entries: Vec::new(),
                    is_marked: false,
                });
            }
        }
    }
    among
}

impl Withdrawn {
    /// Whether it is what a dead run had left. Nobody can want that back, and it isn't withdrawn for good.
    pub(crate) fn is_of_dead_run(&self) -> bool {
        layout::is_sweep(&self.key)
    }

    /// What it says.
    pub(crate) async fn read(&self, opened: &Opened) -> Result<Withdrawal, BackupError> {
        read_document(opened.sink.as_ref(), &self.key).await
    }

    /// When it was withdrawn, as it says, or else as the store says.
    pub(crate) async fn at(&self, opened: &Opened) -> Option<Timestamp> {
        let read = self.read(opened).await.ok();
        read.map(|withdrawal| withdrawal.withdrawn_at)
            .or(self.written_at)
    }

    /// How long it stays as it is: a grace, and as long as whoever has put it may be at work.
    pub(crate) fn stays_for(&self, policy: &RetentionPolicy) -> Span {
        let at_work = AT_WORK_MAX.min(policy.dead_after);
        match self.is_of_dead_run() {
            true => at_work,
            false if self.is_marked => policy.grace.max(at_work),
            false => policy.grace,
        }
    }

    /// Whether it is a link, by its id, whose withdrawal may yet be taken back: what it goes on from isn't known then, and has to stay.
    pub(crate) fn is_undecided_link(&self, policy: &RetentionPolicy, now: Timestamp) -> bool {
        let stays_for = AT_WORK_MAX.min(policy.dead_after);
        let until = removable_from(None, self.written_at, stays_for);
        self.is_marked
            && !self.is_of_dead_run()
            && self.id.backup_type().is_incremental()
            && until.is_none_or(|until| now < until)
            && stays_for.ms() > 0
    }

    /// Reads what it says. What is damaged withdraws all the same; of what can't be asked for, nothing goes.
    pub(crate) async fn look(
        &self,
        opened: &Opened,
        policy: &RetentionPolicy,
        now: Timestamp,
    ) -> Looked {
        let mut removal = Removal::new(&self.id, RemovalStatus::Withdrawn);
        let read = self.read(opened).await;
        let said_at = read.as_ref().ok().map(|withdrawal| withdrawal.withdrawn_at);
        removal.reason = read.as_ref().ok().map(|withdrawal| withdrawal.reason);
        removal.withdrawn_at = said_at.or(self.written_at);
        let stays_for = self.stays_for(policy);
        removal.removable_from = removable_from(said_at, self.written_at, stays_for);
        let is_unread = |error: &&BackupError| {
            let is_since_when_unknown = removal.removable_from.is_none() && stays_for.ms() > 0;
            error.class() != Class::Corrupt || is_since_when_unknown
        };
        if let Some(error) = read.as_ref().err().filter(is_unread) {
            return Looked {
                removal: removal.failed(error),
                may_go: false,
                path: None,
            };
        }
        let is_over = removal.removable_from.is_some_and(|from| from <= now);
        Looked {
            removal,
            may_go: stays_for.ms() == 0 || is_over,
            path: read.ok().and_then(|withdrawal| withdrawal.path),
        }
    }

    /// What is to be said where it is somebody else's, who goes on with it.
    pub(crate) fn as_theirs(&self, removal: Removal, policy: &RetentionPolicy) -> Removal {
        let stays_for = self.stays_for(policy);
        Removal {
            status: RemovalStatus::Withdrawn,
            removable_from: removable_from(removal.withdrawn_at, self.written_at, stays_for),
            is_theirs: true,
            ..removal
        }
    }

    /// Why it can't be had.
    pub(crate) async fn error(&self, opened: &Opened) -> BackupError {
        let since = self.at(opened).await;
        let since = since.map_or(String::new(), |at| format!(" at {at}"));
        let message = format!(
            "{} was withdrawn from destination {}{since}",
            self.id, opened.name
        );
        BackupError::new(Class::NotFound, "find", "the backup", message).suggest(format!(
            "as long as its files are there, moving {} away brings it back",
            located(opened.sink.as_ref(), &self.key)
        ))
    }
}

/// Withdraws a backup, or a run, whose entry in the catalogue has, had or would have the key `entry`. One that is withdrawn
/// already stays so. A backup is marked as published until it is known that nothing which has come meanwhile needs it: so whoever else
/// finds it withdrawn knows whether it may go on with it.
///
/// # Errors
/// [`Class::Conflict`] where something needs it: then it is as it was.
pub(crate) async fn withdraw(
    engine: &Engine,
    asked: &Asked,
    entry: &ObjectKey,
    withdrawal: Withdrawal,
) -> Result<Put, BackupError> {
    if withdrawal.reason == WithdrawalReason::DeadRun {
        return put(engine, &asked.opened, entry, withdrawal).await;
    }
    let begun_at = (engine.0.clock)();
    asked.mark_published(|id| *id == withdrawal.id).await?;
    let put = put(engine, &asked.opened, entry, withdrawal).await?;
    if let Put::Ours(withdrawn) = &put {
        keep_if_needed(engine, asked, withdrawn, begun_at).await?;
        // Where it stays marked, others wait for longer than they have to, and who removes the backup says what is in the way.
        if let Err(error) = unmark(asked.opened.sink.as_ref(), entry).await {
            tracing::warn!(backup = %withdrawn.id, %error, "it is withdrawn, and its marker is left");
        }
    }
    Ok(put)
}

async fn put(
    engine: &Engine,
    opened: &Opened,
    entry: &ObjectKey,
    withdrawal: Withdrawal,
) -> Result<Put, BackupError> {
    let sink = opened.sink.as_ref();
    let key = match withdrawal.reason {
        WithdrawalReason::DeadRun => layout::sweep(entry)?,
        WithdrawalReason::Deleted | WithdrawalReason::Expired => layout::withdrawal(entry)?,
    };
    let mut by = [0; 32];
    (engine.0.random)(&mut by)?;
    let withdrawal = Withdrawal {
        by: Some(Hex32::new(by)),
        ..withdrawal
    };
    let put = sink.put(&key, document::seal(&withdrawal)).await;
    let is_ours = match &put {
        Err(error) if error.class() == Class::Conflict => false,
        _ => put.map(|()| true)?,
    };
    let withdrawn = Withdrawn {
        id: withdrawal.id,
        written_at: sink.head(&key).await?.modified_at,
        key,
        entries: vec![entry.clone()],
        is_marked: !is_ours,
    };
    Ok(match is_ours {
        true => Put::Ours(withdrawn),
        false => Put::Theirs(withdrawn),
    })
}

/// What has withdrawn a backup, or a dead run, whose entry in the catalogue has, had or would have the key `entry`, as far as
/// anything has by now. Since that is put before anything is removed, whoever misses something of a backup asks this before it
/// is damage.
pub(crate) async fn by_now(
    opened: &Opened,
    id: &BackupId,
    entry: &ObjectKey,
) -> Result<Option<Withdrawn>, BackupError> {
    for key in [layout::withdrawal(entry)?, layout::sweep(entry)?] {
        match opened.sink.head(&key).await {
            Ok(found) => {
                return Ok(Some(Withdrawn {
                    id: id.clone(),
                    key,
                    written_at: found.modified_at,
                    entries: vec![entry.clone()],
                    is_marked: true,
                }));
            }
            Err(error) if error.class() == Class::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// A backup that has come since the catalogue was read, and can't be restored without this one: whoever publishes a backup
/// writes its entry, and then looks whether its parent is there, so one of the two sees the other.
pub(crate) async fn needed_meanwhile(
    asked: &Asked,
    id: &BackupId,
) -> Result<Option<BackupId>, BackupError> {
    let known: HashSet<&BackupId> = {
        let catalog = &asked.catalog;
        let entries = catalog.entries.iter().chain(&catalog.without_manifest);
        let damaged = catalog.damaged().map(|(id, ..)| id);
        entries.map(|entry| &entry.id).chain(damaged).collect()
    };
    let wanted = Wanted {
        takes: &|new, _| !known.contains(new),
        ..Wanted::ALL
    };
    let now = Catalog::read(&asked.opened, &wanted).await?;
    let needing = now.links().needing(id);
    Ok(needing.into_iter().next().map(|backup| backup.id))
}

/// Takes one's own withdrawal back, which was begun then, where something that has come meanwhile needs the backup.
async fn keep_if_needed(
    engine: &Engine,
    asked: &Asked,
    withdrawn: &Withdrawn,
    begun_at: Timestamp,
) -> Result<(), BackupError> {
    let Some(link) = needed_meanwhile(asked, &withdrawn.id).await? else {
        return Ok(());
    };
    let mut message = format!("{link} was made meanwhile, and can't be restored without it");
    if begun_at.until((engine.0.clock)()) <= TAKEN_BACK_WITHIN {
        asked.opened.sink.delete(&withdrawn.key).await?;
    } else {
        message.push_str("; the next cleanup takes the withdrawal back");
    }
    Err(BackupError::new(
        Class::Conflict,
        "withdraw",
        &withdrawn.id,
        message,
    ))
}

/// When the files of what was withdrawn may be removed: a grace after the later of what is said and what the store says.
pub(crate) fn removable_from(
    said_at: Option<Timestamp>,
    written_at: Option<Timestamp>,
    grace: Span,
) -> Option<Timestamp> {
    let since = said_at.max(written_at)?;
    let grace_ms = i64::try_from(grace.ms()).unwrap_or(i64::MAX);
    Some(Timestamp::from_unix_ms(
        since.unix_ms().saturating_add(grace_ms),
    ))
}
