//! Typed reading of a table: one call a key, each error with the key's place.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};
use teeline_core::{BackupError, Span, masked};

use super::blame::Blame;
use super::nearest::nearest;
use super::node::{KeyPath, Node, Origin};
use super::sections::SECTIONS;
use super::size::{SIZE_FORM, parse_size, show_size};
use super::value::value_of;
use crate::destination::check_text;

/// The keys of a table, and what to say about some that aren't.
pub(super) struct Known {
    pub(super) keys: &'static [&'static str],
    /// A key that people may look for, and where it is.
    pub(super) hints: &'static [(&'static str, &'static str)],
}

/// The keys of both, which are `N`.
pub(super) const fn join_keys<const N: usize>(
    first: &[&'static str],
    second: &[&'static str],
) -> [&'static str; N] {
    let mut keys = [""; N];
    let mut index = 0;
    while index < N {
        keys[index] = match index < first.len() {
            true => first[index],
            false => second[index - first.len()],
        };
        index += 1;
    }
    keys
}

/// A table whose keys are known ones.
pub(super) struct Table<'a> {
    blame: &'a Blame,
    key: KeyPath,
    entries: Vec<(String, Node)>,
}

impl<'a> Table<'a> {
    /// Takes `node` as a table with no other keys than `known`. `null` is an empty one: YAML has it for a section whose
    /// lines are all commented out.
    pub(super) fn open(
        blame: &'a Blame,
        key: KeyPath,
        node: Node,
        known: &Known,
    ) -> Result<Self, BackupError> {
        let entries = entries_of(blame, &key, node)?;
        check_known(blame, &key, entries.iter().map(|(name, _)| name), known)?;
        Ok(Table {
            blame,
            key,
            entries,
        })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(entry, _)| entry == name)
    }

    /// Who is to blame for what is in it.
    pub(super) fn blame(&self) -> &'a Blame {
        self.blame
    }

    /// Whether the value of `name` says nothing, which in JavaScript is `null` or an empty text.
    pub(super) fn is_null_or_empty(&self, name: &str) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|(entry, node)| {
            let is_nothing = match node {
                Node::Null => true,
                Node::Text(text, _) => text.is_empty(),
                _ => false,
            };
            entry == name && is_nothing
        })
    }

    /// An error about what the table holds or lacks as a whole.
    pub(super) fn error(&self, message: &str) -> BackupError {
        let message = match self.key == KeyPath::default() {
            true => format!("the configuration {message}"),
            false => format!("`{}` {message}", self.key),
        };
        self.blame.error(&self.key, message)
    }

    /// An error about the value of `name`.
    pub(super) fn error_at(&self, name: &str, message: &str) -> BackupError {
        let key = self.key.join(name);
        self.blame.error(&key, format!("`{key}` {message}"))
    }

    /// The place and the key of `name`, for errors that are found later.
    pub(super) fn said_by(&self, name: &str) -> String {
        let key = self.key.join(name);
        format!("{}: `{key}`", self.blame.place(&key))
    }

    /// Text that is neither empty nor holds control characters.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, BackupError> {
        match self.take(name) {
            None => Ok(None),
            Some((key, node)) => text_of(self.blame, &key, node).map(Some),
        }
    }

    /// Text that must be there.
    pub(super) fn needed_text(&mut self, name: &str) -> Result<String, BackupError> {
        let text = self.text(name)?;
        text.ok_or_else(|| self.error(&format!("lacks `{name}`")))
    }

    /// Text that is read by `read`, whose message doesn't quote it.
    pub(super) fn text_as<T>(
        &mut self,
        name: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, BackupError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let read =
            read(&text).map_err(|message| self.error_at(name, &format!("isn't usable: {message}")));
        read.map(Some)
    }

    /// One of a few words, which `read` knows.
    pub(super) fn word<T>(
        &mut self,
        name: &str,
        words: &[&str],
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, BackupError> {
        let Some((key, node)) = self.take(name) else {
            return Ok(None);
        };
        let accepted = words.join(", ");
        let Node::Text(text, origin) = &node else {
            return Err(self.blame.wrong(&key, &node, accepted));
        };
        if let Some(value) = read(text) {
            return Ok(Some(value));
        }
        let found = match origin {
            Origin::Interpolated => "none of the accepted words".to_owned(),
            // Masked before it is cut: the end of a cut one isn't known.
            _ => format!("{:?}", masked(text).chars().take(40).collect::<String>()),
        };
        let error = self
            .blame
            .error(&key, format!("`{key}` is {found}; accepted: {accepted}"));
        Err(match nearest(text, words) {
            Some(word) => error.suggest(format!("did you mean `{word}`?")),
            None => error,
        })
    }

    pub(super) fn boolean(&mut self, name: &str) -> Result<Option<bool>, BackupError> {
        match self.take(name) {
            None => Ok(None),
            Some((_, Node::Boolean(value))) => Ok(Some(value)),
            Some((key, node)) => match from_outside(&node).map(str::parse) {
                Some(Ok(value)) => Ok(Some(value)),
                _ => Err(self.blame.wrong(&key, &node, "true, false")),
            },
        }
    }

    /// The value of a key that may be a boolean or something else; something else is left.
    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        let mut entries = self.entries.iter();
        let index = entries
            .position(|entry| matches!(entry, (entry, Node::Boolean(_)) if entry == name))?;
        match self.entries.remove(index) {
            (_, Node::Boolean(value)) => Some(value),
            _ => None,
        }
    }

    pub(super) fn integer(
        &mut self,
        name: &str,
        bounds: RangeInclusive<u64>,
    ) -> Result<Option<u64>, BackupError> {
        let Some((key, node)) = self.take(name) else {
            return Ok(None);
        };
        let accepted = format!("an integer from {} to {}", bounds.start(), bounds.end());
        let value = match &node {
            Node::Integer(value) => Some(*value),
            other => from_outside(other).and_then(|text| text.trim().parse().ok()),
        };
        let Some(value) = value else {
            return Err(self.blame.wrong(&key, &node, accepted));
        };
        match u64::try_from(value) {
            Ok(value) if bounds.contains(&value) => Ok(Some(value)),
            _ => {
                let message = format!(
                    "`{key}` is {}; accepted: {accepted}",
                    shown(&node, &value.to_string())
                );
                Err(self.blame.error(&key, message))
            }
        }
    }

    /// A number of bytes.
    pub(super) fn size(
        &mut self,
        name: &str,
        bounds: RangeInclusive<u64>,
    ) -> Result<Option<u64>, BackupError> {
        let Some((key, node)) = self.take(name) else {
            return Ok(None);
        };
        let (min, max) = (show_size(*bounds.start()), show_size(*bounds.end()));
        let accepted = format!("{min} to {max}");
        let value = match &node {
            Node::Integer(value) => Some(u64::try_from(*value).ok()),
            Node::Text(text, _) => parse_size(text).map(Some),
            _ => None,
        };
        match value {
            None => Err(self
                .blame
                .wrong(&key, &node, format!("{accepted}, as {SIZE_FORM}"))),
            Some(Some(value)) if bounds.contains(&value) => Ok(Some(value)),
            Some(value) => {
                let value = value.map_or("less than nothing".to_owned(), show_size);
                let message = format!("`{key}` is {}; accepted: {accepted}", shown(&node, &value));
                Err(self.blame.error(&key, message))
            }
        }
    }

    /// A length of time.
    pub(super) fn span(
        &mut self,
        name: &str,
        bounds: RangeInclusive<Span>,
    ) -> Result<Option<Span>, BackupError> {
        let Some((key, node)) = self.take(name) else {
            return Ok(None);
        };
        let accepted = format!("{} to {}", bounds.start(), bounds.end());
        let value = match &node {
            Node::Text(text, _) => text.parse::<Span>().ok(),
            _ => None,
        };
        match value {
            None => Err(self
                .blame
                .wrong(&key, &node, format!("{accepted}, as {}", Span::FORM))),
            Some(value) if bounds.contains(&value) => Ok(Some(value)),
            Some(value) => {
                let shown = shown(&node, &value.to_string());
                let message = format!("`{key}` is {shown}; accepted: {accepted}");
                Err(self.blame.error(&key, message))
            }
        }
    }

    /// Text without spaces, or several such: in a list, or with spaces between.
    pub(super) fn text_or_texts(&mut self, name: &str) -> Result<Option<Vec<String>>, BackupError> {
        let mut entries = self.entries.iter();
        let is_list = entries.any(|(key, node)| key == name && matches!(node, Node::List(_)));
        if is_list {
            return self.texts(name, |_| Ok(()));
        }
        let text = self.text(name)?;
        Ok(text.map(|text| text.split_whitespace().map(str::to_owned).collect()))
    }

    /// A list of text that `check` accepts. A variable holds it with commas between.
    pub(super) fn texts(
        &mut self,
        name: &str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Result<Option<Vec<String>>, BackupError> {
        let (key, nodes) = match self.take(name) {
            None => return Ok(None),
            Some((key, Node::List(nodes))) => (key, nodes),
            Some((key, node)) => match from_outside(&node) {
                Some(text) => {
                    let parts = text
                        .split(',')
                        .map(str::trim)
                        .filter(|part| !part.is_empty());
                    let node = |part: &str| Node::Text(part.to_owned(), Origin::Variable);
                    let nodes = parts.map(node).collect();
                    return self.checked(&key, nodes, |_| key.clone(), check).map(Some);
                }
                None => return Err(self.blame.wrong(&key, &node, "a list of text")),
            },
        };
        self.checked(&key, nodes, |index| key.index(index), check)
            .map(Some)
    }

    fn checked(
        &self,
        key: &KeyPath,
        nodes: Vec<Node>,
        key_of: impl Fn(usize) -> KeyPath,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Result<Vec<String>, BackupError> {
        let mut texts = Vec::new();
        for (index, node) in nodes.into_iter().enumerate() {
            let text = text_of(self.blame, &key_of(index), node)?;
            check(&text).map_err(|message| {
                self.blame.error(
                    &key_of(index),
                    format!("`{}` isn't usable: {message}", key.index(index)),
                )
            })?;
            texts.push(text);
        }
        Ok(texts)
    }

    pub(super) fn table(
        &mut self,
        name: &str,
        known: &Known,
    ) -> Result<Option<Table<'a>>, BackupError> {
        match self.take(name) {
            None => Ok(None),
            Some((key, node)) => Table::open(self.blame, key, node, known).map(Some),
        }
    }

    /// A table that needs not be there.
    pub(super) fn table_or_empty(
        &mut self,
        name: &str,
        known: &Known,
    ) -> Result<Table<'a>, BackupError> {
        let (key, node) = self
            .take(name)
            .unwrap_or_else(|| (self.key.join(name), Node::Null));
        Table::open(self.blame, key, node, known)
    }

    /// A list of values of any kind.
    pub(super) fn list(&mut self, name: &str) -> Result<Option<Vec<(KeyPath, Node)>>, BackupError> {
        match self.take(name) {
            None => Ok(None),
            Some((key, Node::List(nodes))) => {
                let nodes = nodes.into_iter().enumerate();
                Ok(Some(
                    nodes
                        .map(|(index, node)| (key.index(index), node))
                        .collect(),
                ))
            }
            Some((key, node)) => Err(self.blame.wrong(&key, &node, "a list")),
        }
    }

    /// A table whose keys are names that the user chose.
    pub(super) fn tables(
        &mut self,
        name: &str,
    ) -> Result<Vec<(KeyPath, String, Node)>, BackupError> {
        let Some((key, node)) = self.take(name) else {
            return Ok(Vec::new());
        };
        let entries = entries_of(self.blame, &key, node)?;
        let with_key = |(name, node): (String, Node)| (key.join(&name), name, node);
        Ok(entries.into_iter().map(with_key).collect())
    }

    /// Values under names that the user chose.
    pub(super) fn values(&mut self, name: &str) -> Result<Map<String, Value>, BackupError> {
        let mut values = Map::new();
        for (key, name, node) in self.tables(name)? {
            values.insert(name, value_of(self.blame, &key, node)?);
        }
        Ok(values)
    }

    /// A value of any type.
    pub(super) fn take(&mut self, name: &str) -> Option<(KeyPath, Node)> {
        let index = self.entries.iter().position(|(entry, _)| entry == name)?;
        let (_, node) = self.entries.remove(index);
        Some((self.key.join(name), node))
    }
}

