//! Which records of its resources a run takes in, where that isn't all of them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::BackupError;
use crate::mask::looks_like_url;
use crate::value_at::value_at;

/// Bytes that partitions, or a query, may take as JSON. A manifest has them whole.
const BYTES_MAX: usize = 16 << 10;

/// Partitions of a database, by their names, each with values: a record is wanted that is, in each of these partitions, at
/// one of its values.
///
/// A value is that of the partition's field; for a partition of several fields it is an object with the values of some or all.
///
/// ```
/// use teeline_core::Partitions;
/// use serde_json::json;
///
/// let partitions = Partitions::new(json!({"byRegion": ["US", "EU"], "byStatus": ["active"]})).unwrap();
/// assert_eq!(partitions.names().collect::<Vec<_>>(), ["byRegion", "byStatus"]);
/// assert!(Partitions::new(json!({"byRegion": []})).is_err());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partitions(BTreeMap<String, Vec<Value>>);

impl Partitions {
    /// What an object of partitions says. A single value may stand for a list of one.
    ///
    /// # Errors
    /// Of class [`Usage`](crate::Class::Usage), where it is no such object, or larger than 16 KiB as JSON.
    pub fn new(said: Value) -> Result<Self, BackupError> {
        const FORM: &str =
            r#"accepted: names with lists of values, as in {"byRegion": ["US", "EU"]}"#;
        let refused = |place: &str, message: &str| {
            BackupError::usage(place, message).suggest(FORM.to_owned())
        };
        let Value::Object(said) = bounded("partitions", said)? else {
            return Err(refused("partitions", "they aren't an object"));
        };
        let mut partitions = BTreeMap::new();
        for (name, values) in said {
            let place = named("partitions", &name)?;
            let values = one_or_more(values);
            if values.is_empty() {
                return Err(refused(&place, "it names no value"));
            }
            let is_usable = |value: &Value| match value {
                Value::Object(fields) => !fields.is_empty() && fields.values().all(is_scalar),
                value => is_scalar(value),
            };
            if !values.iter().all(is_usable) {
                let message =
                    "a value is neither text, a number, true or false, nor an object of these";
                return Err(refused(&place, message));
            }
            partitions.insert(name, values);
        }
        Ok(Partitions(partitions))
    }

    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Each with its values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Value])> {
        self.0
            .iter()
            .map(|(name, values)| (name.as_str(), values.as_slice()))
    }
}

/// Conditions on the records of resources, by the resources' names. All records of the others are wanted.
///
/// ```
/// use teeline_core::Query;
/// use serde_json::{Value, json};
///
/// let query = Query::new(json!({"orders": {"status": "active", "address.city": ["Bonn", "Kiel"]}})).unwrap();
/// let meets = |record: Value| query.of("orders").unwrap().meets(record.as_object().unwrap());
/// assert!(meets(json!({"status": "active", "address": {"city": "Kiel"}})));
/// assert!(!meets(json!({"status": "active", "address": {"city": "Rio"}})));
/// assert!(!meets(json!({"address": {"city": "Kiel"}})));
/// assert!(query.of("users").is_none());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Query(BTreeMap<String, Conditions>);

/// Paths within a document, each with the values of which it must have one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conditions(BTreeMap<String, Vec<Value>>);

impl Query {
    /// What an object of resources says. A list is of values of which one is enough.
    ///
    /// # Errors
    /// As [`Partitions::new`].
    pub fn new(said: Value) -> Result<Self, BackupError> {
        const FORM: &str =
            r#"accepted: resources with paths and values, as in {"orders": {"status": "active"}}"#;
        let refused = |place: &str, message: &str| {
            BackupError::usage(place, message).suggest(FORM.to_owned())
        };
        let Value::Object(said) = bounded("query", said)? else {
            return Err(refused("query", "it isn't an object"));
        };
        let mut query = BTreeMap::new();
        for (resource, paths) in said {
            let place = named("query", &resource)?;
            let Value::Object(paths) = paths else {
                return Err(refused(&place, "it isn't an object of paths and values"));
            };
            if paths.is_empty() {
                return Err(refused(&place, "it has no condition"));
            }
            let mut conditions = BTreeMap::new();
            for (path, values) in paths {
                let values = one_or_more(values);
                if values.is_empty()
                    || !values
                        .iter()
                        .all(|value| is_scalar(value) || value.is_null())
                {
                    let message = format!(
                        "{path:?} is to be text, a number, true, false or null, or a list of these"
                    );
                    return Err(refused(&place, &message));
                }
                conditions.insert(path, values);
            }
            query.insert(resource, Conditions(conditions));
        }
        Ok(Query(query))
    }

    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names of the resources with conditions.
    pub fn resources(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The conditions on a resource's records, where there are any.
    pub fn of(&self, resource: &str) -> Option<&Conditions> {
        self.0.get(resource)
    }

    /// The resources with their conditions.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Conditions)> {
        self.0
            .iter()
            .map(|(resource, conditions)| (resource.as_str(), conditions))
    }
}

