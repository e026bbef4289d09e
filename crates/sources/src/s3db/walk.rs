//! What a key of a database is, and the walk through everything that belongs to none of its resources.
//!
//! Folders are listed page by page, so however many keys there are, only a page of each folder on the way is held.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use teeline_core::{BackupError, Class, DestinationMarker, Document, Selection, document, layout};

use super::bucket::Bucket;
use super::catalogue::Catalogue;
use super::listing::{Listed, Listing};

/// The key of the database's catalogue.
pub(super) const CATALOGUE: &str = "s3db.json";

/// What the keys of a resource's partitions go on with.
pub(super) const PARTITION: &str = "partition=";

/// What the keys of a resource begin with.
pub(super) fn resource_prefix(name: &str) -> String {
    // The slash matters: `resource=log` begins the keys of `resource=logs` as well.
    format!("resource={name}/")
}

/// The resource whose folder a key of a database is in.
pub fn resource_of(key: &str) -> Option<&str> {
    let (folder, _) = key.split_once('/')?;
    folder.strip_prefix("resource=")
}

/// The resource and the id of the record that a key is.
pub fn record_of(key: &str) -> Option<(&str, &str)> {
    let name = resource_of(key)?;
    Some((name, record_id(key, name)?))
}

/// A key in the folder of a resource, with what that is called now.
pub(super) fn renamed(key: &str, new_names: &HashMap<String, String>) -> String {
    let moved = resource_of(key).and_then(|name| {
        let rest = key.strip_prefix(&resource_prefix(name))?;
        Some(format!("{}{rest}", resource_prefix(new_names.get(name)?)))
    });
    moved.unwrap_or_else(|| key.to_owned())
}

/// The id of the record that a key of the resource is.
pub(super) fn record_id<'a>(key: &'a str, resource: &str) -> Option<&'a str> {
    let rest = key.strip_prefix("resource=")?.strip_prefix(resource)?;
    let id = rest.strip_prefix("/data/id=")?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}

/// The id of the record that a key of a database is about: the record's own, an entry of an index, a former version.
pub fn id_of(key: &str) -> Option<&str> {
    resource_of(key)?;
    let (_, last) = key.rsplit_once('/')?;
    last.strip_prefix("id=")
}

/// The key of a record.
pub(super) fn record_key(resource: &str, id: &str) -> String {
    format!("resource={resource}/data/id={id}")
}

/// The key of the record that an entry of a partition points at.
pub(super) fn record_of_entry(key: &str) -> Option<String> {
    let name = resource_of(key)?;
    let rest = key.strip_prefix(&resource_prefix(name))?;
    let id = rest.strip_prefix(PARTITION).and(id_of(key))?;
    Some(record_key(name, id))
}

/// Whether a resource has a folder that can be told from others. Its name may be anything that the catalogue says.
pub(super) fn has_folder(name: &str) -> bool {
    !name.is_empty() && !name.contains('/')
}

/// Locks are left behind by a crash and would block who restores them, and so is the marker of a restore; the catalogue is
/// kept apart, and one that couldn't be read is no data any more.
pub(super) fn is_left_out(key: &str) -> bool {
    let is_corrupted = key
        .strip_prefix("s3db.json.corrupted.")
        .and_then(|rest| rest.strip_suffix(".backup"))
        .is_some_and(|time| !time.contains('/'));
    if key == CATALOGUE
        || key == layout::RESTORE_MARKER
        || is_corrupted
        || key.starts_with("plugin=s3db-core/locks/")
    {
        return true;
    }
    let mut steps = key.split('/');
    let mut next_is = |begin: &str| steps.next().is_some_and(|step| step.starts_with(begin));
    next_is("resource=") && next_is("sequence=") && steps.eq(["lock"])
}

/// What becomes of objects under a database's prefix that s3db.js doesn't know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownObjects {
    /// They are backed up like everything else.
    #[default]
    Keep,
    /// They are left out.
    Skip,
    /// The backup fails.
    Fail,
}

/// Everything that isn't in the folder of a resource of the catalogue, and is wanted.
pub(super) struct Walk {
    bucket: Bucket,
    catalogue: Arc<Catalogue>,
    selection: Selection,
    unknown: UnknownObjects,
    /// From the top to the folder that is being listed.
    levels: Vec<Level>,
    destinations: u64,
}

struct Level {
    listing: Listing,
    /// Whether what is in it is s3db.js's own.
    is_known: bool,
    /// Those of the last page that weren't visited yet.
    folders: VecDeque<String>,
}

enum Visit {
    /// Everything below it, in one listing.
    Flat,
    /// Folder by folder, since destinations may be among them.
    ByFolder,
    Skip,
}

impl Walk {
    pub(super) fn new(
        bucket: &Bucket,
        catalogue: Arc<Catalogue>,
        selection: Selection,
        unknown: UnknownObjects,
    ) -> Self {
        Walk {
            levels: vec![Level {
                listing: bucket.list_folder(""),
                is_known: false,
                folders: VecDeque::new(),
            }],
            bucket: bucket.clone(),
            catalogue,
            selection,
            unknown,
            destinations: 0,
        }
    }

