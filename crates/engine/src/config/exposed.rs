//! Secrets in a configuration file that others on the machine may read.

use std::path::Path;

use config::{Map, Value, ValueKind};
use teeline_core::masked;

use super::ConfigWarning;
use super::node::KeyPath;

/// What secrets are called, here and by s3db.js's plugin, in small letters and without underscores.
const NAMES: [&str; 6] = [
    "secret",
    "secretkey",
    "secretaccesskey",
    "sessiontoken",
    "passphrase",
    "password",
];
/// Where what the plugin calls only a key is a secret.
const ENCRYPTION: &str = "encryption";
/// Where addresses are secrets: whoever knows one can call it.
const HOOKS: &str = "hooks.";
const ADDRESSES: [&str; 2] = ["url", "ping"];
/// Whose keys are of use on this machine only, for as long as a command runs.
const EMBEDDED_S3: &str = "embedded_s3";

/// A warning, where the file at `path` holds a secret itself, and others than its owner may read it.
#[cfg(unix)]
pub(super) fn warning(path: &Path, table: &Map<String, Value>) -> Option<ConfigWarning> {
    use std::os::unix::fs::PermissionsExt;

    // One that can't be asked for its mode was read all the same, from where there are none.
    let metadata = std::fs::metadata(path).ok()?;
    if metadata.permissions().mode() & 0o044 == 0 {
        return None;
    }
    let key = first_secret(table, &KeyPath::default())?;
    let name = path.display();
    Some(ConfigWarning {
        message: format!(
            "{name}: `{key}` is a secret, and others than the file's owner may read it"
        ),
        help: format!("chmod 600 {name}; or have it in a variable: ${{NAME}}"),
    })
}

#[cfg(not(unix))]
pub(super) fn warning(_: &Path, _: &Map<String, Value>) -> Option<ConfigWarning> {
    None
}

/// The first key, by name, with a secret that is there itself, not in a variable.
fn first_secret(table: &Map<String, Value>, above: &KeyPath) -> Option<KeyPath> {
    let mut names: Vec<&String> = table.keys().collect();
    names.sort();
    names.into_iter().find_map(|name| {
        let key = above.join(name);
        if key.to_string() == EMBEDDED_S3 {
            return None;
        }
        let short = name.to_ascii_lowercase().replace('_', "");
        let above = above.to_string();
        let is_key = short == "key" && above.ends_with(ENCRYPTION);
        let is_address = above.starts_with(HOOKS) && ADDRESSES.contains(&short.as_str());
        let is_secret = is_key || is_address || NAMES.contains(&short.as_str());
        secret_in(&table[name], key, is_secret)
    })
}

/// What of a text stands in the file itself; user information of variables alone is none.
fn without_variables(text: &str) -> String {
    let mut rest = String::new();
    let mut parts = text.split("${");
    rest.push_str(parts.next().unwrap_or_default());
    for part in parts {
        rest.push_str(part.split_once('}').map_or(part, |(_, behind)| behind));
    }
    rest.replace("://:@", "://").replace("://@", "://")
}

fn secret_in(value: &Value, key: KeyPath, is_secret: bool) -> Option<KeyPath> {
    match &value.kind {
        ValueKind::Table(table) => first_secret(table, &key),
        ValueKind::Array(values) => {
            let mut values = values.iter().enumerate();
            values.find_map(|(index, value)| secret_in(value, key.index(index), is_secret))
        }
        ValueKind::String(text) => {
            let rest = without_variables(text);
            let shows = match is_secret {
                true => !rest.trim().is_empty(),
                false => masked(&rest) != rest,
            };
            shows.then_some(key)
        }
        _ => None,
    }
}
