//! What a listing of a catalogue shows of each backup, and what more there is to ask.

use std::collections::BTreeMap;

use bytes::Bytes;
use teeline_actors::{digest_of_whole, is_there, read_entry};
use teeline_core::document::Document;
use teeline_core::published_marker::{self, Told};
use teeline_core::{
    BackupError, BackupId, CatalogEntry, Class, Digest, ObjectKey, ObjectMeta, Sink, Timestamp,
    document, layout,
};

use super::folding::Foldable;
use super::{located, read_sized};
use crate::files::file_of;
use crate::withdrawal::Withdrawn;

/// By what a backup is told to be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ToldBy {
    /// By its manifest, which is asked for. So does whoever decides anything.
    Manifest,
    /// By its marker; where there is none, by its manifest. That is for showing what there is.
    Marker,
}

/// What is listed of one backup.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) id: BackupId,
    pub(super) began: Timestamp,
    /// The key of its entry.
    pub(super) key: ObjectKey,
    /// Its entry, where it isn't only folded.
    object: Option<ObjectMeta>,
    /// What marks it as published, and what its entry was folded into.
    markers: Vec<ObjectKey>,
}

/// What was found out of a backup.
pub(super) struct Found {
    pub(super) entry: CatalogEntry,
    pub(super) is_published: bool,
    /// Its entry's bytes, where it is published and its markers don't say so.
    pub(super) unmarked: Option<Bytes>,
    /// What its entry may be folded into, where it is published and its markers say all of it.
    pub(super) foldable: Option<Foldable>,
    /// Its markers, where it isn't published; else what it isn't folded into.
    pub(super) misleading: Vec<ObjectKey>,
}

/// What is listed of the backups that aren't withdrawn, the newest first, and the markers beside which there is no entry, not even a
/// folded one. What else there is of those that are goes to `withdrawn`.
pub(crate) fn among(
    objects: Vec<ObjectMeta>,
    withdrawn: &mut BTreeMap<BackupId, Withdrawn>,
) -> (Vec<Listed>, Vec<ObjectKey>) {
    let mut listed: BTreeMap<ObjectKey, Listed> = BTreeMap::new();
    for object in objects {
        let of = published_marker::entry_of(&object.key);
        let is_marker = of.is_some();
        let entry = of.unwrap_or_else(|| object.key.clone());
        let Some((began, id)) = layout::catalog_entry_of(&entry) else {
            continue;
        };
        if let Some(withdrawn) = withdrawn.get_mut(&id) {
            withdrawn.is_marked |= is_marker;
            if !withdrawn.entries.contains(&entry) {
                withdrawn.entries.push(entry);
            }
            continue;
        }
        let listed = listed.entry(entry).or_insert_with_key(|key| Listed {
            id,
            began,
            key: key.clone(),
            object: None,
            markers: Vec::new(),
        });
        match is_marker {
            true => listed.markers.push(object.key),
            false => listed.object = Some(object),
        }
    }
    let (listed, stray): (Vec<Listed>, Vec<Listed>) =
        listed.into_values().partition(Listed::has_entry);
    let stray = stray.into_iter().flat_map(|stray| stray.markers);
    (listed, stray.collect())
}

impl Listed {
    fn has_entry(&self) -> bool {
        self.object.is_some() || self.folded().next().is_some()
    }

    /// What its marker says of it, where that says all.
    pub(super) fn told(&self) -> Option<CatalogEntry> {
        match published_marker::told(&self.markers)? {
            Told::Entry(entry) => Some(*entry),
            Told::SeeEntry => None,
        }
    }

    /// Finds out what the backup's entry says, and whether it is published.
    pub(super) async fn ask(&self, sink: &dyn Sink, told_by: ToldBy) -> Result<Found, BackupError> {
        let told = published_marker::told(&self.markers);
        let as_marked = |entry| Found {
            entry,
            is_published: true,
            unmarked: None,
            foldable: None,
            misleading: Vec::new(),
        };
        match (told_by, &told) {
            (ToldBy::Marker, Some(Told::Entry(entry))) => return Ok(as_marked(*entry.clone())),
            (ToldBy::Marker, Some(Told::SeeEntry)) => {
                let (entry, _) = self.open(sink).await?;
                return Ok(as_marked(entry));
            }
            _ => {}
        }
        let (entry, bytes) = self.open(sink).await?;
        let is_marked = match &told {
            Some(Told::Entry(told)) => **told == entry,
            Some(Told::SeeEntry) => true,
            None => false,
        };
        let is_published = match is_marked {
            true => has_manifest(sink, &entry).await?,
            false => has_right_manifest(sink, &entry).await?,
        };
        let contradicting = self.contradicting(&bytes);
        let foldable = match (&told, is_published && is_marked) {
            (Some(Told::Entry(_)), true) => self.foldable(sink, &entry, &bytes)?,
            _ => None,
        };
        Ok(Found {
            entry,
            is_published,
            unmarked: (is_published && !is_marked).then_some(bytes),
            foldable,
            misleading: match is_published {
                true => contradicting,
                false => self.markers.clone(),
            },
        })
    }

