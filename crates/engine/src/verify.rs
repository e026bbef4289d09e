//! Checking copies: every stored byte of a backup, at each destination by itself, against digests that lead to the
//! manifest.

use teeline_core::{
    BackupError, BackupId, CatalogEntry, Class, DestinationMarker, Index, Manifest, ResourceEntry,
    RunClaim, RunRecord, SegmentEntry, layout,
};

use crate::catalog::{Asked, ask_all, read_document, resolve};
use crate::copies::{check_chunk, check_index, damage, read_manifest};
use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::files::{WholeFile, file_of};
use crate::open::Opened;
use crate::report::{
    CopyState, Damage, DestinationError, VerifiedBackup, VerifiedCopy, VerifyReport,
};
use crate::request::{Cancel, Which};
use crate::run_records;

/// How much of a segment is read in one call.
const WINDOW_BYTES: u64 = 2 << 20;

/// Which backups are to be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhichBackups {
    /// Every one that a destination lists.
    All,
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
    /// Ends the check early.
    pub cancel: Cancel,
}

impl VerifyRequest {
    /// A check of the latest backup.
    pub fn new(destinations: Vec<DestinationSpec>) -> Self {
        VerifyRequest {
            destinations,
            which: WhichBackups::One(Which::Latest),
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
        result
            .and_then(|checked| checked)
            .unwrap_or_else(|error| VerifyReport {
                backups: Vec::new(),
                errors: vec![DestinationError {
                    destination: String::new(),
                    error: (&error).into(),
                }],
            })
    }

    /// As [`Engine::verify`], for hosts without an executor.
    pub fn verify_blocking(&self, request: VerifyRequest) -> VerifyReport {
        futures::executor::block_on(self.verify(request))
    }
}

async fn verify(engine: &Engine, request: &VerifyRequest) -> VerifyReport {
    let asked = ask_all(engine, &request.destinations).await;
    let mut report = VerifyReport::default();
    let ids = match &request.which {
        WhichBackups::All => all_ids(&asked),
        WhichBackups::One(which) => match resolve(which, &asked) {
            Ok(id) => vec![id],
            Err(error) => {
                report.errors.push(DestinationError {
                    destination: String::new(),
                    error: (&error).into(),
                });
                Vec::new()
            }
        },
    };
    for failed in asked.iter().filter_map(|asked| asked.as_ref().err()) {
        let (destination, error) = failed;
        report.errors.push(DestinationError {
            destination: destination.clone(),
            error: error.into(),
        });
    }
    for id in ids {
        let copies = asked.iter().map(|asked| async {
            match asked {
                Ok(asked) => verify_copy(asked, &id).await,
                Err((name, error)) => VerifiedCopy {
                    name: name.clone(),
                    status: CopyState::Unreachable,
                    bytes: 0,
                    damage: vec![damage(name, "", None, None, error)],
                },
            }
        });
        let destinations = futures::future::join_all(copies).await;
        report.backups.push(VerifiedBackup {
            id: id.clone(),
            destinations,
        });
    }
    report
}

fn all_ids(asked: &[Result<Asked, (String, BackupError)>]) -> Vec<BackupId> {
    let mut known: Vec<_> = asked
        .iter()
        .flatten()
        .flat_map(|asked| &asked.catalog.entries)
        .map(|entry| (entry.started_at, entry.id.clone()))
        .collect();
    known.sort_by(|a, b| b.cmp(a));
    let mut ids: Vec<BackupId> = known.into_iter().map(|(_, id)| id).collect();
    let damaged = asked
        .iter()
        .flatten()
        .flat_map(|asked| &asked.catalog.unreadable);
    ids.extend(damaged.map(|(id, _, _)| id.clone()));
    let mut seen = std::collections::HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    ids
}

async fn verify_copy(asked: &Asked, id: &BackupId) -> VerifiedCopy {
    let mut check = Check {
        opened: &asked.opened,
        bytes: 0,
        damage: Vec::new(),
    };
    let unreadable = asked
        .catalog
        .unreadable
        .iter()
        .filter(|(damaged, _, _)| damaged == id);
    for (_, key, error) in unreadable {
        check.found(key.as_str(), None, None, error);
    }
    if let Some(entry) = asked.entry(id) {
        check.copy(entry).await;
    } else if check.damage.is_empty() {
        let name = asked.opened.name.clone();
        return VerifiedCopy {
            name,
            status: CopyState::Absent,
            bytes: 0,
            damage: Vec::new(),
        };
    }
    let unreachable = |damage: &Damage| damage.class.is_retriable();
    let status = match check.damage.as_slice() {
        [] => CopyState::Ok,
        damage if damage.iter().all(unreachable) => CopyState::Unreachable,
        _ => CopyState::Damaged,
    };
    VerifiedCopy {
        name: asked.opened.name.clone(),
        status,
        bytes: check.bytes,
        damage: check.damage,
    }
}

/// The check of one copy.
struct Check<'a> {
    opened: &'a Opened,
    bytes: u64,
    damage: Vec<Damage>,
}