/// Refuses the first key that isn't known, with where it might belong.
pub(super) fn check_known<'n>(
    blame: &Blame,
    table: &KeyPath,
    names: impl Iterator<Item = &'n String>,
    known: &Known,
) -> Result<(), BackupError> {
    let is_known = |name: &str| known.keys.contains(&name);
    let Some(name) = names.into_iter().find(|name| !is_known(name)) else {
        return Ok(());
    };
    let key = table.join(name);
    let accepted = known.keys.join(", ");
    let error = blame.error(
        &key,
        format!("unknown key `{key}`; accepted here: {accepted}"),
    );
    let hinted: Vec<&str> = known.hints.iter().map(|(hinted, _)| *hinted).collect();
    let elsewhere = SECTIONS
        .iter()
        .find(|(_, keys)| keys.contains(&name.as_str()));
    Err(
        match (nearest(name, known.keys), nearest(name, &hinted), elsewhere) {
            (Some(key), ..) => error.suggest(format!("did you mean `{key}`?")),
            (None, Some(hinted), _) => {
                let hint = known.hints.iter().find(|(key, _)| *key == hinted);
                error.suggest(hint.map_or("", |(_, hint)| hint))
            }
            (None, None, Some((section, _))) => {
                error.suggest(format!("`{name}` belongs to `{section}`"))
            }
            _ => error,
        },
    )
}

