//! What a line of a resource says of its record.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};
use teeline_core::BackupError;

use super::super::walk::record_key;
use super::wrong_line;

/// What a line of a resource says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordLine {
    /// The key of the record below the database's prefix.
    pub key: String,
    /// Whether the object is kept raw beside it, or elsewhere.
    pub is_raw: bool,
}

/// Reads what a line of a resource says of itself.
///
/// # Errors
/// Where it isn't the line of a record.
pub fn record_line(resource: &str, line: &[u8]) -> Result<RecordLine, BackupError> {
    #[derive(Deserialize)]
    struct Own<'a> {
        #[serde(borrow)]
        id: Cow<'a, str>,
        #[serde(rename = "_s3db", default)]
        extras: Map<String, Value>,
    }
    let Own { id, extras } = serde_json::from_slice(line)
        .map_err(|error| wrong_line(resource, "it has no id").because(error))?;
    Ok(RecordLine {
        key: record_key(resource, &id),
        is_raw: extras.contains_key("raw") || extras.contains_key("object"),
    })
}
