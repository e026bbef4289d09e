//! Whether what was restored is all that there should be.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use teeline_core::{BackupError, Manifest, SourceKind, layout};
use teeline_sources::s3db::Catalogue;

use crate::copies::Copies;
use crate::report::{CheckResult, RestoreReport};

/// The export of the schemas, as far as it counts.
#[derive(Deserialize)]
struct Export {
    resources: BTreeMap<String, Exported>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Exported {
    record_count: u64,
}

/// Compares what was restored, of which the files have so many lines, with the manifest, and both with what the database's
/// `s3db.json` in the backup says.
pub(super) async fn check(
    copies: &Copies,
    restored: &RestoreReport,
    lines: Option<u64>,
) -> (CheckResult, Option<BackupError>) {
    let manifest = &copies.manifest;
    if let Err(error) = compare_counts(manifest, restored, lines) {
        return (CheckResult::Fail, Some(error));
    }
    if manifest.source.kind != SourceKind::S3db {
        return (CheckResult::Pass, None);
    }
    let read = async |file: &str| {
        let mut attachments = manifest.attachments.iter();
        let stored = manifest.plan.stored_name(file);
        let entry = attachments
            .find(|entry| entry.file == stored)
            .ok_or_else(|| BackupError::corrupt(&manifest.id, format!("it has no {file}")))?;
        copies.attachment(entry).await
    };
    let files = async {
        let catalogue = read(layout::DATABASE_CATALOGUE).await?;
        Ok((catalogue, read(layout::SCHEMA_EXPORT).await?))
    };
    match files.await {
        Err(error) => (CheckResult::Inconclusive, Some(error)),
        Ok((catalogue, export)) => match compare_schemas(manifest, &catalogue, &export) {
            Ok(()) => (CheckResult::Pass, None),
            Err(error) => (CheckResult::Fail, Some(error)),
        },
    }
}

fn compare_counts(
    manifest: &Manifest,
    restored: &RestoreReport,
    lines: Option<u64>,
) -> Result<(), BackupError> {
    let lacking = |name: &str, message: String| {
        Err(BackupError::corrupt(format!("resource {name:?}"), message))
    };
    for resource in &manifest.resources {
        let mut all = restored.restored.iter();
        let Some(found) = all.find(|restored| restored.name == resource.name) else {
            return lacking(&resource.name, "it wasn't restored".to_owned());
        };
        // What had changed when it was read again, and what comes from a parent, is counted for all resources together.
        let expected = match (&manifest.settled, &manifest.parent) {
            (None, None) => resource.records,
            _ => found.total_records,
        };
        if found.records_restored != expected {
            let message = format!(
                "{} records were restored, the manifest has {expected}",
                found.records_restored
            );
            return lacking(&resource.name, message);
        }
    }
    let total: u64 = restored
        .restored
        .iter()
        .map(|one| one.records_restored)
        .sum();
    let expected = manifest.totals.records;
    for (found, what) in [
        (Some(total), "restored"),
        (lines, "found where they were restored to"),
    ] {
        if let Some(found) = found.filter(|found| *found != expected) {
            let message = format!("{found} records were {what}, the manifest has {expected}");
            return Err(BackupError::corrupt(&manifest.id, message));
        }
    }
    let (found, expected) = (restored.objects_restored, manifest.totals.objects);
    match found == expected {
        true => Ok(()),
        false => {
            let message = format!("{found} objects were restored, the manifest has {expected}");
            Err(BackupError::corrupt(&manifest.id, message))
        }
    }
}

/// A database's `s3db.json` has every resource that there was, and the export says how many records of each are in the backup.
fn compare_schemas(
    manifest: &Manifest,
    catalogue: &Bytes,
    export: &Bytes,
) -> Result<(), BackupError> {
    let catalogue = Catalogue::parse(catalogue)
        .map_err(|error| BackupError::corrupt(layout::DATABASE_CATALOGUE, error))?;
    let export: Export = serde_json::from_slice(export)
        .map_err(|error| BackupError::corrupt(layout::SCHEMA_EXPORT, error))?;
    let plan = &manifest.plan;
    let is_of_all =
        plan.include.is_empty() && plan.exclude.is_empty() && plan.partitions.is_empty();
    let has = |name: &str| {
        manifest
            .resources
            .iter()
            .any(|resource| resource.name == name)
    };
    let lacking = catalogue
        .resources
        .iter()
        .find(|resource| !has(&resource.name));
    if let Some(lacking) = lacking.filter(|_| is_of_all) {
        let message = "the database had it, and the backup doesn't";
        return Err(BackupError::corrupt(
            format!("resource {:?}", lacking.name),
            message,
        ));
    }
    for resource in &manifest.resources {
        let exported = export.resources.get(&resource.name);
        let exported = exported.map(|exported| exported.record_count);
        if exported != Some(resource.records) {
            let said = exported.map_or("nothing of it".to_owned(), |count| {
                format!("{count} records")
            });
            let message = format!(
                "{} says {said}, the manifest {} records",
                layout::SCHEMA_EXPORT,
                resource.records
            );
            return Err(BackupError::corrupt(
                format!("resource {:?}", resource.name),
                message,
            ));
        }
    }
    Ok(())
}
