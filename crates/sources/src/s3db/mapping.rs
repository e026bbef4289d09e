//! The mapping of a stored object to a document, and of a document to the object.
//!
//! A document is the record as its users know it: `id` first, attributes by name, nested, in their types. Decoding is by
//! the version of the schema that wrote the record. The safety net is in [`decode`]: it encodes what it decoded and
//! compares, so a record that this mapping doesn't understand in full is found out and can be carried raw.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::behavior::{Behavior, Layout, lay_out, lay_out_in_body};
use super::cell::Cell;
use super::extras::{self, Extras, MEMBER};
use super::object::RawObject;
use super::path::{flatten, put};
use super::schema::{Resource, Version};
use super::types::Kind;

pub use problem::{Inexact, Unmappable};

use keys::Keys;
use repair::{note_places, note_values};

mod copy;
mod keys;
mod problem;
mod reading;
mod repair;

/// How deep a document may nest: readers of JSON lines give up at 128.
const DEPTH: usize = 100;
const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";

/// A record as a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// `id`, then whatever could be decoded; a member `_s3db` only where encoding needs it, and only if exact.
    pub document: Map<String, Value>,
    /// Whether encoding the document gives the object back exactly.
    pub exact: bool,
    /// Why not, where it doesn't.
    pub reason: Option<Inexact>,
}

/// Decodes a record. The document always has the id and whatever could be decoded.
#[must_use]
pub fn decode(resource: &Resource, id: &str, object: &RawObject) -> Decoded {
    let reading::Read {
        mut document,
        mut extras,
        problem,
    } = reading::read(resource, id, object);
    let reason = problem.or_else(|| settle(resource, &mut document, &mut extras, object).err());
    if reason.is_some() {
        // The document is only for reading now, but the line that it goes into has to be readable.
        document.retain(|name, value| name != MEMBER && is_shallow(value, 1));
    }
    Decoded {
        document,
        exact: reason.is_none(),
        reason,
    }
}

/// Notes in the extras whatever it takes for the document to give the object, and completes the document by them.
fn settle(
    resource: &Resource,
    document: &mut Map<String, Value>,
    extras: &mut Extras,
    object: &RawObject,
) -> Result<(), Inexact> {
    let mut encoded = encode_read(resource, document, extras)?;
    for note in [note_places, note_values] {
        if encoded == *object {
            return Ok(());
        }
        if note(extras, &encoded, object) {
            encoded = encode_read(resource, document, extras)?;
        }
    }
    (encoded == *object).then_some(()).ok_or(Inexact::Differs)
}

/// Completes a document by its extras, and encodes it as it will be read from its line.
fn encode_read(
    resource: &Resource,
    document: &mut Map<String, Value>,
    extras: &Extras,
) -> Result<RawObject, Inexact> {
    document.extend(extras.to_value().map(|member| (MEMBER.to_owned(), member)));
    let is_kept = |value| is_shallow(value, 1) && keeps_numbers(value);
    if !document.values().all(is_kept) {
        return Err(Inexact::Printing);
    }
    encode(resource, document).map_err(Inexact::Unmappable)
}

/// Encodes a document as the object that an insert stores, or that its member `_s3db` asks for.
///
/// # Errors
/// Where the document doesn't fit the schema.
pub fn encode(resource: &Resource, document: &Map<String, Value>) -> Result<RawObject, Unmappable> {
    let extras = Extras::of(document)?;
    let name = extras
        .version
        .as_deref()
        .unwrap_or(&resource.current_version);
    let version = resource
        .version(name)
        .ok_or_else(|| Unmappable::Version(name.to_owned()))?;
    if let Behavior::Unknown(name) = &version.behavior {
        return Err(Unmappable::Behavior(name.clone()));
    }
    let mut layout = lay_out_cells(
        version,
        &extras,
        cells(resource, version, document, &extras)?,
    );
    if version.behavior == Behavior::BodyOnly && !extras.metadata.contains_key("_map") {
        layout
            .metadata
            .push(("_map".to_owned(), Cell::Text(version.map.clone())));
    }
    object(layout, extras)
}

/// The line of a record: its document where that is exact, else with the object raw beside it.
#[must_use]
pub fn line(resource: &Resource, id: &str, object: &RawObject) -> Map<String, Value> {
    let decoded = decode(resource, id, object);
    if decoded.exact {
        decoded.document
    } else {
        raw_line(decoded.document, object)
    }
}

/// A line that carries the object itself; its document is only for reading.
#[must_use]
pub fn raw_line(mut document: Map<String, Value>, object: &RawObject) -> Map<String, Value> {
    document.shift_remove(MEMBER);
    document.insert(MEMBER.to_owned(), extras::raw_value(object));
    document
}

/// The object of a line: the raw one that it carries, else the one that its document encodes to.
///
/// # Errors
/// Where the raw object is damaged, or the document doesn't fit the schema.
pub fn restore_object(
    resource: &Resource,
    document: &Map<String, Value>,
) -> Result<RawObject, Unmappable> {
    match extras::raw_object(document)? {
        Some(object) => Ok(object),
        None => encode(resource, document),
    }
}

