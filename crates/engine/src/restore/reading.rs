//! Reading for a restore: what of a backup stands, and what of that is chosen.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use teeline_actors::read_aside;
use teeline_core::{BackupError, Frame, ResourceEntry, layout};
use teeline_sources::s3db::{Newer, Overlay};

use super::choice::{Choice, no_such_ids};
use crate::copies::Copies;

/// Windows that are read and decoded ahead of the target.
const READ_AHEAD: usize = 4;

/// The contents of a backup, with what had changed when it was read again laid over the rest.
pub(crate) struct Contents {
    copies: Arc<Copies>,
    overlay: Option<Arc<Overlay>>,
    /// The database's own `s3db.json`, where the source was a database.
    pub(super) database_catalogue: Option<Bytes>,
}

/// How many records of each resource stand, and how many of these are chosen.
#[derive(Default)]
pub(super) struct Tally(HashMap<String, (u64, u64)>);

impl Contents {
    /// Reads what it takes to read the rest.
    pub(crate) async fn open(copies: Arc<Copies>) -> Result<Self, BackupError> {
        let mut attachments = copies.manifest.attachments.iter();
        let catalogue = copies.manifest.plan.stored_name(layout::DATABASE_CATALOGUE);
        let database_catalogue = match attachments.find(|file| file.file == catalogue) {
            Some(entry) => Some(copies.attachment(entry).await?),
            None => None,
        };
        let Some(settled) = copies.manifest.settled.clone() else {
            return Ok(Contents {
                copies,
                overlay: None,
                database_catalogue,
            });
        };
        let original = database_catalogue.ok_or_else(|| {
            let message = "it lacks the database's s3db.json";
            BackupError::corrupt(&copies.manifest.id, message)
        })?;
        let mut overlay = Overlay::new(original)?;
        let mut chunks = plain(&copies, &settled);
        while let Some(lines) = chunks.try_next().await? {
            overlay.read(&lines)?;
        }
        Ok(Contents {
            copies,
            database_catalogue: Some(overlay.catalogue().clone()),
            overlay: Some(Arc::new(overlay)),
        })
    }

    /// The lines of these resources that stand, each with its resource: those of the data files, then the newer ones.
    pub(crate) fn lines(
        &self,
        chosen: &[&ResourceEntry],
    ) -> BoxStream<'static, Result<(Arc<str>, Bytes), BackupError>> {
        let (copies, overlay) = (Arc::clone(&self.copies), self.overlay.clone());
        let entries: Vec<ResourceEntry> = chosen.iter().copied().cloned().collect();
        let base = stream::iter(entries).flat_map(move |resource| {
            let name: Arc<str> = resource.name.as_str().into();
            let overlay = overlay.clone();
            let lines = all_lines(&copies, resource);
            lines.and_then(move |lines| {
                let standing = match &overlay {
                    Some(overlay) => overlay.lines(&name, lines),
                    None => Ok(lines),
                };
                future::ready(standing.map(|lines| (Arc::clone(&name), lines)))
            })
        });
        let names: Vec<Arc<str>> = chosen
            .iter()
            .map(|entry| entry.name.as_str().into())
            .collect();
        let newer = self.newer().map_ok(move |newer| {
            let of_chosen = names.iter().filter_map(|name| {
                let lines = newer.lines.get(&**name)?.clone();
                Some(Ok((Arc::clone(name), lines.freeze())))
            });
            stream::iter(of_chosen.collect::<Vec<_>>())
        });
        base.chain(newer.try_flatten()).boxed()
    }

    /// The pieces of objects that stand: those of the data files, then the newer ones. Records of these resources that are
    /// objects now are among them.
    pub(crate) fn frames(
        &self,
        chosen: &[&ResourceEntry],
    ) -> BoxStream<'static, Result<Vec<Frame>, BackupError>> {
        let objects = match &self.copies.manifest.objects {
            Some(objects) => plain(&self.copies, objects),
            None => stream::empty().boxed(),
        };
        let Some(overlay) = self.overlay.clone() else {
            return objects
                .and_then(|bytes| future::ready(Frame::decode_all(bytes)))
                .boxed();
        };
        let standing = Arc::clone(&overlay);
        let objects = objects.and_then(move |bytes| {
            let frames = Frame::decode_all(bytes);
            future::ready(frames.map(|frames| standing.frames(frames)))
        });
        let lost: Vec<ResourceEntry> = chosen
            .iter()
            .filter(|resource| overlay.has_lost(&resource.name))
            .map(|resource| (*resource).clone())
            .collect();
        let copies = Arc::clone(&self.copies);
        let lost = stream::iter(lost).flat_map(move |resource| {
            let (name, overlay) = (resource.name.clone(), Arc::clone(&overlay));
            let lines = all_lines(&copies, resource);
            lines.and_then(move |lines| future::ready(overlay.objects(&name, &lines)))
        });
        let newer = self.newer().map_ok(|newer| newer.frames);
        objects.chain(lost).chain(newer).boxed()
    }

    fn newer(&self) -> BoxStream<'static, Result<Newer, BackupError>> {
        let (Some(overlay), Some(settled)) = (&self.overlay, &self.copies.manifest.settled) else {
            return stream::empty().boxed();
        };
        let mut replay = overlay.replay();
        plain(&self.copies, settled)
            .and_then(move |lines| future::ready(replay.read(&lines)))
            .boxed()
    }

    /// Finds out whether there is a record of each chosen id, before anything is written.
    pub(super) async fn find_ids(
        &self,
        chosen: &[&ResourceEntry],
        choice: &Choice,
    ) -> Result<(), BackupError> {
        let Some(mut missing) = choice.ids.clone() else {
            return Ok(());
        };
        let mut all = self.lines(chosen);
        while let Some((_, lines)) = all.try_next().await? {
            Choice::find(&lines, &mut missing)?;
        }
        match missing.is_empty() {
            true => Ok(()),
            false => Err(no_such_ids(&missing)),
        }
    }

    /// Counts records; the manifest has the numbers of what is all of a resource, unless something had changed.
    pub(super) async fn count(
        &self,
        chosen: &[&ResourceEntry],
        choice: &Choice,
    ) -> Result<Tally, BackupError> {
        let mut tally = Tally::default();
        if self.overlay.is_none() && choice.ids.is_none() {
            for resource in chosen {
                tally.add(&resource.name, resource.records, resource.records);
            }
            return Ok(tally);
        }
        let mut all = self.lines(chosen);
        while let Some((name, lines)) = all.try_next().await? {
            let standing = count_lines(&lines);
            tally.add(&name, standing, count_lines(&choice.lines(lines)?));
        }
        Ok(tally)
    }

    /// Counts objects that are no records, likewise.
    pub(super) async fn count_objects(
        &self,
        chosen: &[&ResourceEntry],
        choice: &Choice,
    ) -> Result<u64, BackupError> {
        if self.overlay.is_none() && choice.is_everything() {
            let objects = self.copies.manifest.objects.as_ref();
            return Ok(objects.map_or(0, |objects| objects.records));
        }
        let mut count = 0;
        let mut all = self.frames(chosen);
        while let Some(frames) = all.try_next().await? {
            count += count_first(&choice.frames(frames));
        }
        Ok(count)
    }

    /// Reads all that will be written, so that damage is found before the first byte goes where it can't be taken back.
    /// What had changed was read already.
    pub(super) async fn check(&self, chosen: &[&ResourceEntry]) -> Result<(), BackupError> {
        let objects = self.copies.manifest.objects.as_ref();
        for resource in chosen.iter().copied().chain(objects) {
            for segment in &resource.segments {
                for window in self.copies.windows(&resource.name, segment).await? {
                    self.copies
                        .read_stored(&resource.name, segment, &window)
                        .await?;
                }
            }
        }
        Ok(())
    }
}

