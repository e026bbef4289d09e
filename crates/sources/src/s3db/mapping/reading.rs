//! The first half of decoding: an object's cells, put into a document.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value};

use super::super::javascript::array_index;
use super::super::json_object::{self, Members};
use super::copy::Copied;
use super::{
    BYTES, Behavior, Cell, Extras, Inexact, JSON, Keys, Kind, MEMBER, RawObject, Resource, Version,
    absent_by_default, copy, put,
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
    /// Whether the key is the attribute's name, rather than a number that stands for it.
    named: bool,
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

    let members = json_object::parse(&object.body);
    let in_body = members.as_ref().map(Members::as_map);
    let mut keys = Keys::new(
        resource,
        version,
        &object.metadata,
        in_body,
        BTreeMap::new(),
    );
    let mut cells = read.take_metadata(version, object, &keys);
    let in_metadata = !cells.is_empty() || object.metadata.contains_key("");
    let mut copied = Copied::default();
    let mut from_body = false;
    match members {
        _ if object.body.is_empty() => {}
        Some(members) if !has_content(version, object, &members) => {
            if in_metadata && !version.behavior.reads_both() {
                copied = read.take_copy(object, members, &keys);
                cells.retain(|cell| !copied.headers.contains(&cell.key));
            } else {
                from_body = true;
                read.take_body(&mut cells, members, &keys);
                order_by_body(&mut cells);
            }
        }
        _ => read.extras.body = Some(object.body.clone()),
    }
    read.set_former_apart(object, &keys, &mut cells);
    for cell in &cells {
        keys.note(&cell.path, (!cell.named).then_some(cell.key.as_str()));
    }
    let undefined = read.fill(&keys, cells);
    read.hold_undefined(&undefined);
    for (path, value) in copied.values {
        put(&mut read.document, &path, value, |_| false);
    }
    read.extras.keys = keys.exceptions;
    // A body leaves undefined cells out, so there it can't be told which there were.
    if !from_body || version.behavior == Behavior::BodyOverflow {
        read.note_undefined(version, undefined);
    }
    read.note_content_type(object);
    read
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
    fn take_metadata(&mut self, version: &Version, object: &RawObject, keys: &Keys) -> Vec<Stored> {
        let mut cells = Vec::new();
        for (key, header) in &object.metadata {
            let path = match keys.path(key) {
                Some(path) => path,
                None if version.behavior.derives(key) => continue,
                None if key == "_map" && version.behavior == Behavior::BodyOnly => {
                    if Cell::from_header(header) != Cell::Text(version.map.clone()) {
                        self.extras.metadata.insert(key.clone(), header.clone());
                    }
                    continue;
                }
                None if self.is_bookkeeping(key, || Cell::from_header(header)) => {
                    self.extras.metadata.insert(key.clone(), header.clone());
                    continue;
                }
                None => key,
            };
            cells.push(Stored {
                key: key.clone(),
                path: path.to_owned(),
                named: keys.path(key).is_none(),
                cell: Cell::from_header(header),
                from_body: false,
            });
        }
        cells.sort_by_cached_key(|cell| attribute_number(&cell.key, !cell.named));
        cells
    }

    /// Whether a key that isn't an attribute's is none of the document either: what s3db.js keeps for itself, the empty
    /// name that it gives a record without attributes, or the id, which patches store once more.
    fn is_bookkeeping(&self, key: &str, cell: impl FnOnce() -> Cell) -> bool {
        let is_id = |cell| matches!(cell, Cell::Text(text) if self.document["id"] == text);
        // A name with a dot is one within an attribute that has no number.
        let is_own = key.starts_with('_') && (!key.contains('.') || top(key) == MEMBER);
        key.is_empty() || is_own || key == "id" && is_id(cell())
    }

    /// Keeps a body that copies the document.
    fn take_copy(&mut self, object: &RawObject, members: Members, keys: &Keys) -> Copied {
        self.extras.body = Some(object.body.clone());
        match members {
            Members::Exact(members) => copy::select(keys, &object.metadata, members),
            Members::Replaced(_) => Copied::default(),
        }
    }

    /// The cells of a body. One that is in the metadata too is taken from there.
    fn take_body(&mut self, cells: &mut Vec<Stored>, members: Members, keys: &Keys) {
        if matches!(members, Members::Replaced(_)) {
            self.report(Inexact::Surrogate);
        }
        let known: HashSet<String> = cells.iter().map(|cell| cell.key.clone()).collect();
        for (key, value) in members.into_map() {
            if key == "_v" || known.contains(&key) {
                continue;
            }
            let path = match keys.path(&key) {
                Some(path) => path.to_owned(),
                None if self.is_bookkeeping(&key, || Cell::from_body(value.clone())) => {
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
                named: keys.path(&key).is_none(),
                key,
                path,
                cell: Cell::from_body(value),
                from_body: true,
            });
        }
    }

    /// Leaves one cell for each attribute, and none within another. What updates carried over from before a change of the
    /// schema is no part of the document then.
    fn set_former_apart(&mut self, object: &RawObject, keys: &Keys, cells: &mut Vec<Stored>) {
        let yielding = yielding(cells, keys);
        self.retain(object, cells, |cell| !yielding.contains(&cell.key));
        let paths: HashSet<&str> = cells.iter().map(|cell| cell.path.as_str()).collect();
        if paths.len() == cells.len() {
            return;
        }
        let mut chosen: HashMap<String, String> = HashMap::new();
        for cell in cells.iter() {
            if !chosen.contains_key(&cell.path) || keys.is_current(&cell.path, &cell.key) {
                chosen.insert(cell.path.clone(), cell.key.clone());
            }
        }
        self.retain(object, cells, |cell| chosen[&cell.path] == cell.key);
    }

    fn retain(
        &mut self,
        object: &RawObject,
        cells: &mut Vec<Stored>,
        stays: impl Fn(&Stored) -> bool,
    ) {
        cells.retain(|cell| {
            let stays = stays(cell);
            if !stays {
                self.set_apart(object, cell);
            }
            stays
        });
    }

    /// Notes a cell as none of the document's.
    fn set_apart(&mut self, object: &RawObject, cell: &Stored) {
        let key = cell.key.clone();
        if cell.from_body {
            let value = cell.cell.to_body().unwrap_or_default();
            self.extras.cells.insert(key, value);
        } else if let Some(header) = object.metadata.get(&cell.key) {
            self.extras.metadata.insert(key, header.clone());
        }
    }

    /// Puts the cells into the document; gives the attributes that are stored as undefined.
    fn fill(&mut self, keys: &Keys, cells: Vec<Stored>) -> HashSet<String> {
        let mut undefined = HashSet::new();
        for Stored {
            key,
            path,
            cell,
            from_body,
            ..
        } in cells
        {
            let kind = keys.kind(&path);
            let name = top(&path);
            if matches!(name, "id" | MEMBER) {
                self.report(Inexact::Reserved(path));
                continue;
            }
            // The text "undefined" is stored the same way, but s3db.js too reads it as an absent attribute.
            if cell == Cell::Undefined {
                undefined.insert(path);
                continue;
            }
            let value = kind.decode(&cell, from_body);
            // What an update carried over may have no text in the type that the attribute has now.
            if !matches!(cell, Cell::Text(_) | Cell::Null) && kind.encode(&value).is_err() {
                let stored = cell.to_body().map(|stored| (key, stored));
                self.extras.cells.extend(stored);
            }
            let is_array = |path: &str| keys.kind(path) == Kind::Bytes;
            if !put(&mut self.document, &path, value, is_array) {
                self.report(Inexact::Conflict(path));
            }
        }
        undefined
    }

    /// An object is there even where all of its attributes are undefined.
    fn hold_undefined(&mut self, undefined: &HashSet<String>) {
        let parents = undefined.iter().filter_map(|path| path.rsplit_once('.'));
        let mut parents: Vec<_> = parents.map(|(parent, _)| parent).collect();
        parents.sort_unstable();
        for parent in parents {
            put(
                &mut self.document,
                parent,
                Value::Object(Map::new()),
                |_| false,
            );
        }
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

/// Whether a body of JSON is content rather than cells, which s3db.js marks in the metadata, or in the body itself.
fn has_content(version: &Version, object: &RawObject, members: &Members) -> bool {
    let header = |key: &str| object.metadata.get(key).map(String::as_str);
    let is_json = object.content_type.as_deref() == Some(JSON);
    let has_cells = match version.behavior {
        Behavior::BodyOverflow => header("_overflow").is_some(),
        Behavior::BodyOnly => members.as_map().contains_key("_v"),
        _ => is_json,
    };
    header("_hascontent") == Some("true") && !(is_json && has_cells)
}

/// The keys of cells that updates carried over, and that have others within them, or are within others.
fn yielding(cells: &[Stored], keys: &Keys) -> HashSet<String> {
    let mut yielding = HashSet::new();
    if !cells.iter().any(|cell| cell.path.contains('.')) {
        return yielding;
    }
    let valued = || cells.iter().filter(|cell| cell.cell != Cell::Undefined);
    let by_path: HashMap<&str, &Stored> = valued().map(|cell| (&*cell.path, cell)).collect();
    let is_carried_over = |cell: &Stored| cell.named || keys.is_carried_over(&cell.path, &cell.key);
    let holds_items = |path: &str| keys.kind(path) == Kind::Bytes;
    let is_point = |path: &str| matches!(keys.kind(path), Kind::Point { .. });
    for inner in valued() {
        let ends = inner.path.match_indices('.');
        let outers = ends.map(|(end, _)| &inner.path[..end]);
        let is_item_of = |outer: &str| {
            let step = inner
                .path
                .strip_prefix(outer)
                .and_then(|path| path.strip_prefix('.'));
            inner.named && step.is_some_and(|step| array_index(step).is_some())
        };
        let is_former_item = outers
            .clone()
            .any(|outer| holds_items(outer) && !is_item_of(outer));
        if is_former_item || outers.clone().any(is_point) {
            yielding.insert(inner.key.clone());
        }
        let outers = outers.filter_map(|path| by_path.get(path).copied());
        for outer in outers {
            let first = match holds_items(&outer.path) || is_carried_over(outer) {
                true => Some(outer),
                false => Some(inner).filter(|inner| is_carried_over(inner)),
            };
            yielding.extend(first.map(|cell| cell.key.clone()));
        }
    }
    yielding
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
