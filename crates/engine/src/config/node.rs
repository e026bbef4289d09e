//! A parsed configuration before it has types: a tree of values that remember whether they were written as text, and
//! the paths that lead to them.

use std::fmt;

use config::{Map, Value, ValueKind};

/// Where a value stands: the names of the tables around it and its own, or `[n]` within a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct KeyPath(Vec<String>);

/// A value of any type.
#[derive(Clone, PartialEq)]
pub(super) enum Node {
    /// `null`, or a key without a value in YAML.
    Null,
    Boolean(bool),
    Integer(i128),
    Float,
    Text(String, Origin),
    List(Vec<Node>),
    /// In the order of the file.
    Table(Vec<(String, Node)>),
}

/// How a text came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Written in the file.
    File,
    /// Written in the file with `${NAME}` in it. It may hold a secret wherever it stands.
    Interpolated,
    /// The value of a variable that replaces a setting.
    Variable,
}

impl KeyPath {
    pub(super) fn join(&self, name: &str) -> KeyPath {
        let mut names = self.0.clone();
        names.push(name.to_owned());
        KeyPath(names)
    }

    pub(super) fn index(&self, index: usize) -> KeyPath {
        self.join(&format!("[{index}]"))
    }

    pub(super) fn is_above(&self, other: &KeyPath) -> bool {
        other.0.len() > self.0.len() && other.0.starts_with(&self.0)
    }
}

impl<const N: usize> From<[&str; N]> for KeyPath {
    fn from(names: [&str; N]) -> Self {
        KeyPath(names.map(str::to_owned).to_vec())
    }
}

impl FromIterator<String> for KeyPath {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        KeyPath(names.into_iter().collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_bare = |c: char| c.is_ascii_alphanumeric() || "_-[]".contains(c);
        for (index, name) in self.0.iter().enumerate() {
            if index > 0 && !name.starts_with('[') {
                f.write_str(".")?;
            }
            if !name.is_empty() && name.chars().all(is_bare) {
                f.write_str(name)?;
            } else {
                write!(f, "{name:?}")?;
            }
        }
        Ok(())
    }
}

impl Node {
    /// The tree of a table; `origin` says how the text at a path came to be.
    pub(super) fn from_table(
        table: Map<String, Value>,
        origin: &dyn Fn(&KeyPath) -> Origin,
    ) -> Node {
        Self::build(ValueKind::Table(table), &KeyPath::default(), origin)
    }

    fn build(kind: ValueKind, key: &KeyPath, origin: &dyn Fn(&KeyPath) -> Origin) -> Node {
        match kind {
            ValueKind::Nil => Node::Null,
            ValueKind::Boolean(value) => Node::Boolean(value),
            ValueKind::I64(value) => Node::Integer(value.into()),
            ValueKind::I128(value) => Node::Integer(value),
            ValueKind::U64(value) => Node::Integer(value.into()),
            ValueKind::U128(value) => Node::Integer(value.try_into().unwrap_or(i128::MAX)),
            ValueKind::Float(_) => Node::Float,
            ValueKind::String(text) => Node::Text(text, origin(key)),
            ValueKind::Array(values) => {
                let build = |(index, value): (usize, Value)| {
                    Self::build(value.kind, &key.index(index), origin)
                };
                Node::List(values.into_iter().enumerate().map(build).collect())
            }
            ValueKind::Table(table) => {
                let build = |(name, value): (String, Value)| {
                    let node = Self::build(value.kind, &key.join(&name), origin);
                    (name, node)
                };
                Node::Table(table.into_iter().map(build).collect())
            }
        }
    }

    /// Its type, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Node::Null => "null",
            Node::Boolean(_) => "a boolean",
            Node::Integer(_) => "an integer",
            Node::Float => "a number with a fraction",
            Node::Text(..) => "text",
            Node::List(_) => "a list",
            Node::Table(_) => "a table",
        }
    }
}
