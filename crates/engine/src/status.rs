//! Everything that destinations know of one backup.

mod state;

use teeline_core::chain::{Linked, Links};
use teeline_core::{
    BackupError, BackupId, CatalogEntry, DestinationStatus, ErrorReport, Manifest, Metadata,
    PlanEntry, RunRecord, Sink, Timestamp, VerificationResult,
};

use crate::catalog::{Asked, ask_all, not_found};
use crate::chain::unrestorable;
use crate::check::read_manifest;
use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::failed_runs::why_failed;
use crate::failure::{Failure, Operation};
use crate::ledger::{self, LastVerified, Ledger};
use crate::report::{BackupState, CopyState, CopyStatus, ResourceStatus, StatusReport};
use crate::request::Which;
use crate::run_records;

use state::Expected;

impl Engine {
    /// Everything that the destinations know of a backup.
    pub async fn status(&self, destinations: &[DestinationSpec], id: &BackupId) -> StatusReport {
        let (engine, destinations, wanted) = (self.clone(), destinations.to_vec(), id.clone());
        let asking = async move { status(&engine, &destinations, &wanted).await };
        self.0
            .host
            .spawn(asking)
            .await
            .unwrap_or_else(|error| StatusReport {
                error: Some((&error).into()),
                ..StatusReport::unknown(id)
            })
            .concluded()
    }

    /// As [`Engine::status`], for hosts without an executor.
    pub fn status_blocking(&self, destinations: &[DestinationSpec], id: &BackupId) -> StatusReport {
        futures::executor::block_on(self.status(destinations, id))
    }
}

async fn status(engine: &Engine, destinations: &[DestinationSpec], id: &BackupId) -> StatusReport {
    let mut report = StatusReport::unknown(id);
    let mut plan = None;
    let now = (engine.0.clock)();
    let asked = ask_all(engine, destinations).await;
    let entries = asked.iter().flatten().flat_map(|at| &at.catalog.entries);
    let known: Vec<Linked> = entries.map(Linked::from).collect();
    for (spec, asked) in destinations.iter().zip(asked) {
        let mut copy = CopyStatus {
            name: spec.name.clone(),
            location: spec.place.location(),
            status: CopyState::Unreachable,
            withdrawn_at: None,
            last_verified: None,
            error: None,
        };
        match asked {
            Err((_, error)) => copy.error = Some((&error).into()),
            Ok(asked) => {
                if let Some(withdrawn) = asked.catalog.withdrawn(id) {
                    copy.withdrawn_at = withdrawn.at(&asked.opened).await;
                }
                let planned = look_at_copy(&asked, id, &mut report, &mut copy).await;
                plan = plan.or(planned);
                look_at_ledger(&asked, id, now, &mut copy).await;
            }
        }
        report.destinations.push(copy);
    }
    for copy in &mut report.destinations {
        if copy.status == CopyState::Absent && was_left_behind(&report.runs, copy) {
            copy.status = CopyState::Behind;
        }
    }
    for (spec, copy) in destinations.iter().zip(&mut report.destinations) {
        let is_taken = |plan: &PlanEntry| spec.takes_all_of(&plan.include);
        if copy.status == CopyState::Absent && !plan.as_ref().is_none_or(is_taken) {
            copy.status = CopyState::NotTaken;
        }
    }
    if report.timestamp.is_some() {
        report.chain = Links::new(known).needed_by(id);
        report.chain.reverse();
        report.chain.push(id.clone());
    }
    let expected = Expected {
        plan: plan.as_ref(),
        runs: &report.runs,
    };
    match expected.state(&report.destinations) {
        Some(BackupState::Failed) => report.describe_failure(),
        Some(state) => report.status = state,
        None => {
            let is_unreachable = |copy: &CopyStatus| copy.status == CopyState::Unreachable;
            let some_unreachable = report.destinations.iter().any(is_unreachable);
            let which = Which::Id(id.clone());
            report.error = Some((&not_found(&which, some_unreachable)).into());
        }
    }
    report
}

/// Whether the run that made a backup ended without this destination, where it could have been had.
fn was_left_behind(runs: &[RunRecord], copy: &CopyStatus) -> bool {
    let mut at = runs.iter().flat_map(|run| &run.destinations);
    at.any(|at| at.location == copy.location && at.status == DestinationStatus::Behind)
}

