//! `local_index` of `[encryption]`: where a host that can't read its backups keeps what it goes on from.

use std::path::PathBuf;

use teeline_core::{BackupError, looks_like_url};

use super::encryption::sources;
use super::node::Node;
use super::reader::Table;
use crate::destination::check_text;
use crate::keys::{KeyForm, KeySource};

/// The keys of it.
pub(super) const LOCAL_INDEX_KEYS: [&str; 6] = [
    PLACE,
    KEY,
    "local_index_key_env",
    "local_index_key_file",
    "local_index_key_fd",
    "local_index_key_command",
];

const PLACE: &str = "local_index";
const KEY: &str = "local_index_key";

const ACCEPTED: &str = "a folder, true, false";

/// What a host that can't read its backups keeps for its next one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalIndexConfig {
    /// Where. Default: unsaid.
    pub place: LocalIndexPlace,
    /// Where the key comes from that it is sealed with. Default: a file in the folder.
    pub key: Option<KeySource>,
}

/// Where that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LocalIndexPlace {
    /// In the usual folder for it, where backups are sealed for public keys only and no secret is given.
    #[default]
    Unsaid,
    /// In the usual folder for it.
    Usual,
    /// In this folder.
    Folder(PathBuf),
    /// Nowhere.
    Off,
}

pub(super) fn local_index(table: &mut Table<'_>) -> Result<LocalIndexConfig, BackupError> {
    let place = place(table)?;
    let given = LOCAL_INDEX_KEYS.iter().skip(1);
    let given: Vec<&str> = given.copied().filter(|name| table.has(name)).collect();
    match given[..] {
        [one] if place == LocalIndexPlace::Off => {
            return Err(table.error_at(one, "seals nothing: `local_index` is false"));
        }
        [_, second, ..] => {
            let message = format!("is there beside {}; one of them is accepted", given[0]);
            return Err(table.error_at(second, &message));
        }
        _ => {}
    }
    let key = sources(table, KEY, KeyForm::Any)?.into_iter().next();
    Ok(LocalIndexConfig {
        place,
        key: key.map(|(source, _)| source),
    })
}

fn place(table: &mut Table<'_>) -> Result<LocalIndexPlace, BackupError> {
    let Some((key, node)) = table.take(PLACE) else {
        return Ok(LocalIndexPlace::Unsaid);
    };
    let text = match node {
        Node::Boolean(is_on) => return Ok(on_or_off(is_on)),
        Node::Text(text, _) => text,
        other => return Err(table.blame().wrong(&key, &other, ACCEPTED)),
    };
    // A variable holds text, whatever it stands for.
    if let Ok(is_on) = text.parse() {
        return Ok(on_or_off(is_on));
    }
    let usable = check_text(&text).and_then(|()| match looks_like_url(&text) {
        true => Err("isn't usable: it looks like a URL"),
        false => Ok(()),
    });
    usable.map_err(|message| table.error_at(PLACE, &format!("{message}; accepted: {ACCEPTED}")))?;
    Ok(LocalIndexPlace::Folder(PathBuf::from(text)))
}

fn on_or_off(is_on: bool) -> LocalIndexPlace {
    match is_on {
        true => LocalIndexPlace::Usual,
        false => LocalIndexPlace::Off,
    }
}
