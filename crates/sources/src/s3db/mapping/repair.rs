//! Noting what a document doesn't say, so that it encodes to the object after all.

use serde_json::{Map, Value};

use super::super::extras::Extras;
use super::super::object::RawObject;

/// Notes which cells are in the body, where encoding put others there. Returns whether that is so.
pub(super) fn note_places(extras: &mut Extras, encoded: &RawObject, object: &RawObject) -> bool {
    let keys = keys_in_body(object).filter(|_| extras.body.is_none());
    let is_new = keys.is_some() && keys != keys_in_body(encoded);
    if is_new {
        extras.in_body = keys;
    }
    is_new
}

fn keys_in_body(object: &RawObject) -> Option<Vec<String>> {
    if object.body.is_empty() {
        return Some(Vec::new());
    }
    let members: Map<String, Value> = serde_json::from_slice(&object.body).ok()?;
    Some(members.into_iter().map(|(key, _)| key).collect())
}

/// Notes single headers, and cells of a body, that encoding gave otherwise than the object has them. Returns whether
/// encoding again may give the object: content types and bodies that are no objects can't be noted so.
pub(super) fn note_values(extras: &mut Extras, encoded: &RawObject, object: &RawObject) -> bool {
    if encoded.content_type != object.content_type {
        return false;
    }
    for (header, value) in &object.metadata {
        if encoded.metadata.get(header) != Some(value) {
            extras.metadata.insert(header.clone(), value.clone());
        }
    }
    let superfluous = encoded.metadata.keys();
    let superfluous = superfluous.filter(|header| !object.metadata.contains_key(*header));
    extras.absent.extend(superfluous.cloned());
    encoded.body == object.body || repair_body(extras, &encoded.body, &object.body).is_some()
}

fn repair_body(extras: &mut Extras, encoded: &[u8], stored: &[u8]) -> Option<()> {
    let encoded: Map<String, Value> = serde_json::from_slice(encoded).ok()?;
    let stored: Map<String, Value> = serde_json::from_slice(stored).ok()?;
    let superfluous = encoded.keys().filter(|key| !stored.contains_key(*key));
    extras.absent.extend(superfluous.cloned());
    for (key, value) in stored {
        if encoded.get(&key) != Some(&value) {
            extras.cells.insert(key, value);
        }
    }
    Some(())
}
