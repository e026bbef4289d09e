//! Values by their paths.

use serde_json::{Map, Value};

/// The value that a name leads to. It may have dots, which lead into objects where nothing has the whole name.
pub fn value_at<'a>(values: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = values.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    value_at(values.get(first)?.as_object()?, rest)
}
