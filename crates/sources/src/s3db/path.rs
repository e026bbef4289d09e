//! Paths: a document is nested, a record is flat.

use serde_json::{Map, Value};

use super::javascript::array_index;
use super::types::Kind;

/// Deeper nesting is kept raw: it could not be read back from a line of JSON by every reader.
const STEPS: usize = 64;

/// Puts a value at a path of a document. Members of an attribute that is an array go into it; other steps make objects.
/// Returns false, and changes nothing that is there, where something else is in the way.
pub(super) fn put(
    document: &mut Map<String, Value>,
    path: &str,
    value: Value,
    is_array: impl Fn(&str) -> bool,
) -> bool {
    let steps: Vec<&str> = path.split('.').collect();
    let Some((last, parents)) = steps.split_last() else {
        return false;
    };
    if steps.len() > STEPS {
        return false;
    }
    let is_item = array_index(last).is_some()
        && path
            .rsplit_once('.')
            .is_some_and(|(parent, _)| is_array(parent));
    let (parents, array) = match parents.split_last() {
        Some((name, parents)) if is_item => (parents, Some(name)),
        _ => (parents, None),
    };
    let mut object = document;
    for step in parents {
        let entry = object
            .entry(*step)
            .or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(inner) = entry else {
            return false;
        };
        object = inner;
    }
    if let Some(name) = array {
        return put_item(object, name, last, value);
    }
    if object.contains_key(*last) {
        return false;
    }
    object.insert((*last).to_owned(), value);
    true
}

fn put_item(object: &mut Map<String, Value>, name: &str, index: &str, value: Value) -> bool {
    let entry = object
        .entry(name)
        .or_insert_with(|| Value::Array(Vec::new()));
    let Value::Array(items) = entry else {
        return false;
    };
    if index.parse() != Ok(items.len()) {
        return false;
    }
    items.push(value);
    true
}

/// Lists the values of a document's members by path. What an attribute holds as one value isn't taken apart.
pub(super) fn flatten<'a>(
    members: impl Iterator<Item = (&'a String, &'a Value)>,
    kind_of: &impl Fn(&str) -> Kind,
) -> Vec<(String, Kind, &'a Value)> {
    let mut cells = Vec::new();
    for (name, value) in members {
        collect(name.clone(), value, kind_of, &mut cells);
    }
    cells
}

fn collect<'a>(
    path: String,
    value: &'a Value,
    kind_of: &impl Fn(&str) -> Kind,
    cells: &mut Vec<(String, Kind, &'a Value)>,
) {
    let kind = kind_of(&path);
    match value {
        Value::Object(inner) if !inner.is_empty() && !kind.holds_objects() => {
            for (name, value) in inner {
                collect(format!("{path}.{name}"), value, kind_of, cells);
            }
        }
        Value::Array(items) if !items.is_empty() && kind == Kind::Bytes => {
            for (index, value) in items.iter().enumerate() {
                cells.push((format!("{path}.{index}"), Kind::Any, value));
            }
        }
        _ => cells.push((path, kind, value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn put_all(paths: &[&str]) -> (Value, Vec<bool>) {
        let mut document = Map::new();
        let done = paths
            .iter()
            .map(|path| put(&mut document, path, json!(1), |name| name.ends_with("raw")))
            .collect();
        (Value::Object(document), done)
    }

    #[test]
    fn paths_nest() {
        assert_eq!(
            put_all(&["a.b.c", "a.d", "e"]),
            (json!({"a": {"b": {"c": 1}, "d": 1}, "e": 1}), vec![true; 3])
        );
        assert_eq!(
            put_all(&["raw.0", "raw.1"]),
            (json!({"raw": [1, 1]}), vec![true; 2])
        );
        assert_eq!(
            put_all(&["in.raw.0", "in.raw.1"]),
            (json!({"in": {"raw": [1, 1]}}), vec![true; 2])
        );
        assert_eq!(
            put_all(&["map.0", "map.7"]),
            (json!({"map": {"0": 1, "7": 1}}), vec![true; 2])
        );
        assert_eq!(put_all(&["a.", "."]).1, [true; 2]);
    }

    #[test]
    fn what_is_there_stays() {
        assert_eq!(
            put_all(&["a", "a.b", "a"]),
            (json!({"a": 1}), vec![true, false, false])
        );
        assert_eq!(
            put_all(&["a.b", "a"]),
            (json!({"a": {"b": 1}}), vec![true, false])
        );
        assert_eq!(put_all(&["raw.0", "raw.2"]).1, [true, false]);
        assert_eq!(put_all(&[&"x.".repeat(1000)]).1, [false]);
    }
}
