//! Values that are kept as they are, under names that the user chose.

use serde_json::Value;
use teeline_core::BackupError;

use super::blame::Blame;
use super::node::{KeyPath, Node};

/// A value as JSON has it.
pub(super) fn value_of(blame: &Blame, key: &KeyPath, node: Node) -> Result<Value, BackupError> {
    let accepted = "text, whole numbers of 64 bits, true, false, and lists and tables of these";
    match node {
        Node::Null => Ok(Value::Null),
        Node::Boolean(value) => Ok(value.into()),
        Node::Text(text, _) => Ok(text.into()),
        Node::Integer(value) => match i64::try_from(value) {
            Ok(value) => Ok(value.into()),
            Err(_) => Err(blame.wrong(key, &node, accepted)),
        },
        Node::Float => Err(blame.wrong(key, &node, accepted)),
        Node::List(nodes) => nodes
            .into_iter()
            .enumerate()
            .map(|(index, node)| value_of(blame, &key.index(index), node))
            .collect(),
        Node::Table(entries) => entries
            .into_iter()
            .map(|(name, node)| {
                let value = value_of(blame, &key.join(&name), node)?;
                Ok((name, value))
            })
            .collect(),
    }
}