/// The cells of a document, in the order in which s3db.js has them.
fn cells(
    resource: &Resource,
    version: &Version,
    document: &Map<String, Value>,
    extras: &Extras,
) -> Result<Vec<(String, Cell)>, Unmappable> {
    let keys = Keys::new(
        resource,
        version,
        &extras.metadata,
        Some(&extras.cells),
        extras.keys.clone(),
    );
    let key = |path: &str| keys.key(path).unwrap_or(path).to_owned();
    let mut cells = vec![("_v".to_owned(), Cell::Text(version.name.clone()))];
    let absent = match &extras.undefined {
        Some(paths) => paths.iter().collect(),
        None => absent_by_default(version, document).collect::<Vec<_>>(),
    };
    cells.extend(absent.into_iter().map(|path| (key(path), Cell::Undefined)));
    let attributes = document
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "id" | MEMBER));
    let is_undefined = |path: &str| extras.undefined.iter().flatten().any(|other| other == path);
    let attributes = flatten(attributes, &|path| match is_undefined(path) {
        // What is stored as undefined is no value that could hold others.
        true => Kind::Any,
        false => keys.kind(path),
    });
    let of_attributes: HashSet<String> = match extras.cells.is_empty() {
        true => HashSet::new(),
        false => attributes.iter().map(|(path, ..)| key(path)).collect(),
    };
    let bookkeeping = extras.cells.iter();
    let mut bookkeeping = Some(
        bookkeeping
            .filter(|(key, _)| !of_attributes.contains(*key))
            .map(|(key, value)| (key.clone(), Cell::from_body(value.clone()))),
    );
    for (path, kind, value) in attributes {
        if is_emptied(&path, value, extras) {
            continue;
        }
        if extras.before.is_some() && extras.before.as_deref() == path.split('.').next() {
            cells.extend(bookkeeping.take().into_iter().flatten());
        }
        let key = key(&path);
        let cell = match extras.cells.get(&key) {
            Some(stored) => Cell::from_body(stored.clone()),
            None => kind
                .encode(value)
                .map_err(|_| Unmappable::Value(path.clone()))?,
        };
        cells.push((key, cell));
    }
    cells.extend(bookkeeping.into_iter().flatten());
    if !extras.absent.is_empty() {
        let is_absent = |key: &String| extras.absent.contains(key);
        cells.retain(|(key, _)| !is_absent(key) && !is_absent(&header_name(key)));
    }
    Ok(cells)
}

/// Whether a value is an object only because attributes of it are stored as undefined.
fn is_emptied(path: &str, value: &Value, extras: &Extras) -> bool {
    let is_inner = |other: &String| {
        let rest = other.strip_prefix(path);
        rest.is_some_and(|rest| rest.starts_with('.'))
    };
    let is_empty = value.as_object().is_some_and(Map::is_empty);
    is_empty && extras.undefined.iter().flatten().any(is_inner)
}

fn absent_by_default<'a>(
    version: &'a Version,
    document: &'a Map<String, Value>,
) -> impl Iterator<Item = &'a String> {
    version
        .undefined
        .iter()
        .filter(|path| !document.contains_key(*path))
}

/// Bookkeeping counts for the behaviour too, but stays where it was found.
fn lay_out_cells(version: &Version, extras: &Extras, mut cells: Vec<(String, Cell)>) -> Layout {
    if extras.body.is_some() {
        return Layout {
            metadata: cells,
            body: None,
        };
    }
    if let Some(keys) = &extras.in_body {
        return lay_out_in_body(version, keys, cells);
    }
    if version.behavior == Behavior::BodyOverflow && !extras.metadata.is_empty() {
        let known: HashSet<String> = cells.iter().map(|(key, _)| header_name(key)).collect();
        let others = extras.metadata.iter();
        let others = others.filter(|(header, _)| !known.contains(*header));
        cells.extend(others.map(|(key, value)| (key.clone(), Cell::from_header(value))));
    }
    lay_out(version, cells)
}

fn object(layout: Layout, extras: Extras) -> Result<RawObject, Unmappable> {
    let mut object = RawObject::default();
    for (key, cell) in layout.metadata {
        let header = header_name(&key);
        if extras.metadata.contains_key(&header) || extras.absent.contains(&header) {
            continue;
        }
        if object.metadata.insert(header, cell.to_header()).is_some() {
            return Err(Unmappable::Collision(key));
        }
    }
    object.metadata.extend(extras.metadata);
    object.body = match extras.body {
        Some(body) => body,
        None => layout.body.unwrap_or_default().into(),
    };
    object.content_type = extras
        .content_type
        .unwrap_or_else(|| Some(if object.body.is_empty() { BYTES } else { JSON }.to_owned()));
    Ok(object)
}

/// The header of a cell: in lower case, with an underscore for each UTF-16 unit that isn't a letter, digit, `-` or `_`.
fn header_name(key: &str) -> String {
    let stays = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if key.bytes().all(stays) {
        return key.to_ascii_lowercase();
    }
    key.encode_utf16()
        .map(|unit| match u8::try_from(unit) {
            Ok(byte) if stays(byte) => char::from(byte.to_ascii_lowercase()),
            _ => '_',
        })
        .collect()
}

/// Whether a value nests so little that every reader of JSON lines follows.
fn is_shallow(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => {
            depth < DEPTH && items.iter().all(|item| is_shallow(item, depth + 1))
        }
        Value::Object(members) => {
            depth < DEPTH && members.values().all(|member| is_shallow(member, depth + 1))
        }
        _ => true,
    }
}

/// Whether the numbers of a value read back as they are: a reader may get the last digit of a fraction wrong.
fn keeps_numbers(value: &Value) -> bool {
    match value {
        Value::Number(number) if number.is_f64() => {
            serde_json::from_str::<serde_json::Number>(&number.to_string())
                .is_ok_and(|read| read == *number)
        }
        Value::Array(items) => items.iter().all(keeps_numbers),
        Value::Object(members) => members.values().all(keeps_numbers),
        _ => true,
    }
}

#[cfg(test)]
mod contents_tests;
#[cfg(test)]
mod generated;
#[cfg(test)]
mod nested_tests;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod updates_tests;
#[cfg(test)]
mod versions_tests;
