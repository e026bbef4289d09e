//! Who is to blame: the line of the file, or the variable, that a message is about.

use std::collections::BTreeMap;
use std::fmt;

use teeline_core::BackupError;

use super::node::{KeyPath, Node};

/// Where a key stands in the text, counted from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Position {
    /// That of the byte at `offset`.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// The keys of a file, with their positions where the format's parser gives them.
pub(super) type FileKeys = BTreeMap<KeyPath, Option<Position>>;
/// The names of the variables that replace settings.
pub(super) type Variables = BTreeMap<KeyPath, String>;

/// Makes errors that name the place of a key.
pub(super) struct Blame {
    file: String,
    keys: FileKeys,
    variables: Variables,
}

impl Blame {
    pub(super) fn new(file: String, keys: FileKeys, variables: Variables) -> Self {
        Blame {
            file,
            keys,
            variables,
        }
    }

    /// An error about the value at `key`, or about what a table lacks.
    pub(super) fn error(&self, key: &KeyPath, message: impl fmt::Display) -> BackupError {
        BackupError::usage(self.place(key), message)
    }

    /// Where the value at `key` stands.
    pub(super) fn place(&self, key: &KeyPath) -> String {
        match (self.variables.get(key), self.keys.get(key)) {
            (Some(variable), _) => format!("variable {variable}"),
            (None, Some(position)) => self.in_file(*position),
            // Only variables speak of it.
            (None, None) => self
                .variable_below(key)
                .unwrap_or_else(|| self.in_file(None)),
        }
    }

    /// An error about a value of a type that isn't accepted, or out of bounds.
    pub(super) fn wrong(
        &self,
        key: &KeyPath,
        found: &Node,
        accepted: impl fmt::Display,
    ) -> BackupError {
        let message = format!("`{key}` is {}; accepted: {accepted}", found.kind());
        // A variable has made a table of something that was none.
        match (found, self.variable_below(key)) {
            (Node::Table(_), Some(variable)) => BackupError::usage(variable, message),
            _ => self.error(key, message),
        }
    }

    fn variable_below(&self, key: &KeyPath) -> Option<String> {
        let mut variables = self.variables.iter();
        let (_, variable) = variables.find(|(path, _)| key.is_above(path))?;
        Some(format!("variable {variable}"))
    }

    fn in_file(&self, position: Option<Position>) -> String {
        in_file(&self.file, position)
    }
}

/// `file:line:column`, as editors understand it.
pub(super) fn in_file(file: &str, position: Option<Position>) -> String {
    match position {
        Some(Position { line, column }) => format!("{file}:{line}:{column}"),
        None => file.to_owned(),
    }
}
