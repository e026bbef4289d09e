//! What holds for any record: of those that an insert leaves, of those that updates leave, and of all others.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::super::types::properties::DEFINITIONS;
use super::generated::values::json_value;
use super::generated::{BEHAVIORS, Generation, config, generation, resource_of};
use super::tests::{check_line, resource};
use super::*;

/// A schema with a history, and the number of the version that a document of it is inserted by.
fn history() -> impl Strategy<Value = (Vec<Generation>, usize)> {
    vec(generation(), 1..4).prop_flat_map(|generations| {
        let count = generations.len();
        (Just(generations), 0..count)
    })
}

/// The document of a version; it says which one where that isn't the current one.
fn inserted(generations: &[Generation], index: usize) -> Map<String, Value> {
    let mut document = generations[index].document.clone();
    if index + 1 < generations.len() {
        document.insert(MEMBER.to_owned(), json!({"v": format!("v{}", index + 1)}));
    }
    document
}

/// What updates write besides, by the names that metadata and bodies have for it.
const BOOKKEEPING: [(&str, &str, &str); 5] = [
    ("_contentlength", "_contentLength", "0"),
    ("_lastmodified", "_lastModified", "{}"),
    ("_etag", "_etag", "\"d41d8cd98f00b204e9800998ecf8427e\""),
    ("_originalversion", "_originalVersion", "1"),
    (
        "metadata_updatedat",
        "metadata.updatedAt",
        "2026-02-03T04:05:06.789Z",
    ),
];

/// What an update by the current version leaves of a record of an earlier one: the cells that were there, as they were,
/// those of the document in their places, and the bookkeeping.
fn updated(
    resource: &Resource,
    before: &RawObject,
    document: &Map<String, Value>,
) -> Result<RawObject, Unmappable> {
    let version = resource.version(&resource.current_version).unwrap();
    let cells_of = |object: &RawObject| {
        let body: Map<String, Value> = serde_json::from_slice(&object.body).unwrap_or_default();
        let of_metadata = object
            .metadata
            .iter()
            .map(|(key, header)| (key.clone(), Cell::from_header(header)));
        // A list that is never text of its own is printed with commas once it is in a header.
        let of_body = body.into_iter().map(|(key, value)| match value {
            Value::Array(items) => (
                key,
                Cell::Joined(
                    items
                        .iter()
                        .filter_map(Value::as_str)
                        .map(str::to_owned)
                        .collect(),
                ),
            ),
            value => (key, Cell::from_body(value)),
        });
        of_metadata
            .chain(of_body)
            .filter(|(key, _)| !key.starts_with('_') || key.contains('.'))
            .collect::<Vec<_>>()
    };
    let after = encode(resource, document).unwrap();
    let mut cells = vec![("_v".to_owned(), Cell::Text(version.name.clone()))];
    for (key, cell) in cells_of(before).into_iter().chain(cells_of(&after)) {
        match cells.iter_mut().find(|(other, _)| *other == key) {
            Some((_, known)) => *known = cell,
            None => cells.push((key, cell)),
        }
    }
    let in_body = version.behavior == Behavior::BodyOnly;
    cells.extend(BOOKKEEPING.map(|(header, name, value)| {
        let key = if in_body { name } else { header };
        (key.to_owned(), Cell::Text(value.to_owned()))
    }));
    let mut layout = match version.behavior {
        Behavior::BodyOnly | Behavior::BodyOverflow => lay_out(version, cells),
        // However many there are, they go to the metadata, and a copy by name to the body.
        _ => Layout {
            metadata: cells,
            body: Some(Value::Object(document.clone()).to_string()),
        },
    };
    layout.metadata.extend(
        after
            .metadata
            .get_key_value("_map")
            .map(|(key, map)| (key.clone(), Cell::from_header(map))),
    );
    object(layout, Extras::default())
}

/// Whether a value is another one, or an object that has all of its members, or bytes that begin with it: of longer ones that
/// were there before, an update leaves what is behind.
fn holds(found: &Value, value: &Value) -> bool {
    match (found, value) {
        (Value::Object(found), Value::Object(members)) => members
            .iter()
            .all(|(name, value)| found.get(name).is_some_and(|found| holds(found, value))),
        (Value::Array(found), Value::Array(bytes)) if bytes.iter().all(Value::is_u64) => {
            found.starts_with(bytes)
        }
        _ => found == value,
    }
}

