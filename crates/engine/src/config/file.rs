//! The configuration file: its format, its syntax, and at which line each key stands.
//!
//! Messages of parsers are passed on only where they are known to quote nothing of the file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use config::{FileFormat, Format as _, Map, Value, ValueKind};
use teeline_core::{BackupError, plain_words};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::blame::{FileKeys, Position, in_file};
use super::json::{check_json, parse_json5};
use super::node::KeyPath;

/// No configuration comes near; a larger file is some other file.
const FILE_BYTES_MAX: usize = 1024 * 1024;
/// Characters before the content of a line. Each is a level at most; the YAML parser would run out of stack.
const INDENTATION_MAX: usize = 256;

#[derive(Clone, Copy)]
enum Format {
    Toml,
    Yaml,
    Json,
    Json5,
}

/// A file without errors of syntax.
pub(super) struct File {
    /// Its name as the caller gave it, for messages.
    pub(super) name: String,
    /// What it holds.
    pub(super) table: Map<String, Value>,
    /// Every key in it.
    pub(super) keys: FileKeys,
}

/// Where, and what.
pub(super) type SyntaxError = (Option<Position>, String);

impl File {
    pub(super) fn read(path: &Path) -> Result<File, BackupError> {
        let name = path.display().to_string();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let format = match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("toml") => Format::Toml,
            Some("yaml" | "yml") => Format::Yaml,
            Some("json") => Format::Json,
            Some("json5") => Format::Json5,
            _ => {
                let message = "the file's name doesn't tell the format; \
                               accepted: .toml, .yaml, .yml, .json, .json5";
                return Err(BackupError::usage(name, message));
            }
        };
        let bytes = fs::read(path).map_err(|error| {
            let message = format!("can't be read: {}", plain_words(&error));
            BackupError::usage(&name, message).because(error)
        })?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err(BackupError::usage(
                name,
                "is larger than 1 MiB, so no configuration",
            ));
        }
        let text =
            String::from_utf8(bytes).map_err(|_| BackupError::usage(&name, "isn't UTF-8"))?;
        File::parse(name, format, text.trim_start_matches('\u{feff}'))
    }

    fn parse(name: String, format: Format, text: &str) -> Result<File, BackupError> {
        let parsed = match format {
            Format::Toml => {
                toml_keys(text).and_then(|keys| Ok((parse_values(FileFormat::Toml, text)?, keys)))
            }
            Format::Json => check_json(text)
                .and_then(|()| parse_values(FileFormat::Json, text))
                .map(with_keys),
            Format::Json5 => parse_json5(text).map(with_keys),
            Format::Yaml => check_yaml_depth(text)
                .and_then(|()| parse_values(FileFormat::Yaml, text))
                .map(with_keys),
        };
        match parsed {
            Ok((table, keys)) => Ok(File { name, table, keys }),
            Err((position, message)) => Err(BackupError::usage(in_file(&name, position), message)),
        }
    }
}

fn parse_values(format: FileFormat, text: &str) -> Result<Map<String, Value>, SyntaxError> {
    format.parse(None, text).map_err(|error| match format {
        FileFormat::Yaml => yaml_error(&error.to_string()),
        // The syntax was checked before.
        _ => (
            None,
            "isn't a table of sections such as [backup]".to_owned(),
        ),
    })
}

/// A table and its keys, where the parser doesn't say at which line they stand.
fn with_keys(table: Map<String, Value>) -> (Map<String, Value>, FileKeys) {
    let mut keys = BTreeMap::new();
    collect_keys(&table, &KeyPath::default(), &mut keys);
    (table, keys)
}

fn collect_keys(table: &Map<String, Value>, above: &KeyPath, keys: &mut FileKeys) {
    for (name, value) in table {
        let key = above.join(name);
        collect_value(value, &key, keys);
        keys.insert(key, None);
    }
}

fn collect_value(value: &Value, key: &KeyPath, keys: &mut FileKeys) {
    match &value.kind {
        ValueKind::Table(table) => collect_keys(table, key, keys),
        ValueKind::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                keys.insert(key.index(index), None);
                collect_value(value, &key.index(index), keys);
            }
        }
        _ => {}
    }
}

/// Checks the syntax, and finds every key. The error's own text isn't used: it quotes the line.
fn toml_keys(text: &str) -> Result<FileKeys, SyntaxError> {
    let document = DeTable::parse(text).map_err(|error| {
        let position = error.span().map(|span| Position::of(text, span.start));
        (position, error.message().to_owned())
    })?;
    let mut keys = BTreeMap::new();
    toml_table_keys(text, document.get_ref(), &KeyPath::default(), &mut keys)?;
    Ok(keys)
}

fn toml_table_keys(
    text: &str,
    table: &DeTable<'_>,
    above: &KeyPath,
    keys: &mut FileKeys,
) -> Result<(), SyntaxError> {
    for (name, value) in table {
        let key = above.join(name.get_ref());
        keys.insert(key.clone(), Some(Position::of(text, name.span().start)));
        toml_value_keys(text, value, &key, keys)?;
    }
    Ok(())
}

fn toml_value_keys(
    text: &str,
    value: &Spanned<DeValue<'_>>,
    key: &KeyPath,
    keys: &mut FileKeys,
) -> Result<(), SyntaxError> {
    let too_large = || {
        let message = format!("`{key}` is a number that is too large");
        Err((Some(Position::of(text, value.span().start)), message))
    };
    match value.get_ref() {
        DeValue::Table(table) => toml_table_keys(text, table, key, keys),
        DeValue::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                let key = key.index(index);
                keys.insert(key.clone(), Some(Position::of(text, value.span().start)));
                toml_value_keys(text, value, &key, keys)?;
            }
            Ok(())
        }
        DeValue::Integer(integer)
            if i64::from_str_radix(integer.as_str(), integer.radix()).is_err() =>
        {
            too_large()
        }
        DeValue::Float(float) if float.as_str().parse::<f64>().is_err() => too_large(),
        _ => Ok(()),
    }
}

/// Reads `… at byte 30 line 3 column 5`, the only form in which the YAML parser's errors reach us.
fn yaml_error(text: &str) -> SyntaxError {
    let located = text.rsplit_once(" at byte ").and_then(|(message, place)| {
        let (_, place) = place.split_once(" line ")?;
        let (line, column) = place.split_once(" column ")?;
        let (line, column) = (line.parse().ok()?, column.parse().ok()?);
        Some((message, Position { line, column }))
    });
    match located {
        // This message quotes the key, which may be any value.
        Some((message, position)) if message.ends_with("duplicated key in mapping") => {
            (Some(position), "a key is given twice".to_owned())
        }
        Some((message, position)) => (Some(position), message.to_owned()),
        None if text.contains("YAML documents") => {
            (None, "holds more than one YAML document".to_owned())
        }
        None => (
            None,
            "isn't a table of sections such as `backup:`, \
             or has a key or a number of a kind that isn't supported"
                .to_owned(),
        ),
    }
}

/// Refuses nesting before the parser recurses into it. Within brackets it has a limit of its own.
fn check_yaml_depth(text: &str) -> Result<(), SyntaxError> {
    let deep = text.lines().position(|line| {
        let content = line.trim_start_matches([' ', '-', '?', ':', '\t']);
        line.len() - content.len() > INDENTATION_MAX
    });
    match deep {
        None => Ok(()),
        Some(index) => {
            let position = Position {
                line: index + 1,
                column: 1,
            };
            Err((
                Some(position),
                "is nested too deeply for a configuration".to_owned(),
            ))
        }
    }
}
