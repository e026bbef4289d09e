//! Noting what a document doesn't say, so that it encodes to the object after all.

use serde_json::{Map, Value};

use super::super::extras::Extras;
use super::super::object::RawObject;

/// Notes single headers, and cells of a body, that encoding gave otherwise than the object has them. Returns whether
/// encoding again may give the object: content types and bodies that are no objects can't be noted so.
pub(super) fn repair(extras: &mut Extras, encoded: &RawObject, object: &RawObject) -> bool {
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
