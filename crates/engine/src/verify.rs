//! Checking copies: every stored byte of a backup, at each destination by itself, against digests that lead to the
//! manifest.

mod deep;
mod seal;

use teeline_core::chain::{Linked, Links};
use teeline_core::{BackupError, BackupId, Class, Depth, Timestamp, layout};

use crate::catalog::{Asked, ask_all, resolve_all};
use crate::chain::{unrestorable, withdrawn_parents};
use crate::check::Check;
use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::failure::{Failure, Operation};
use crate::keys::Keys;
use crate::ledger::{self, Noted};
use crate::report::{
    CopyState, Damage, DestinationError, VerifiedBackup, VerifiedCopy, VerifiedSeal, VerifyReport,
};
use crate::request::{Cancel, Which};
use crate::withdrawal::{self, Withdrawn};

/// How the ledger names what is checked here.
const BY_VERIFY: &str = "verify";

/// Which backups are to be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhichBackups {
    /// Every one that a destination lists.
    All,
    /// So many of these, the newest.
    Last(usize),
    /// One.
    One(Which),
}

/// A check to be made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VerifyRequest {
    /// Where the copies are.
    pub destinations: Vec<DestinationSpec>,
    /// Which backups; the latest.
    pub which: WhichBackups,
    /// What opens those that are sealed. Without, their digests are compared all the same; who wrote them isn't known then, and
    /// nothing of them can be decoded.
    pub keys: Keys,
    /// Whether all of a copy is decoded, parsed and counted as well, and compared with the manifest; no. It is then read twice.
    pub deep: bool,
    /// Ends the check early.
    pub cancel: Cancel,
}

impl VerifyRequest {
    /// A check of the latest backup.
    pub fn new(destinations: Vec<DestinationSpec>) -> Self {
        VerifyRequest {
            destinations,
            which: WhichBackups::One(Which::Latest),
            keys: Keys::default(),
            deep: false,
            cancel: Cancel::new(),
        }
    }
}

impl Engine {
    /// Reads every stored byte of backups and compares it with its digest.
    pub async fn verify(&self, request: VerifyRequest) -> VerifyReport {
        let engine = self.clone();
        let checking = async move {
            let cancel = request.cancel.clone();
            cancel
                .guard(async { Ok(verify(&engine, &request).await) })
                .await
        };
        let result = self.0.host.spawn(checking).await;
        let mut report = result
            .and_then(|checked| checked)
            .unwrap_or_else(|error| VerifyReport {
                errors: vec![DestinationError::of_none(&error)],
                ..VerifyReport::default()
            });
        report.failure = failure(&report);
        report
    }

    /// As [`Engine::verify`], for hosts without an executor.
    pub fn verify_blocking(&self, request: VerifyRequest) -> VerifyReport {
        futures::executor::block_on(self.verify(request))
    }
}

fn failure(report: &VerifyReport) -> Option<Failure> {
    let errors = report.errors.iter().map(|failed| &failed.error);
    let damage = report.backups.iter().find_map(|backup| {
        let mut copies = backup.destinations.iter();
        let damage = copies.find_map(|copy| copy.damage.first())?;
        Some(Failure::new(Operation::Verify, &damage.to_error()).about(Some(&backup.id)))
    });
    damage.or_else(|| Failure::first(Operation::Verify, errors))
}

async fn verify(engine: &Engine, request: &VerifyRequest) -> VerifyReport {
    let asked = ask_all(engine, &request.destinations).await;
    let mut report = VerifyReport::default();
    for (destination, error) in asked.iter().filter_map(|asked| asked.as_ref().err()) {
        report.errors.push(DestinationError {
            destination: destination.clone(),
            error: error.into(),
        });
    }
    let ids = resolve_all(&request.which, &asked).await;
    let ids = match ids {
        Ok(ids) => ids,
        Err(error) => {
            // Where a destination can't be asked, that is the reason, and it was said.
            if report.errors.is_empty() {
                report.errors.push(DestinationError {
                    destination: String::new(),
                    error: (&error).into(),
                });
            }
            Vec::new()
        }
    };
    let asked_all: Vec<&Asked> = asked.iter().flatten().collect();
    for id in ids {
        let copies = asked.iter().map(|asked| async {
            match asked {
                Ok(asked) => {
                    let started_at = (engine.0.clock)();
                    let mut copy = verify_copy(request, &asked_all, asked, &id).await;
                    note(engine, asked, &id, &mut copy, (BY_VERIFY, started_at)).await;
                    copy
                }
                // Why is said once, for all backups.
                Err((name, _)) => VerifiedCopy::unread(name, CopyState::Unreachable),
            }
        });
        let mut destinations = futures::future::join_all(copies).await;
        pass_over_where_not_taken(&asked, &id, &mut destinations);
        report.backups.push(VerifiedBackup {
            id: id.clone(),
            destinations,
        });
    }
    report
}