/// Whether a cell of an attribute, or of a member of it, stands beside the document. Where the object has values for both, an
/// attribute that replaced an object and what an update left of that, a document can say one of them.
fn stands_beside(document: &Map<String, Value>, name: &str) -> bool {
    let cells = document.get(MEMBER).and_then(|beside| beside.get("cells"));
    let mut keys = cells
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::keys);
    keys.any(|key| key.split('.').next() == Some(name))
}

proptest! {
    #![proptest_config(config())]

    /// decode(encode(x)) = x, with nothing beside x but the version that isn't the current one.
    #[test]
    fn documents_come_back((generations, index) in history()) {
        let resource = resource_of(&generations);
        let document = inserted(&generations, index);
        let object = encode(&resource, &document).unwrap();
        let decoded = decode(&resource, "an id", &object);
        prop_assert_eq!(decoded.reason, None);
        prop_assert_eq!(&decoded.document, &document);
        check_line(&resource, &object);
    }

    /// encode(decode(object)) = object for what updates leave, of whichever version the record was.
    #[test]
    fn updated_records_come_back((generations, index) in history()) {
        let resource = resource_of(&generations);
        let before = encode(&resource, &inserted(&generations, index)).unwrap();
        let document = inserted(&generations, generations.len() - 1);
        // Two names of a body may be one in the metadata.
        let Ok(object) = updated(&resource, &before, &document) else {
            return Ok(());
        };
        let decoded = decode(&resource, "an id", &object);
        prop_assert_eq!(decoded.reason, None, "{:?}", object);
        let is_said = |(name, value): (&String, &Value)| {
            let found = decoded.document.get(name);
            name == MEMBER || found.is_some_and(|found| holds(found, value)) || stands_beside(&decoded.document, name)
        };
        let has_all = document.iter().all(is_said);
        prop_assert!(has_all, "{:?}", decoded.document);
        check_line(&resource, &object);
    }

    /// Whatever is in a document, the object that is made of it comes back.
    #[test]
    fn any_document_is_restored(
        (generations, index) in history(),
        values in vec(json_value(), 0..6),
    ) {
        let resource = resource_of(&generations);
        let mut document = inserted(&generations, index);
        let members = document.iter_mut().filter(|(name, _)| !matches!(name.as_str(), "id" | MEMBER));
        for ((_, value), other) in members.zip(values) {
            *value = other;
        }
        if let Ok(object) = encode(&resource, &document) {
            let decoded = decode(&resource, "an id", &object);
            // Names with dots say the same as members of members.
            let is_mapped = matches!(decoded.reason, None | Some(Inexact::Conflict(_)));
            prop_assert!(is_mapped, "{:?}: {:?}", decoded.reason, object);
            check_line(&resource, &object);
        }
    }

    /// Whatever an object is, its line restores it.
    #[test]
    fn any_object_is_restored(
        metadata in btree_map("[0-9a-tz]|_v|_map|_overflow|_etag|[a-z_]{0,8}", "v1|v2|undefined|null|\\PC{0,20}|[0-9a-zA-Z.|]{0,12}", 0..12),
        version in select(vec!["v1", "v2", "v3"]),
        body in prop_oneof![
            Just(Vec::new()),
            vec(any::<u8>(), 0..40),
            "(\\{(\"([0-9a-t]|_v|a\\.b|a|_s3db|id)\":(\"[a-z0-9]{0,5}\"|[0-9.]{1,5}|null|\\[1\\]),){0,4}\"x\":1\\})".prop_map(String::into_bytes),
        ],
        content_type in proptest::option::of(select(vec![JSON, BYTES, "image/png"])),
        behavior in select(BEHAVIORS.to_vec()),
    ) {
        let attributes: Map<String, Value> =
            DEFINITIONS.iter().enumerate().map(|(n, definition)| (format!("f{n}"), json!(definition))).collect();
        let resource = resource(behavior, &Value::Object(attributes));
        let mut object = RawObject { metadata, content_type: content_type.map(str::to_owned), body: body.into() };
        object.metadata.insert("_v".to_owned(), version.to_owned());
        check_line(&resource, &object);
    }
}
