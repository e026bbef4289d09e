//! Objects of an s3db database.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};
use teeline_sources::s3db::{Catalogue, RawObject, Resource, line, restore_object};

use crate::parts::{chosen, first_part};

/// One resource of each behaviour, with attributes of all types.
static RESOURCES: LazyLock<Vec<Resource>> = LazyLock::new(|| {
    let attributes = json!({
        "text": "string", "n": "number|optional", "whole": "number|integer:true", "yes": "boolean|optional", "at": "datetime|optional",
        "day": "date", "secret": "secret", "any": "any|optional", "data": "json|optional", "mail": "email", "url": "url", "uuid": "uuid",
        "list": "array|items:string", "numbers": "array|items:number", "objects": "array|items:object",
        "in": {"leaf": "string|optional", "deep": {"n": "number|optional"}}, "v": "embedding:4", "ip": "ip4", "ip6": "ip6",
        "money": "money", "rate": "decimal:2", "place": "geo:lat", "password": "password", "o": "object|optional",
    });
    let numbers: Map<String, Value> = attributes
        .as_object()
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(number, (name, _))| (name.clone(), number.into()))
        .collect();
    let behaviors = [
        "user-managed",
        "enforce-limits",
        "truncate-data",
        "body-overflow",
        "body-only",
    ];
    let resources: Map<String, Value> = behaviors
        .iter()
        .map(|behavior| {
            let resource = json!({
                "currentVersion": "v2",
                "versions": {
                    "v1": {"attributes": {"old": "number|optional"}, "behavior": behavior},
                    "v2": {"attributes": attributes, "behavior": behavior},
                },
                "schemaRegistry": {"mapping": numbers, "burned": []},
            });
            ((*behavior).to_owned(), resource)
        })
        .collect();
    let text = json!({ "resources": resources }).to_string();
    let catalogue = Catalogue::parse(text.as_bytes());
    catalogue.expect("a catalogue").resources
});

/// Takes a catalogue where the choice is none of the resources that there are; then metadata, one a line; then a body.
pub(crate) fn codec(input: &[u8]) {
    let Some((choice, rest)) = chosen(input) else {
        return;
    };
    match RESOURCES.get(usize::from(choice >> 2)) {
        Some(resource) => restores(resource, &object(choice, rest)),
        None => {
            let (catalogue, rest) = first_part(rest);
            let Ok(catalogue) = Catalogue::parse(catalogue) else {
                return;
            };
            for resource in &catalogue.resources {
                restores(resource, &object(choice, rest));
            }
        }
    }
}

fn object(choice: u8, input: &[u8]) -> RawObject {
    let (metadata, body) = first_part(input);
    let metadata = String::from_utf8_lossy(metadata);
    let metadata: BTreeMap<String, String> = metadata
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_lowercase(), value.to_owned()))
        .collect();
    let content_type = match choice % 4 {
        0 => None,
        1 => Some("application/json"),
        2 => Some("application/octet-stream"),
        _ => Some("text/plain"),
    };
    RawObject {
        metadata,
        content_type: content_type.map(str::to_owned),
        body: body.to_vec().into(),
    }
}

/// Whatever an object is, the text of its line restores it.
fn restores(resource: &Resource, object: &RawObject) {
    let text = Value::Object(line(resource, "an id", object)).to_string();
    let read: Map<String, Value> = serde_json::from_str(&text).expect("a line is a document");
    let restored = restore_object(resource, &read).expect("a line is an object");
    assert_eq!(restored, *object, "{text}");
}
