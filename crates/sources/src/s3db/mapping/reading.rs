//! The first half of decoding: an object's cells, put into a document.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::super::javascript::array_index;
use super::{
    BYTES, Behavior, Cell, Extras, HashMap, Inexact, JSON, Kind, MEMBER, RawObject, Resource,
    Version, absent_by_default, put,
};

/// What an object was read as. It may still encode to another object.
pub(super) struct Read {
    pub(super) document: Map<String, Value>,
    pub(super) extras: Extras,
    pub(super) problem: Option<Inexact>,
}

struct Stored {
    key: String,
    path: String,
    cell: Cell,
    from_body: bool,
}

pub(super) fn read(resource: &Resource, id: &str, object: &RawObject) -> Read {
    let mut document = Map::new();
    document.insert("id".to_owned(), id.into());
    let mut read = Read {
        document,
        extras: Extras::default(),
        problem: None,
    };
    let Some(version) = read.find_version(resource, object) else {
        return read;
    };

    let own_paths = object.metadata.get("_map").and_then(|map| stored_map(map));
    let path_of = |key: &str| {
        let own = own_paths
            .as_ref()
            .and_then(|paths| paths.get(key))
            .map(String::as_str);
        own.or_else(|| resource.path_of(key)).map(str::to_owned)
    };
    let mut cells = read.take_metadata(version, object, &path_of);
    let in_metadata = !cells.is_empty();
    let members = read.parse_body(object);
    match members {
        Some(_) if in_metadata && !version.behavior.reads_both() => {
            read.extras.body = String::from_utf8(object.body.to_vec()).ok();
        }
        Some(members) => read.take_body(&mut cells, members, &path_of),
        None => {}
    }
    let from_body = cells.iter().any(|cell| cell.from_body);
    if from_body {
        order_by_body(&mut cells);
    }
    let undefined = read.fill(resource, version, cells);
    // A body leaves undefined cells out, so there it can't be told which there were.
    if !from_body || version.behavior == Behavior::BodyOverflow {
        read.note_undefined(version, undefined);
    }
    read.note_content_type(object);
    read
}

/// The attribute map that a body-only record carries: key to attribute.
pub(super) fn stored_map(header: &str) -> Option<HashMap<String, String>> {
    let Cell::Text(text) = Cell::from_header(header) else {
        return None;
    };
    let map: HashMap<String, String> = serde_json::from_str(&text).ok()?;
    Some(map.into_iter().map(|(path, key)| (key, path)).collect())
}

impl Read {
    fn report(&mut self, problem: Inexact) {
        self.problem.get_or_insert(problem);
    }

