//! A resource: the versions of its schema, and the one registry that names its cells.
//!
//! A record is stored under the numbers of its attributes, not their names. The registry of the resource has the numbers
//! of all attributes there ever were; the version that wrote a record says what type each of them had then.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::behavior::Behavior;
use super::javascript::{base36, json_text};
use super::types::Kind;

/// A resource of the catalogue.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Its name, which is in the keys of its records.
    pub name: String,
    /// The version that new records are written by.
    pub current_version: String,
    /// All versions, in the order of the catalogue.
    pub versions: Vec<Version>,
    /// The definitions of its current partitions, as they are.
    pub partitions: Map<String, Value>,
    keys: HashMap<String, String>,
    paths: HashMap<String, String>,
    numbered: HashSet<String>,
}

/// One version of a schema.
#[derive(Debug, Clone)]
pub struct Version {
    /// Its name, such as `v1`, which the records that it wrote carry.
    pub name: String,
    /// Whether it adds `createdAt` and `updatedAt`.
    pub timestamps: bool,
    /// The definitions of its attributes, as they are.
    pub attributes: Map<String, Value>,
    /// The definitions of its partitions, as they are.
    pub partitions: Map<String, Value>,
    pub(super) behavior: Behavior,
    /// Which attributes a record without them has as `undefined`.
    pub(super) undefined: Vec<String>,
    /// The attribute map that body-only records carry, and what is in it.
    pub(super) map: String,
    mapped: HashSet<String>,
    kinds: HashMap<String, Kind>,
}

impl Resource {
    pub(super) fn new(name: &str, current: &str, versions: Vec<Version>) -> Self {
        Self {
            name: name.to_owned(),
            current_version: current.to_owned(),
            versions,
            partitions: Map::new(),
            keys: HashMap::new(),
            paths: HashMap::new(),
            numbered: HashSet::new(),
        }
    }

    /// Enters the number of an attribute. What is entered first stays.
    pub(super) fn add_number(&mut self, path: &str, number: u64) {
        self.numbered.insert(path.to_owned());
        self.add_plugin_key(path, &base36(number));
    }

    pub(super) fn add_plugin_key(&mut self, path: &str, key: &str) {
        self.paths
            .entry(key.to_owned())
            .or_insert_with(|| path.to_owned());
        self.keys
            .entry(path.to_owned())
            .or_insert_with(|| key.to_owned());
    }

    /// Works out what needs both the registry and the versions.
    pub(super) fn finish(&mut self) {
        for version in &mut self.versions {
            let mut paths = map_paths(&version.attributes);
            paths.retain(|path| self.numbered.contains(path));
            let keys = paths
                .iter()
                .filter_map(|path| Some((path.clone(), self.keys.get(path)?.as_str().into())))
                .collect();
            version.map = json_text(&Value::Object(keys));
            version.mapped = paths.into_iter().collect();
        }
    }

    /// The version of a name.
    #[must_use]
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name == name)
    }

    /// Every metadata key, with its attribute.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&str, &str)> {
        let keys = self.paths.iter();
        keys.map(|(key, path)| (key.as_str(), path.as_str()))
    }

    /// The attribute, as a path joined by dots, that a metadata key stands for.
    #[must_use]
    pub fn path_of(&self, key: &str) -> Option<&str> {
        self.paths.get(key).map(String::as_str)
    }

    /// The metadata key of an attribute.
    #[must_use]
    pub fn key_of(&self, path: &str) -> Option<&str> {
        self.keys.get(path).map(String::as_str)
    }

    /// The key of an attribute that a plugin added.
    pub(super) fn plugin_key_of(&self, path: &str) -> Option<&str> {
        if self.numbered.contains(path) {
            None
        } else {
            self.key_of(path)
        }
    }

    /// The key of an attribute in a body-only record, which has numbers only for what its map has.
    pub(super) fn mapped_key_of(&self, version: &Version, path: &str) -> Option<&str> {
        if version.mapped.contains(path) {
            self.key_of(path)
        } else {
            self.plugin_key_of(path)
        }
    }

    /// The type of an attribute in a version, or else in the newest version that has it.
    pub(super) fn kind(&self, version: &Version, path: &str) -> Kind {
        version
            .kinds
            .get(path)
            .or_else(|| {
                self.versions
                    .iter()
                    .rev()
                    .find_map(|version| version.kinds.get(path))
            })
            .cloned()
            .unwrap_or(Kind::Any)
    }
}

impl Version {
    pub(super) fn new(
        name: &str,
        behavior: &str,
        timestamps: bool,
        attributes: Map<String, Value>,
        partitions: Map<String, Value>,
    ) -> Self {
        let mut kinds = HashMap::new();
        collect_kinds(&attributes, "", &mut kinds);
        let undefined = attributes
            .iter()
            .filter(|(_, definition)| stored_when_absent(definition))
            .map(|(path, _)| path.clone())
            .collect();
        Self {
            name: name.to_owned(),
            timestamps,
            attributes,
            partitions,
            behavior: Behavior::named(behavior),
            undefined,
            map: String::new(),
            mapped: HashSet::new(),
            kinds,
        }
    }
}

