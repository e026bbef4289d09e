//! Which records are meant, as they are typed: `--partition` and `--where`.

use serde_json::{Map, Value};
use teeline::{BackupError, Partitions, Query};

/// The partitions that `--partition` says; several of one name are as one with all of their values.
pub(super) fn partitions(typed: &[String]) -> Result<Partitions, BackupError> {
    let mut said = Map::new();
    for text in typed {
        let refused = |message: &str| {
            BackupError::usage("--partition", message)
                .suggest("one looks like --partition byRegion=US,EU")
        };
        let (name, values) =
            named(text).ok_or_else(|| refused("a name, '=' and values are expected"))?;
        let values: Vec<Value> = match values.starts_with('[') {
            true => serde_json::from_str(values)
                .map_err(|_| refused("what begins with '[' is to be a list of JSON"))?,
            false => values.split(',').map(Value::from).collect(),
        };
        add(&mut said, name, values);
    }
    Partitions::new(said.into())
}

/// The conditions that `--where` says; several on one path are as one with all of their values.
pub(super) fn query(typed: &[String]) -> Result<Query, BackupError> {
    let mut said: Map<String, Value> = Map::new();
    for text in typed {
        let condition = named(text).and_then(|(place, value)| {
            let (resource, path) = place.split_once('.')?;
            (!resource.is_empty() && !path.is_empty()).then_some((resource, path, value))
        });
        let (resource, path, value) = condition.ok_or_else(|| {
            let message = "a resource, '.', a path, '=' and a value are expected";
            BackupError::usage("--where", message)
                .suggest("one looks like --where orders.status=active; of a resource with a dot in its name it is said by a configuration")
        })?;
        let paths = said
            .entry(resource)
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(paths) = paths {
            add(paths, path, meant(value));
        }
    }
    Query::new(said.into())
}

fn named(text: &str) -> Option<(&str, &str)> {
    text.split_once('=').filter(|(name, _)| !name.is_empty())
}

fn add(said: &mut Map<String, Value>, name: &str, values: Vec<Value>) {
    let known = said.entry(name).or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(known) = known {
        known.extend(values);
    }
}

/// What a word may mean: a text, and where it reads so, a number, true, false or null. What is in quotes is text only.
fn meant(word: &str) -> Vec<Value> {
    let text = Value::from(word);
    match serde_json::from_str::<Value>(word) {
        Ok(quoted @ Value::String(_)) => vec![quoted],
        Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::Null)) => vec![text, value],
        _ => vec![text],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn partitions_are_read() {
        let read = partitions(&words(&[
            "byRegion=US,EU",
            "byStatus=a=b/c",
            r#"byArea=[{"area":"a1"},"x,y"]"#,
            "byRegion=",
        ]));
        let expected = json!({"byRegion": ["US", "EU", ""], "byStatus": ["a=b/c"], "byArea": [{"area": "a1"}, "x,y"]});
        assert_eq!(read.unwrap(), Partitions::new(expected).unwrap());
        for wrong in [
            "byRegion",
            "=US",
            "byRegion=[US",
            "byRegion=[]",
            "byRegion=[null]",
        ] {
            assert!(partitions(&words(&[wrong])).is_err(), "{wrong}");
        }
    }

    #[test]
    fn conditions_are_read() {
        let read = query(&words(&[
            "orders.status=active",
            "orders.size=5",
            "orders.status=\"5\"",
            "orders.address.city=null",
            "users.name=a=b",
        ]));
        let expected = json!({
            "orders": {"status": ["active", "5"], "size": ["5", 5], "address.city": ["null", null]},
            "users": {"name": "a=b"},
        });
        assert_eq!(read.unwrap(), Query::new(expected).unwrap());
        for wrong in ["orders=active", "orders.status", ".status=x", "orders.=x"] {
            assert!(query(&words(&[wrong])).is_err(), "{wrong}");
        }
    }
}
