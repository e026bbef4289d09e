use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::super::javascript::number_value;
use super::super::types::properties::DEFINITIONS;
use super::tests::{check_line, resource};
use super::*;

/// A definition, and the values that it keeps.
fn attribute() -> impl Strategy<Value = (&'static str, Value)> {
    let text = "\\PC{0,30}|[a-z]{300,900}|(https://|/api/|d:|u:|b:)\\PC{0,9}"
        .prop_filter("stored as something else", |text| {
            !matches!(text.as_str(), "null" | "undefined" | "font/woff2" | "{}")
        });
    let number = prop_oneof![
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(|n| json!(n)),
        any::<i32>().prop_map(|n| number_value(f64::from(n) / 1000.0).unwrap()),
    ];
    let json = vec(("[a-z]{0,5}", any::<i32>()), 0..4).prop_map(|members| {
        members
            .into_iter()
            .map(|(key, n)| (key, json!([n, {"n": null}])))
            .collect::<Value>()
    });
    prop_oneof![
        (
            select(vec!["string", "email|optional", "secret"]),
            text.clone().prop_map(Value::from)
        ),
        (Just("number|optional"), number.clone()),
        (
            Just("number|integer:true"),
            any::<i32>().prop_map(|n| json!(n))
        ),
        (
            Just("boolean"),
            any::<bool>().prop_map(|value| json!(value))
        ),
        (
            Just("datetime|optional"),
            (0_u32..100, 1_u32..13)
                .prop_map(|(y, m)| json!(format!("20{y:02}-{m:02}-07T01:02:03.004Z")))
        ),
        (
            Just("array|items:string"),
            vec(text, 2..5).prop_map(Value::from)
        ),
        (
            Just("array|items:number"),
            vec(number, 1..5).prop_map(Value::from)
        ),
        (
            Just("array|items:number"),
            vec(any::<Option<i32>>(), 2..5).prop_map(|items| json!(items))
        ),
        (
            Just("array|items:datetime"),
            vec("20[0-9]{2}-01-02T03:04:05\\.678Z", 1..4).prop_map(|items| json!(items))
        ),
        (Just("json"), Just(Value::Null)),
        (select(vec!["json", "object|optional"]), json.clone()),
        (Just("array"), json.prop_map(|value| json!([value]))),
        (Just("string|optional"), Just(Value::Null)),
    ]
}

/// Attributes and a document of them, some nested.
fn documents() -> impl Strategy<Value = (Value, Value)> {
    let name = "[a-zA-Zé]{1,6}";
    let leaves = || btree_map(name, attribute(), 0..5);
    (leaves(), btree_map("n[a-z]{1,3}", leaves(), 0..3)).prop_map(|(leaves, nested)| {
        let split = |leaves: std::collections::BTreeMap<String, (&str, Value)>| {
            let (mut attributes, mut document) = (Map::new(), Map::new());
            for (name, (definition, value)) in leaves {
                attributes.insert(name.clone(), definition.into());
                document.insert(name, value);
            }
            (attributes, document)
        };
        let (mut attributes, mut document) = split(leaves);
        attributes.shift_remove("id");
        document.shift_remove("id");
        for (name, leaves) in nested {
            let (inner, values) = split(leaves);
            if !inner.is_empty() && !inner.contains_key("type") {
                attributes.insert(name.clone(), inner.into());
                document.insert(name, values.into());
            }
        }
        let mut with_id = json!({"id": "an id"});
        with_id.as_object_mut().unwrap().extend(document);
        (attributes.into(), with_id)
    })
}

const BEHAVIORS: [&str; 5] = [
    "user-managed",
    "enforce-limits",
    "truncate-data",
    "body-overflow",
    "body-only",
];

proptest! {
    #[test]
    fn documents_survive((attributes, document) in documents(), behavior in select(BEHAVIORS.to_vec())) {
        let resource = resource(behavior, &attributes);
        let object = encode(&resource, document.as_object().unwrap()).unwrap();
        let decoded = decode(&resource, "an id", &object);
        prop_assert_eq!(decoded.reason, None);
        prop_assert_eq!(Value::Object(decoded.document), document);
        check_line(&resource, &object);
    }

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
