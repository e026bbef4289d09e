//! Everything that destinations know of one backup.

use teeline_core::chain::{Linked, Links};
use teeline_core::{
    BackupError, BackupId, CatalogEntry, ErrorReport, Manifest, Metadata, RunRecord, Sink,
};

use crate::catalog::{Asked, ask_all, not_found};
use crate::check::read_manifest;
use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::report::{BackupState, CopyState, CopyStatus, ResourceStatus, StatusReport};
use crate::request::Which;
use crate::run_records;

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
    }

    /// As [`Engine::status`], for hosts without an executor.
    pub fn status_blocking(&self, destinations: &[DestinationSpec], id: &BackupId) -> StatusReport {
        futures::executor::block_on(self.status(destinations, id))
    }
}

async fn status(engine: &Engine, destinations: &[DestinationSpec], id: &BackupId) -> StatusReport {
    let mut report = StatusReport::unknown(id);
    let asked = ask_all(engine, destinations).await;
    let entries = asked.iter().flatten().flat_map(|at| &at.catalog.entries);
    let known: Vec<Linked> = entries.map(Linked::from).collect();
    for (spec, asked) in destinations.iter().zip(asked) {
        let mut withdrawn_at = None;
        let (status, error) = match asked {
            Err((_, error)) => (CopyState::Unreachable, Some((&error).into())),
            Ok(asked) => {
                if let Some(withdrawn) = asked.catalog.withdrawn(id) {
                    withdrawn_at = withdrawn.at(&asked.opened).await;
                }
                look_at_copy(&asked, id, &mut report).await
            }
        };
        report.destinations.push(CopyStatus {
            name: spec.name.clone(),
            location: spec.place.location(),
            status,
            withdrawn_at,
            error,
        });
    }
    if report.timestamp.is_some() {
        report.chain = Links::new(known).needed_by(id);
        report.chain.reverse();
        report.chain.push(id.clone());
    }
    let any = |status| report.destinations.iter().any(|copy| copy.status == status);
    report.status = if any(CopyState::Ok) {
        BackupState::Completed
    } else if any(CopyState::Damaged) {
        BackupState::Damaged
    } else if any(CopyState::Withdrawn) {
        BackupState::Withdrawn
    } else if !report.runs.is_empty() {
        BackupState::Failed
    } else {
        let which = Which::Id(id.clone());
        report.error = Some((&not_found(&which, any(CopyState::Unreachable))).into());
        BackupState::Unknown
    };
    report
}

/// What a destination has of a backup, and what was wrong. A record of a run says nothing about the copy: one that can't be
/// read is an error beside whatever the copy is.
async fn look_at_copy(
    asked: &Asked,
    id: &BackupId,
    report: &mut StatusReport,
) -> (CopyState, Option<ErrorReport>) {
    let failed = |error: &BackupError| {
        let status = CopyState::of_failure(error.class());
        (status, Some(ErrorReport::from(error)))
    };
    let (status, error) = match asked.entry(id) {
        Some(entry) => match read_manifest(&asked.opened, entry).await {
            Ok(sealed) => {
                report.describe(entry, sealed.manifest);
                (CopyState::Ok, None)
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
    (status, error.or(of_records))
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
