//! The copy of a document that an update leaves in the body, beside the cells in the metadata.
//!
//! It is read only for what the cells can't say: servers drop empty headers, and an attribute without a type is taken
//! apart where it holds an object. It may be older than the cells, so nothing that contradicts them is taken from it.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};

use super::super::path::flatten;
use super::keys::Keys;
use super::{MEMBER, header_name};

/// What of a copy belongs into the document.
#[derive(Default)]
pub(super) struct Copied {
    /// Values by path.
    pub(super) values: Vec<(String, Value)>,
    /// The headers that these account for.
    pub(super) headers: HashSet<String>,
}

/// Selects the attributes whose headers are those that the object has, or empty and dropped.
pub(super) fn select(
    keys: &Keys,
    metadata: &BTreeMap<String, String>,
    members: Map<String, Value>,
) -> Copied {
    let mut copied = Copied::default();
    for (name, value) in members {
        let is_attribute = !name.is_empty() && !name.starts_with('_') && name != "id";
        if is_attribute && name != MEMBER && keys.path(&name).is_none() {
            copied.add(keys, metadata, name, value);
        }
    }
    copied
}

impl Copied {
    fn add(
        &mut self,
        keys: &Keys,
        metadata: &BTreeMap<String, String>,
        path: String,
        value: Value,
    ) {
        if let Some(headers) = headers(keys, metadata, &path, &value) {
            self.headers.extend(headers);
            self.values.push((path, value));
        } else if let Value::Object(inner) = value
            && !keys.kind(&path).holds_objects()
        {
            for (name, value) in inner {
                self.add(keys, metadata, format!("{path}.{name}"), value);
            }
        }
    }
}

/// The headers of an attribute that the cells don't show as it is; none where they do, or contradict it.
fn headers(
    keys: &Keys,
    metadata: &BTreeMap<String, String>,
    path: &str,
    value: &Value,
) -> Option<Vec<String>> {
    let name = path.to_owned();
    let leaves = flatten(std::iter::once((&name, value)), &|path| keys.kind(path));
    let taken_apart = keys.key(path).is_some() && leaves.iter().all(|(leaf, ..)| leaf != path);
    let mut found = Vec::new();
    for (leaf, kind, value) in leaves {
        let stored = kind.encode(value).ok()?.to_header();
        let header = header_name(keys.key(&leaf).unwrap_or(&leaf));
        match metadata.get(&header) {
            Some(other) if *other == stored && taken_apart && keys.key(&leaf).is_none() => {
                found.push(header);
            }
            None if stored.is_empty() => {}
            _ => return None,
        }
    }
    Some(found)
}
