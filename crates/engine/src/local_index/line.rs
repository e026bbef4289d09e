//! The lines of a local index: an object of a database each, or how often there is a line of JSON.

use serde::{Deserialize, Serialize};
use teeline_core::chain::BaseItem;
use teeline_core::{BackupError, ObjectRow};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectLine {
    object: ObjectRow,
    as_line: bool,
    as_frame: bool,
}

/// The line of an object that is there, in the words of its backup.
pub(super) fn encode(
    object: ObjectRow,
    as_line: bool,
    as_frame: bool,
) -> Result<Vec<u8>, BackupError> {
    let line = ObjectLine {
        object,
        as_line,
        as_frame,
    };
    let mut bytes = serde_json::to_vec(&line).map_err(|error| {
        BackupError::corrupt(&line.object.key, "a row has no JSON form").because(error)
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// What lines say of objects; `subject` names their file in errors.
pub(super) fn decode_all(subject: &str, lines: &[u8]) -> Result<Vec<BaseItem>, BackupError> {
    let lines = lines.split_inclusive(|byte| *byte == b'\n');
    let decoded = lines.map(|line| {
        let line: ObjectLine = serde_json::from_slice(line).map_err(|error| {
            BackupError::corrupt(subject, "a line of it is unreadable").because(error)
        })?;
        Ok(BaseItem::Object {
            row: line.object,
            as_line: line.as_line,
            as_frame: line.as_frame,
        })
    });
    decoded.collect()
}
