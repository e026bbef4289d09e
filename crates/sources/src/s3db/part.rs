//! Which records of the resources are read, where not all of them are: those that entries of partitions name, and that meet
//! conditions. Whatever an entry says, the record itself decides.

use std::collections::HashSet;

use serde_json::Value;
use teeline_core::{BackupError, Conditions, Partitions, Selection};

use super::bucket::Bucket;
use super::catalogue::Catalogue;
use super::known::{KeyDigest, digest_of};
use super::listing::Listed;
use super::partition::{Partition, Record, Text};
use super::schema::Resource;
use super::walk::{id_of, record_key};

/// How large a record may be isn't in a listing of entries. Most have no body.
const BYTES_ASSUMED: u64 = 64 << 10;

/// Whether the size of an object is such a guess: entries say as little of when their records were written.
pub(super) fn is_assumed(listed: &Listed) -> bool {
    listed.last_modified.is_none()
}

/// What is read of each resource of a catalogue.
#[derive(Debug, Default)]
pub(super) struct Parts(Vec<Option<Part>>);

/// What is read of a resource of which not everything is.
#[derive(Debug)]
pub(super) struct Part {
    /// All that the resource has, of which each record has entries.
    partitions: Vec<Partition>,
    wanted: Vec<WantedPartition>,
    conditions: Option<Conditions>,
}

/// What is known of a record's entries in partitions.
#[derive(Debug, Clone, Default)]
pub(super) struct Entries {
    /// Under which keys they are.
    pub(super) keys: Vec<String>,
    /// Whether there may be others, of which that can't be told.
    pub(super) are_incomplete: bool,
}

/// A partition, and where in it a record has to be.
#[derive(Debug)]
struct WantedPartition {
    partition: Partition,
    values: Vec<WantedValue>,
}

#[derive(Debug)]
struct WantedValue {
    /// What the keys of its entries begin with.
    prefix: String,
    /// By field of the partition: what it has to be, where that was said.
    texts: Vec<Option<String>>,
}

impl Parts {
    /// What is read of these resources, which leaves out those that lack one of the partitions.
    ///
    /// # Errors
    /// Where no resource has a partition of a name, or all of them, and where a value is none of a partition.
    pub(super) fn new(
        catalogue: &Catalogue,
        resources: &mut Vec<usize>,
        selection: &Selection,
    ) -> Result<Self, BackupError> {
        let wanted = &selection.partitions;
        check_names(catalogue, resources, wanted)?;
        let mut parts: Vec<Option<Part>> = catalogue.resources.iter().map(|_| None).collect();
        let mut left = Vec::new();
        for index in resources.iter().copied() {
            let resource = &catalogue.resources[index];
            let partitions: Vec<Partition> = Partition::all_of(resource).collect();
            let lacking = wanted
                .names()
                .find(|name| !partitions.iter().any(|has| has.name == *name));
            if let Some(partition) = lacking {
                tracing::warn!(
                    resource = resource.name,
                    partition,
                    "left out, since it has no such partition"
                );
                continue;
            }
            left.push(index);
            let conditions = selection.query.of(&resource.name).cloned();
            if wanted.is_empty() && conditions.is_none() {
                continue;
            }
            let of_partitions = wanted.iter().filter_map(|(name, values)| {
                let mut known = partitions.iter();
                let partition = known.find(|partition| partition.name == name)?;
                Some(WantedPartition::new(partition.clone(), values))
            });
            parts[index] = Some(Part {
                wanted: of_partitions.collect::<Result<_, _>>()?,
                partitions,
                conditions,
            });
        }
        if left.is_empty() && !wanted.is_empty() && !resources.is_empty() {
            let message = format!(
                "no resource that is read has all of them; there are: {}",
                there_are(catalogue, resources)
            );
            return Err(BackupError::usage("partitions", message));
        }
        *resources = left;
        Ok(Parts(parts))
    }

    /// What is read of the resource at a place of the catalogue; `None` for all.
    pub(super) fn of(&self, index: usize) -> Option<&Part> {
        self.0.get(index)?.as_ref()
    }