fn entries_of(
    blame: &Blame,
    key: &KeyPath,
    node: Node,
) -> Result<Vec<(String, Node)>, BackupError> {
    match node {
        Node::Table(entries) => Ok(entries),
        Node::Null => Ok(Vec::new()),
        node => Err(blame.wrong(key, &node, "a table")),
    }
}

fn text_of(blame: &Blame, key: &KeyPath, node: Node) -> Result<String, BackupError> {
    let Node::Text(text, _) = node else {
        let accepted = match node {
            Node::Integer(_) | Node::Float | Node::Boolean(_) => "text (put it in quotes)",
            _ => "text",
        };
        return Err(blame.wrong(key, &node, accepted));
    };
    check_text(&text).map_err(|message| blame.error(key, format!("`{key}` {message}")))?;
    Ok(text)
}

/// Text that came from the environment, where everything is text: it is read as what the key wants.
fn from_outside(node: &Node) -> Option<&str> {
    match node {
        Node::Text(text, Origin::Variable | Origin::Interpolated) => Some(text),
        _ => None,
    }
}

/// A value that isn't accepted, unless it may be a secret.
fn shown(node: &Node, value: &str) -> String {
    match node {
        Node::Text(_, Origin::Interpolated) => "out of bounds".to_owned(),
        _ => value.to_owned(),
    }
}
