//! What of a backup is to be restored: which resources, under which names, and which of their records.

use std::collections::HashSet;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::Value;
use teeline_core::{BackupError, Class, Frame, InPart, Manifest, ResourceEntry, RestoringResource};
use teeline_sources::s3db;

/// What is to be restored.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    /// Every resource of the backup, in the manifest's order.
    pub(super) resources: Vec<RestoringResource>,
    /// Ids of the records; absent for all.
    pub(super) ids: Option<HashSet<String>>,
}

/// The member of a line by which records are chosen: text, or a number as it is written.
#[derive(Deserialize)]
struct WithId {
    #[serde(default)]
    id: Value,
}

impl Choice {
    /// The resources called so (all, if none is named), each under its new name where it has one, and of them the records
    /// of these ids (all, if there are none).
    ///
    /// # Errors
    /// Where a name isn't in the backup, or two resources would be called the same.
    pub(super) fn new(
        manifest: &Manifest,
        names: &[String],
        ids: &[String],
        renames: &[(String, String)],
    ) -> Result<Self, BackupError> {
        let is_known = |name: &str| manifest.resources.iter().any(|known| known.name == name);
        let asked_for = names.iter().chain(renames.iter().map(|(old, _)| old));
        if let Some(unknown) = asked_for.into_iter().find(|name| !is_known(name)) {
            let there: Vec<&str> = manifest.resources.iter().map(|r| r.name.as_str()).collect();
            let message = format!(
                "the backup has no such resource; it has: {}",
                there.join(", ")
            );
            return Err(BackupError::usage(format!("resource {unknown:?}"), message));
        }
        let resources = manifest.resources.iter().map(|resource| {
            let is_chosen = names.is_empty() || names.contains(&resource.name);
            let renamed = renames.iter().find(|(old, _)| *old == resource.name);
            let name = renamed.map_or(&resource.name, |(_, new)| new);
            RestoringResource {
                name: resource.name.clone(),
                restored_as: is_chosen.then(|| name.clone()),
                is_in_part: manifest.since.is_some()
                    || manifest.plan.is_of_some_records(&resource.name),
            }
        });
        let choice = Choice {
            resources: resources.collect(),
            ids: (!ids.is_empty()).then(|| ids.iter().cloned().collect()),
        };
        choice.check_names(renames)?;
        Ok(choice)
    }

    fn check_names(&self, renames: &[(String, String)]) -> Result<(), BackupError> {
        let refuse = |name: &str, message: &str| {
            Err(BackupError::usage(format!("resource {name:?}"), message))
        };
        let mut taken = HashSet::new();
        for resource in &self.resources {
            let Some(name) = &resource.restored_as else {
                if renames.iter().any(|(old, _)| *old == resource.name) {
                    return refuse(&resource.name, "it is renamed, but not to be restored");
                }
                continue;
            };
            // One that keeps its name comes back as it was, whatever that is.
            let is_new = *name != resource.name;
            if is_new && (name.is_empty() || name.contains(['/', '\\', '=', '%'])) {
                return refuse(
                    name,
                    "a new name of a resource isn't empty, and has no / \\ = or %",
                );
            }
            if !taken.insert(name) {
                return refuse(name, "two resources would be called so");
            }
        }
        Ok(())
    }

    /// Whether that is all of the backup.
    pub(super) fn is_everything(&self) -> bool {
        let chosen = |resource: &RestoringResource| resource.restored_as.is_some();
        self.ids.is_none() && self.resources.iter().all(chosen)
    }

    /// What the chosen resources are called in the backup and at the target, in the manifest's order.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        let names = self.resources.iter();
        names.filter_map(|of| Some((of.name.as_str(), of.restored_as.as_deref()?)))
    }

    /// The chosen resources of the manifest.
    pub(super) fn of<'a>(&self, manifest: &'a Manifest) -> Vec<&'a ResourceEntry> {
        let chosen = manifest.resources.iter().zip(&self.resources);
        chosen
            .filter(|(_, resource)| resource.restored_as.is_some())
            .map(|(entry, _)| entry)
            .collect()
    }

    /// Those of the lines that are chosen.
    ///
    /// # Errors
    /// Where records are chosen by their ids, and a line isn't a document.
    pub(super) fn lines(&self, lines: Bytes) -> Result<Bytes, BackupError> {
        let Some(ids) = &self.ids else {
            return Ok(lines);
        };
        let mut chosen = BytesMut::new();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if id_of(line)?.is_some_and(|id| ids.contains(&id)) {
                chosen.extend_from_slice(line);
            }
        }
        Ok(chosen.freeze())
    }

    /// Takes the ids of lines out of those that are still to be found.
    pub(super) fn find(lines: &[u8], missing: &mut HashSet<String>) -> Result<(), BackupError> {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if let Some(id) = id_of(line)? {
                missing.remove(&id);
            }
        }
        Ok(())
    }

    /// Those of the pieces whose objects are chosen.
    pub(super) fn frames(&self, mut frames: Vec<Frame>) -> Vec<Frame> {
        if !self.is_everything() {
            frames.retain(|frame| self.wants_object(&frame.header.key));
        }
        frames
    }

    fn wants_object(&self, key: &str) -> bool {
        let is_chosen = |name: &str| {
            let mut resources = self.resources.iter();
            resources.any(|resource| resource.name == name && resource.restored_as.is_some())
        };
        let of_chosen_record = match &self.ids {
            Some(ids) => s3db::id_of(key).is_some_and(|id| ids.contains(id)),
            None => true,
        };
        s3db::resource_of(key).is_some_and(is_chosen) && of_chosen_record
    }
}

fn id_of(line: &[u8]) -> Result<Option<String>, BackupError> {
    let WithId { id } = serde_json::from_slice(line).map_err(|error| {
        let message = "it isn't a document, so records can't be chosen by their ids";
        BackupError::new(Class::Permanent, "read", "a line", message).because(error)
    })?;
    Ok(match id {
        Value::String(id) => Some(id),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    })
}

/// Which records the backup has of the chosen resources, where that isn't all of some. What it hasn't must not be taken for what is
/// to be deleted.
pub(super) fn in_part(
    manifest: &Manifest,
    chosen: &[&ResourceEntry],
    replaces: bool,
) -> Result<Option<InPart>, BackupError> {
    let plan = &manifest.plan;
    if let Some(since) = manifest.since.filter(|_| replaces) {
        let message = format!(
            "the backup has only what was written since {since}, and replace would delete what is older"
        );
        return Err(BackupError::usage("mode", message).suggest("use merge or skip-existing"));
    }
    let is_some = |chosen: &&&ResourceEntry| plan.is_of_some_records(&chosen.name);
    match chosen.iter().find(is_some) {
        None => Ok(None),
        Some(some) if replaces => {
            let message = format!(
                "the backup has some records of {} only, and replace would delete the others",
                some.name
            );
            Err(BackupError::usage("mode", message).suggest("use merge or skip-existing"))
        }
        Some(_) => Ok(plan.in_part()),
    }
}

/// Ids that no record has.
pub(super) fn no_such_ids(missing: &HashSet<String>) -> BackupError {
    let mut ids: Vec<&str> = missing.iter().map(String::as_str).collect();
    ids.sort_unstable();
    let message = "no record of the chosen resources has it";
    BackupError::new(
        Class::NotFound,
        "find",
        format!("ids {}", ids.join(", ")),
        message,
    )
    .suggest("nothing was restored; leave the id out, or choose other resources")
}