impl Tally {
    /// Adds records of a resource that stand, and how many of them are chosen.
    pub(super) fn add(&mut self, resource: &str, standing: u64, chosen: u64) {
        let counted = match self.0.get_mut(resource) {
            Some(counted) => counted,
            None => self.0.entry(resource.to_owned()).or_default(),
        };
        counted.0 += standing;
        counted.1 += chosen;
    }

    /// How many records of a resource stand, and how many of these are chosen.
    pub(super) fn of(&self, resource: &str) -> (u64, u64) {
        self.0.get(resource).copied().unwrap_or_default()
    }
}

/// The lines of a resource's data files, chunk by chunk.
fn all_lines(
    copies: &Arc<Copies>,
    resource: ResourceEntry,
) -> BoxStream<'static, Result<Bytes, BackupError>> {
    let chunks = plain(copies, &resource);
    let state = (chunks, resource, 0);
    stream::try_unfold(state, |(mut chunks, resource, read)| async move {
        if let Some(lines) = chunks.try_next().await? {
            let read = read + count_lines(&lines);
            return Ok(Some((lines, (chunks, resource, read))));
        }
        if read == resource.records {
            return Ok(None);
        }
        let message = format!(
            "{read} records were read, the manifest has {}",
            resource.records
        );
        let subject = format!("resource {}", resource.name);
        Err(BackupError::corrupt(subject, message))
    })
    .boxed()
}

/// The plain bytes of every chunk of a resource, in order, some of them read ahead.
fn plain(
    copies: &Arc<Copies>,
    resource: &ResourceEntry,
) -> BoxStream<'static, Result<Bytes, BackupError>> {
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
            let read = async move { copies.read(&name, &segment, &window).await };
            // A task of its own, so that chunks are decoded side by side.
            read_aside("the backup", read)
        })
        .try_buffered(READ_AHEAD)
        .map_ok(|window| stream::iter(window.into_iter().map(Ok)))
        .try_flatten()
        .boxed()
}

/// Lines in a chunk of lines.
pub(crate) fn count_lines(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

/// Objects that begin among these pieces.
pub(crate) fn count_first(frames: &[Frame]) -> u64 {
    let first = frames.iter().filter(|frame| frame.header.offset == 0);
    first.count() as u64
}
