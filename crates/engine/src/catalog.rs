//! What destinations hold: their catalogues' entries, each with its manifest behind it.

use std::collections::HashSet;

use futures::{StreamExt, TryStreamExt, stream};
use teeline_core::{
    BackupError, BackupId, CatalogEntry, Class, ErrorReport, Manifest, ObjectKey, RunRecord,
    RunStatus, Sink, document, layout,
};

use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::files::file_of;
use crate::open::{Opened, open_all};
use crate::report::{
    BackupState, CopyState, CopyStatus, DestinationError, ListReport, ListedBackup, ResourceStatus,
    StatusReport,
};
use crate::request::Which;
use crate::run_records::{self, published_without_manifest};

/// Small documents that are read at once from one destination.
const READS_AT_ONCE: usize = 8;

/// What a destination's catalogue says, and what in it couldn't be read.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// Published backups, the newest first.
    pub(crate) entries: Vec<CatalogEntry>,
    /// Entries that are damaged or lead to nothing, with the backup that their key names.
    pub(crate) unreadable: Vec<(BackupId, ObjectKey, BackupError)>,
}

impl Catalog {
    /// Reads a destination's catalogue. An entry without a manifest is of a backup that was never published, unless the
    /// record of its run says otherwise.
    pub(crate) async fn read(sink: &dyn Sink) -> Result<Self, BackupError> {
        let folder = ObjectKey::new(layout::CATALOG)?;
        let keys: Vec<ObjectKey> = sink
            .list(Some(&folder))
            .map_ok(|meta| meta.key)
            .try_collect()
            .await?;
        let mut known: Vec<(ObjectKey, BackupId)> = keys
            .into_iter()
            .filter_map(|key| layout::catalog_entry_id(&key).map(|id| (key, id)))
            .collect();
        known.sort();
        let mut read = stream::iter(known)
            .map(|(key, id)| async move { (read_entry(sink, &key, &id).await, key, id) })
            .buffered(READS_AT_ONCE);
        let mut catalog = Catalog::default();
        let (mut listed, mut without_manifest) = (HashSet::new(), Vec::new());
        while let Some((entry, key, id)) = read.next().await {
            match entry {
                Ok(Some(entry)) if listed.insert(id.clone()) => catalog.entries.push(entry),
                Ok(Some(_)) => {
                    let error = BackupError::corrupt(located(sink, &key), "a second entry of it");
                    catalog.unreadable.push((id, key, error));
                }
                Ok(None) => without_manifest.push((id, key)),
                Err(error) if error.class().is_retriable() => return Err(error),
                Err(error) => catalog.unreadable.push((id, key, error)),
            }
        }
        let missing = published_without_manifest(sink, without_manifest).await?;
        catalog.unreadable.extend(missing);
        Ok(catalog)
    }
}

