//! `[targets.<name>]`: what a restore may go to by a name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use teeline_core::BackupError;

use super::blame::Blame;
use super::node::{KeyPath, Node};
use super::places::{NamedPlace, PLACE_KEYS, named_place};
use super::reader::{Known, Table};
use super::types::TargetLocation;
use crate::destination::{NAME_FORM, is_name};

const TARGET: Known = Known {
    keys: &PLACE_KEYS,
    hints: &[("url", "a database's connection string is `connection`")],
};

pub(super) fn targets(
    entries: Vec<(KeyPath, String, Node)>,
    blame: &Blame,
) -> Result<BTreeMap<String, TargetLocation>, BackupError> {
    let mut targets = BTreeMap::new();
    for (key, name, node) in entries {
        if !is_name(&name) {
            let message = format!("`{key}` isn't a name for a target; accepted: {NAME_FORM}");
            return Err(blame.error(&key, message));
        }
        let mut table = Table::open(blame, key, node, &TARGET)?;
        let location = match named_place(&mut table)? {
            NamedPlace::Database(connection) => TargetLocation::Database(connection),
            NamedPlace::Path(path) if path == "-" => {
                return Err(table.error_at("path", "is a folder; --target - is standard output"));
            }
            NamedPlace::Path(path) => TargetLocation::Folder(PathBuf::from(path)),
        };
        targets.insert(name, location);
    }
    Ok(targets)
}
