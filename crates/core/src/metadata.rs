//! What somebody says of a backup when it is made.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::BackupError;
use crate::value_at::value_at;

/// Bytes that metadata may take as JSON. A catalogue's entry has it whole, and thousands of those are read for a list.
pub const METADATA_BYTES_MAX: usize = 16 << 10;

/// Levels of lists and objects that metadata may have. Readers of JSON end at 128, and reports have it within some of their own.
pub const METADATA_LEVELS_MAX: usize = 100;

/// Names and JSON values, kept in the manifest and in the catalogue's entry. It says nothing to teeline, so a name such as
/// `type` is in nobody's way.
///
/// ```
/// use teeline_core::Metadata;
/// use serde_json::{Map, json};
///
/// let mut said = Map::new();
/// said.insert("reason".to_owned(), json!("before the migration"));
/// said.insert("ticket".to_owned(), json!({"id": 7}));
/// let metadata = Metadata::new(said).unwrap();
/// assert!(metadata.has("reason", "before the migration") && metadata.has("ticket.id", "7"));
/// assert!(!metadata.has("ticket", "7"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct Metadata(Map<String, Value>);

/// Readers keep to the same bound as writers; of levels, to that of their reader of JSON.
impl TryFrom<Map<String, Value>> for Metadata {
    type Error = BackupError;

    fn try_from(values: Map<String, Value>) -> Result<Self, BackupError> {
        Metadata::of_size(values)
    }
}

impl Metadata {
    /// Metadata of these values.
    ///
    /// # Errors
    /// Of class [`Usage`](crate::Class::Usage), where they take more than [`METADATA_BYTES_MAX`] as JSON, or have more than
    /// [`METADATA_LEVELS_MAX`] levels.
    pub fn new(values: Map<String, Value>) -> Result<Self, BackupError> {
        if !values
            .values()
            .all(|value| ends_within(value, METADATA_LEVELS_MAX - 1))
        {
            let message = format!(
                "it has more than {METADATA_LEVELS_MAX} levels of lists and tables, which is what is accepted"
            );
            return Err(BackupError::usage("metadata", message));
        }
        Metadata::of_size(values)
    }

    fn of_size(values: Map<String, Value>) -> Result<Self, BackupError> {
        let bytes = serde_json::to_vec(&values).map_err(|error| {
            BackupError::usage("metadata", "it can't be written as JSON").because(error)
        })?;
        if bytes.len() > METADATA_BYTES_MAX {
            let message = format!(
                "it takes {} bytes as JSON; accepted: up to {METADATA_BYTES_MAX}",
                bytes.len()
            );
            return Err(BackupError::usage("metadata", message));
        }
        Ok(Metadata(values))
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values.
    pub fn values(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Whether a value is `text`: a text as it is, another one as JSON. `name` may have dots, which lead into objects where
    /// nothing has the whole name.
    pub fn has(&self, name: &str, text: &str) -> bool {
        value_at(&self.0, name).is_some_and(|value| match value {
            Value::String(value) => value == text,
            value => serde_json::to_string(value).is_ok_and(|json| json == text),
        })
    }
}

/// Whether a value has no more than so many levels of lists and objects. It looks no deeper than that.
fn ends_within(value: &Value, levels: usize) -> bool {
    let below = |value: &Value| levels > 0 && ends_within(value, levels - 1);
    match value {
        Value::Array(values) => levels > 0 && values.iter().all(below),
        Value::Object(values) => levels > 0 && values.values().all(below),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: Value) -> Result<Metadata, BackupError> {
        let Value::Object(values) = value else {
            panic!("an object: {value}");
        };
        Metadata::new(values)
    }

    #[test]
    fn values_are_found_by_their_text() {
        let metadata = of(json!({
            "team": "billing", "count": 3, "is it": true, "a.b": "dotted", "a": {"b": "nested", "c": {"d": null}}
        }))
        .unwrap();
        for (name, text) in [
            ("team", "billing"),
            ("count", "3"),
            ("is it", "true"),
            ("a.b", "dotted"),
            ("a.c.d", "null"),
            ("a.c", r#"{"d":null}"#),
        ] {
            assert!(metadata.has(name, text), "{name}");
            assert!(!metadata.has(name, "else"), "{name}");
        }
        assert!(!metadata.has("", "") && !metadata.has("a.b.c", "dotted"));
    }

    #[test]
    fn what_a_list_could_not_afford_is_refused() {
        let text = "x".repeat(METADATA_BYTES_MAX - r#"{"a":""}"#.len());
        assert!(of(json!({"a": text})).is_ok());
        let error = of(json!({"a": format!("{text}x")})).unwrap_err();
        assert_eq!(
            error.to_string(),
            "metadata: it takes 16385 bytes as JSON; accepted: up to 16384"
        );
        let read: Result<Metadata, _> = serde_json::from_value(json!({"a": format!("{text}x")}));
        assert!(read.is_err());
    }

    #[test]
    fn what_nests_deeper_than_a_reader_goes_is_refused() {
        let nested = |levels: usize| {
            let lists = levels - 1;
            let json = format!("{{\"a\":{}{}}}", "[".repeat(lists), "]".repeat(lists));
            serde_json::from_str(&json).unwrap()
        };
        assert!(of(nested(METADATA_LEVELS_MAX)).is_ok());
        // What is read may have been written before there was a bound.
        let read: Result<Metadata, _> = serde_json::from_value(nested(METADATA_LEVELS_MAX + 1));
        assert!(read.is_ok());
        let error = of(nested(METADATA_LEVELS_MAX + 1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "metadata: it has more than 100 levels of lists and tables, which is what is accepted"
        );
    }
}
