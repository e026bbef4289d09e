//! What withdraws backups from a destination: beside the catalogue's entries, and whatever it holds, that it is there decides.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};

use teeline_core::{
    BackupError, BackupId, Class, ObjectKey, ObjectMeta, Span, Timestamp, Withdrawal,
    WithdrawalReason, document, layout,
};

use crate::catalog::{Asked, Catalog, Wanted, located, read_document};
use crate::open::Opened;
use crate::report::{Removal, RemovalStatus};

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

    /// Reads what it says.
    pub(crate) async fn look(&self, opened: &Opened, grace: Span, now: Timestamp) -> Looked {
        let mut removal = Removal::new(&self.id, RemovalStatus::Withdrawn);
        let read = self.read(opened).await;
        let said_at = read.as_ref().ok().map(|withdrawal| withdrawal.withdrawn_at);
        removal.reason = read.as_ref().ok().map(|withdrawal| withdrawal.reason);
        removal.withdrawn_at = said_at.or(self.written_at);
        let grace = match self.is_of_dead_run() {
            true => Span::default(),
            false => grace,
        };
        removal.removable_from = removable_from(said_at, self.written_at, grace);
        if let (Err(error), None) = (&read, removal.removable_from) {
            removal.status = RemovalStatus::Failed;
            removal.error = Some(error.into());
        }
        let is_over = removal.removable_from.is_some_and(|from| from <= now);
        Looked {
            removal,
            may_go: grace.ms() == 0 || is_over,
            path: read.ok().and_then(|withdrawal| withdrawal.path),
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
/// already stays so.
pub(crate) async fn withdraw(
    opened: &Opened,
    entry: &ObjectKey,
    withdrawal: &Withdrawal,
) -> Result<Withdrawn, BackupError> {
    let sink = opened.sink.as_ref();
    let key = match withdrawal.reason {
        WithdrawalReason::DeadRun => layout::sweep(entry)?,
        WithdrawalReason::Deleted | WithdrawalReason::Expired => layout::withdrawal(entry)?,
    };
    match sink.put(&key, document::seal(withdrawal)).await {
        Err(error) if error.class() != Class::Conflict => return Err(error),
        // Somebody else was faster.
        _ => {}
    }
    Ok(Withdrawn {
        id: withdrawal.id.clone(),
        written_at: sink.head(&key).await?.modified_at,
        key,
        entries: vec![entry.clone()],
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

/// Takes a withdrawal back where something that has come meanwhile needs the backup.
pub(crate) async fn keep_if_needed(
    asked: &Asked,
    withdrawn: &Withdrawn,
) -> Result<(), BackupError> {
    let Some(link) = needed_meanwhile(asked, &withdrawn.id).await? else {
        return Ok(());
    };
    asked.opened.sink.delete(&withdrawn.key).await?;
    let message = format!("{link} was made meanwhile, and can't be restored without it");
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
