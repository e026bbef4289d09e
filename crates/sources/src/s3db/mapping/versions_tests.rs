//! Records of several versions of a schema, and of attributes that came, went and changed their types.

use serde_json::json;

use super::super::Catalogue;
use super::tests::{check, object, plain};
use super::*;

/// An attribute that was removed in v2, and came back in v3 with another type and number; others changed in v3.
fn readded(behavior: &str) -> Resource {
    let version = |time: &str, attributes: Value| json!({"attributes": attributes, "behavior": behavior, "createdAt": time});
    let catalogue = json!({"resources": {"r": {
        "currentVersion": "v3",
        "versions": {
            "v1": version("2026-01-01T00:00:00.000Z", json!({"title": "string", "old": "string|optional"})),
            "v2": version("2026-01-02T00:00:00.010Z", json!({"title": "string"})),
            "v3": version("2026-01-03T00:00:00.000Z", json!({"title": "string", "old": "number|optional", "count": "number|optional"})),
        },
        "schemaRegistry": {
            "mapping": {"title": 0, "old": 2, "count": 3},
            "burned": [{"index": 1, "attribute": "old", "burnedAt": "2026-01-02T00:00:00.000Z"}],
        },
    }}});
    Catalogue::parse(catalogue.to_string().as_bytes())
        .unwrap()
        .resources
        .remove(0)
}

#[test]
fn a_number_has_the_type_that_its_attribute_had() {
    let resource = readded("user-managed");
    check(
        &resource,
        &plain(&json!({"_v": "v1", "0": "t", "1": "old"})),
        &json!({"id": "an id", "title": "t", "old": "old", "_s3db": {"v": "v1"}}),
    );
    check(
        &resource,
        &plain(&json!({"_v": "v3", "0": "t", "2": "10"})),
        &json!({"id": "an id", "title": "t", "old": 62}),
    );
    // Updates keep the cells of removed attributes.
    for version in ["v2", "v3"] {
        let mut extras = json!({"keys": {"old": "1"}});
        if version == "v2" {
            extras = json!({"v": "v2", "keys": {"old": "1"}});
        }
        check(
            &resource,
            &plain(&json!({"_v": version, "0": "t", "1": "old"})),
            &json!({"id": "an id", "title": "t", "old": "old", "_s3db": extras}),
        );
    }
}

#[test]
fn the_current_number_of_an_attribute_is_in_the_document() {
    check(
        &readded("user-managed"),
        &plain(&json!({"_v": "v3", "0": "t", "1": "old", "2": "10"})),
        &json!({"id": "an id", "title": "t", "old": 62, "_s3db": {"metadata": {"1": "old"}}}),
    );
    check(
        &readded("body-only"),
        &object(
            &json!({"_v": "v3", "_map": "{\"title\":\"0\",\"old\":\"2\",\"count\":\"3\"}"}),
            JSON,
            "{\"0\":\"t\",\"1\":\"old\",\"2\":\"10\",\"_v\":\"v3\"}",
        ),
        &json!({"id": "an id", "title": "t", "old": 62, "_s3db": {"cells": {"1": "old"}}}),
    );
}

#[test]
fn bodies_have_the_numbers_of_their_version() {
    let resource = readded("body-only");
    check(
        &resource,
        &object(
            &json!({"_v": "v1", "_map": "{\"title\":\"0\",\"old\":\"1\"}"}),
            JSON,
            "{\"0\":\"t\",\"1\":\"old\",\"_v\":\"v1\"}",
        ),
        &json!({"id": "an id", "title": "t", "old": "old", "_s3db": {"v": "v1"}}),
    );
    check(
        &resource,
        &object(
            &json!({"_v": "v2", "_map": "{\"title\":\"0\"}"}),
            JSON,
            "{\"0\":\"t\",\"1\":\"old\",\"_v\":\"v2\"}",
        ),
        &json!({"id": "an id", "title": "t", "old": "old", "_s3db": {"v": "v2", "keys": {"old": "1"}}}),
    );
}

#[test]
fn an_object_that_became_json_may_be_there_in_parts() {
    let catalogue = json!({"resources": {"r": {
        "currentVersion": "v2",
        "versions": {
            "v1": {"attributes": {"in": {"n": "number"}}, "createdAt": "2026-01-01T00:00:00.000Z"},
            "v2": {"attributes": {"in": "json|optional"}, "createdAt": "2026-01-02T00:00:00.000Z"},
        },
        "schemaRegistry": {
            "mapping": {"in": 1},
            "burned": [{"index": 0, "attribute": "in.n", "burnedAt": "2026-01-01T23:00:00.000Z"}],
        },
    }}});
    let catalogue = Catalogue::parse(catalogue.to_string().as_bytes()).unwrap();
    check(
        &catalogue.resources[0],
        &plain(&json!({"_v": "v2", "0": "10", "1": "undefined"})),
        &json!({"id": "an id", "in": {"n": 62}, "_s3db": {"keys": {"in.n": "0"}, "undefined": ["in"]}}),
    );
}

#[test]
fn attributes_outside_the_schema_have_no_type() {
    let resource = readded("user-managed");
    check(
        &resource,
        &plain(&json!({"_v": "v1", "0": "t", "count": "62"})),
        &json!({"id": "an id", "title": "t", "count": "62", "_s3db": {"v": "v1"}}),
    );
    check(
        &resource,
        &plain(&json!({"_v": "v3", "0": "t", "count": "62"})),
        &json!({"id": "an id", "title": "t", "count": "62", "_s3db": {"keys": {"count": null}}}),
    );
    check(
        &resource,
        &plain(&json!({"_v": "v3", "0": "t", "count": "62", "3": "10"})),
        &json!({"id": "an id", "title": "t", "count": 62, "_s3db": {"metadata": {"count": "62"}}}),
    );
}
