//! Everything that destinations know of one backup.

use teeline_core::{BackupError, BackupId, CatalogEntry, ErrorReport, Manifest, layout};

use crate::catalog::{Asked, ask_all, read_document};
use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::files::file_of;
use crate::report::{BackupState, CopyState, CopyStatus, ResourceStatus, StatusReport};
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
    for (spec, asked) in destinations.iter().zip(ask_all(engine, destinations).await) {
        let mut copy = CopyStatus {
            name: spec.name.clone(),
            location: spec.place.location(),
            status: CopyState::Absent,
            error: None,
        };
        match asked {
            Err((_, error)) => {
                copy.status = CopyState::Unreachable;
                copy.error = Some((&error).into());
            }
            Ok(asked) => {
                let found = look_at_copy(&asked, id, &mut report).await;
                copy.status = found.as_ref().copied().unwrap_or(CopyState::Damaged);
                copy.error = found.err().map(|error| ErrorReport::from(&error));
            }
        }
        report.destinations.push(copy);
    }
    let held = report
        .destinations
        .iter()
        .any(|copy| copy.status == CopyState::Ok);
    report.status = match (held, report.runs.is_empty()) {
        (true, _) => BackupState::Completed,
        (false, false) => BackupState::Failed,
        (false, true) => BackupState::Unknown,
    };
    report
}

async fn look_at_copy(
    asked: &Asked,
    id: &BackupId,
    report: &mut StatusReport,
) -> Result<CopyState, BackupError> {
    let sink = asked.opened.sink.as_ref();
    for (_, record) in run_records::of(sink, id).await? {
        let record = record?;
        if !report.runs.contains(&record) {
            report.runs.push(record);
        }
    }
    let Some(entry) = asked.entry(id) else {
        return Ok(match asked.catalog.damaged_of(id).next() {
            Some(_) => CopyState::Damaged,
            None => CopyState::Absent,
        });
    };
    let key = file_of(&entry.path, layout::MANIFEST)?;
    let manifest: Manifest = read_document(sink, &key).await?;
    report.describe(entry, manifest);
    Ok(CopyState::Ok)
}

impl StatusReport {
    fn unknown(id: &BackupId) -> Self {
        StatusReport {
            id: Some(id.clone()),
            status: BackupState::Unknown,
            timestamp: None,
            record_count: 0,
            size: 0,
            plain_bytes: 0,
            checksum: None,
            source: None,
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
        self.source = Some(manifest.source);
    }
}
