//! Reading for a restore: what of a backup stands, and what of that is chosen.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::future;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use teeline_core::chain::LineDigest;
use teeline_core::{BackupError, Frame, ResourceEntry};
use teeline_sources::s3db::Newer;

use super::choice::{Choice, no_such_ids};
use crate::chain::{Chain, Stage, Stages, read_for};
use crate::plain::{all_lines, count_lines, plain};

/// The contents of a backup: of each backup of its chain what no later one is about, with what had changed when it was read
/// again laid over it.
pub(crate) struct Contents {
    /// The full one first, the backup itself last.
    stages: Vec<Stage>,
    /// The database's own `s3db.json`, where the source was a database.
    pub(crate) database_catalogue: Option<Bytes>,
    /// How many of which lines of a resource are gone, where the source was of JSON lines.
    gone: HashMap<String, HashMap<LineDigest, u64>>,
}

/// How many records of each resource stand, and how many of these are chosen.
#[derive(Default)]
pub(super) struct Tally(HashMap<String, (u64, u64)>);

impl Contents {
    /// Reads what it takes to read the rest.
    pub(crate) async fn open(chain: &Chain) -> Result<Self, BackupError> {
        let Stages {
            stages,
            database_catalogue,
            gone,
        } = chain.stages().await?;
        Ok(Contents {
            stages,
            database_catalogue,
            gone,
        })
    }

