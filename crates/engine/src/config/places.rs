//! The keys that name one place: a database by its connection string, or what is in files by their path.

use teeline_core::{BackupError, looks_like_url};

use super::connection::Connection;
use super::interpolate::is_variable_name;
use super::reader::Table;

/// The keys, of which a table has exactly one.
pub(super) const PLACE_KEYS: [&str; 4] =
    ["connection", "connection_env", "connection_file", "path"];

/// What they name.
pub(super) enum NamedPlace {
    Database(Connection),
    Path(String),
}

/// Reads the one that is there.
pub(super) fn named_place(table: &mut Table<'_>) -> Result<NamedPlace, BackupError> {
    let given: Vec<&str> = PLACE_KEYS
        .into_iter()
        .filter(|name| table.has(name))
        .collect();
    let [key] = given[..] else {
        let found = match given.is_empty() {
            true => "none".to_owned(),
            false => given.join(" and "),
        };
        let accepted = PLACE_KEYS.join(", ");
        return Err(table.error(&format!(
            "has {found} of {accepted}; exactly one is accepted"
        )));
    };
    Ok(match key {
        "connection" => {
            let text = table.needed_text(key)?;
            NamedPlace::Database(Connection::inline(&text, table.said_by(key))?)
        }
        "connection_env" => {
            let name = table.text_as(key, variable_name)?.unwrap_or_default();
            NamedPlace::Database(Connection::variable(name, table.said_by(key)))
        }
        "connection_file" => {
            let path = table.needed_text(key)?;
            NamedPlace::Database(Connection::file(path, table.said_by(key)))
        }
        _ => NamedPlace::Path(table.text_as(key, no_url)?.unwrap_or_default()),
    })
}

/// What names files and resources is stored and shown, so a database's connection string has no place in it.
pub(super) fn no_url(text: &str) -> Result<String, String> {
    match looks_like_url(text) {
        true => Err("it looks like a URL; a database's is `connection`".to_owned()),
        false => Ok(text.to_owned()),
    }
}

fn variable_name(name: &str) -> Result<String, String> {
    match is_variable_name(name) {
        true => Ok(name.to_owned()),
        false => {
            Err("it is the name of an environment variable: letters, digits and '_'".to_owned())
        }
    }
}
