//! A backup of a chain, beneath the links that go on from it.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::known::{KeyDigest, digest_of};
use super::super::walk::record_of;
use super::Definitions;

/// Where a backup is in a chain.
pub(super) struct Beneath {
    pub(super) links: Arc<LaterLinks>,
    /// Its number in the chain.
    pub(super) number: u32,
    /// The catalogue of the last link.
    pub(super) newest: Definitions,
}

/// Which objects the links of a chain are about: what backups before a link say of those doesn't stand. It takes about
/// 40 bytes for each object.
#[derive(Debug, Default)]
pub struct LaterLinks {
    /// The last link about an object, by the beginning of its key's digest.
    last: HashMap<KeyDigest, u32>,
    /// The last link about a record of a resource.
    resources: HashMap<String, u32>,
}

impl LaterLinks {
    /// Notes that a link is about an object. Links come in the chain's order.
    pub fn note(&mut self, key: &str, number: u32) {
        self.last.insert(digest_of(key), number);
        if let Some((resource, _)) = record_of(key) {
            match self.resources.get_mut(resource) {
                Some(last) => *last = number,
                None => drop(self.resources.insert(resource.to_owned(), number)),
            }
        }
    }

    fn is_about(&self, key: &str, number: u32) -> bool {
        let last = self.last.get(&digest_of(key));
        last.is_some_and(|last| *last > number)
    }
}

impl Beneath {
    /// Whether a later link is about an object.
    pub(super) fn is_replaced(&self, key: &str) -> bool {
        self.links.is_about(key, self.number)
    }

    /// Whether one is about records of a resource.
    pub(super) fn has_records_of(&self, resource: &str) -> bool {
        let last = self.links.resources.get(resource);
        last.is_some_and(|last| *last > self.number)
    }
}