/// Adds what is noted of checks: where the last one found damage, the copy is damaged.
async fn look_at_ledger(asked: &Asked, id: &BackupId, now: Timestamp, copy: &mut CopyStatus) {
    let ledger = match Ledger::read(&asked.opened, now).await {
        Ok(ledger) => ledger,
        Err(error) => {
            copy.error.get_or_insert((&error).into());
            return;
        }
    };
    let (Some(entry), Some(check)) = (asked.entry(id), ledger.decisive(id)) else {
        return;
    };
    let record = match ledger::read_entry(&asked.opened, check).await {
        Ok(record) => record,
        Err(error) if error.class().is_retriable() => {
            copy.error.get_or_insert((&error).into());
            return;
        }
        // It says nothing of the copy, which is what matters here.
        Err(error) => {
            tracing::warn!(backup = %id, %error, "an entry of the ledger is passed over");
            return;
        }
    };
    copy.last_verified = Some(LastVerified::from(check));
    if record.result == VerificationResult::Damaged && record.checksum == entry.checksum {
        copy.status = CopyState::Damaged;
        let error = ledger::found_damaged(&asked.opened, &record);
        let error = error.suggest(format!("`teeline verify {id}` looks again"));
        copy.error = Some((&error).into());
    }
}

/// What a destination has of a backup, and what was wrong. A record of a run says nothing about the copy: one that can't be
/// read is an error beside whatever the copy is. Gives the plan that the manifest has.
async fn look_at_copy(
    asked: &Asked,
    id: &BackupId,
    report: &mut StatusReport,
    copy: &mut CopyStatus,
) -> Option<PlanEntry> {
    let mut plan = None;
    let failed = |error: &BackupError| {
        let status = CopyState::of_failure(error.class());
        (status, Some(ErrorReport::from(error)))
    };
    let (status, error) = match asked.entry(id) {
        Some(entry) => match read_manifest(&asked.opened, entry).await {
            Ok(sealed) => {
                plan = Some(sealed.manifest.plan.clone());
                report.describe(entry, sealed.manifest);
                match asked.catalog.restored_with().chain(id) {
                    Ok(_) => (CopyState::Ok, None),
                    Err(not_a_chain) => failed(&unrestorable(id, &not_a_chain)),
                }
            }
            Err(error) => failed(&error),
        },
        None => match asked.catalog.damaged_of(id).next() {
            Some((_, _, error)) => failed(error),
            None if asked.has_withdrawn(id) => (CopyState::Withdrawn, None),
            None => (CopyState::Absent, None),
        },
    };
    let records = read_run_records(asked.opened.sink.as_ref(), id, &mut report.runs).await;
    let of_records = records.err().map(|error| ErrorReport::from(&error));
    copy.status = status;
    copy.error = error.or(of_records);
    plan
}

/// Adds what is recorded of the runs and wasn't known yet. The error is of the first record that can't be read.
async fn read_run_records(
    sink: &dyn Sink,
    id: &BackupId,
    runs: &mut Vec<RunRecord>,
) -> Result<(), BackupError> {
    let mut result = Ok(());
    for (_, record) in run_records::of(sink, id).await? {
        match record {
            Ok(record) if runs.contains(&record) => {}
            Ok(record) => runs.push(record),
            Err(error) => result = result.and(Err(error)),
        }
    }
    result
}

impl StatusReport {
    fn unknown(id: &BackupId) -> Self {
        StatusReport {
            id: Some(id.clone()),
            backup_type: Some(id.backup_type()),
            status: BackupState::Unknown,
            timestamp: None,
            record_count: 0,
            size: 0,
            plain_bytes: 0,
            checksum: None,
            since: None,
            chain: Vec::new(),
            sealed: false,
            metadata: Metadata::default(),
            source: None,
            in_part: None,
            resources: Vec::new(),
            destinations: Vec::new(),
            runs: Vec::new(),
            error: None,
            failure: None,
        }
    }

    /// Says what went wrong first.
    fn concluded(mut self) -> Self {
        let at = self.destinations.iter();
        let at = at.filter_map(|copy| copy.error.as_ref());
        let failure = Failure::first(Operation::List, self.error.iter().chain(at));
        self.failure = failure.map(|failure| failure.about(self.id.as_ref()));
        self
    }

    /// Says of runs that left no backup what the last of them came to.
    fn describe_failure(&mut self) {
        self.status = BackupState::Failed;
        if let Some(last) = self.runs.iter().max_by_key(|run| run.ended_at) {
            self.timestamp = Some(last.started_at);
            self.error = why_failed(last).cloned();
        }
    }

    fn describe(&mut self, entry: &CatalogEntry, manifest: Manifest) {
        self.timestamp = Some(entry.started_at);
        self.record_count = entry.records;
        self.size = entry.stored_bytes;
        self.plain_bytes = entry.plain_bytes;
        self.checksum = Some(entry.checksum);
        self.sealed = manifest.plan.seal.is_some();
        self.metadata = manifest.metadata.clone();
        self.since = manifest.since;
        self.resources = manifest
            .all_resources()
            .map(|resource| ResourceStatus {
                name: resource.name.clone(),
                record_count: resource.records,
                size: resource.stored_bytes,
                plain_bytes: resource.plain_bytes,
                kept_raw: resource.kept_raw,
                vanished: resource.vanished,
                files: resource
                    .segments
                    .iter()
                    .map(|segment| segment.file.clone())
                    .collect(),
            })
            .collect();
        self.in_part = manifest.plan.in_part();
        self.source = Some(manifest.source);
    }
}