impl Conditions {
    /// Whether a document has, at each path, one of its values. What it lacks counts as null.
    pub fn meets(&self, document: &Map<String, Value>) -> bool {
        self.0.iter().all(|(path, values)| {
            let found = value_at(document, path).unwrap_or(&Value::Null);
            values.iter().any(|value| is_equal(found, value))
        })
    }

    /// The paths with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Value])> {
        self.0
            .iter()
            .map(|(path, values)| (path.as_str(), values.as_slice()))
    }
}

/// Which records a backup has, that hasn't all of those that there were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InPart {
    /// Those in these partitions.
    #[serde(skip_serializing_if = "Partitions::is_empty")]
    pub partitions: Partitions,
    /// Those that meet this.
    #[serde(skip_serializing_if = "Query::is_empty")]
    pub query: Query,
}

impl InPart {
    /// Which these are; none where that is all of them.
    pub fn of(partitions: &Partitions, query: &Query) -> Option<Self> {
        let is_whole = partitions.is_empty() && query.is_empty();
        (!is_whole).then(|| InPart {
            partitions: partitions.clone(),
            query: query.clone(),
        })
    }
}

/// `only the records in byRegion at "US", "EU" and in byDay at "2026-11-23"; of orders only those with status "active"`
impl fmt::Display for InPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |values: &[Value]| {
            let values = values.iter().map(ToString::to_string);
            values.collect::<Vec<_>>().join(", ")
        };
        let partitions = self.partitions.iter();
        let partitions = partitions.map(|(name, values)| format!("in {name} at {}", at(values)));
        let partitions: Vec<String> = partitions.collect();
        let mut parts = Vec::new();
        if !partitions.is_empty() {
            parts.push(format!("only the records {}", partitions.join(" and ")));
        }
        for (resource, conditions) in self.query.iter() {
            let conditions = conditions.iter();
            let conditions = conditions.map(|(path, values)| format!("{path} {}", at(values)));
            let conditions: Vec<String> = conditions.collect();
            parts.push(format!(
                "of {resource} only those with {}",
                conditions.join(" and ")
            ));
        }
        f.write_str(&parts.join("; "))
    }
}

fn one_or_more(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        value => vec![value],
    }
}

fn is_scalar(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_))
}

/// Numbers are equal that are so however they are written: 5 is 5.0.
fn is_equal(found: &Value, wanted: &Value) -> bool {
    // Whole ones are compared as such: as fractions, large ones would look equal.
    let fractional = found.is_f64() || wanted.is_f64();
    found == wanted
        || fractional
            && found
                .as_f64()
                .is_some_and(|found| Some(found) == wanted.as_f64())
}

fn bounded(what: &str, value: Value) -> Result<Value, BackupError> {
    let bytes = value.to_string().len();
    if bytes <= BYTES_MAX {
        return Ok(value);
    }
    let message = format!("it takes {bytes} bytes as JSON; accepted: up to {BYTES_MAX}");
    Err(BackupError::usage(what, message))
}

