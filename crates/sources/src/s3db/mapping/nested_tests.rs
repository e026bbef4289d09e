//! Attributes within attributes, and bytes, which s3db.js takes apart.

use serde_json::json;

use super::tests::{check, object, plain, resource};
use super::*;

#[test]
fn bytes_are_attributes_of_their_own() {
    let resource = resource("body-only", &json!({"raw": "buffer"}));
    check(
        &resource,
        &object(
            &json!({"_v": "v2", "_map": "{\"raw\":\"0\"}"}),
            JSON,
            "{\"_v\":\"v2\",\"raw.0\":0,\"raw.1\":255}",
        ),
        &json!({"id": "an id", "raw": [0, 255]}),
    );
}

#[test]
fn bytes_may_be_nested() {
    let resource = resource("body-only", &json!({"in": {"raw": "buffer"}}));
    check(
        &resource,
        &object(
            &json!({"_v": "v2", "_map": "{\"in.raw\":\"0\",\"in\":\"1\"}"}),
            JSON,
            "{\"_v\":\"v2\",\"in.raw.0\":0,\"in.raw.1\":255}",
        ),
        &json!({"id": "an id", "in": {"raw": [0, 255]}}),
    );
}

#[test]
fn types_of_nested_attributes_are_not_checked() {
    let attributes = json!({"in": {"at": "datetime|optional", "time": "duration|optional"}});
    check(
        &resource("body-only", &attributes),
        &object(
            &json!({"_v": "v2", "_map": "{\"in.at\":\"0\",\"in.time\":\"1\",\"in\":\"2\"}"}),
            JSON,
            "{\"0\":1700000000000,\"1\":\"P1Y\",\"_v\":\"v2\"}",
        ),
        &json!({"id": "an id", "in": {"at": 1_700_000_000_000_i64, "time": "P1Y"}}),
    );
}

#[test]
fn an_object_with_a_type_hides_its_lists() {
    let list = json!({"type": "array", "items": "number"});
    let attributes = json!({
        "in": {"type": "string", "price": "number", "list": list}, "list": list, "other": {"list": list},
    });
    check(
        &resource("user-managed", &attributes),
        &plain(&json!({"_v": "v2", "0": "kind", "1": "10.5", "4": "[1,62]", "8": "1|10"})),
        &json!({"id": "an id", "in": {"type": "kind", "price": 62.5, "list": [1, 62]}, "list": [1, 62]}),
    );
}
