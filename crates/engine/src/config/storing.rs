//! What is asked of a destination's store beside where it is: who may read files, and how S3 keeps objects.

use std::collections::BTreeMap;

use teeline_core::BackupError;
use teeline_sinks::{LockMode, Modes, ObjectLock, ServerSideEncryption, StorageClass, Storing};

use super::node::Node;
use super::reader::{Known, Table};

/// What settings of folders are called.
#[derive(Debug, Clone, Copy)]
pub(super) struct ModeKeys {
    pub(super) file: &'static str,
    pub(super) folder: &'static str,
}

/// What settings of buckets are called.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoringKeys {
    pub(super) class: &'static str,
    pub(super) encryption: &'static str,
    pub(super) key_id: &'static str,
    pub(super) tags: &'static str,
}

pub(super) const OBJECT_LOCK: Known = Known {
    keys: &["mode", "days"],
    hints: &[
        (
            "retain_until",
            "write `days = 35`: so long from when an object is written",
        ),
        ("years", "write `days = 365`"),
    ],
};

const PERMISSIONS_MAX: u32 = 0o777;
/// Without it, what was written couldn't be read back.
const FILE_NEEDS: u32 = 0o400;
/// Without it, nothing could be written into a folder that was made.
const FOLDER_NEEDS: u32 = 0o700;
const ENCRYPTIONS: [&str; 2] = ["AES256", "aws:kms"];

/// What files and folders are made with.
pub(super) fn modes(table: &mut Table<'_>, keys: ModeKeys) -> Result<Modes, BackupError> {
    Ok(Modes {
        file: permissions(table, keys.file, FILE_NEEDS)?,
        folder: permissions(table, keys.folder, FOLDER_NEEDS)?,
    })
}

/// Text is octal, a number is its value: `"644"`, 0o644 and 420 are the same.
fn permissions(table: &mut Table<'_>, name: &str, needs: u32) -> Result<Option<u32>, BackupError> {
    let Some((_, node)) = table.take(name) else {
        return Ok(None);
    };
    const FORM: &str =
        "accepted: up to 777, as octal text such as \"644\", or as its value: 0o644 or 420";
    let value = match &node {
        Node::Integer(value) => u32::try_from(*value).ok(),
        Node::Text(text, _) => u32::from_str_radix(text.strip_prefix("0o").unwrap_or(text), 8).ok(),
        _ => None,
    };
    let Some(value) = value else {
        let message = format!("is {}, and no permissions; {FORM}", node.kind());
        return Err(table.error_at(name, &message));
    };
    if value > PERMISSIONS_MAX {
        let message = format!("is 0o{value:o}, above 0o777; {FORM}");
        let error = table.error_at(name, &message);
        let meant = u32::from_str_radix(&value.to_string(), 8).ok();
        return Err(match meant.filter(|_| matches!(node, Node::Integer(_))) {
            Some(meant) if meant <= PERMISSIONS_MAX => error.suggest(format!(
                "write \"{value}\" or 0o{value}: a number is its value"
            )),
            _ => error,
        });
    }
    if value & needs != needs {
        let message = format!(
            "is 0o{value:o}, which lacks 0o{needs:o} of the owner: backups couldn't be written and read back"
        );
        return Err(table.error_at(name, &message));
    }
    Ok(Some(value))
}

/// How S3 is to keep objects.
pub(super) fn storing(table: &mut Table<'_>, keys: StoringKeys) -> Result<Storing, BackupError> {
    let class = table.word(keys.class, &StorageClass::NAMES, |word| word.parse().ok())?;
    let storing = Storing {
        class,
        encryption: encryption(table, keys)?,
        tags: tags(table, keys.tags)?,
        lock: None,
    };
    storing
        .check()
        .map_err(|message| table.error_at(keys.tags, &format!("can't be used: {message}")))?;
    Ok(storing)
}

fn encryption(
    table: &mut Table<'_>,
    keys: StoringKeys,
) -> Result<Option<ServerSideEncryption>, BackupError> {
    let key_id = table.text(keys.key_id)?;
    let encryption = table.word(keys.encryption, &ENCRYPTIONS, |word| match word {
        "AES256" => Some(ServerSideEncryption::S3),
        "aws:kms" => Some(ServerSideEncryption::Kms(None)),
        _ => None,
    })?;
    match (encryption, key_id) {
        (Some(ServerSideEncryption::Kms(_)), Some(key_id)) if !key_id.is_ascii() => {
            Err(table.error_at(keys.key_id, "isn't the id, alias or ARN of a key"))
        }
        (Some(ServerSideEncryption::Kms(_)), key_id) => Ok(Some(ServerSideEncryption::Kms(key_id))),
        (_, Some(_)) => {
            let message = format!("goes with {} = \"aws:kms\"", keys.encryption);
            Err(table.error_at(keys.key_id, &message))
        }
        (encryption, None) => Ok(encryption),
    }
}

/// For how long nobody can remove or replace what is written.
pub(super) fn object_lock(mut table: Table<'_>) -> Result<ObjectLock, BackupError> {
    let mode = table.word("mode", &LockMode::NAMES, |word| word.parse().ok())?;
    let days = table.integer("days", ObjectLock::DAYS)?;
    Ok(ObjectLock {
        mode: mode.ok_or_else(|| table.error("lacks `mode`"))?,
        days: days.ok_or_else(|| table.error("lacks `days`"))?,
    })
}

fn tags(table: &mut Table<'_>, key: &str) -> Result<BTreeMap<String, String>, BackupError> {
    let mut tags = BTreeMap::new();
    for (name, value) in table.values(key)? {
        let serde_json::Value::String(value) = value else {
            let message = format!("has {name:?} with a value that isn't text (put it in quotes)");
            return Err(table.error_at(key, &message));
        };
        tags.insert(name, value);
    }
    Ok(tags)
}