    /// The next keys; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Listed>>, BackupError> {
        while let Some(level) = self.levels.last_mut() {
            if let Some(folder) = level.folders.pop_front() {
                let (listing, is_known) = match self.visit(&folder).await? {
                    Visit::Skip => continue,
                    Visit::Flat => (self.bucket.list(&folder), true),
                    Visit::ByFolder => (self.bucket.list_folder(&folder), false),
                };
                self.levels.push(Level {
                    listing,
                    is_known,
                    folders: VecDeque::new(),
                });
                continue;
            }
            let Some(page) = level.listing.next().await? else {
                self.levels.pop();
                continue;
            };
            level.folders = page.folders.into();
            let is_known = level.is_known;
            match self.unknown {
                _ if is_known => return Ok(Some(page.objects)),
                // With named resources only, what is of no resource isn't wanted.
                _ if self.selection.only_named => {}
                UnknownObjects::Keep => return Ok(Some(page.objects)),
                UnknownObjects::Skip => {}
                UnknownObjects::Fail => self.refuse(&page.objects)?,
            }
        }
        if self.destinations > 0 {
            tracing::info!(
                folders = self.destinations,
                "left out backups that are stored within the database"
            );
        }
        Ok(None)
    }

    fn refuse(&self, objects: &[Listed]) -> Result<(), BackupError> {
        let Some(unknown) = objects.iter().find(|listed| !is_left_out(&listed.key)) else {
            return Ok(());
        };
        let message = "it is none of s3db.js's objects";
        let subject = self.bucket.describe(&unknown.key);
        Err(
            BackupError::new(Class::Permanent, "read", subject, message).suggest(
                "move it elsewhere, or have such objects kept or skipped: --unknown-objects keep",
            ),
        )
    }

    async fn visit(&mut self, folder: &str) -> Result<Visit, BackupError> {
        let at_top = self.levels.len() == 1;
        if at_top && let Some(name) = resource_of(folder) {
            let known = has_folder(name) && self.catalogue.resource(name).is_some();
            let wanted = !known && self.selection.wants(name);
            return Ok(if wanted { Visit::Flat } else { Visit::Skip });
        }
        if self.selection.only_named {
            return Ok(Visit::Skip);
        }
        if at_top && folder.starts_with("plugin=") {
            return Ok(Visit::Flat);
        }
        if is_destination(&self.bucket, folder).await? {
            self.destinations += 1;
            tracing::info!(folder, "left out, since it is a destination of backups");
            return Ok(Visit::Skip);
        }
        Ok(Visit::ByFolder)
    }
}

/// Whether a folder (with a slash at its end, or empty) is the root of a destination.
pub(super) async fn is_destination(bucket: &Bucket, folder: &str) -> Result<bool, BackupError> {
    let key = format!("{folder}{}", layout::MARKER);
    let Some((_, bytes)) = bucket.read(&key).await? else {
        return Ok(false);
    };
    if document::open::<DestinationMarker>(&key, &bytes).is_ok() {
        return Ok(true);
    }
    // A marker of a later version, or a damaged one, is no data either; any other file of that name is.
    let fields: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
    let format = fields
        .as_ref()
        .and_then(|fields| fields.get("format")?.as_str());
    Ok(format == Some(DestinationMarker::FORMAT))
}

/// Whether there is nothing but destinations directly below the root.
pub(super) async fn is_vacant(bucket: &Bucket) -> Result<bool, BackupError> {
    let mut listing = bucket.list_folder("");
    while let Some(page) = listing.next().await? {
        if !page.objects.is_empty() {
            return Ok(false);
        }
        for folder in &page.folders {
            if !is_destination(bucket, folder).await? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        assert_eq!(
            record_id("resource=log/data/id=a b\n=", "log"),
            Some("a b\n=")
        );
        for (key, resource) in [
            ("resource=logs/data/id=a", "log"),
            ("resource=log/data/id=a/b", "log"),
            ("resource=log/data/id=", "log"),
            ("resource=log/data/x", "log"),
            ("resource=log/historical/id=a", "log"),
            ("resource=log", "log"),
        ] {
            assert_eq!(record_id(key, resource), None, "{key}");
        }
        assert_eq!(resource_of("resource=a/b"), Some("a"));
        assert_eq!(resource_of("resource=a"), None);
        assert_eq!(resource_of("x/resource=a/b"), None);
    }

    #[test]
    fn locks_are_left_out_and_nothing_like_them() {
        for key in [
            "s3db.json",
            "resource=a/sequence=id/lock",
            "plugin=s3db-core/locks/namespace=metadata/s3db-metadata.json",
            "s3db.json.corrupted.2026-11-23T02-00-00-000Z.backup",
        ] {
            assert!(is_left_out(key), "{key}");
        }
        for key in [
            "s3db.json.corrupted.a/b.backup",
            "x/s3db.json",
            "resource=a/sequence=id/value",
            "resource=a/sequence=id/lock/x",
            "resource=a/data/id=lock",
            "resource=a/data/sequence=id/lock",
            "plugin=s3db-core/locksmith",
            "plugin=other/locks/x",
            "sequence=id/lock",
        ] {
            assert!(!is_left_out(key), "{key}");
        }
    }
}