fn joined(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}

fn collect_kinds(attributes: &Map<String, Value>, prefix: &str, kinds: &mut HashMap<String, Kind>) {
    for (name, definition) in attributes
        .iter()
        .filter(|(name, _)| !name.starts_with("$$"))
    {
        let path = joined(prefix, name);
        if let Value::Object(inner) = definition {
            collect_kinds(inner, &path, kinds);
        }
        kinds.insert(path, Kind::of(definition));
    }
}

/// The types whose validator sets an absent value to undefined. It does so at the top level only.
fn stored_when_absent(definition: &Value) -> bool {
    let text = match definition {
        Value::String(text) => text.split('|').next(),
        Value::Object(form) => form.get("type").and_then(Value::as_str),
        _ => None,
    };
    matches!(
        text,
        Some(
            "datetime"
                | "dateonly"
                | "timeonly"
                | "mac"
                | "cidr"
                | "semver"
                | "phone"
                | "color"
                | "duration"
                | "ean"
                | "cron"
                | "locale"
                | "currency"
                | "country"
        )
    )
}

/// The attributes of an attribute map, in its order: leaves, then the objects that hold them.
fn map_paths(attributes: &Map<String, Value>) -> Vec<String> {
    let mut paths = Vec::new();
    collect_leaves(attributes, "", &mut paths);
    collect_objects(attributes, "", &mut paths);
    paths
}

fn collect_leaves(attributes: &Map<String, Value>, prefix: &str, paths: &mut Vec<String>) {
    for (name, definition) in attributes {
        let path = joined(prefix, name);
        match definition {
            Value::Object(inner) if !inner.is_empty() => collect_leaves(inner, &path, paths),
            _ if path.contains("$$") => {}
            _ => paths.push(path),
        }
    }
}

fn collect_objects(attributes: &Map<String, Value>, prefix: &str, paths: &mut Vec<String>) {
    for (name, definition) in attributes
        .iter()
        .filter(|(name, _)| !name.starts_with("$$"))
    {
        let Value::Object(inner) = definition else {
            continue;
        };
        let path = joined(prefix, name);
        paths.push(path.clone());
        if inner.get("$$type").and_then(Value::as_str) == Some("object") {
            collect_objects(inner, &path, paths);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Catalogue;
    use super::*;

    fn resource(attributes: &Value, mapping: &Value) -> Resource {
        let text = json!({"resources": {"r": {
            "currentVersion": "v2",
            "versions": {"v1": {"attributes": {"old": "number"}}, "v2": {"attributes": attributes}},
            "schemaRegistry": {"mapping": mapping},
        }}})
        .to_string();
        Catalogue::parse(text.as_bytes())
            .unwrap()
            .resources
            .remove(0)
    }

    #[test]
    fn the_attribute_map_has_leaves_first() {
        let attributes = json!({
            "status": "string",
            "inner": {"$$type": "object", "label": "string", "deeper": {"$$type": "object|optional", "rank": "number"}},
            "other": {"deeper": {"leaf": "string"}},
            "grade": {"type": "enum", "values": ["a"]},
        });
        let mapping = json!({
            "status": 0, "inner.label": 1, "inner.deeper.rank": 2, "other.deeper.leaf": 3, "grade.type": 4,
            "grade.values": 5, "inner": 6, "inner.deeper": 7, "other": 8, "grade": 40, "old": 9,
        });
        let resource = resource(&attributes, &mapping);
        assert_eq!(
            resource.version("v2").unwrap().map,
            "{\"status\":\"0\",\"inner.label\":\"1\",\"inner.deeper.rank\":\"2\",\"other.deeper.leaf\":\"3\",\
             \"grade.type\":\"4\",\"grade.values\":\"5\",\"inner\":\"6\",\"inner.deeper\":\"7\",\"other\":\"8\",\
             \"grade\":\"14\"}"
        );
    }

    #[test]
    fn types_come_from_the_version_or_the_newest_that_has_the_attribute() {
        let resource = resource(
            &json!({"at": "datetime|optional", "in": {"at": "datetime"}}),
            &json!({}),
        );
        let v2 = resource.version("v2").unwrap();
        assert_eq!(resource.kind(v2, "at"), Kind::DateTime);
        assert_eq!(resource.kind(v2, "in.at"), Kind::DateTime);
        assert_eq!(resource.kind(v2, "old"), Kind::Number { integer: false });
        assert_eq!(resource.kind(v2, "none"), Kind::Any);
        assert_eq!(v2.undefined, ["at"]);
    }
}
