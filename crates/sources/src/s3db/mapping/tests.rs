use serde_json::json;

use super::super::Catalogue;
use super::*;

/// A resource of two versions, the current one with the given attributes.
pub(super) fn resource(behavior: &str, attributes: &Value) -> Resource {
    let mut numbers = Map::new();
    fn number(attributes: &Map<String, Value>, prefix: &str, numbers: &mut Map<String, Value>) {
        for (name, definition) in attributes {
            let path = format!("{prefix}{name}");
            if let Value::Object(inner) = definition {
                number(inner, &format!("{path}."), numbers);
            }
            let next = numbers.len();
            numbers.insert(path, next.into());
        }
    }
    let attributes = attributes.as_object().unwrap();
    number(attributes, "", &mut numbers);
    numbers.insert("old".to_owned(), 700.into());
    let catalogue = json!({"resources": {"r": {
        "currentVersion": "v2",
        "versions": {
            "v1": {"attributes": {"old": "number|optional"}, "behavior": behavior},
            "v2": {"attributes": attributes, "behavior": behavior},
        },
        "schemaRegistry": {"mapping": numbers, "burned": [{"index": 700, "attribute": "old"}]},
    }}});
    Catalogue::parse(catalogue.to_string().as_bytes())
        .unwrap()
        .resources
        .remove(0)
}

pub(super) fn object(metadata: &Value, content_type: &str, body: &str) -> RawObject {
    let metadata = metadata.as_object().unwrap().iter();
    RawObject {
        metadata: metadata
            .map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()))
            .collect(),
        content_type: Some(content_type.to_owned()),
        body: body.as_bytes().to_vec().into(),
    }
}

pub(super) fn plain(metadata: &Value) -> RawObject {
    object(metadata, BYTES, "")
}

/// Decodes, expecting this document and that it is exact; and that its text restores the object.
pub(super) fn check(resource: &Resource, object: &RawObject, document: &Value) {
    let decoded = decode(resource, "an id", object);
    assert_eq!(Value::Object(decoded.document.clone()), *document);
    assert_eq!(decoded.reason, None);
    assert!(decoded.exact);
    assert_eq!(
        decoded.document.keys().next().map(String::as_str),
        Some("id")
    );
    check_line(resource, object);
}

/// Whatever an object is, the text of its line restores it.
pub(super) fn check_line(resource: &Resource, object: &RawObject) {
    let text = Value::Object(line(resource, "an id", object)).to_string();
    let read: Map<String, Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(restore_object(resource, &read).unwrap(), *object, "{text}");
}

pub(super) fn check_inexact(
    resource: &Resource,
    object: &RawObject,
    document: &Value,
    reason: &Inexact,
) {
    let decoded = decode(resource, "an id", object);
    assert_eq!(Value::Object(decoded.document), *document);
    assert_eq!(decoded.reason.as_ref(), Some(reason));
    assert!(!decoded.exact && !reason.to_string().is_empty());
    check_line(resource, object);
}

#[test]
fn a_common_record() {
    let resource = resource(
        "user-managed",
        &json!({"name": "string", "n": "number|optional", "at": "datetime|optional", "in": {"tags": "array|items:string"}}),
    );
    check(
        &resource,
        &plain(
            &json!({"_v": "v2", "0": "u:h%C3%A9llo", "1": "10", "2": "u5G7nAV", "3": "a|b", "extra": "5"}),
        ),
        &json!({
            "id": "an id", "name": "héllo", "n": 62, "at": "2024-02-29T12:34:56.789Z", "in": {"tags": ["a", "b"]}, "extra": "5",
        }),
    );
    check(
        &resource,
        &plain(&json!({"_v": "v2", "0": "null", "2": "undefined"})),
        &json!({"id": "an id", "name": null}),
    );
}

