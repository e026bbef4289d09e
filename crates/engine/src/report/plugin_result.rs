//! What s3db.js's backup plugin documents of a backup's result, beside what the report says of it as teeline has it.

use std::collections::BTreeMap;

use serde::Serialize;
use teeline_core::{DestinationReport, DestinationStatus, Manifest};

use super::BackupReport;
use crate::destination::{DestinationSpec, Place};

/// The documented members of a result. Paths are those at the first destination that has the backup; without one there are
/// none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginResult {
    /// The backup's folder.
    pub path: Option<String>,
    /// Each resource's data files.
    pub files: BTreeMap<String, Vec<String>>,
    /// The documented export of the schemas, `s3db.json`, where the source is a database.
    pub metadata_file: Option<String>,
    /// Records of all resources.
    pub records: u64,
    /// Stored bytes of one copy, as `size`.
    pub compressed: u64,
    /// What each destination's driver has done.
    pub driver_info: DriverInfo,
}

/// That of the only driver, or of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum DriverInfo {
    /// Of the only one.
    One(DriverOutcome),
    /// Of each one, in the order of the request.
    Several(Vec<DriverOutcome>),
}

impl Default for DriverInfo {
    fn default() -> Self {
        DriverInfo::Several(Vec::new())
    }
}

/// What a driver has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DriverOutcome {
    /// `filesystem`, `s3`, or `store` for one that the host brought.
    pub driver: &'static str,
    /// The destination's name.
    pub name: String,
    /// Where it is, without secrets.
    pub location: String,
    /// The backup's folder, where it is there.
    pub path: Option<String>,
    /// The bucket, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// What became of the backup there.
    pub status: DestinationStatus,
    /// Bytes that were written there.
    pub size: u64,
}

impl PluginResult {
    /// What a report comes to in these terms. `made` is what was written, if anything was.
    pub(crate) fn of(
        report: &BackupReport,
        made: Option<&Manifest>,
        specs: &[DestinationSpec],
    ) -> Self {
        let outcomes: Vec<DriverOutcome> = report
            .destinations
            .iter()
            .zip(specs)
            .map(|(at, spec)| outcome(at, &spec.place, report.folder.as_deref()))
            .collect();
        let path = outcomes.iter().find_map(|outcome| outcome.path.clone());
        let (files, metadata_file) = match (&path, made) {
            (Some(path), Some(manifest)) => files(path, manifest),
            _ => Default::default(),
        };
        PluginResult {
            path,
            files,
            metadata_file,
            records: report.record_count,
            compressed: report.size,
            driver_info: match <[DriverOutcome; 1]>::try_from(outcomes) {
                Ok([only]) => DriverInfo::One(only),
                Err(several) => DriverInfo::Several(several),
            },
        }
    }
}

fn outcome(at: &DestinationReport, place: &Place, folder: Option<&str>) -> DriverOutcome {
    let is_there = at.status == DestinationStatus::Committed;
    DriverOutcome {
        driver: place.driver(),
        name: at.name.clone(),
        location: at.location.clone(),
        path: folder
            .filter(|_| is_there)
            .map(|folder| below(&at.location, folder)),
        bucket: match place {
            Place::S3(place) => Some(place.bucket.clone()),
            _ => None,
        },
        status: at.status,
        size: at.bytes,
    }
}

fn files(path: &str, manifest: &Manifest) -> (BTreeMap<String, Vec<String>>, Option<String>) {
    let files = manifest.resources.iter().map(|resource| {
        let segments = resource.segments.iter();
        let files = segments.map(|segment| below(path, &segment.file)).collect();
        (resource.name.clone(), files)
    });
    let mut attached = manifest.attachments.iter();
    let export = attached.find(|attachment| attachment.file == teeline_core::layout::SCHEMA_EXPORT);
    let export = export.map(|attachment| below(path, &attachment.file));
    (files.collect(), export)
}

fn below(place: &str, name: &str) -> String {
    format!("{}/{name}", place.trim_end_matches('/'))
}
