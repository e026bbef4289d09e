//! Restoring a backup: verified chunks, from whichever copies have them right, to a target.

mod folder;
mod request;
mod writer;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use teeline_core::{BackupError, Class, Frame, Manifest, ResourceEntry, Restoring, Target, layout};
use teeline_sources::s3db::{S3dbTarget, WriteBackOptions};

use crate::catalog::{ask_all, resolve};
use crate::copies::Copies;
use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::report::{RestoreReport, RestoreStatus, RestoredResource};
use crate::request::Which;

pub use request::{RestoreRequest, RestoreTarget};

use folder::FolderTarget;
use writer::WriterTarget;

/// Windows that are read ahead of the target.
const READ_AHEAD: usize = 2;

impl Engine {
    /// Restores a backup. Failures are in the report.
    pub async fn restore(&self, request: RestoreRequest) -> RestoreReport {
        let engine = self.clone();
        let begun = (self.0.clock)();
        let restoring = self
            .0
            .host
            .spawn(async move { restore(&engine, request).await });
        let mut report = restoring.await.unwrap_or_else(|error| RestoreReport {
            error: Some((&error).into()),
            ..RestoreReport::failed("")
        });
        let elapsed = (self.0.clock)().unix_ms() - begun.unix_ms();
        report.duration = u64::try_from(elapsed).unwrap_or(0);
        report
    }

    /// As [`Engine::restore`], for hosts without an executor.
    pub fn restore_blocking(&self, request: RestoreRequest) -> RestoreReport {
        futures::executor::block_on(self.restore(request))
    }
}

impl RestoreReport {
    fn failed(target: &str) -> Self {
        RestoreReport {
            backup_id: None,
            status: RestoreStatus::Failed,
            target: target.to_owned(),
            restored: Vec::new(),
            objects_restored: 0,
            duration: 0,
            avoided: Vec::new(),
            error: None,
        }
    }
}

async fn restore(engine: &Engine, request: RestoreRequest) -> RestoreReport {
    let mut report = RestoreReport::failed("");
    let target: Box<dyn Target> = match request.target {
        RestoreTarget::Folder(path) => Box::new(FolderTarget::new(path, request.overwrite)),
        RestoreTarget::Database(connection) => {
            let options = WriteBackOptions {
                overwrite: request.overwrite,
                ..WriteBackOptions::default()
            };
            Box::new(S3dbTarget::new(connection, options))
        }
        RestoreTarget::Writer(writer) => Box::new(WriterTarget::new(writer)),
        RestoreTarget::Custom(target) => target,
    };
    report.target = target.to_string();
    let mut restore = Restore {
        target,
        report,
        copies: None,
    };
    let work = restore.run(
        engine,
        &request.which,
        &request.destinations,
        &request.resources,
        request.dry_run,
    );
    let result = request.cancel.guard(unless_it_panics(work)).await;
    let Restore {
        mut target,
        mut report,
        copies,
    } = restore;
    if let Some(copies) = copies {
        report.avoided = copies.avoided();
    }
    if let Err(error) = result {
        report.status = RestoreStatus::Failed;
        report.restored.clear();
        report.objects_restored = 0;
        report.error = Some((&error).into());
        if let Err(abort) = unless_it_panics(target.abort()).await {
            tracing::warn!(target = %target, error = %abort, "what was half restored could not be taken back");
        }
    }
    report
}

/// A panic of a target, or in what reads for it, as an error: what was half restored must be taken back all the same.
async fn unless_it_panics(
    work: impl Future<Output = Result<(), BackupError>>,
) -> Result<(), BackupError> {
    let panicked = |_| {
        let message = "it panicked; this is a defect of teeline or of the target";
        Err(BackupError::new(
            Class::Permanent,
            "run",
            "the restore",
            message,
        ))
    };
    let caught = AssertUnwindSafe(work).catch_unwind().await;
    caught.unwrap_or_else(panicked)
}

struct Restore {
    target: Box<dyn Target>,
    report: RestoreReport,
    copies: Option<Arc<Copies>>,
}

impl Restore {
    async fn run(
        &mut self,
        engine: &Engine,
        which: &Which,
        destinations: &[DestinationSpec],
        resources: &[String],
        dry_run: bool,
    ) -> Result<(), BackupError> {
        let asked = ask_all(engine, destinations).await;
        let id = resolve(which, &asked)?;
        self.report.backup_id = Some(id.clone());
        let copies = &*self
            .copies
            .insert(Arc::new(Copies::open(&id, asked).await?));
        let manifest = Arc::clone(&copies.manifest);
        let chosen = choose(&manifest, resources)?;
        let catalogue = manifest
            .attachments
            .iter()
            .find(|file| file.file == layout::DATABASE_CATALOGUE);
        let database_catalogue = match catalogue {
            Some(entry) => Some(copies.attachment(entry).await?),
            None => None,
        };
        let restoring = Restoring {
            manifest: Arc::clone(&manifest),
            resources: chosen
                .iter()
                .map(|resource| resource.name.clone())
                .collect(),
            everything: resources.is_empty(),
            database_catalogue,
        };
        self.target.check(&restoring).await?;
        let objects = manifest
            .objects
            .as_ref()
            .filter(|_| takes_objects(&manifest));
        if dry_run {
            return self.describe(&chosen, objects);
        }
        if !self.target.is_staged() {
            let all: Vec<&ResourceEntry> = chosen.iter().copied().chain(objects).collect();
            check_all(copies, &all).await?;
        }
        self.target.begin(&restoring).await?;
        for resource in &chosen {
            let restored = write_lines(copies, resource, self.target.as_mut()).await?;
            self.report.restored.push(RestoredResource {
                name: resource.name.clone(),
                records_restored: restored,
                total_records: resource.records,
            });
        }
        if let Some(objects) = objects {
            self.report.objects_restored =
                write_frames(copies, objects, self.target.as_mut()).await?;
        }
        self.target.finish().await?;
        self.report.status = RestoreStatus::Completed;
        Ok(())
    }

