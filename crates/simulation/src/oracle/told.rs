//! What reports say of backups at destinations, but for those of backups and restores, compared with what is there.

use std::collections::BTreeSet;
use std::fmt::Debug;

use teeline::{
    BackupId, Class, CleanupReport, CleanupStatus, CopyState, DeleteReport, ErrorReport, Removal,
    RemovalStatus, RepairReport, RepairStatus, SyncReport, SyncStatus, VerifyReport,
    WithdrawalReason,
};
use teeline_core::{ObjectKey, layout};

/// What a report says of a backup at a destination.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) id: BackupId,
    is: Is,
    /// In the report's own words.
    said: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    /// It is listed, and each byte of it is right.
    Right,
    /// It is listed.
    Listed,
    /// It isn't listed.
    Unlisted,
    /// Nothing is left of it but what withdraws it; and where it says so, what runs and checks have said of it.
    Removed { may_leave_records: bool },
}

impl Told {
    fn of(name: &str, id: &BackupId, is: Option<Is>, said: &impl Debug) -> Option<Self> {
        Some(Told {
            name: name.to_owned(),
            id: id.clone(),
            is: is?,
            said: format!("{said:?}"),
        })
    }

    /// Whether it says that the backup is listed.
    pub(crate) fn is_of_a_listed(&self) -> bool {
        matches!(self.is, Is::Right | Is::Listed)
    }

    /// Whether that is so at its destination, which lists `now` and has `keys`.
    ///
    /// # Errors
    /// What is said, and isn't so.
    pub(crate) fn is_so(
        &self,
        now: &BTreeSet<BackupId>,
        keys: &[ObjectKey],
        is_harmed: impl Fn(&BackupId) -> bool,
    ) -> Result<(), String> {
        let is_listed = now.contains(&self.id);
        let wrong = match self.is {
            Is::Right | Is::Listed if !is_listed => "it isn't listed".to_owned(),
            Is::Right if is_harmed(&self.id) => "it is damaged".to_owned(),
            // Where a manifest is lost, and what the run has left of itself, nobody can tell a backup from a run that broke off.
            Is::Unlisted if is_listed && is_harmed(&self.id) => return Ok(()),
            Is::Unlisted | Is::Removed { .. } if is_listed => "it is listed".to_owned(),
            Is::Removed { may_leave_records } => match left_of(&self.id, may_leave_records, keys) {
                Some(left) => format!("{left} is there"),
                None => return Ok(()),
            },
            Is::Right | Is::Listed | Is::Unlisted => return Ok(()),
        };
        let Told { name, id, said, .. } = self;
        Err(format!("P2: of {id} {said} is said at {name}, and {wrong}"))
    }
}

/// What is left of a backup that is said to be removed.
pub(crate) fn left_of<'a>(
    id: &BackupId,
    may_leave_records: bool,
    keys: &'a [ObjectKey],
) -> Option<&'a ObjectKey> {
    let stays = |key: &ObjectKey| {
        let is_record =
            || [layout::RUNS, layout::VERIFICATIONS, layout::DAMAGED].contains(&top(key));
        layout::withdrawn_id(key).is_some() || may_leave_records && is_record()
    };
    let mut left = keys.iter().filter(|key| key.as_str().contains(id.as_str()));
    left.find(|key| !stays(key))
}

fn top(key: &ObjectKey) -> &str {
    key.as_str().split('/').next().unwrap_or_default()
}

/// What a sync says.
pub(crate) fn by_sync(report: &SyncReport) -> Vec<Told> {
    let copies = report
        .backups
        .iter()
        .flat_map(|backup| backup.destinations.iter().map(|copy| (&backup.id, copy)));
    let told = copies.filter_map(|(id, copy)| {
        let is = match copy.status {
            SyncStatus::Whole => Some(Is::Listed),
            SyncStatus::Copied => Some(Is::Right),
            SyncStatus::Withdrawn | SyncStatus::NotTaken => Some(Is::Unlisted),
            // What is there came damaged when it was looked at, and is in the way if it is.
            SyncStatus::Failed if is_damaged(copy.error.as_ref()) => None,
            SyncStatus::Failed => Some(Is::Unlisted),
            SyncStatus::Unknown => None,
        };
        Told::of(&copy.name, id, is, copy)
    });
    told.collect()
}

fn is_damaged(error: Option<&ErrorReport>) -> bool {
    error.is_some_and(|error| error.class == Class::Corrupt)
}

/// What a check says.
pub(crate) fn by_check(report: &VerifyReport) -> Vec<Told> {
    let copies = report
        .backups
        .iter()
        .flat_map(|backup| backup.destinations.iter().map(|copy| (&backup.id, copy)));
    let told = copies.filter_map(|(id, copy)| {
        let is = match copy.status {
            CopyState::Ok => Some(Is::Right),
            CopyState::Absent | CopyState::NotTaken | CopyState::Withdrawn => Some(Is::Unlisted),
            CopyState::Attested
            | CopyState::Damaged
            | CopyState::Behind
            | CopyState::Unreachable => None,
        };
        Told::of(&copy.name, id, is, copy)
    });
    told.collect()
}

/// What a repair says; whether it read every byte of what it calls whole.
pub(crate) fn by_repair(report: &RepairReport, reads_all: bool) -> Vec<Told> {
    let copies = report
        .runs
        .iter()
        .flat_map(|run| run.destinations.iter().map(|copy| (&run.id, copy)));
    let told = copies.filter_map(|(id, copy)| {
        let is = match copy.status {
            RepairStatus::Whole if !reads_all => Some(Is::Listed),
            RepairStatus::Whole
            | RepairStatus::Healed
            | RepairStatus::Reconstructed
            | RepairStatus::Copied => Some(Is::Right),
            RepairStatus::Absent | RepairStatus::NotTaken | RepairStatus::Withdrawn => {
                Some(Is::Unlisted)
            }
            RepairStatus::Refused | RepairStatus::Skipped | RepairStatus::Unreachable => None,
        };
        Told::of(&copy.name, id, is, copy)
    });
    told.collect()
}

/// What a deletion says, of the links that went first as well.
pub(crate) fn by_deletion(report: &DeleteReport) -> Vec<Told> {
    let copies = report.destinations.iter();
    let told = copies.filter_map(|copy| by_removal(&copy.name, &copy.removal));
    told.chain(report.links.iter().flat_map(by_deletion))
        .collect()
}

/// What a cleanup says.
pub(crate) fn by_cleanup(report: &CleanupReport) -> Vec<Told> {
    let told = report.destinations.iter().flat_map(|at| {
        let backups = at.backups.iter().filter_map(|backup| {
            let is = match backup.status {
                CleanupStatus::Kept => Some(Is::Listed),
                CleanupStatus::Withdrawn => Some(Is::Unlisted),
                CleanupStatus::Failed => None,
            };
            Told::of(&at.name, &backup.id, is, backup)
        });
        let removals = at.removals.iter();
        backups.chain(removals.filter_map(|removal| by_removal(&at.name, removal)))
    });
    told.collect()
}

fn by_removal(name: &str, removal: &Removal) -> Option<Told> {
    // A dead run's record stays, and whoever removed its files before may have died before it had removed what is said of it.
    let may_leave_records = removal.reason == Some(WithdrawalReason::DeadRun) || removal.files == 0;
    let is = match removal.status {
        RemovalStatus::Withdrawn | RemovalStatus::Absent => Some(Is::Unlisted),
        RemovalStatus::Removed => Some(Is::Removed { may_leave_records }),
        RemovalStatus::Left | RemovalStatus::Failed => None,
    };
    Told::of(name, &removal.id, is, removal)
}
