//! `${NAME}` within strings of the file: the value of an environment variable. `$${` is a literal `${`.
//!
//! Done after parsing, and once: what a variable holds is never read as syntax, nor searched for `${` again. Keys, and
//! the values of variables that replace settings, are taken as they are.

use teeline_core::BackupError;

use super::blame::Blame;
use super::node::{KeyPath, Node, Origin};

type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

pub(super) fn interpolate(
    root: &mut Node,
    blame: &Blame,
    environment: Environment<'_>,
) -> Result<(), BackupError> {
    visit(root, &KeyPath::default(), blame, environment)
}

fn visit(
    node: &mut Node,
    key: &KeyPath,
    blame: &Blame,
    environment: Environment<'_>,
) -> Result<(), BackupError> {
    match node {
        Node::Text(text, Origin::File) if text.contains("${") => {
            let (filled, origin) =
                fill(text, environment).map_err(|problem| problem.at(key, blame))?;
            *node = Node::Text(filled, origin);
            Ok(())
        }
        Node::List(nodes) => {
            let mut nodes = nodes.iter_mut().enumerate();
            nodes.try_for_each(|(index, node)| visit(node, &key.index(index), blame, environment))
        }
        Node::Table(entries) => entries
            .iter_mut()
            .try_for_each(|(name, node)| visit(node, &key.join(name), blame, environment)),
        _ => Ok(()),
    }
}

enum Problem {
    Form,
    Unset(String),
}

impl Problem {
    fn at(self, key: &KeyPath, blame: &Blame) -> BackupError {
        match self {
            Problem::Form => {
                let message = format!("`{key}` holds a `${{` without a name and a `}}` after it");
                blame
                    .error(key, message)
                    .suggest("write ${NAME} for the value of a variable, and $${ for ${ itself")
            }
            Problem::Unset(name) => {
                let message = format!("`{key}` needs the variable {name}, which isn't set");
                blame.error(key, message).suggest(format!("set {name}"))
            }
        }
    }
}

fn fill(text: &str, environment: Environment<'_>) -> Result<(String, Origin), Problem> {
    let mut filled = String::new();
    let mut origin = Origin::File;
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            filled.push_str(before);
            filled.push_str("${");
            rest = after;
            continue;
        }
        let (name, after) = after.split_once('}').ok_or(Problem::Form)?;
        if !is_variable_name(name) {
            return Err(Problem::Form);
        }
        filled.push_str(before);
        filled.push_str(&environment(name).ok_or_else(|| Problem::Unset(name.to_owned()))?);
        origin = Origin::Interpolated;
        rest = after;
    }
    filled.push_str(rest);
    Ok((filled, origin))
}

/// Whether every shell can set a variable of this name.
pub(super) fn is_variable_name(name: &str) -> bool {
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins_well && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