#[test]
fn undefined_attributes_are_absent() {
    let attributes = json!({
        "name": "string", "mail": "email|optional", "any": "any|optional", "list": "array|items:string",
        "in": {"leaf": "string|optional", "n": "number|optional"}, "secret": "secret", "data": "json|optional",
    });
    for behavior in ["user-managed", "body-overflow"] {
        check(
            &resource(behavior, &attributes),
            &plain(&json!({
                "_v": "v2", "0": "undefined", "1": "undefined", "2": "undefined", "3": "undefined", "4": "undefined",
                "5": "10", "7": "undefined", "8": "undefined", "extra": "undefined",
            })),
            &json!({"id": "an id", "in": {"n": 62}, "_s3db": {
                "undefined": ["any", "data", "extra", "in.leaf", "list", "mail", "name", "secret"],
            }}),
        );
    }
    check(
        &resource(
            "user-managed",
            &json!({"name": "string", "data": "json|optional"}),
        ),
        &plain(&json!({"_v": "v2", "0": "x", "1": "undefined"})),
        &json!({"id": "an id", "name": "x"}),
    );
}

#[test]
fn other_versions_and_forms_are_noted() {
    let resource = resource(
        "user-managed",
        &json!({"name": "string", "at": "datetime|optional"}),
    );
    check(
        &resource,
        &plain(&json!({"_v": "v1", "jg": "1h"})),
        &json!({"id": "an id", "old": 79, "_s3db": {"v": "v1"}}),
    );
    check(
        &resource,
        &plain(&json!({"_v": "v2", "0": "x"})),
        &json!({"id": "an id", "name": "x", "_s3db": {"undefined": []}}),
    );
    let copy = "{\"name\":\"x\",\"_etag\":\"y\"}";
    check(
        &resource,
        &object(
            &json!({"_v": "v2", "0": "x", "1": "undefined", "_etag": "d:o"}),
            JSON,
            copy,
        ),
        &json!({"id": "an id", "name": "x", "_s3db": {"metadata": {"_etag": "d:o"}, "body": copy}}),
    );
    check(
        &resource,
        &object(
            &json!({"_v": "v2", "0": "x", "1": "undefined"}),
            "text/plain",
            "",
        ),
        &json!({"id": "an id", "name": "x", "_s3db": {"contentType": "text/plain"}}),
    );
}

#[test]
fn bodies() {
    let attributes = json!({"title": "string", "text": "string|optional", "n": "number|optional"});
    let long = "x".repeat(3000);
    let document = json!({"id": "an id", "title": "t", "text": long, "n": 62});
    let all = format!("{{\"0\":\"t\",\"1\":\"{long}\",\"2\":\"10\",\"_v\":\"v2\"}}");
    check(
        &resource("user-managed", &attributes),
        &object(&json!({"_v": "v2"}), JSON, &all),
        &document,
    );
    check(
        &resource("body-overflow", &attributes),
        &object(
            &json!({"_v": "v2", "0": "t", "2": "10", "_overflow": "true"}),
            JSON,
            &format!("{{\"1\":\"{long}\"}}"),
        ),
        &document,
    );
    let map = "{\"title\":\"0\",\"text\":\"1\",\"n\":\"2\"}";
    check(
        &resource("body-only", &attributes),
        &object(&json!({"_v": "v2", "_map": map}), JSON, &all),
        &document,
    );
    check(
        &resource("body-only", &attributes),
        &object(
            &json!({"_v": "v2", "_map": map}),
            JSON,
            "{\"0\":\"t\",\"_v\":\"v2\",\"_etag\":{\"a\":1},\"m.at\":\"x\",\"z\":5}",
        ),
        &json!({"id": "an id", "title": "t", "m": {"at": "x"}, "z": 5, "_s3db": {"cells": {"_etag": {"a": 1}}, "before": "m"}}),
    );
    // Its own map is preferred to the registry.
    let own = "{\"title\":\"1\",\"text\":\"0\"}";
    check(
        &resource("body-only", &attributes),
        &object(
            &json!({"_v": "v2", "_map": own}),
            JSON,
            "{\"1\":\"t\",\"_v\":\"v2\"}",
        ),
        &json!({"id": "an id", "title": "t", "_s3db": {"metadata": {"_map": own}}}),
    );
    check(
        &resource("truncate-data", &attributes),
        &plain(&json!({"_v": "v2", "0": "t", "_truncated": "true"})),
        &json!({"id": "an id", "title": "t", "_s3db": {"metadata": {"_truncated": "true"}}}),
    );
}