    /// Whether all of each resource is read.
    pub(super) fn are_whole(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

/// Refuses a partition that no resource has.
fn check_names(
    catalogue: &Catalogue,
    resources: &[usize],
    wanted: &Partitions,
) -> Result<(), BackupError> {
    let is_known = |name: &str| {
        let mut read = resources.iter().map(|index| &catalogue.resources[*index]);
        read.any(|resource| Partition::all_of(resource).any(|partition| partition.name == name))
    };
    match wanted.names().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(name) => {
            let message = format!(
                "no resource that is read has it; there are: {}",
                there_are(catalogue, resources)
            );
            Err(BackupError::usage(format!("partition {name:?}"), message))
        }
    }
}

fn there_are(catalogue: &Catalogue, resources: &[usize]) -> String {
    let of = |index: &usize| {
        let resource = &catalogue.resources[*index];
        let names: Vec<String> = Partition::all_of(resource)
            .map(|partition| partition.name)
            .collect();
        (!names.is_empty()).then(|| format!("{} (of {})", names.join(", "), resource.name))
    };
    let there: Vec<String> = resources.iter().filter_map(of).collect();
    match there.is_empty() {
        true => "none".to_owned(),
        false => there.join("; "),
    }
}

impl Part {
    /// Whether records are those that entries name.
    pub(super) fn is_by_entries(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// The entries of a record that is wanted; `None` of one that isn't.
    pub(super) fn entries_of(&self, record: &Record<'_>) -> Option<Entries> {
        let meets = self
            .conditions
            .as_ref()
            .is_none_or(|conditions| conditions.meets(record.document));
        if !meets || !self.wanted.iter().all(|wanted| wanted.has(record)) {
            return None;
        }
        let mut entries = Entries::default();
        for partition in &self.partitions {
            match partition.key(record) {
                Text::Is(key) => entries.keys.push(key),
                Text::Absent => {}
                Text::Unknown => entries.are_incomplete = true,
            }
        }
        Some(entries)
    }

    /// Lists the entries of the partitions, and gives the records that all of these name to `take`, each once.
    ///
    /// What it takes is some 20 bytes of memory for an entry.
    pub(super) async fn list<F>(
        &self,
        bucket: &Bucket,
        resource: &Resource,
        mut take: impl FnMut(Vec<Listed>) -> F,
    ) -> Result<(), BackupError>
    where
        F: Future<Output = Result<(), BackupError>>,
    {
        let Some((first, others)) = self.wanted.split_first() else {
            return Ok(());
        };
        let mut common: Option<HashSet<KeyDigest>> = None;
        for partition in others {
            let mut named = HashSet::new();
            for value in &partition.values {
                let mut listing = bucket.list(&value.prefix);
                while let Some(page) = listing.next().await? {
                    let ids = page.objects.iter().filter_map(|listed| id_of(&listed.key));
                    named.extend(ids.map(digest_of));
                }
            }
            if let Some(common) = &common {
                named.retain(|id| common.contains(id));
            }
            common = Some(named);
        }
        let mut given = HashSet::new();
        for value in &first.values {
            let mut listing = bucket.list(&value.prefix);
            while let Some(page) = listing.next().await? {
                let ids = page.objects.iter().filter_map(|listed| id_of(&listed.key));
                let new = ids.filter(|id| {
                    let digest = digest_of(id);
                    let is_common = common
                        .as_ref()
                        .is_none_or(|common| common.contains(&digest));
                    !id.is_empty() && is_common && given.insert(digest)
                });
                let records = new.map(|id| Listed {
                    key: record_key(&resource.name, id),
                    size: BYTES_ASSUMED,
                    last_modified: None,
                    version: 0,
                    version_as_read: 0,
                });
                take(records.collect()).await?;
            }
        }
        Ok(())
    }
}

impl WantedPartition {
    fn new(partition: Partition, values: &[Value]) -> Result<Self, BackupError> {
        let values = values
            .iter()
            .map(|value| WantedValue::new(&partition, value));
        Ok(WantedPartition {
            values: values.collect::<Result<_, _>>()?,
            partition,
        })
    }

    /// Whether a record is there, as far as that can be told from its document.
    fn has(&self, record: &Record<'_>) -> bool {
        let found: Vec<Text> = self
            .partition
            .fields
            .iter()
            .map(|field| field.text_in(record))
            .collect();
        let is_at = |value: &WantedValue| {
            let mut both = found.iter().zip(&value.texts);
            both.all(|(found, wanted)| match (found, wanted) {
                (Text::Absent, _) => false,
                (Text::Is(found), Some(wanted)) => found == wanted,
                (Text::Unknown, _) | (_, None) => true,
            })
        };
        self.values.iter().any(is_at)
    }
}

impl WantedValue {
    fn new(partition: &Partition, value: &Value) -> Result<Self, BackupError> {
        let refused = |message: String| {
            let place = format!("partition {:?}", partition.name);
            Err(BackupError::usage(place, message))
        };
        let paths: Vec<&str> = partition
            .fields
            .iter()
            .map(|field| field.path.as_str())
            .collect();
        let of_field = |path: &str| match value {
            Value::Object(fields) => fields.get(path),
            value => Some(value),
        };
        match value {
            Value::Object(fields) => {
                if let Some(unknown) = fields.keys().find(|path| !paths.contains(&path.as_str())) {
                    return refused(format!(
                        "it has no field {unknown:?}; there are: {}",
                        paths.join(", ")
                    ));
                }
            }
            _ if paths.len() > 1 => {
                let message = format!(
                    "it has several fields: {}; a value of it is an object of these",
                    paths.join(", ")
                );
                return refused(message);
            }
            _ => {}
        }
        let mut texts = Vec::new();
        for field in &partition.fields {
            texts.push(match of_field(&field.path).map(|value| field.text(value)) {
                None => None,
                Some(Text::Is(text)) => Some(text),
                Some(Text::Absent | Text::Unknown) => {
                    let message = format!("what its keys have for such a value of {} can't be told; accepted for a day: 2026-11-23", field.path);
                    return refused(message);
                }
            });
        }
        // The order of other characters in keys depends on more than is known here.
        let is_ordered = paths.len() == 1 || paths.iter().all(|path| path.is_ascii());
        let prefix = match is_ordered {
            true => partition.prefix(&texts),
            false => partition.prefix(&[]),
        };
        match prefix {
            Some(prefix) => Ok(WantedValue { prefix, texts }),
            None => refused("the keys of such a value lie outside of the resource".to_owned()),
        }
    }
}