/// Tells the destinations that lack a backup from those that it isn't for.
fn pass_over_where_not_taken(
    asked: &[Result<Asked, (String, BackupError)>],
    id: &BackupId,
    copies: &mut [VerifiedCopy],
) {
    let Some(entry) = asked.iter().flatten().find_map(|at| at.entry(id)) else {
        return;
    };
    for (asked, copy) in asked.iter().zip(copies) {
        let takes = |asked: &Asked| asked.opened.may_take(entry);
        if copy.status == CopyState::Absent && !asked.as_ref().is_ok_and(takes) {
            copy.status = CopyState::NotTaken;
        }
    }
}

/// What made a check, and when it began.
pub(crate) type Made<'a> = (&'a str, Timestamp);

/// Leaves word of a check at the destination, or says why not: also where it has found that the manifest is lost, which not every
/// listing asks. What has no entry that can be read is noted nowhere.
pub(crate) async fn note(
    engine: &Engine,
    asked: &Asked,
    id: &BackupId,
    copy: &mut VerifiedCopy,
    (by, started_at): Made<'_>,
) {
    if let (Some(entry), Some(how)) = (asked.entry_or_lost(id), copy.how) {
        let noted = Noted {
            has_mended: false,
            id,
            checksum: entry.checksum,
            how,
            by,
            started_at,
            ended_at: (engine.0.clock)(),
            bytes: copy.bytes,
            damage: &copy.damage,
        };
        let error = ledger::note(&asked.opened, &noted).await.err();
        copy.unrecorded = error.as_ref().map(Into::into);
    }
}

/// What has withdrawn a backup that was listed, where something has since: what is missing of it isn't damage then.
pub(crate) async fn withdrawn_by_now(asked: &Asked, id: &BackupId) -> Option<Withdrawn> {
    let entry = asked.entry(id)?;
    let key = layout::catalog_entry(&entry.id, entry.started_at).ok()?;
    withdrawal::by_now(&asked.opened, id, &key).await.ok()?
}

/// Checks the copy of a backup at one destination.
pub(crate) async fn verify_copy(
    request: &VerifyRequest,
    asked_all: &[&Asked],
    asked: &Asked,
    id: &BackupId,
) -> VerifiedCopy {
    let VerifyRequest { keys, deep, .. } = request;
    let mut check = Check::new(&asked.opened);
    let (mut contained, mut seal, mut how) = (None, None, Depth::Digest);
    for (_, key, error) in asked.catalog.damaged_of(id) {
        check.found(key.as_str(), None, None, error);
    }
    if let Some(entry) = asked.entry(id) {
        check.listed(entry).await;
        let mut others = asked_all.iter().filter_map(|other| other.entry(id));
        if others.any(|other| other.checksum != entry.checksum) {
            let message = "another destination has another backup of this id";
            let error = BackupError::corrupt(&asked.opened.sink, message);
            check.found(
                &format!("{}/{}", entry.path, layout::MANIFEST),
                None,
                None,
                &error,
            );
        }
        let there = Links::new(asked.catalog.entries.iter().map(Linked::from));
        if let Err(not_listed) = there.chain(id) {
            match withdrawn_parents(asked, entry).await {
                // Nobody else looks at them.
                Ok(parents) => {
                    for parent in &parents {
                        check.listed(parent).await;
                    }
                }
                Err(error) => {
                    let error = match error.class() {
                        Class::NotFound => unrestorable(id, &not_listed),
                        _ => error,
                    };
                    check.found(&entry.path, None, None, &error);
                }
            }
        }
        if check.damage.is_empty() {
            seal = seal::look(&mut check, asked_all, asked, entry, request).await;
        }
        let is_open = |seal: &VerifiedSeal| seal.authentic;
        // What is archived can't be decoded; that is said by its number.
        let is_readable = check.damage.is_empty() && check.attested_files == 0;
        if *deep && is_readable && seal.as_ref().is_none_or(is_open) {
            how = Depth::Decoded;
            match deep::read_through(asked, entry, keys).await {
                Ok(found) => contained = Some(found),
                Err(error) => {
                    let manifest = format!("{}/{}", entry.path, layout::MANIFEST);
                    check.found(&manifest, None, None, &error);
                }
            }
        }
    } else if check.damage.is_empty() {
        let status = match asked.has_withdrawn(id) {
            true => CopyState::Withdrawn,
            false => CopyState::Absent,
        };
        return VerifiedCopy::unread(&asked.opened.name, status);
    }
    let unreachable =
        |damage: &Damage| CopyState::of_failure(damage.class) == CopyState::Unreachable;
    let status = match check.damage.as_slice() {
        [] if check.attested_files > 0 => CopyState::Attested,
        [] => CopyState::Ok,
        damage if damage.iter().all(unreachable) => CopyState::Unreachable,
        _ => CopyState::Damaged,
    };
    if status == CopyState::Damaged && withdrawn_by_now(asked, id).await.is_some() {
        return VerifiedCopy::unread(&asked.opened.name, CopyState::Withdrawn);
    }
    let how = match status {
        CopyState::Attested => Some(Depth::Size),
        CopyState::Unreachable => None,
        _ => Some(how),
    };
    VerifiedCopy {
        name: asked.opened.name.clone(),
        status,
        how,
        bytes: check.bytes,
        attested_files: check.attested_files,
        attested_bytes: check.attested_bytes,
        contained,
        seal,
        damage: check.damage,
        extra: check.extra,
        unrecorded: None,
    }
}
