//! A resource: the versions of its schema, and the one registry that names its cells.
//!
//! A record is stored under the numbers of its attributes, not their names. The registry of the resource has the numbers
//! of all attributes there ever were; the version that wrote a record says what type each of them had then.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::behavior::Behavior;
use super::javascript::json_text;
use super::registry::Registry;
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
    pub(super) registry: Registry,
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
    /// When it was made, in ISO form; empty where that isn't known.
    pub(super) created_at: String,
    /// The keys that its numbered attributes have.
    keys: HashMap<String, String>,
    kinds: HashMap<String, Kind>,
}

impl Resource {
    pub(super) fn new(name: &str, current: &str, versions: Vec<Version>) -> Self {
        Self {
            name: name.to_owned(),
            current_version: current.to_owned(),
            versions,
            partitions: Map::new(),
            registry: Registry::default(),
        }
    }

    /// Gives the attributes of the current version that have no number the next ones, as s3db.js does when it opens the
    /// database; it doesn't always store that.
    pub(super) fn number_others(&mut self, next: u64) {
        let current = self.version(&self.current_version);
        let attributes = current.map(|version| &version.attributes);
        let unnumbered = attributes.map(map_paths).unwrap_or_default();
        let unnumbered = unnumbered
            .into_iter()
            .filter(|path| self.registry.key_of(path).is_none());
        for (path, number) in unnumbered.collect::<Vec<_>>().iter().zip(next..) {
            self.registry.add_number(path, number);
        }
    }

    /// Works out what needs both the registry and the versions.
    pub(super) fn finish(&mut self) {
        for version in &mut self.versions {
            let number = |path: &String| {
                let number = self.registry.number_at(path, &version.created_at)?;
                Some((path.clone(), number.to_owned()))
            };
            version.keys = version.kinds.keys().filter_map(number).collect();
            let mapped: Vec<_> = map_paths(&version.attributes)
                .iter()
                .filter_map(number)
                .collect();
            version.mapped = mapped.iter().map(|(path, _)| path.clone()).collect();
            let map = mapped.into_iter().map(|(path, key)| (path, key.into()));
            version.map = json_text(&Value::Object(map.collect()));
        }
    }

    /// The version of a name.
    #[must_use]
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name == name)
    }

    /// Every metadata key, with its attribute.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&str, &str)> {
        self.registry.paths()
    }

    /// The attribute, as a path joined by dots, that a metadata key stands for.
    #[must_use]
    pub fn path_of(&self, key: &str) -> Option<&str> {
        self.registry.path_of(key)
    }

    /// The metadata key of an attribute, the newest where it had several.
    #[must_use]
    pub fn key_of(&self, path: &str) -> Option<&str> {
        self.registry.key_of(path)
    }

    /// The key that an insert by a version gives an attribute; without one, it is stored by its name.
    pub(super) fn usual_key<'a>(&'a self, version: &'a Version, path: &str) -> Option<&'a str> {
        // Body-only records have numbers only for what their map has.
        let has_number = version.behavior != Behavior::BodyOnly || version.mapped.contains(path);
        let number = version.keys.get(path).filter(|_| has_number);
        number
            .map(String::as_str)
            .or_else(|| self.registry.plugin_key_of(path))
    }

    /// The type of an attribute in a record of a version, which has it under a key, or by its name. What the version
    /// lacks has the type that it had in the version before, where that is known.
    pub(super) fn kind(
        &self,
        version: &Version,
        before: Option<&Version>,
        path: &str,
        key: Option<&str>,
    ) -> Kind {
        let declared = version.kinds.get(path);
        let number = version.keys.get(path).map(String::as_str);
        let kind = match key {
            None => declared.filter(|_| number.is_none()),
            Some(key)
                if number.is_some_and(|number| number != key)
                    && self.path_of(key) == Some(path) =>
            {
                self.former_kind(before, path, key)
            }
            Some(key) => declared.or_else(|| self.former_kind(before, path, key)),
        };
        kind.cloned().unwrap_or(Kind::Any)
    }

    /// The type in the version before, or else in the newest version that had the attribute under a key.
    fn former_kind<'a>(
        &'a self,
        before: Option<&'a Version>,
        path: &str,
        key: &str,
    ) -> Option<&'a Kind> {
        let had_number =
            |version: &&Version| version.keys.get(path).is_some_and(|number| number == key);
        if let Some(before) = before.filter(had_number) {
            return before.kinds.get(path);
        }
        let burned_at = self.registry.burned_at(key);
        let had_key = |version: &&Version| {
            burned_at.is_none_or(|burned_at| version.created_at.as_str() <= burned_at)
        };
        let newest_first = || self.versions.iter().rev();
        newest_first()
            .filter(had_key)
            .chain(newest_first())
            .find_map(|version| version.kinds.get(path))
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
        collect_kinds(&attributes, "", false, &mut kinds);
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
            created_at: String::new(),
            keys: HashMap::new(),
            kinds,
        }
    }

    /// Whether an attribute is an object of others.
    pub(super) fn is_group(&self, path: &str) -> bool {
        let mut steps = path.split('.');
        let first = steps.next().and_then(|name| self.attributes.get(name));
        let definition = steps.try_fold(first, |definition, name| Some(definition?.get(name)));
        let form = definition.flatten().and_then(Value::as_object);
        form.is_some_and(|form| !form.get("type").is_some_and(Value::is_string))
    }
}

fn joined(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}

/// An object that has an attribute called `type` looks like an attribute in object form; s3db.js looks for no lists in it.
fn collect_kinds(
    attributes: &Map<String, Value>,
    prefix: &str,
    in_form: bool,
    kinds: &mut HashMap<String, Kind>,
) {
    for (name, definition) in attributes
        .iter()
        .filter(|(name, _)| !name.starts_with("$$"))
    {
        let path = joined(prefix, name);
        let mut kind = Kind::of(definition);
        if let Value::Object(inner) = definition {
            collect_kinds(inner, &path, in_form || inner.contains_key("type"), kinds);
            if in_form {
                kind = Kind::Any;
            }
        }
        kinds.insert(path, kind);
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
                | "json"
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
        assert_eq!(resource.kind(v2, None, "at", None), Kind::DateTime);
        assert_eq!(resource.kind(v2, None, "in.at", None), Kind::DateTime);
        assert_eq!(
            resource.kind(v2, None, "old", Some("9")),
            Kind::Number { integer: false }
        );
        assert_eq!(resource.kind(v2, None, "old", None), Kind::Any);
        assert_eq!(resource.kind(v2, None, "none", None), Kind::Any);
        assert_eq!(v2.undefined, ["at"]);
    }
}
