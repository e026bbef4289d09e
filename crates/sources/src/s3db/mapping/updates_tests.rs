//! Records that updates, patches and other hands left in forms that no insert gives.

use serde_json::json;

use super::tests::{check, check_inexact, object, plain, resource};
use super::*;

#[test]
fn what_an_insert_gives_otherwise_is_noted() {
    let attributes = json!({"n": "number|optional", "at": "datetime|optional"});
    check(
        &resource("user-managed", &attributes),
        &plain(&json!({"_v": "v2", "0": "01", "1": "undefined"})),
        &json!({"id": "an id", "n": 1, "_s3db": {"metadata": {"0": "01"}}}),
    );
    check(
        &resource("body-overflow", &attributes),
        &plain(&json!({"_v": "v2", "0": "01", "1": "undefined"})),
        &json!({"id": "an id", "n": 1, "_s3db": {"metadata": {"0": "01"}}}),
    );
    let map = "{\"n\":\"0\",\"at\":\"1\"}";
    check(
        &resource("body-only", &attributes),
        &object(
            &json!({"_v": "v2", "_map": map}),
            JSON,
            "{\"0\":\"01\",\"_v\":\"v2\"}",
        ),
        &json!({"id": "an id", "n": 1, "_s3db": {"cells": {"0": "01"}}}),
    );
    check_inexact(
        &resource("body-only", &attributes),
        &object(
            &json!({"_v": "v2", "_map": map}),
            JSON,
            "{\"0\": \"1\", \"_v\": \"v2\"}",
        ),
        &json!({"id": "an id", "n": 1}),
        &Inexact::Differs,
    );
    check(
        &resource("body-only", &attributes),
        &object(&json!({"_v": "v2"}), JSON, "{\"0\":\"1\",\"_v\":\"v2\"}"),
        &json!({"id": "an id", "n": 1, "_s3db": {"absent": ["_map"]}}),
    );
}

#[test]
fn objects_of_undefined_attributes_are_empty() {
    let attributes =
        json!({"in": {"a": "string|optional", "deep": {"b": "string|optional"}}, "data": "json"});
    for behavior in ["user-managed", "body-overflow"] {
        let resource = resource(behavior, &attributes);
        check(
            &resource,
            &plain(&json!({"_v": "v2", "0": "undefined", "1": "undefined", "4": "5"})),
            &json!({
                "id": "an id", "data": 5, "in": {"deep": {}},
                "_s3db": {"undefined": ["in.a", "in.deep.b"]},
            }),
        );
        // One that says itself that it is empty.
        check(
            &resource,
            &plain(&json!({"_v": "v2", "0": "undefined", "3": "{}", "4": "5"})),
            &json!({
                "id": "an id", "in": {}, "data": 5,
                "_s3db": {"undefined": ["in.a"], "metadata": {"3": "{}"}},
            }),
        );
        // One that became JSON later, and was undefined then.
        check(
            &resource,
            &plain(&json!({"_v": "v2", "4": "undefined", "data_x": "1"})),
            &json!({"id": "an id", "data_x": "1"}),
        );
    }
}

#[test]
fn patches_store_the_id() {
    let resource = resource("enforce-limits", &json!({"title": "string"}));
    check(
        &resource,
        &object(
            &json!({"_v": "v2", "0": "t", "id": "an id"}),
            "binary/octet-stream",
            "",
        ),
        &json!({
            "id": "an id", "title": "t",
            "_s3db": {"metadata": {"id": "an id"}, "contentType": "binary/octet-stream"},
        }),
    );
}

#[test]
fn records_without_attributes_have_no_member_without_a_name() {
    let attributes = json!({"title": "string|optional"});
    check(
        &resource("user-managed", &attributes),
        &plain(&json!({"_v": "v2", "": "{}"})),
        &json!({"id": "an id", "_s3db": {"metadata": {"": "{}"}}}),
    );
    check(
        &resource("body-only", &attributes),
        &object(
            &json!({"_v": "v2", "_map": "{\"title\":\"0\"}"}),
            JSON,
            "{\"_v\":\"v2\",\"\":{}}",
        ),
        &json!({"id": "an id", "_s3db": {"cells": {"": {}}}}),
    );
}

