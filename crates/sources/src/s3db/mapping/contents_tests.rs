//! Records with content: a body of their own, beside the attributes in the metadata.

use serde_json::json;

use super::tests::{check, check_line, object, resource};
use super::*;

fn with(metadata: Value, others: &Value) -> Value {
    let mut metadata = metadata;
    metadata
        .as_object_mut()
        .unwrap()
        .extend(others.as_object().unwrap().clone());
    metadata
}

#[test]
fn content_is_beside_the_document() {
    let attributes = json!({"title": "string", "n2": "string|optional", "at": "datetime|optional"});
    let marks = json!({"_hascontent": "true", "_mimetype": "d:T"});
    for behavior in [
        "user-managed",
        "enforce-limits",
        "truncate-data",
        "body-overflow",
    ] {
        for body in [
            "plain",
            "{\"0\":\"evil\",\"n2\":\"7\",\"_v\":\"v9\"}",
            "[1]",
            "{\"a\":\"\\ud800\"}",
            "null",
        ] {
            let metadata = with(json!({"_v": "v2", "0": "t", "2": "undefined"}), &marks);
            check(
                &resource(behavior, &attributes),
                &object(&metadata, "text/plain", body),
                &json!({"id": "an id", "title": "t", "_s3db": {"metadata": marks, "body": body, "contentType": "text/plain"}}),
            );
        }
    }
}

#[test]
fn content_of_json_is_no_cells() {
    let marks = json!({"_hascontent": "true", "_mimetype": "d:j"});
    let attributes = json!({"title": "string"});
    check(
        &resource("body-overflow", &attributes),
        &object(
            &with(json!({"_v": "v2", "0": "t"}), &marks),
            JSON,
            "{\"0\":\"evil\"}",
        ),
        &json!({"id": "an id", "title": "t", "_s3db": {"metadata": marks, "body": "{\"0\":\"evil\"}"}}),
    );
    // Setting the content of a record whose body has its cells takes its attributes.
    let map = json!({"_v": "v2", "_map": "{\"title\":\"0\"}"});
    check(
        &resource("body-only", &attributes),
        &object(&with(map, &marks), JSON, "{\"a\":1}"),
        &json!({"id": "an id", "_s3db": {"metadata": marks, "body": "{\"a\":1}"}}),
    );
}

#[test]
fn content_may_be_any_bytes() {
    let resource = resource("user-managed", &json!({"title": "string"}));
    let mut record = object(
        &json!({"_v": "v2", "0": "t", "_hascontent": "true"}),
        "image/png",
        "",
    );
    record.body = vec![0x89, 0x50, 0xff].into();
    let decoded = decode(&resource, "an id", &record);
    assert_eq!(decoded.reason, None);
    assert_eq!(decoded.document[MEMBER]["bodyBase64"], "iVD/");
    check_line(&resource, &record);
}