    /// The keys that its entry is folded into, be it that they don't say what it says.
    fn folded(&self) -> impl Iterator<Item = &ObjectKey> {
        self.markers
            .iter()
            .filter(|key| published_marker::is_folded(key))
    }

    /// Those that can't be understood, or contradict the entry, which has these bytes.
    fn contradicting(&self, bytes: &Bytes) -> Vec<ObjectKey> {
        let says_so = |key: &ObjectKey| {
            let unfolded = published_marker::unfolded([key]);
            unfolded.is_some_and(|(_, says)| says == *bytes)
        };
        let others = self.folded().filter(|key| !says_so(key));
        others.cloned().collect()
    }

    /// Whether it leads to a manifest.
    pub(crate) async fn has_manifest(&self, sink: &dyn Sink) -> Result<bool, BackupError> {
        let (entry, _) = self.open(sink).await?;
        has_manifest(sink, &entry).await
    }

    /// What the entry may be folded into, where that pays, and hasn't been done to its end. It takes markers that say what it says.
    fn foldable(
        &self,
        sink: &dyn Sink,
        entry: &CatalogEntry,
        bytes: &Bytes,
    ) -> Result<Option<Foldable>, BackupError> {
        let markers = self.markers.iter();
        let markers: Vec<ObjectKey> = markers
            .filter(|key| !published_marker::is_folded(key))
            .cloned()
            .collect();
        let is_done = self.object.is_none() && markers.is_empty();
        if is_done || !sink.capabilities().lists_in_pages {
            return Ok(None);
        }
        let folded = published_marker::folded_key_of(&self.key, bytes)?;
        let manifest = file_of(&entry.path, layout::MANIFEST)?;
        Ok(folded.map(|folded| Foldable {
            id: self.id.clone(),
            began: self.began,
            written_at: self.object.as_ref().and_then(|object| object.modified_at),
            entry: self.key.clone(),
            markers,
            manifest,
            folded,
        }))
    }

    /// The entry of the backup, and the bytes that say it.
    async fn open(&self, sink: &dyn Sink) -> Result<(CatalogEntry, Bytes), BackupError> {
        let key = &self.key;
        let bytes = match &self.object {
            Some(object) => read_sized(sink, object, CatalogEntry::BYTES_MAX).await,
            None => read_folded(sink, key, &self.markers),
        };
        let bytes = match bytes {
            // It has been folded, or unfolded, since it was listed.
            Err(error) if error.class() == Class::NotFound => read_entry(sink, key).await?,
            read => read?,
        };
        let entry: CatalogEntry = document::open(&located(sink, key), &bytes)?;
        if entry.id != self.id {
            return Err(BackupError::corrupt(
                located(sink, key),
                format!("it is the entry of {}", entry.id),
            ));
        }
        let says = match layout::catalog_entry(&entry.id, entry.started_at)? == *key {
            true if entry.is_of_its_time() => return Ok((entry, bytes)),
            true => "the backup's id",
            false => "its key",
        };
        let message = format!(
            "{says} doesn't say that the backup began at {}",
            entry.started_at
        );
        Err(BackupError::corrupt(located(sink, key), message))
    }
}

fn read_folded(
    sink: &dyn Sink,
    key: &ObjectKey,
    markers: &[ObjectKey],
) -> Result<Bytes, BackupError> {
    let unfolded = published_marker::unfolded(markers);
    unfolded.map(|(_, bytes)| bytes).ok_or_else(|| {
        BackupError::corrupt(located(sink, key), "what it was folded into isn't an entry")
    })
}

async fn has_manifest(sink: &dyn Sink, entry: &CatalogEntry) -> Result<bool, BackupError> {
    is_there(sink, &file_of(&entry.path, layout::MANIFEST)?).await
}

/// Whether its manifest is behind an entry that nobody has marked. Who published it may have died before it was read back, so it is
/// read here: a store that had damaged it would give a backup that can't be restored.
///
/// # Errors
/// Where it isn't what the entry says, also when it is read again.
async fn has_right_manifest(sink: &dyn Sink, entry: &CatalogEntry) -> Result<bool, BackupError> {
    let key = file_of(&entry.path, layout::MANIFEST)?;
    let mut read = digest_of_whole(sink, &key).await;
    if !is_manifest_of(entry, &read) {
        read = digest_of_whole(sink, &key).await;
    }
    match read {
        Err(error) if error.class() == Class::NotFound => Ok(false),
        Err(error) => Err(error),
        read if is_manifest_of(entry, &read) => Ok(true),
        Ok(_) => {
            let message = "it isn't the manifest that the catalogue's entry was made for";
            Err(BackupError::corrupt(located(sink, &key), message))
        }
    }
}

fn is_manifest_of(entry: &CatalogEntry, read: &Result<Digest, BackupError>) -> bool {
    read.as_ref().is_ok_and(|digest| *digest == entry.checksum)
}