#[test]
fn copies_tell_what_servers_drop() {
    let resource = resource(
        "user-managed",
        &json!({"title": "string", "tags": "array|items:string", "note": "string", "any": "any", "in": {"a": "string", "b": "string"}}),
    );
    let copy = "{\"title\":\"older\",\"tags\":[],\"note\":\"\",\"_etag\":\"x\",\"any\":{\"deep\":1},\"in\":{\"a\":\"x\",\"b\":\"\"}}";
    let metadata = json!({"_v": "v2", "0": "t", "4": "x", "any_deep": "1"});
    check(
        &resource,
        &object(&metadata, JSON, copy),
        &json!({
            "id": "an id", "title": "t", "in": {"a": "x", "b": ""}, "tags": [], "note": "", "any": {"deep": 1},
            "_s3db": {"absent": ["1", "2", "5"], "body": copy},
        }),
    );
    // One that is older than the metadata isn't believed.
    let copy = "{\"tags\":[\"x\"],\"any\":{\"deep\":2}}";
    check(
        &resource,
        &object(&json!({"_v": "v2", "0": "t", "any_deep": "1"}), JSON, copy),
        &json!({"id": "an id", "title": "t", "any_deep": "1", "_s3db": {"body": copy}}),
    );
}

#[test]
fn lone_surrogates_are_read_as_replacements() {
    let attributes = json!({"title": "string", "n": "number"});
    let body = "{\"0\":\"x\\ud800\",\"1\":\"5\",\"_v\":\"v2\"}";
    check_inexact(
        &resource("body-only", &attributes),
        &object(
            &json!({"_v": "v2", "_map": "{\"title\":\"0\",\"n\":\"1\"}"}),
            JSON,
            body,
        ),
        &json!({"id": "an id", "title": "x\u{fffd}", "n": 5}),
        &Inexact::Surrogate,
    );
    let copy = "{\"title\":\"x\\ud800\"}";
    check(
        &resource("user-managed", &attributes),
        &object(
            &json!({"_v": "v2", "0": "b:eO+/vQ==", "1": "5"}),
            JSON,
            copy,
        ),
        &json!({"id": "an id", "title": "x\u{fffd}", "n": 5, "_s3db": {"body": copy}}),
    );
}

#[test]
fn cells_may_be_elsewhere_than_an_insert_puts_them() {
    let attributes = json!({"title": "string", "note": "string|optional"});
    let long = "x".repeat(2040);
    // A boolean counts one byte, but the metadata has it as text.
    let metadata = json!({"_v": "v2", "0": long, "u_flag": "true"});
    for behavior in ["user-managed", "body-overflow"] {
        check(
            &resource(behavior, &attributes),
            &plain(&metadata),
            &json!({"id": "an id", "title": long, "u_flag": "true", "_s3db": {"inBody": []}}),
        );
    }
    check(
        &resource("body-overflow", &attributes),
        &object(
            &json!({"_v": "v2", "0": "t", "_overflow": "true"}),
            JSON,
            "{\"b\":\"2\",\"1\":\"n\",\"a\":\"1\"}",
        ),
        &json!({
            "id": "an id", "title": "t", "note": "n", "b": "2", "a": "1",
            "_s3db": {"inBody": ["b", "1", "a"]},
        }),
    );
}

#[test]
fn members_of_an_attribute_that_begins_with_an_underscore_are_no_bookkeeping() {
    let form = json!({"type": "number", "optional": true});
    let resource = resource("body-only", &json!({"_own": {"n": form}}));
    check(
        &resource,
        &object(
            &json!({"_v": "v2", "_map": "{\"_own.n.type\":\"0\",\"_own.n.optional\":\"1\",\"_own\":\"3\"}"}),
            JSON,
            "{\"_v\":\"v2\",\"_own.n\":5,\"_etag\":\"x\"}",
        ),
        &json!({"id": "an id", "_own": {"n": 5}, "_s3db": {"cells": {"_etag": "x"}}}),
    );
}

#[test]
fn a_body_without_cells_says_nothing_of_undefined_ones() {
    let resource = resource("body-only", &json!({"at": "datetime|optional"}));
    check(
        &resource,
        &object(
            &json!({"_v": "v2", "_map": "{\"at\":\"0\"}"}),
            JSON,
            "{\"_v\":\"v2\"}",
        ),
        &json!({"id": "an id"}),
    );
}