    fn describe(
        &mut self,
        chosen: &[&ResourceEntry],
        objects: Option<&ResourceEntry>,
    ) -> Result<(), BackupError> {
        self.report.status = RestoreStatus::DryRun;
        self.report.objects_restored = objects.map_or(0, |objects| objects.records);
        self.report.restored = chosen
            .iter()
            .map(|resource| RestoredResource {
                name: resource.name.clone(),
                records_restored: resource.records,
                total_records: resource.records,
            })
            .collect();
        Ok(())
    }
}

/// Whether the backup has anything beside lines.
fn takes_objects(manifest: &Manifest) -> bool {
    manifest
        .objects
        .as_ref()
        .is_some_and(|objects| !objects.segments.is_empty())
}

fn choose<'a>(
    manifest: &'a Manifest,
    names: &[String],
) -> Result<Vec<&'a ResourceEntry>, BackupError> {
    let known = |name: &String| {
        manifest
            .resources
            .iter()
            .any(|resource| resource.name == *name)
    };
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let there: Vec<&str> = manifest
            .resources
            .iter()
            .map(|resource| resource.name.as_str())
            .collect();
        let message = format!(
            "the backup has no such resource; it has: {}",
            there.join(", ")
        );
        return Err(BackupError::usage(format!("resource {unknown:?}"), message));
    }
    let chosen = |resource: &&ResourceEntry| names.is_empty() || names.contains(&resource.name);
    Ok(manifest.resources.iter().filter(chosen).collect())
}

/// Reads all that will be written, so that damage is found before the first byte goes where it can't be taken back.
async fn check_all(copies: &Copies, resources: &[&ResourceEntry]) -> Result<(), BackupError> {
    for resource in resources {
        for segment in &resource.segments {
            for window in copies.windows(&resource.name, segment).await? {
                copies.read_stored(&resource.name, segment, &window).await?;
            }
        }
    }
    Ok(())
}

/// The plain bytes of every chunk of a resource, in order, some of them read ahead.
fn chunks(
    copies: &Arc<Copies>,
    resource: &ResourceEntry,
) -> BoxStream<'static, Result<Vec<Bytes>, BackupError>> {
    let name: Arc<str> = resource.name.as_str().into();
    let (copies, its_name) = (Arc::clone(copies), Arc::clone(&name));
    let reader = Arc::clone(&copies);
    stream::iter(resource.segments.clone())
        .then(move |segment| {
            let (copies, name) = (Arc::clone(&copies), Arc::clone(&its_name));
            async move {
                let windows = copies.windows(&name, &segment).await?;
                let segment = Arc::new(segment);
                let of_segment = windows
                    .into_iter()
                    .map(move |window| Ok((Arc::clone(&segment), window)));
                Ok::<_, BackupError>(stream::iter(of_segment))
            }
        })
        .try_flatten()
        .map_ok(move |(segment, window)| {
            let (copies, name) = (Arc::clone(&reader), Arc::clone(&name));
            async move { copies.read(&name, &segment, &window).await }
        })
        .try_buffered(READ_AHEAD)
        .boxed()
}

async fn write_lines(
    copies: &Arc<Copies>,
    resource: &ResourceEntry,
    target: &mut dyn Target,
) -> Result<u64, BackupError> {
    let mut restored = 0;
    let mut chunks = chunks(copies, resource);
    while let Some(window) = chunks.try_next().await? {
        for lines in window {
            restored += count_lines(&lines);
            target.lines(&resource.name, lines).await?;
        }
    }
    if restored == resource.records {
        return Ok(restored);
    }
    let message = format!(
        "{restored} records were read, the manifest has {}",
        resource.records
    );
    Err(BackupError::corrupt(
        format!("resource {}", resource.name),
        message,
    ))
}

async fn write_frames(
    copies: &Arc<Copies>,
    objects: &ResourceEntry,
    target: &mut dyn Target,
) -> Result<u64, BackupError> {
    let mut restored = 0;
    let mut chunks = chunks(copies, objects);
    while let Some(window) = chunks.try_next().await? {
        for bytes in window {
            let frames = Frame::decode_all(bytes)?;
            restored += frames
                .iter()
                .filter(|frame| frame.header.offset == 0)
                .count() as u64;
            target.frames(frames).await?;
        }
    }
    Ok(restored)
}

/// Lines in a chunk of lines.
fn count_lines(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}