/// The place of a name in errors. One that is a URL may hold secrets, and a manifest shows it.
fn named(what: &str, name: &str) -> Result<String, BackupError> {
    match looks_like_url(name) {
        true => Err(BackupError::usage(what, "a name looks like a URL")),
        false => Ok(format!("{what} {name:?}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_partition_is_refused_with_its_name() {
        for (said, parts) in [
            (json!(["byRegion"]), vec!["partitions", "object"]),
            (json!({"byRegion": []}), vec!["\"byRegion\"", "no value"]),
            (json!({"byRegion": [null]}), vec!["\"byRegion\"", "neither"]),
            (
                json!({"byRegion": [["US"]]}),
                vec!["\"byRegion\"", "neither"],
            ),
            (json!({"byRegion": [{}]}), vec!["\"byRegion\"", "neither"]),
            (
                json!({"byRegion": [{"a": [1]}]}),
                vec!["\"byRegion\"", "neither"],
            ),
            (
                json!({"https://me:pw@host/x": ["US"]}),
                vec!["looks like a URL"],
            ),
            (
                json!({"byRegion": ["x".repeat(20_000)]}),
                vec!["bytes", "16384"],
            ),
        ] {
            let error = Partitions::new(said.clone()).unwrap_err().to_string();
            assert!(
                parts.iter().all(|part| error.contains(part)),
                "{said}: {error}"
            );
            assert!(!error.contains("pw"), "{error}");
        }
        let single = Partitions::new(json!({"byRegion": "US"})).unwrap();
        assert_eq!(
            single,
            Partitions::new(json!({"byRegion": ["US"]})).unwrap()
        );
    }

    #[test]
    fn what_is_no_query_is_refused_with_its_name() {
        for (said, parts) in [
            (json!("orders"), vec!["query", "object"]),
            (json!({"orders": "active"}), vec!["\"orders\"", "paths"]),
            (json!({"orders": {}}), vec!["\"orders\"", "no condition"]),
            (
                json!({"orders": {"status": []}}),
                vec!["\"orders\"", "status"],
            ),
            (
                json!({"orders": {"status": {"a": 1}}}),
                vec!["\"orders\"", "status"],
            ),
        ] {
            let error = Query::new(said.clone()).unwrap_err().to_string();
            assert!(
                parts.iter().all(|part| error.contains(part)),
                "{said}: {error}"
            );
        }
    }

    #[test]
    fn a_part_is_said_in_words() {
        let part = InPart {
            partitions: Partitions::new(json!({"byRegion": ["US", 7], "byDay": "x"})).unwrap(),
            query: Query::new(json!({"orders": {"a.b": true, "c": null}})).unwrap(),
        };
        assert_eq!(
            part.to_string(),
            "only the records in byDay at \"x\" and in byRegion at \"US\", 7; \
             of orders only those with a.b true and c null"
        );
        let of_query = InPart {
            partitions: Partitions::default(),
            ..part
        };
        let json = serde_json::to_value(of_query).unwrap();
        assert_eq!(
            json,
            json!({"query": {"orders": {"a.b": [true], "c": [null]}}})
        );
    }

    #[test]
    fn values_are_compared_as_what_they_are() {
        let meets = |value: Value, document: Value| {
            let query = Query::new(json!({"r": {"a.b": value}})).unwrap();
            query.of("r").unwrap().meets(document.as_object().unwrap())
        };
        for (value, document) in [
            (json!("5"), json!({"a": {"b": "5"}})),
            (json!(5), json!({"a": {"b": 5.0}})),
            (json!(5.0), json!({"a": {"b": 5}})),
            (
                json!(9_007_199_254_740_993_u64),
                json!({"a": {"b": 9_007_199_254_740_993_u64}}),
            ),
            (json!(true), json!({"a.b": true})),
            (json!(null), json!({"a": {"b": null}})),
            (json!(null), json!({})),
            (json!(["x", 7]), json!({"a": {"b": 7}})),
        ] {
            assert!(meets(value.clone(), document.clone()), "{value} {document}");
        }
        for (value, document) in [
            (json!("5"), json!({"a": {"b": 5}})),
            (json!(5), json!({"a": {"b": "5"}})),
            (
                json!(9_007_199_254_740_993_u64),
                json!({"a": {"b": 9_007_199_254_740_992_u64}}),
            ),
            (json!("x"), json!({"a": {"b": ["x"]}})),
            (json!("x"), json!({"a": "x"})),
            (json!("x"), json!({})),
        ] {
            assert!(
                !meets(value.clone(), document.clone()),
                "{value} {document}"
            );
        }
    }
}