impl Check<'_> {
    fn found(
        &mut self,
        file: &str,
        resource: Option<&str>,
        chunk: Option<u32>,
        error: &BackupError,
    ) {
        self.damage
            .push(damage(&self.opened.name, file, resource, chunk, error));
    }

    async fn copy(&mut self, entry: &CatalogEntry) {
        let path = &entry.path;
        self.small_documents(entry).await;
        let manifest: Manifest = match read_manifest(self.opened, entry).await {
            Ok(manifest) => manifest,
            Err(error) => {
                return self.found(&format!("{path}/{}", layout::MANIFEST), None, None, &error);
            }
        };
        self.bytes = self.bytes.saturating_add(entry.manifest_bytes);
        for attachment in &manifest.attachments {
            let file = WholeFile::attachment(attachment);
            match file.read(self.opened.sink.as_ref(), path).await {
                Ok(bytes) => self.bytes += bytes.len() as u64,
                Err(error) => self.found(&format!("{path}/{}", file.name), None, None, &error),
            }
        }
        for resource in manifest.all_resources() {
            for segment in &resource.segments {
                if let Err(error) = self.segment(&manifest, path, resource, segment).await {
                    self.found(
                        &format!("{path}/{}", segment.file),
                        Some(&resource.name),
                        None,
                        &error,
                    );
                }
            }
        }
    }

    /// The marker, the claim and the run records. They carry their own digests.
    async fn small_documents(&mut self, entry: &CatalogEntry) {
        let sink = self.opened.sink.as_ref();
        let claim = format!("{}/{}", entry.path, layout::RUN_CLAIM);
        let marker = async { read_document::<DestinationMarker>(sink, &layout::marker()?).await };
        if let Err(error) = marker.await
            && error.class() != Class::NotFound
        {
            self.found(layout::MARKER, None, None, &error);
        }
        let key = file_of(&entry.path, layout::RUN_CLAIM);
        let read = async { read_document::<RunClaim>(sink, &key?).await };
        if let Err(error) = read.await {
            self.found(&claim, None, None, &error);
        }
        match run_records::keys(sink, |about| *about == entry.id).await {
            Ok(keys) => {
                for (_, key) in keys {
                    if let Err(error) = read_document::<RunRecord>(sink, &key).await {
                        self.found(key.as_str(), None, None, &error);
                    }
                }
            }
            Err(error) => self.found(layout::RUNS, None, None, &error),
        }
    }

    /// Checks an index and every chunk of its segment. The error is of the segment as a whole; what is wrong with a
    /// single chunk, or with the index, is noted where it is found.
    async fn segment(
        &mut self,
        manifest: &Manifest,
        path: &str,
        resource: &ResourceEntry,
        segment: &SegmentEntry,
    ) -> Result<(), BackupError> {
        let file = WholeFile::index(segment);
        let index = match file.read(self.opened.sink.as_ref(), path).await {
            Ok(bytes) => {
                self.bytes += bytes.len() as u64;
                Index::parse(&segment.index, &bytes)?
            }
            Err(error) => {
                let name = format!("{path}/{}", file.name);
                self.found(&name, Some(&resource.name), None, &error);
                return self.size_only(path, segment).await;
            }
        };
        check_index(&manifest.id, segment, &index)?;
        self.size_only(path, segment).await?;
        let key = file_of(path, &segment.file)?;
        let sink = self.opened.sink.as_ref();
        sink.drop_cached(&key).await?;
        let mut number = 0;
        for (range, chunks) in index.windows(WINDOW_BYTES) {
            let bytes = sink.read(&key, range.clone()).await?;
            let mut begin = 0;
            for chunk in chunks {
                let end = begin + usize::try_from(chunk.stored).unwrap_or(usize::MAX);
                match check_chunk(sink.to_string(), &key, chunk, bytes.slice(begin..end)) {
                    Ok(_) => self.bytes += chunk.stored,
                    Err(error) => {
                        self.found(key.as_str(), Some(&resource.name), Some(number), &error);
                    }
                }
                begin = end;
                number += 1;
            }
        }
        Ok(())
    }

    async fn size_only(&self, path: &str, segment: &SegmentEntry) -> Result<(), BackupError> {
        let key = file_of(path, &segment.file)?;
        let found = self.opened.sink.head(&key).await?.bytes;
        if found == segment.stored_bytes {
            return Ok(());
        }
        let message = format!(
            "{found} bytes are there, {} were written",
            segment.stored_bytes
        );
        Err(BackupError::corrupt(
            format!("{}: {key}", self.opened.sink),
            message,
        ))
    }
}
