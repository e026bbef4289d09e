//! Behaviours: how the cells of a record spread over the metadata and the body of its object.
//!
//! Headers hold 2 KB, so each behaviour has its own way with larger records. The limit is 2047 bytes less what s3db.js
//! reserves for the version and the timestamps, counted on cells before they are made fit for headers.

use std::collections::{HashMap, HashSet};

use super::cell::Cell;
use super::javascript::{json_text, object_order};
use super::schema::Version;

const LIMIT: usize = 2047;
/// What s3db.js reserves for `createdAt`, `updatedAt` and their values.
const TIMESTAMPS: usize = 66;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Behavior {
    UserManaged,
    EnforceLimits,
    TruncateData,
    BodyOverflow,
    BodyOnly,
    Unknown(String),
}

/// Cells where they go.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) metadata: Vec<(String, Cell)>,
    pub(super) body: Option<String>,
}

impl Behavior {
    pub(super) fn named(name: &str) -> Self {
        match name {
            "user-managed" => Self::UserManaged,
            "enforce-limits" => Self::EnforceLimits,
            "truncate-data" => Self::TruncateData,
            "body-overflow" => Self::BodyOverflow,
            "body-only" => Self::BodyOnly,
            other => Self::Unknown(other.to_owned()),
        }
    }

    /// Whether the body may hold cells when the metadata does too.
    pub(super) fn reads_both(&self) -> bool {
        matches!(self, Self::BodyOverflow | Self::BodyOnly)
    }

    /// Whether a metadata key is this behaviour's own and follows from the cells.
    pub(super) fn derives(&self, key: &str) -> bool {
        key == "_v" || (key == "_overflow" && *self == Self::BodyOverflow)
    }
}

/// Spreads the cells of a record, `_v` first among them, as an insert does.
pub(super) fn lay_out(version: &Version, cells: Vec<(String, Cell)>) -> Layout {
    let reserved =
        "_v".len() + version.name.len() + if version.timestamps { TIMESTAMPS } else { 0 };
    let limit = LIMIT.saturating_sub(reserved);
    match version.behavior {
        Behavior::BodyOnly => {
            let metadata = cells
                .iter()
                .filter(|(key, _)| key == "_v")
                .cloned()
                .collect();
            Layout {
                metadata,
                body: Some(body_text(&cells)),
            }
        }
        Behavior::BodyOverflow => overflow(limit, cells),
        Behavior::UserManaged if total(&cells) > limit => {
            let metadata = cells
                .iter()
                .filter(|(key, _)| key == "_v")
                .cloned()
                .collect();
            Layout {
                metadata,
                body: Some(body_text(&cells)),
            }
        }
        _ => Layout {
            metadata: cells,
            body: None,
        },
    }
}

/// Puts the cells with these keys, in their order, into the body, and the others into the metadata.
pub(super) fn lay_out_in_body(
    version: &Version,
    keys: &[String],
    cells: Vec<(String, Cell)>,
) -> Layout {
    let mut by_key: HashMap<&str, &Cell> = HashMap::new();
    by_key.extend(cells.iter().map(|(key, cell)| (key.as_str(), cell)));
    let in_body = keys
        .iter()
        .filter_map(|key| Some((key.clone(), by_key.get(key.as_str())?.to_body()?)));
    let body = json_text(&serde_json::Value::Object(in_body.collect()));
    let in_body: HashSet<&String> = keys.iter().collect();
    let mut metadata = cells;
    metadata.retain(|(key, _)| key == "_v" || !in_body.contains(key));
    if version.behavior == Behavior::BodyOverflow && !keys.is_empty() {
        metadata.push(overflow_mark());
    }
    Layout {
        metadata,
        body: (!keys.is_empty()).then_some(body),
    }
}

fn overflow_mark() -> (String, Cell) {
    ("_overflow".to_owned(), Cell::Text("true".to_owned()))
}