    /// The version that wrote the record; the current one for reading only, where that isn't known.
    fn find_version<'a>(
        &mut self,
        resource: &'a Resource,
        object: &RawObject,
    ) -> Option<&'a Version> {
        let name = match object
            .metadata
            .get("_v")
            .map(|header| Cell::from_header(header))
        {
            Some(Cell::Text(name)) => Some(name),
            _ => None,
        };
        let found = name.as_deref().and_then(|name| resource.version(name));
        match (&name, found) {
            (Some(name), Some(_)) if *name != resource.current_version => {
                self.extras.version = Some(name.clone());
            }
            (_, Some(_)) => {}
            (_, None) => self.report(Inexact::Version(name)),
        }
        found.or_else(|| resource.version(&resource.current_version))
    }

    /// The cells of the metadata, by attribute number. Keys that start with `_` and aren't attributes are bookkeeping.
    fn take_metadata(
        &mut self,
        version: &Version,
        object: &RawObject,
        path_of: &impl Fn(&str) -> Option<String>,
    ) -> Vec<Stored> {
        let mut cells = Vec::new();
        for (key, header) in &object.metadata {
            let path = match path_of(key) {
                Some(path) => path,
                None if version.behavior.derives(key) => continue,
                None if key == "_map" && version.behavior == Behavior::BodyOnly => {
                    if Cell::from_header(header) != Cell::Text(version.map.clone()) {
                        self.extras.metadata.insert(key.clone(), header.clone());
                    }
                    continue;
                }
                None if key.starts_with('_') => {
                    self.extras.metadata.insert(key.clone(), header.clone());
                    continue;
                }
                None => key.clone(),
            };
            cells.push(Stored {
                key: key.clone(),
                path,
                cell: Cell::from_header(header),
                from_body: false,
            });
        }
        cells.sort_by_cached_key(|cell| attribute_number(&cell.key, path_of(&cell.key).is_some()));
        cells
    }

    fn parse_body(&mut self, object: &RawObject) -> Option<Map<String, Value>> {
        if object.body.is_empty() {
            return None;
        }
        let members = serde_json::from_slice(&object.body).ok();
        if members.is_none() {
            self.report(Inexact::Content);
        }
        members
    }

    /// The cells of a body. One that is in the metadata too is taken from there.
    fn take_body(
        &mut self,
        cells: &mut Vec<Stored>,
        members: Map<String, Value>,
        path_of: &impl Fn(&str) -> Option<String>,
    ) {
        let known: HashSet<String> = cells.iter().map(|cell| cell.key.clone()).collect();
        for (key, value) in members {
            if key == "_v" || known.contains(&key) {
                continue;
            }
            let path = match path_of(&key) {
                Some(path) => path,
                None if key.starts_with('_') => {
                    self.extras.cells.insert(key, value);
                    continue;
                }
                None => key.clone(),
            };
            // Updates may add attributes behind the bookkeeping of the update before.
            if !self.extras.cells.is_empty() && array_index(&key).is_none() {
                self.extras
                    .before
                    .get_or_insert_with(|| top(&path).to_owned());
            }
            cells.push(Stored {
                key,
                path,
                cell: Cell::from_body(value),
                from_body: true,
            });
        }
    }

    /// Puts the cells into the document; gives the attributes that are stored as undefined.
    fn fill(
        &mut self,
        resource: &Resource,
        version: &Version,
        cells: Vec<Stored>,
    ) -> HashSet<String> {
        let mut undefined = HashSet::new();
        for Stored {
            path,
            cell,
            from_body,
            ..
        } in cells
        {
            let kind = resource.kind(version, &path);
            let name = top(&path);
            if matches!(name, "id" | MEMBER) {
                self.report(Inexact::Reserved(path));
                continue;
            }
            // The text "undefined" is stored the same way, and strings have no other reason to be.
            let text = matches!(kind, Kind::Text | Kind::Any) && !version.undefined.contains(&path);
            if cell == Cell::Undefined && !text {
                undefined.insert(path);
                continue;
            }
            let is_array = |name: &str| resource.kind(version, name) == Kind::Bytes;
            if !put(
                &mut self.document,
                &path,
                kind.decode(&cell, from_body),
                is_array,
            ) {
                self.report(Inexact::Conflict(path));
            }
        }
        undefined
    }

    fn note_undefined(&mut self, version: &Version, undefined: HashSet<String>) {
        let default: HashSet<String> = absent_by_default(version, &self.document)
            .cloned()
            .collect();
        if default != undefined {
            let mut paths: Vec<String> = undefined.into_iter().collect();
            paths.sort();
            self.extras.undefined = Some(paths);
        }
    }

    fn note_content_type(&mut self, object: &RawObject) {
        let usual = if object.body.is_empty() { BYTES } else { JSON };
        if object.content_type.as_deref() != Some(usual) {
            self.extras.content_type = Some(object.content_type.clone());
        }
    }
}

/// The member of the document that a path is in.
fn top(path: &str) -> &str {
    path.split('.').next().unwrap_or_default()
}

/// Sorts attributes by number, then those of plugins, then those without either.
fn attribute_number(key: &str, known: bool) -> (u8, u64, String) {
    match u64::from_str_radix(key, 36) {
        Ok(number) if known && !key.starts_with('p') => (0, number, String::new()),
        _ => (if known { 1 } else { 2 }, 0, key.to_owned()),
    }
}

/// A body keeps numeric keys in their own order, and the others in that of the document it was made from. So the
/// document has to have these others in their order; attributes with none of them may come first.
fn order_by_body(cells: &mut [Stored]) {
    let ordered = |cell: &Stored| cell.from_body && array_index(&cell.key).is_none();
    let name = |cell: &Stored| top(&cell.path).to_owned();
    let names: HashSet<String> = cells
        .iter()
        .filter(|cell| ordered(cell))
        .map(name)
        .collect();
    cells.sort_by_cached_key(|cell| match (names.contains(&name(cell)), ordered(cell)) {
        (false, _) => 0,
        (true, true) => 1,
        (true, false) => 2,
    });
}
