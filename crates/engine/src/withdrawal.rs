//! What withdraws backups from a destination: beside the catalogue's entries, and whatever it holds, that it is there decides.

use std::collections::BTreeMap;

use teeline_core::{
    BackupError, BackupId, Class, ObjectKey, ObjectMeta, Span, Timestamp, Withdrawal,
    WithdrawalReason, document, layout,
};

use crate::catalog::{located, read_document};
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
    /// The catalogue's entries of it that are left.
    pub(crate) entries: Vec<ObjectKey>,
}

/// The backups that are withdrawn, of the objects in a catalogue.
pub(crate) fn among(objects: &[ObjectMeta]) -> BTreeMap<BackupId, Withdrawn> {
    let withdrawn = objects.iter().filter_map(|object| {
        let (_, id) = layout::withdrawn_entry(&object.key)?;
        let withdrawn = Withdrawn {
            id: id.clone(),
            key: object.key.clone(),
            written_at: object.modified_at,
            entries: Vec::new(),
        };
        Some((id, withdrawn))
    });
    withdrawn.collect()
}

impl Withdrawn {
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

    /// What is to be said of it, and whether its files may be removed now.
    pub(crate) async fn look(
        &self,
        opened: &Opened,
        grace: Span,
        now: Timestamp,
    ) -> (Removal, bool) {
        let mut removal = Removal::new(&self.id, RemovalStatus::Withdrawn);
        let read = self.read(opened).await;
        let said_at = read.as_ref().ok().map(|withdrawal| withdrawal.withdrawn_at);
        removal.reason = read.as_ref().ok().map(|withdrawal| withdrawal.reason);
        removal.withdrawn_at = said_at.or(self.written_at);
        // A dead run was never a backup that anybody could want back.
        let grace = match removal.reason {
            Some(WithdrawalReason::DeadRun) => Span::default(),
            _ => grace,
        };
        removal.removable_from = removable_from(said_at, self.written_at, grace);
        if let (Err(error), None) = (&read, removal.removable_from) {
            removal.status = RemovalStatus::Failed;
            removal.error = Some(error.into());
        }
        let is_over = removal.removable_from.is_some_and(|from| from <= now);
        (removal, grace.ms() == 0 || is_over)
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
    let key = layout::withdrawal(entry)?;
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