    /// The lines of these resources that stand, each with its resource: those of the data files, then those that came with
    /// a link, then the newer ones.
    pub(crate) fn lines(
        &self,
        chosen: &[&ResourceEntry],
    ) -> BoxStream<'static, Result<(Arc<str>, Bytes), BackupError>> {
        let names: Vec<Arc<str>> = chosen
            .iter()
            .map(|entry| entry.name.as_str().into())
            .collect();
        // Resource by resource, and of each backup after backup.
        let base: Vec<_> = names
            .iter()
            .map(|name| {
                let of_stages = self.stages.iter().map(|stage| lines_of(stage, name));
                let all = stream::iter(of_stages.collect::<Vec<_>>()).flatten();
                match self.gone.get(&**name) {
                    Some(gone) => without(all.boxed(), gone.clone()),
                    None => all.boxed(),
                }
            })
            .collect();
        let newer: Vec<_> = self
            .stages
            .iter()
            .map(|stage| newer_lines_of(stage, names.clone()))
            .collect();
        stream::iter(base)
            .flatten()
            .chain(stream::iter(newer).flatten())
            .boxed()
    }

    /// The pieces of objects that stand: those of the data files, then the newer ones. Records of these resources that are
    /// objects now, since the catalogue has lost their resource, are among them.
    pub(crate) fn frames(
        &self,
        chosen: &[&ResourceEntry],
    ) -> BoxStream<'static, Result<Vec<Frame>, BackupError>> {
        let all: Vec<_> = self
            .stages
            .iter()
            .map(|stage| frames_of(stage, chosen))
            .collect();
        stream::iter(all).flatten().boxed()
    }

    /// Whether the records of a resource are objects, since the catalogue has lost it while the backup was read.
    pub(crate) fn has_lost(&self, resource: &str) -> bool {
        let overlay = self.stages.last().and_then(|last| last.overlay.as_ref());
        overlay.is_some_and(|overlay| overlay.has_lost(resource))
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
        if self.is_as_counted() && choice.ids.is_none() {
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
        if let [stage] = self.stages.as_slice()
            && self.is_as_counted()
            && choice.is_everything()
        {
            let objects = stage.copies.manifest.objects.as_ref();
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
    /// What had changed was read already, and so was what is gone.
    pub(super) async fn check(&self, chosen: &[&ResourceEntry]) -> Result<(), BackupError> {
        for Stage { copies, .. } in &self.stages {
            let resources = read_for(chosen, &copies.manifest);
            for resource in resources.chain(&copies.manifest.objects) {
                for segment in &resource.segments {
                    for window in copies.windows(&resource.name, segment).await? {
                        copies.read_stored(&resource.name, segment, &window).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether all that the manifest counts stands, and nothing else does.
    fn is_as_counted(&self) -> bool {
        matches!(self.stages.as_slice(), [stage] if stage.overlay.is_none())
    }
}

/// Lines, less so many of those that are gone.
fn without(
    lines: BoxStream<'static, Result<(Arc<str>, Bytes), BackupError>>,
    mut gone: HashMap<LineDigest, u64>,
) -> BoxStream<'static, Result<(Arc<str>, Bytes), BackupError>> {
    let standing = lines.map_ok(move |(name, lines)| {
        let mut standing = BytesMut::with_capacity(lines.len());
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            match gone.get_mut(&LineDigest::of(line)) {
                Some(times) if *times > 0 => *times -= 1,
                _ => standing.extend_from_slice(line),
            }
        }
        (name, standing.freeze())
    });
    standing.boxed()
}

/// The lines of a resource's data files in one backup of the chain, as far as they stand.
fn lines_of(
    stage: &Stage,
    name: &Arc<str>,
) -> BoxStream<'static, Result<(Arc<str>, Bytes), BackupError>> {
    let mut resources = stage.copies.manifest.resources.iter();
    let Some(resource) = resources.find(|resource| resource.name == **name) else {
        return stream::empty().boxed();
    };
    let (name, overlay) = (Arc::clone(name), stage.overlay.clone());
    all_lines(&stage.copies, resource.clone())
        .and_then(move |lines| {
            let standing = match &overlay {
                Some(overlay) => overlay.lines(&name, lines),
                None => Ok(lines),
            };
            future::ready(standing.map(|lines| (Arc::clone(&name), lines)))
        })
        .boxed()
}

/// The lines of these resources that one backup of the chain has among what had changed when it was read again.
fn newer_lines_of(
    stage: &Stage,
    names: Vec<Arc<str>>,
) -> BoxStream<'static, Result<(Arc<str>, Bytes), BackupError>> {
    let newer = newer(stage).map_ok(move |newer| {
        let of_chosen = names.iter().filter_map(|name| {
            let lines = newer.lines.get(&**name)?.clone();
            Some(Ok((Arc::clone(name), lines.freeze())))
        });
        stream::iter(of_chosen.collect::<Vec<_>>())
    });
    newer.try_flatten().boxed()
}

fn frames_of(
    stage: &Stage,
    chosen: &[&ResourceEntry],
) -> BoxStream<'static, Result<Vec<Frame>, BackupError>> {
    let manifest = &stage.copies.manifest;
    let objects = match &manifest.objects {
        Some(objects) => plain(&stage.copies, objects),
        None => stream::empty().boxed(),
    };
    let Some(overlay) = stage.overlay.clone() else {
        return objects
            .and_then(|bytes| future::ready(Frame::decode_all(bytes)))
            .boxed();
    };
    let standing = Arc::clone(&overlay);
    let objects = objects.and_then(move |bytes| {
        let frames = Frame::decode_all(bytes);
        future::ready(frames.map(|frames| standing.frames(frames)))
    });
    let lost: Vec<ResourceEntry> = read_for(chosen, manifest)
        .filter(|resource| overlay.has_lost(&resource.name))
        .cloned()
        .collect();
    let copies = Arc::clone(&stage.copies);
    let lost = stream::iter(lost).flat_map(move |resource| {
        let (name, overlay) = (resource.name.clone(), Arc::clone(&overlay));
        let lines = all_lines(&copies, resource);
        lines.and_then(move |lines| future::ready(overlay.objects(&name, &lines)))
    });
    let newer = newer(stage).map_ok(|newer| newer.frames);
    objects.chain(lost).chain(newer).boxed()
}

fn newer(stage: &Stage) -> BoxStream<'static, Result<Newer, BackupError>> {
    let (Some(overlay), Some(settled)) = (&stage.overlay, &stage.copies.manifest.settled) else {
        return stream::empty().boxed();
    };
    let mut replay = overlay.replay();
    plain(&stage.copies, settled)
        .and_then(move |lines| future::ready(replay.read(&lines)))
        .boxed()
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

/// Objects that begin among these pieces.
pub(crate) fn count_first(frames: &[Frame]) -> u64 {
    let first = frames.iter().filter(|frame| frame.header.offset == 0);
    first.count() as u64
}
