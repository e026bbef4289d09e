//! The keys that the attributes of one record are stored under.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::super::schema::{Resource, Version};
use super::super::types::Kind;
use super::Cell;

/// Maps the attributes of a record to keys, and back.
pub(super) struct Keys<'a> {
    resource: &'a Resource,
    version: &'a Version,
    /// The version that an update found the record in.
    before: Option<&'a Version>,
    own: Option<OwnKeys>,
    of_plugins: Option<OwnKeys>,
    /// The keys of attributes that aren't stored under their usual one; none where they are stored by their names.
    pub(super) exceptions: BTreeMap<String, Option<String>>,
}

/// An attribute map of one record, both ways.
struct OwnKeys {
    keys: HashMap<String, String>,
    paths: HashMap<String, String>,
}

impl<'a> Keys<'a> {
    /// Of a record of a version, by its bookkeeping in the metadata and the body. Its own attribute maps win over the
    /// registry, where it has any, and exceptions over both.
    pub(super) fn new(
        resource: &'a Resource,
        version: &'a Version,
        metadata: &BTreeMap<String, String>,
        body: Option<&Map<String, Value>>,
        exceptions: BTreeMap<String, Option<String>>,
    ) -> Self {
        let in_body = body.and_then(|body| body.get("_originalVersion")?.as_str());
        let before = metadata
            .get("_originalversion")
            .map(String::as_str)
            .or(in_body);
        Self {
            resource,
            version,
            before: before.and_then(|number| resource.version(&format!("v{number}"))),
            own: metadata.get("_map").and_then(|map| own_keys(map)),
            of_plugins: metadata.get("_pluginmap").and_then(|map| own_keys(map)),
            exceptions,
        }
    }

    /// The attribute that a key stands for; none where it is an attribute's name.
    pub(super) fn path(&self, key: &str) -> Option<&str> {
        let maps = [&self.own, &self.of_plugins].into_iter().flatten();
        let own = maps.filter_map(|map| map.paths.get(key)).next();
        own.map(String::as_str)
            .or_else(|| self.resource.path_of(key))
    }

    /// The key of an attribute; none where it is stored by its name.
    pub(super) fn key(&self, path: &str) -> Option<&str> {
        match self.exceptions.get(path) {
            Some(key) => key.as_deref(),
            None => self.usual(path),
        }
    }

    fn usual(&self, path: &str) -> Option<&str> {
        let of_plugin = self.of_plugins.as_ref().and_then(|map| map.keys.get(path));
        if let Some(key) = of_plugin {
            return Some(key);
        }
        match &self.own {
            Some(own) => own
                .keys
                .get(path)
                .map(String::as_str)
                .or_else(|| self.resource.registry.plugin_key_of(path)),
            None => self.resource.usual_key(self.version, path),
        }
    }

    /// Notes the key that an attribute was found under, where that isn't its usual one.
    pub(super) fn note(&mut self, path: &str, key: Option<&str>) {
        if self.usual(path) != key {
            self.exceptions
                .insert(path.to_owned(), key.map(str::to_owned));
        }
    }

    /// Whether a key is the one that its attribute has now, rather than one that it had before.
    pub(super) fn is_current(&self, path: &str, key: &str) -> bool {
        let current = self.usual(path).or_else(|| self.resource.key_of(path));
        current == Some(key)
    }

    /// Whether the version has another key for an attribute, or an object of others in its place.
    pub(super) fn is_carried_over(&self, path: &str, key: &str) -> bool {
        self.usual(path) != Some(key) || self.version.is_group(path)
    }

    /// The type of an attribute.
    pub(super) fn kind(&self, path: &str) -> Kind {
        self.resource
            .kind(self.version, self.before, path, self.key(path))
    }
}

/// An attribute map that a record carries.
fn own_keys(header: &str) -> Option<OwnKeys> {
    let Cell::Text(text) = Cell::from_header(header) else {
        return None;
    };
    let keys: HashMap<String, String> = serde_json::from_str(&text).ok()?;
    let swapped = keys.iter().map(|(path, key)| (key.clone(), path.clone()));
    Some(OwnKeys {
        paths: swapped.collect(),
        keys,
    })
}