#[test]
fn the_order_of_a_body_is_kept() {
    let names: Vec<String> = (0..12).map(|n| format!("f{n}")).collect();
    let attributes: Map<String, Value> = names
        .iter()
        .map(|name| (name.clone(), json!("string")))
        .collect();
    let resource = resource("user-managed", &Value::Object(attributes));
    let long = "x".repeat(3000);
    let body = format!("{{\"3\":\"{long}\",\"9\":\"i\",\"_v\":\"v2\",\"b\":\"l\",\"a\":\"k\"}}");
    check(
        &resource,
        &object(&json!({"_v": "v2"}), JSON, &body),
        &json!({"id": "an id", "f3": long, "f9": "i", "f11": "l", "f10": "k"}),
    );
}

#[test]
fn what_is_not_understood_is_kept_raw() {
    let resource = resource(
        "user-managed",
        &json!({"name": "string", "n": "number", "_s3db": "string", "in.a": "string", "in": "string"}),
    );
    let id = || json!({"id": "an id"});
    check_inexact(
        &resource,
        &plain(&json!({"0": "x"})),
        &json!({"id": "an id", "name": "x"}),
        &Inexact::Version(None),
    );
    check_inexact(
        &resource,
        &plain(&json!({"_v": "v9"})),
        &id(),
        &Inexact::Version(Some("v9".to_owned())),
    );
    check_inexact(
        &resource,
        &plain(&json!({"_v": "v2", "2": "x"})),
        &id(),
        &Inexact::Reserved("_s3db".to_owned()),
    );
    check_inexact(
        &resource,
        &plain(&json!({"_v": "v2", "id": "x"})),
        &id(),
        &Inexact::Reserved("id".to_owned()),
    );
    let conflict = plain(&json!({"_v": "v2", "3": "x", "4": "y"}));
    check_inexact(
        &resource,
        &conflict,
        &json!({"id": "an id", "in": {"a": "x"}}),
        &Inexact::Conflict("in".to_owned()),
    );
    let opaque = super::tests::resource("user-managed", &json!({"t": "text"}));
    check_inexact(
        &opaque,
        &plain(&json!({"_v": "v2", "0": "x"})),
        &json!({"id": "an id", "t": "x"}),
        &Inexact::Unmappable(Unmappable::Value("t".to_owned())),
    );
    let unknown = super::tests::resource("novel", &json!({"t": "string"}));
    check_inexact(
        &unknown,
        &plain(&json!({"_v": "v2", "0": "x"})),
        &json!({"id": "an id", "t": "x"}),
        &Inexact::Unmappable(Unmappable::Behavior("novel".to_owned())),
    );
    let deep = format!("{}{}", "[".repeat(110), "]".repeat(110));
    let json = super::tests::resource("user-managed", &json!({"t": "json"}));
    check_inexact(
        &json,
        &plain(&json!({"_v": "v2", "0": deep})),
        &id(),
        &Inexact::Printing,
    );
}

#[test]
fn documents_that_do_not_fit_are_refused() {
    let resource = resource("user-managed", &json!({"n": "number"}));
    let encode = |document: Value| encode(&resource, document.as_object().unwrap());
    assert_eq!(
        encode(json!({"id": "x", "n": true})),
        Err(Unmappable::Value("n".to_owned()))
    );
    assert_eq!(
        encode(json!({"É": "1", "Ü": "2"})),
        Err(Unmappable::Collision("Ü".to_owned()))
    );
    assert_eq!(
        encode(json!({"_s3db": {"v": "v7"}})),
        Err(Unmappable::Version("v7".to_owned()))
    );
    assert!(matches!(
        encode(json!({"_s3db": {"raw": {}}})),
        Err(Unmappable::Extras(_))
    ));
    assert!(matches!(
        encode(json!({"_s3db": 1})),
        Err(Unmappable::Extras(_))
    ));
    assert_eq!(
        encode(json!({"id": "x", "camelCase": "1", "ünï😀": "2", "a": {"b": 3}})),
        Ok(plain(
            &json!({"_v": "v2", "camelcase": "1", "_n___": "2", "a_b": "3"})
        ))
    );
}

#[test]
fn raw_wins() {
    let resource = resource("user-managed", &json!({"name": "string"}));
    let object = plain(&json!({"_v": "v2", "0": "stored"}));
    let document = json!({"id": "x", "name": "other", "_s3db": {"v": "v1"}})
        .as_object()
        .unwrap()
        .clone();
    let line = raw_line(document, &object);
    assert_eq!(line["name"], "other");
    assert_eq!(restore_object(&resource, &line), Ok(object));
}
