//! Whether what was restored is all that there should be.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use teeline_core::{BackupError, Manifest, SourceKind, layout};
use teeline_sources::s3db::Catalogue;

use crate::chain::Chain;
use crate::report::{CheckResult, RestoreReport};
use crate::standing::{Standing, records_as_objects};

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
    chain: &Chain,
    restored: &RestoreReport,
    lines: Option<u64>,
) -> (CheckResult, Option<BackupError>) {
    let (copies, manifest) = (chain.last(), chain.manifest());
    let records_as_objects = match records_as_objects(chain).await {
        Ok(count) => count,
        Err(error) => return (CheckResult::Inconclusive, Some(error)),
    };
    let standing = Standing {
        records: restored.restored.iter().map(|it| it.records_restored).sum(),
        objects: restored.objects_restored,
        records_as_objects,
    };
    let counted = compare_resources(manifest, restored)
        .and_then(|()| standing.compare(chain, "restored"))
        .and_then(|()| compare_lines(manifest, standing.records, lines));
    if let Err(error) = counted {
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

fn compare_resources(manifest: &Manifest, restored: &RestoreReport) -> Result<(), BackupError> {
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
    Ok(())
}

fn compare_lines(manifest: &Manifest, records: u64, lines: Option<u64>) -> Result<(), BackupError> {
    match lines {
        Some(found) if found != records => {
            let message = format!(
                "{found} records were found where they were restored to, and {records} were restored"
            );
            Err(BackupError::corrupt(&manifest.id, message))
        }
        _ => Ok(()),
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
    // The resources of a full backup that was made of a link are those of the link, and the catalogue is what it was in the end of that
    // one's scan: what came meanwhile is among the objects, and what was lost has no schema.
    let is_of_link = manifest.consolidates.is_some();
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
    if let Some(lacking) = lacking.filter(|_| is_of_all && !is_of_link) {
        let message = "the database had it, and the backup doesn't";
        return Err(BackupError::corrupt(
            format!("resource {:?}", lacking.name),
            message,
        ));
    }
    for resource in &manifest.resources {
        let exported = export.resources.get(&resource.name);
        let exported = exported.map(|exported| exported.record_count);
        let is_lost = is_of_link && catalogue.resource(&resource.name).is_none();
        if is_lost && (exported, resource.records) == (None, 0) {
            continue;
        }
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
