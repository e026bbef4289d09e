//! Records of several versions of a schema, and of attributes that came, went and changed their types.

use proptest::collection::btree_map;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::super::Catalogue;
use super::tests::{check, check_line, object, plain, resource};
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
fn what_an_update_carried_over_has_the_type_of_the_version_before() {
    let version = |time: &str, attributes: Value, behavior: &str| json!({"attributes": attributes, "behavior": behavior, "createdAt": time});
    for behavior in ["user-managed", "body-only"] {
        let catalogue = json!({"resources": {"r": {
            "currentVersion": "v3",
            "versions": {
                "v1": version("2026-01-01T00:00:00.000Z", json!({"title": "string", "at": "datetime|optional"}), behavior),
                "v2": version("2026-01-02T00:00:00.000Z", json!({"title": "string", "at": "string|optional"}), behavior),
                "v3": version("2026-01-03T00:00:00.010Z", json!({"title": "string"}), behavior),
            },
            "schemaRegistry": {
                "mapping": {"title": 0, "at": 1},
                "burned": [{"index": 1, "attribute": "at", "burnedAt": "2026-01-03T00:00:00.000Z"}],
            },
        }}});
        let catalogue = Catalogue::parse(catalogue.to_string().as_bytes()).unwrap();
        let resource = &catalogue.resources[0];
        for (before, at) in [("1", "2024-02-29T12:34:56.789Z"), ("2", "u5G7nAV")] {
            let (record, mut extras) = match behavior {
                "body-only" => (
                    object(
                        &json!({"_v": "v3", "_map": "{\"title\":\"0\"}"}),
                        JSON,
                        &format!(
                            "{{\"0\":\"t\",\"1\":\"u5G7nAV\",\"_v\":\"v3\",\"_originalVersion\":\"{before}\"}}"
                        ),
                    ),
                    json!({"cells": {"_originalVersion": before}}),
                ),
                _ => (
                    plain(
                        &json!({"_v": "v3", "0": "t", "1": "u5G7nAV", "_originalversion": before}),
                    ),
                    json!({"metadata": {"_originalversion": before}}),
                ),
            };
            extras["keys"] = json!({"at": "1"});
            check(
                resource,
                &record,
                &json!({"id": "an id", "title": "t", "at": at, "_s3db": extras}),
            );
        }
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
    // What was carried over yields to what the version has in its place.
    check(
        &catalogue.resources[0],
        &plain(&json!({"_v": "v2", "0": "10", "1": "{\"a\":1}"})),
        &json!({"id": "an id", "in": {"a": 1}, "_s3db": {"metadata": {"0": "10"}}}),
    );
    check(
        &catalogue.resources[0],
        &plain(&json!({"_v": "v1", "0": "10", "1": "text"})),
        &json!({"id": "an id", "in": {"n": 62}, "_s3db": {"v": "v1", "metadata": {"1": "text"}}}),
    );
}

#[test]
fn bytes_within_an_object_that_became_bytes_stand_beside_the_document() {
    let version = |time: &str, attributes: Value| json!({"attributes": attributes, "behavior": "body-only", "createdAt": time});
    let catalogue = json!({"resources": {"r": {
        "currentVersion": "v2",
        "versions": {
            "v1": version("2026-01-01T00:00:00.000Z", json!({"mask": {"inner": "bits:16"}})),
            "v2": version("2026-01-02T00:00:00.010Z", json!({"mask": "bits:16"})),
        },
        "schemaRegistry": {"mapping": {"mask.inner": 0, "mask": 1}, "burned": []},
    }}});
    let catalogue = Catalogue::parse(catalogue.to_string().as_bytes()).unwrap();
    check(
        &catalogue.resources[0],
        &object(
            &json!({"_v": "v2", "_map": "{\"mask\":\"1\"}"}),
            JSON,
            "{\"_v\":\"v2\",\"mask.inner.0\":42,\"mask.inner.1\":45,\"mask.0\":1,\"mask.1\":2}",
        ),
        &json!({
            "id": "an id", "mask": [1, 2],
            "_s3db": {
                "cells": {"mask.inner.0": 42, "mask.inner.1": 45},
                "inBody": ["_v", "mask.inner.0", "mask.inner.1", "mask.0", "mask.1"],
            },
        }),
    );
}

#[test]
fn what_has_no_text_in_the_type_of_today_is_kept_as_it_is() {
    let attributes = json!({"list": "ip4|optional", "n": "number|optional"});
    check(
        &resource("body-only", &attributes),
        &object(
            &json!({"_v": "v2", "_map": "{\"list\":\"0\",\"n\":\"1\"}"}),
            JSON,
            "{\"0\":[\"a\"],\"1\":true,\"_v\":\"v2\"}",
        ),
        &json!({"id": "an id", "list": ["a"], "n": true, "_s3db": {"cells": {"0": ["a"], "1": true}}}),
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

#[test]
fn plugins_have_keys_and_numbers_of_their_own() {
    let catalogue = json!({"resources": {"r": {
        "currentVersion": "v2",
        "versions": {
            "v1": {"attributes": {"title": "string"}, "behavior": "body-overflow"},
            "v2": {"attributes": {"title": "string", "plugNum": "number|optional", "hash": "string"}, "behavior": "body-overflow"},
        },
        "schemaRegistry": {"nextIndex": 5, "mapping": {"title": 0}, "burned": []},
    }}});
    let catalogue = Catalogue::parse(catalogue.to_string().as_bytes()).unwrap();
    check(
        &catalogue.resources[0],
        &plain(&json!({"_v": "v2", "0": "t", "5": "10", "6": "7nx4j"})),
        &json!({"id": "an id", "title": "t", "plugNum": 62, "hash": "7nx4j"}),
    );
    let map = "{\"plugNum\":\"peza\"}";
    check(
        &catalogue.resources[0],
        &plain(&json!({"_v": "v1", "0": "t", "peza": "10.5", "_pluginmap": map})),
        &json!({"id": "an id", "title": "t", "plugNum": 62.5, "_s3db": {"v": "v1", "metadata": {"_pluginmap": map}}}),
    );
}

#[test]
fn values_that_bodies_and_headers_have_otherwise() {
    let attributes = json!({
        "times": "array|items:datetime|optional", "n": "number|optional", "data": "json|optional", "text": "string|optional",
    });
    let [a, b] = ["2024-01-01T00:00:00.000Z", "2025-01-01T00:00:00.000Z"];
    check(
        &resource("user-managed", &attributes),
        &plain(&json!({"_v": "v2", "0": format!("{a},{b}"), "2": "{\"k\":\"\\ud800\"}"})),
        &json!({
            "id": "an id", "times": [a, b], "data": {"k": "\u{fffd}"},
            "_s3db": {"metadata": {"2": "{\"k\":\"\\ud800\"}"}},
        }),
    );
    let map = "{\"times\":\"0\",\"n\":\"1\",\"data\":\"2\",\"text\":\"3\"}";
    let metadata = json!({"_v": "v2", "_map": map});
    let body = |cells: &str| format!("{{{cells},\"_v\":\"v2\"}}");
    check(
        &resource("body-only", &attributes),
        &object(
            &metadata,
            JSON,
            &body(&format!(
                "\"0\":[\"{a}\",\"{b}\"],\"1\":\"\",\"2\":\"null\",\"3\":null"
            )),
        ),
        &json!({"id": "an id", "times": [a, b], "n": null, "data": null, "text": null, "_s3db": {"cells": {"1": ""}}}),
    );
    check(
        &resource("body-only", &attributes),
        &object(&metadata, JSON, &body("\"2\":null")),
        &json!({"id": "an id", "data": null, "_s3db": {"cells": {"2": null}}}),
    );
}

proptest! {
    #[test]
    fn any_record_of_a_changed_schema_is_restored(
        metadata in btree_map("[0-4]|count|old|title|title_x|id||_map|_pluginmap|_x", "undefined|null|an id|[0-9a-z|.]{0,4}|\\{\"old\":\"[0-3]\"\\}", 0..6),
        body in "(\\{(\"([0-4]|_v|a|count|old|title|title_x|id|)\":(\"[0-9a-z\u{e9}]{0,3}\"|5|null|\\[\\]|\\{\"x\":1\\}|\"\\\\ud800\"),){0,4}\"x\":1\\})?",
        version in select(vec!["v1", "v2", "v3"]),
        behavior in select(vec!["user-managed", "body-overflow", "body-only"]),
    ) {
        let content_type = if body.is_empty() { BYTES } else { JSON };
        let mut record = object(&json!({"_v": version}), content_type, &body);
        record.metadata.extend(metadata);
        check_line(&readded(behavior), &record);
    }
}