async fn read_entry(
    sink: &dyn Sink,
    key: &ObjectKey,
    id: &BackupId,
) -> Result<Option<CatalogEntry>, BackupError> {
    let entry: CatalogEntry = read_document(sink, key).await?;
    if entry.id != *id {
        return Err(BackupError::corrupt(
            located(sink, key),
            format!("it is the entry of {}", entry.id),
        ));
    }
    if layout::catalog_entry(&entry.id, entry.started_at)? != *key {
        return Err(BackupError::corrupt(
            located(sink, key),
            format!(
                "its key doesn't say that the backup began at {}",
                entry.started_at
            ),
        ));
    }
    let manifest = file_of(&entry.path, layout::MANIFEST)?;
    match sink.head(&manifest).await {
        Ok(_) => Ok(Some(entry)),
        Err(error) if error.class() == Class::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a whole small object.
pub(crate) async fn read_whole(
    sink: &dyn Sink,
    key: &ObjectKey,
) -> Result<bytes::Bytes, BackupError> {
    let size = sink.head(key).await?.bytes;
    if size > document::BYTES_MAX {
        return Err(BackupError::corrupt(
            located(sink, key),
            format!("{size} bytes is too large for it"),
        ));
    }
    sink.read(key, 0..size).await
}

/// Reads a sealed document.
pub(crate) async fn read_document<D: document::Document>(
    sink: &dyn Sink,
    key: &ObjectKey,
) -> Result<D, BackupError> {
    let bytes = read_whole(sink, key).await?;
    document::open(&located(sink, key), &bytes)
}

/// A key with the destination that it is at.
pub(crate) fn located(sink: &dyn Sink, key: &ObjectKey) -> String {
    format!("{sink}: {key}")
}

/// A destination, opened, with its catalogue; or why not.
pub(crate) struct Asked {
    pub(crate) opened: Opened,
    pub(crate) catalog: Catalog,
}

impl Asked {
    /// The entry of a backup here.
    pub(crate) fn entry(&self, id: &BackupId) -> Option<&CatalogEntry> {
        self.catalog.entries.iter().find(|entry| entry.id == *id)
    }
}

/// Asks every destination for its catalogue, all at the same time.
pub(crate) async fn ask_all(
    engine: &Engine,
    destinations: &[DestinationSpec],
) -> Vec<Result<Asked, (String, BackupError)>> {
    let opened = open_all(engine, destinations, READS_AT_ONCE * destinations.len()).await;
    let asked = opened.into_iter().map(|opened| async move {
        let opened = opened?;
        match Catalog::read(opened.sink.as_ref()).await {
            Ok(catalog) => Ok(Asked { opened, catalog }),
            Err(error) => Err((opened.name, error)),
        }
    });
    futures::future::join_all(asked).await
}

/// The backup that is meant, of those that can be seen. One whose entry is damaged is seen as well: passing it over would
/// take an older backup for the latest. Where another entry of it can be read, that one says when it began.
pub(crate) fn resolve(
    which: &Which,
    asked: &[Result<Asked, (String, BackupError)>],
) -> Result<BackupId, BackupError> {
    let mut known = Vec::new();
    for asked in asked.iter().flatten() {
        for entry in &asked.catalog.entries {
            known.push((
                layout::catalog_entry(&entry.id, entry.started_at)?,
                &entry.id,
            ));
        }
    }
    let readable: HashSet<&BackupId> = known.iter().map(|(_, id)| *id).collect();
    for (id, key, _) in asked
        .iter()
        .flatten()
        .flat_map(|asked| &asked.catalog.unreadable)
    {
        if !readable.contains(id) {
            known.push((key.clone(), id));
        }
    }
    let found = match which {
        // The newest sorts first.
        Which::Latest => known.iter().min().map(|(_, id)| *id),
        Which::Id(id) => known.iter().map(|(_, id)| *id).find(|known| *known == id),
    };
    if let Some(id) = found {
        return Ok(id.clone());
    }
    if let Some((name, error)) = asked.iter().find_map(|asked| asked.as_ref().err()) {
        return Err(BackupError::new(
            error.class(),
            "ask",
            format!("destination {name}"),
            error,
        ));
    }
    let message = match which {
        Which::Latest => "no destination has any".to_owned(),
        Which::Id(id) => format!("no destination has {id}"),
    };
    Err(
        BackupError::new(Class::NotFound, "find", "the backup", message)
            .suggest("`teeline list` shows what there is"),
    )
}

impl Engine {
    /// The backups that the destinations hold, the newest first.
    pub async fn list(&self, destinations: &[DestinationSpec]) -> ListReport {
        let (engine, destinations) = (self.clone(), destinations.to_vec());
        let listing = async move { list(&engine, &destinations).await };
        self.0
            .host
            .spawn(listing)
            .await
            .unwrap_or_else(|error| ListReport {
                backups: Vec::new(),
                errors: vec![DestinationError {
                    destination: String::new(),
                    error: (&error).into(),
                }],
            })
    }

    /// As [`Engine::list`], for hosts without an executor.
    pub fn list_blocking(&self, destinations: &[DestinationSpec]) -> ListReport {
        futures::executor::block_on(self.list(destinations))
    }

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

async fn list(engine: &Engine, destinations: &[DestinationSpec]) -> ListReport {
    let mut report = ListReport::default();
    for asked in ask_all(engine, destinations).await {
        let Asked { opened, catalog } = match asked {
            Ok(asked) => asked,
            Err((destination, error)) => {
                report.errors.push(DestinationError {
                    destination,
                    error: (&error).into(),
                });
                continue;
            }
        };
        for (_, _, error) in &catalog.unreadable {
            let destination = opened.name.clone();
            report.errors.push(DestinationError {
                destination,
                error: error.into(),
            });
        }
        for entry in catalog.entries {
            match report
                .backups
                .iter_mut()
                .find(|listed| listed.id == entry.id)
            {
                Some(listed) => listed.destinations.push(opened.name.clone()),
                None => report.backups.push(listed(entry, &opened.name)),
            }
        }
    }
    report
        .backups
        .sort_by(|a, b| (b.timestamp, &b.id).cmp(&(a.timestamp, &a.id)));
    report
}

fn listed(entry: CatalogEntry, destination: &str) -> ListedBackup {
    ListedBackup {
        id: entry.id,
        backup_type: entry.backup_type,
        status: RunStatus::Completed,
        timestamp: entry.started_at,
        record_count: entry.records,
        size: entry.stored_bytes,
        plain_bytes: entry.plain_bytes,
        checksum: entry.checksum,
        path: entry.path,
        destinations: vec![destination.to_owned()],
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
    read_run_records(sink, id, &mut report.runs).await?;
    let Some(entry) = asked.entry(id) else {
        let damaged = asked
            .catalog
            .unreadable
            .iter()
            .any(|(damaged, _, _)| damaged == id);
        return Ok(if damaged {
            CopyState::Damaged
        } else {
            CopyState::Absent
        });
    };
    let key = file_of(&entry.path, layout::MANIFEST)?;
    let manifest: Manifest = read_document(sink, &key).await?;
    report.describe(entry, manifest);
    Ok(CopyState::Ok)
}

async fn read_run_records(
    sink: &dyn Sink,
    id: &BackupId,
    runs: &mut Vec<RunRecord>,
) -> Result<(), BackupError> {
    let keys = run_records::keys(sink, |about| about == id).await?;
    for (_, key) in keys {
        let record: RunRecord = read_document(sink, &key).await?;
        if !runs.contains(&record) {
            runs.push(record);
        }
    }
    Ok(())
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
