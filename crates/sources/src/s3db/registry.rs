//! The registry of a resource: which attribute the key of a cell stands for, and until when it did.
//!
//! A removed attribute that comes back gets another number. So an attribute may have several keys, of which each version
//! writes one; a key stands for one attribute for ever.

use std::collections::HashMap;

use super::javascript::base36;

#[derive(Debug, Clone, Default)]
pub(super) struct Registry {
    entries: HashMap<String, Entry>,
    /// The key of each attribute for the newest version.
    keys: HashMap<String, String>,
    burns: HashMap<String, Vec<Burn>>,
}

#[derive(Debug, Clone)]
struct Entry {
    path: String,
    of_plugin: bool,
    burned_at: Option<String>,
}

#[derive(Debug, Clone)]
struct Burn {
    at: String,
    key: String,
}

impl Registry {
    /// Enters the number of an attribute. What is entered first stays.
    pub(super) fn add_number(&mut self, path: &str, number: u64) {
        self.add(path, &base36(number), false);
    }

    /// Enters a number that an attribute lost, at an ISO time. The attribute may have kept it all the same.
    pub(super) fn add_burned(&mut self, path: &str, number: u64, at: Option<&str>) {
        let key = base36(number);
        self.add(path, &key, false);
        let entry = self
            .entries
            .get_mut(&key)
            .filter(|entry| entry.path == path);
        let (Some(entry), Some(at)) = (entry, at) else {
            return;
        };
        let at = at.to_owned();
        if entry.burned_at.as_ref().is_none_or(|known| *known < at) {
            entry.burned_at = Some(at.clone());
        }
        self.burns
            .entry(path.to_owned())
            .or_default()
            .push(Burn { at, key });
    }

    pub(super) fn add_plugin_key(&mut self, path: &str, key: &str) {
        self.add(path, key, true);
    }

    fn add(&mut self, path: &str, key: &str, of_plugin: bool) {
        self.entries.entry(key.to_owned()).or_insert_with(|| Entry {
            path: path.to_owned(),
            of_plugin,
            burned_at: None,
        });
        self.keys
            .entry(path.to_owned())
            .or_insert_with(|| key.to_owned());
    }

    /// Every key, with the attribute that it stands for.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&str, &str)> {
        let entries = self.entries.iter();
        entries.map(|(key, entry)| (key.as_str(), entry.path.as_str()))
    }

    /// The attribute that a key stands for.
    pub(super) fn path_of(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(|entry| entry.path.as_str())
    }

    /// The newest key of an attribute.
    pub(super) fn key_of(&self, path: &str) -> Option<&str> {
        self.keys.get(path).map(String::as_str)
    }

    /// The key of an attribute that a plugin added.
    pub(super) fn plugin_key_of(&self, path: &str) -> Option<&str> {
        let key = self.key_of(path)?;
        self.entries.get(key)?.of_plugin.then_some(key)
    }

    /// The number that an attribute had in a version made at an ISO time: the one that it lost next, or else its newest.
    pub(super) fn number_at(&self, path: &str, time: &str) -> Option<&str> {
        let next = self
            .burns
            .get(path)
            .into_iter()
            .flatten()
            .filter(|burn| burn.at.as_str() > time)
            .min_by_key(|burn| &burn.at);
        match next {
            Some(burn) => Some(&burn.key),
            None => self
                .key_of(path)
                .filter(|_| self.plugin_key_of(path).is_none()),
        }
    }

    /// When a key stopped to stand for its attribute, where it did.
    pub(super) fn burned_at(&self, key: &str) -> Option<&str> {
        self.entries.get(key)?.burned_at.as_deref()
    }
}
