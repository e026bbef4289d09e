//! What a listing of a catalogue shows of each backup, and what more there is to ask.

use std::collections::BTreeMap;

use bytes::Bytes;
use teeline_actors::is_there;
use teeline_core::published_marker::{self, Told};
use teeline_core::{
    BackupError, BackupId, CatalogEntry, Class, Digest, ObjectKey, ObjectMeta, Sink, Timestamp,
    document, layout,
};

use super::{located, read_sized, read_whole};
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
pub(super) struct Listed {
    pub(super) id: BackupId,
    pub(super) began: Timestamp,
    /// Its entry, which is there.
    pub(super) entry: ObjectMeta,
    /// What marks it as published.
    markers: Vec<ObjectKey>,
}

/// What was found out of a backup.
pub(super) struct Found {
    pub(super) entry: CatalogEntry,
    pub(super) is_published: bool,
    /// Its entry's bytes, where it is published and its markers don't say so.
    pub(super) unmarked: Option<Bytes>,
    /// Its markers, where it isn't published.
    pub(super) misleading: Vec<ObjectKey>,
}

/// What is listed of the backups that aren't withdrawn, the newest first, and the markers beside which there is no entry. What else
/// there is of those that are goes to `withdrawn`.
pub(super) fn among(
    objects: Vec<ObjectMeta>,
    withdrawn: &mut BTreeMap<BackupId, Withdrawn>,
) -> (Vec<Listed>, Vec<ObjectKey>) {
    let mut markers: BTreeMap<ObjectKey, Vec<ObjectKey>> = BTreeMap::new();
    let mut entries = Vec::new();
    for object in objects {
        let of = published_marker::entry_of(&object.key);
        let is_marker = of.is_some();
        let entry = of.unwrap_or_else(|| object.key.clone());
        let Some((began, id)) = layout::catalog_entry_of(&entry) else {
            continue;
        };
        if let Some(withdrawn) = withdrawn.get_mut(&id) {
            if !withdrawn.entries.contains(&entry) {
                withdrawn.entries.push(entry);
            }
        } else if is_marker {
            markers.entry(entry).or_default().push(object.key);
        } else {
            entries.push((object, began, id));
        }
    }
    let listed = entries.into_iter().map(|(entry, began, id)| Listed {
        id,
        began,
        markers: markers.remove(&entry.key).unwrap_or_default(),
        entry,
    });
    let mut listed: Vec<Listed> = listed.collect();
    listed.sort_by(|a, b| a.entry.key.cmp(&b.entry.key));
    (listed, markers.into_values().flatten().collect())
}

impl Listed {
    /// Finds out what the backup's entry says, and whether it is published.
    pub(super) async fn ask(&self, sink: &dyn Sink, told_by: ToldBy) -> Result<Found, BackupError> {
        let told = published_marker::told(&self.markers);
        let as_marked = |entry| Found {
            entry,
            is_published: true,
            unmarked: None,
            misleading: Vec::new(),
        };
        match (told_by, &told) {
            (ToldBy::Marker, Some(Told::Entry(entry))) => return Ok(as_marked(*entry.clone())),
            (ToldBy::Marker, Some(Told::SeeEntry)) => {
                let (entry, _) = open_entry(sink, &self.entry, &self.id).await?;
                return Ok(as_marked(entry));
            }
            _ => {}
        }
        let (entry, bytes) = open_entry(sink, &self.entry, &self.id).await?;
        let is_marked = match &told {
            Some(Told::Entry(told)) => **told == entry,
            Some(Told::SeeEntry) => true,
            None => false,
        };
        let is_published = match is_marked {
            true => has_manifest(sink, &entry).await?,
            false => has_right_manifest(sink, &entry).await?,
        };
        Ok(Found {
            entry,
            is_published,
            unmarked: (is_published && !is_marked).then_some(bytes),
            misleading: match is_published {
                true => Vec::new(),
                false => self.markers.clone(),
            },
        })
    }
}

/// An entry, and whether a manifest is behind it.
pub(crate) async fn read_entry(
    sink: &dyn Sink,
    object: &ObjectMeta,
    id: &BackupId,
) -> Result<(CatalogEntry, bool), BackupError> {
    let (entry, _) = open_entry(sink, object, id).await?;
    let is_published = has_manifest(sink, &entry).await?;
    Ok((entry, is_published))
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
    let mut read = read_whole(sink, &key).await;
    if !is_manifest_of(entry, &read) {
        read = read_whole(sink, &key).await;
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

fn is_manifest_of(entry: &CatalogEntry, read: &Result<Bytes, BackupError>) -> bool {
    read.as_ref()
        .is_ok_and(|bytes| Digest::of(bytes) == entry.checksum)
}

/// The entry of a backup, and the bytes that say it.
async fn open_entry(
    sink: &dyn Sink,
    object: &ObjectMeta,
    id: &BackupId,
) -> Result<(CatalogEntry, Bytes), BackupError> {
    let key = &object.key;
    let bytes = read_sized(sink, object).await?;
    let entry: CatalogEntry = document::open(&located(sink, key), &bytes)?;
    if entry.id != *id {
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