fn total(cells: &[(String, Cell)]) -> usize {
    cells
        .iter()
        .map(|(key, cell)| key.len() + cell.size())
        .sum()
}

/// Smallest first while the values fit; from the first that doesn't, all go to the body.
fn overflow(limit: usize, mut cells: Vec<(String, Cell)>) -> Layout {
    object_order(&mut cells);
    cells.sort_by_key(|(key, cell)| (key != "_v", cell.size()));
    let mut filled = 0;
    let fitting = cells
        .iter()
        .take_while(|(_, cell)| {
            filled += cell.size();
            filled <= limit
        })
        .count();
    let rest = cells.split_off(fitting);
    if rest.is_empty() {
        return Layout {
            metadata: cells,
            body: None,
        };
    }
    cells.push(overflow_mark());
    Layout {
        metadata: cells,
        body: Some(body_text(&rest)),
    }
}

fn body_text(cells: &[(String, Cell)]) -> String {
    let mut entries: Vec<_> = cells
        .iter()
        .filter_map(|(key, cell)| Some((key.clone(), cell.to_body()?)))
        .collect();
    object_order(&mut entries);
    json_text(&serde_json::Value::Object(entries.into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn version(behavior: &str, timestamps: bool) -> Version {
        Version::new("v1", behavior, timestamps, Map::new(), Map::new())
    }

    fn cells(sizes: &[(&str, usize)]) -> Vec<(String, Cell)> {
        let own = ("_v".to_owned(), Cell::Text("v1".to_owned()));
        let others = sizes
            .iter()
            .map(|(key, size)| ((*key).to_owned(), Cell::Text("x".repeat(*size))));
        std::iter::once(own).chain(others).collect()
    }

    fn keys(layout: &Layout) -> Vec<&str> {
        layout
            .metadata
            .iter()
            .map(|(key, _)| key.as_str())
            .collect()
    }

    #[test]
    fn user_managed_moves_all_cells() {
        // 2 + 2 for _v, 1 for the name, so 2038 still fits in 2043.
        let fits = lay_out(&version("user-managed", false), cells(&[("0", 2038)]));
        assert_eq!(keys(&fits), ["_v", "0"]);
        assert_eq!(fits.body, None);
        let large = lay_out(
            &version("user-managed", false),
            cells(&[("a", 1), ("0", 2037)]),
        );
        assert_eq!(keys(&large), ["_v"]);
        assert!(large.body.unwrap().starts_with("{\"0\":\"xx"));
        assert!(
            lay_out(&version("user-managed", true), cells(&[("0", 2038)]))
                .body
                .is_some()
        );
    }

    #[test]
    fn overflow_moves_the_largest() {
        // Names don't count here: 2 for v1, so 2041 fits.
        assert!(
            lay_out(&version("body-overflow", false), cells(&[("0", 2041)]))
                .body
                .is_none()
        );
        let large = lay_out(&version("body-overflow", false), cells(&[("0", 2042)]));
        assert_eq!(keys(&large), ["_v", "_overflow"]);
        let mixed = lay_out(
            &version("body-overflow", false),
            cells(&[("b", 900), ("a", 900), ("0", 900), ("1", 3)]),
        );
        assert_eq!(keys(&mixed), ["_v", "1", "0", "b", "_overflow"]);
        assert!(mixed.body.unwrap().starts_with("{\"a\":"));
    }

    #[test]
    fn body_only_has_everything_in_the_body() {
        let mut cells = cells(&[("b", 1), ("a", 1), ("10", 1), ("9", 1)]);
        cells.push(("c".to_owned(), Cell::Undefined));
        let layout = lay_out(&version("body-only", false), cells);
        assert_eq!(
            layout.body.as_deref(),
            Some("{\"9\":\"x\",\"10\":\"x\",\"_v\":\"v1\",\"b\":\"x\",\"a\":\"x\"}")
        );
    }
}
