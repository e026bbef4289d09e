use serde_json::json;

use super::*;

fn kind(definition: &str) -> Kind {
    Kind::of(&json!(definition))
}

/// What is put, stored, and read back, which is the same unless given.
fn check(definition: &str, rows: &[(Value, &str)]) {
    let kind = kind(definition);
    for (value, stored) in rows {
        let cell = Cell::Text((*stored).to_owned());
        assert_eq!(
            kind.encode(value),
            Ok(cell.clone()),
            "{definition}: {value}"
        );
        assert_eq!(
            kind.decode(&cell, false),
            *value,
            "{definition}: {stored:?}"
        );
    }
}

#[test]
fn types_are_found_by_words_in_order() {
    for (definition, expected) in [
        ("string|default:number one", Kind::Number { integer: false }),
        (
            "number|integer:true|optional",
            Kind::Number { integer: true },
        ),
        ("number|integer", Kind::Number { integer: true }),
        ("array|items:string", Kind::Texts),
        ("array|items:number", Kind::Numbers { integer: false }),
        (
            "array|items:number|integer:true",
            Kind::Numbers { integer: true },
        ),
        ("array|items:number|length:256", Kind::Embedding),
        (
            "array|items:number|length:255",
            Kind::Numbers { integer: false },
        ),
        (
            "array|items:number|integer|length:300",
            Kind::Numbers { integer: true },
        ),
        ("array|items:object", Kind::Any),
        ("array|items:datetime", Kind::Times),
        ("embedding:4|optional", Kind::Embedding),
        ("secretNumber", Kind::Text),
        ("password:argon2id", Kind::Text),
        ("money", Kind::Money { decimals: 2 }),
        ("money:4", Kind::Money { decimals: 4 }),
        ("crypto|optional", Kind::Money { decimals: 8 }),
        ("decimal:99", Kind::Opaque),
        (
            "geo:lat",
            Kind::Degrees {
                decimals: 6,
                offset: 90,
            },
        ),
        (
            "geo:lon:2",
            Kind::Degrees {
                decimals: 2,
                offset: 180,
            },
        ),
        ("boolean|default:false", Kind::Boolean),
        ("object|optional", Kind::Json),
        ("datetime|optional", Kind::DateTime),
        ("uuid", Kind::Uuid),
        ("string|pattern:uuid", Kind::Text),
        ("maces", Kind::Text),
        ("email|optional", Kind::Text),
        ("any|optional", Kind::Any),
        ("text|optional", Kind::Opaque),
    ] {
        assert_eq!(kind(definition), expected, "{definition}");
    }
    assert_eq!(
        Kind::of(&json!({"type": "array", "items": "string"})),
        Kind::Texts
    );
    assert_eq!(
        Kind::of(&json!({"type": "array", "items": "number", "length": 300})),
        Kind::Embedding
    );
    assert_eq!(Kind::of(&json!({"type": "secret"})), Kind::Any);
    assert_eq!(
        Kind::of(&json!({"type": "string", "optional": true})),
        Kind::Text
    );
    assert_eq!(
        Kind::of(&json!({"type": "money"})),
        Kind::Loose(Meant::Number)
    );
    assert_eq!(
        Kind::of(&json!({"type": "number"})),
        Kind::Loose(Meant::Number)
    );
    assert_eq!(Kind::of(&json!(7)), Kind::Any);
}

#[test]
fn numbers() {
    check(
        "number|optional",
        &[
            (json!(62), "10"),
            (json!(0), "0"),
            (json!(123_456.789), "w7e.789"),
            (json!(-0.25), "-0.25"),
            (json!(1.5e300), "1.5e+300"),
            (json!(1.5e-7), "1.5e-7"),
            (json!("not a number"), "not a number"),
        ],
    );
    // Beyond 2^53 neither direction is exact.
    check(
        "number",
        &[(json!(361_991_137_964_651_008_i64), "qJVeYSAEbQ")],
    );
    check(
        "number|integer:true",
        &[
            (json!(-5), "-5"),
            (json!(9_007_199_254_740_991_i64), "FfGNdXsE7"),
        ],
    );
    // These are lost, or the line can't hold them as they are.
    let number = kind("number");
    assert_eq!(number.encode(&json!(1e-7)), Ok(Cell::Text(String::new())));
    assert_eq!(number.decode(&Cell::Text(String::new()), true), Value::Null);
    assert_eq!(
        number.encode(&json!(1e21)),
        Ok(Cell::Text("jdt8BLTpPG02".to_owned()))
    );
    assert_eq!(number.encode(&json!(2.9)), Ok(Cell::Text("2.9".to_owned())));
    assert_eq!(
        kind("number|integer").encode(&json!(2.9)),
        Ok(Cell::Text("2".to_owned()))
    );
    // Text that reads as a number would not come back as text.
    assert_eq!(number.encode(&json!("12")), Err(NoText));
    assert_eq!(number.encode(&json!([1])), Err(NoText));
    assert_eq!(
        number.decode(&Cell::Text("1.2.3".to_owned()), false),
        json!("1.2.3")
    );
}

#[test]
fn booleans_and_texts() {
    check("boolean", &[(json!(true), "1"), (json!(false), "0")]);
    assert_eq!(
        kind("boolean").decode(&Cell::Text("yes".to_owned()), false),
        json!(true)
    );
    assert_eq!(kind("boolean").encode(&json!("yes")), Err(NoText));
    check(
        "string",
        &[
            (json!("{\"a\":1}"), "{\"a\":1}"),
            (json!("[1]"), "[1]"),
            (json!(""), ""),
            (json!({}), "{}"),
        ],
    );
    for definition in ["string", "number", "boolean", "uuid"] {
        assert_eq!(kind(definition).encode(&Value::Null), Ok(Cell::Null));
        assert_eq!(kind(definition).decode(&Cell::Null, false), Value::Null);
    }
    assert_eq!(kind("string").encode(&json!({"a": 1})), Err(NoText));
}

#[test]
fn values_without_a_type() {
    check(
        "any",
        &[
            (json!("5"), "5"),
            (json!([1, "a", {"b": 2}]), "[1,\"a\",{\"b\":2}]"),
        ],
    );
    check(
        "any",
        &[
            (json!("[1, 2]"), "[1, 2]"),
            (json!("[1"), "[1"),
            (json!({}), "{}"),
        ],
    );
    assert_eq!(kind("any").encode(&json!(5)), Ok(Cell::Number(5.into())));
    assert_eq!(kind("any").decode(&Cell::Bool(true), true), json!(true));
    let loose = Kind::of(&json!({"type": "number"}));
    assert_eq!(loose.decode(&Cell::Text("62".to_owned()), false), json!(62));
    assert_eq!(
        loose.decode(&Cell::Text("62".to_owned()), true),
        json!("62")
    );
    assert_eq!(
        loose.decode(&Cell::Text("062".to_owned()), false),
        json!("062")
    );
}

#[test]
fn arrays() {
    check(
        "array|items:string",
        &[
            (json!(["a|b", "c\\d"]), "a\\|b|c\\\\d"),
            (json!([]), ""),
            (json!(["", ""]), "|"),
            (json!(["[1]"]), "[1]"),
        ],
    );
    check(
        "array|items:number",
        &[
            (json!([1, 2.5, -3]), "1|2.5|-3"),
            (json!([]), ""),
            (json!([0.5, null]), "0.5|"),
        ],
    );
    check(
        "array|items:number|integer",
        &[
            (json!([62, 0]), "10|0"),
            (json!([1, null, 2]), "1||2"),
            (json!("1|*"), "1|*"),
        ],
    );
    check(
        "array|optional",
        &[(json!([1, "a", {"b": 2}]), "[1,\"a\",{\"b\":2}]")],
    );
    check(
        "embedding:4",
        &[
            (json!([0.1, -0.2, 0.123_457, 0]), "^[q0U,-Q1O,w7f,0]"),
            (json!([]), "^[]"),
        ],
    );
}

#[test]
fn json_cells() {
    check(
        "json",
        &[
            (
                json!({"a": {"b": [1, null, "x"]}, "c": 1.5}),
                "{\"a\":{\"b\":[1,null,\"x\"]},\"c\":1.5}",
            ),
            (json!("text"), "text"),
            (json!(5), "5"),
            (json!(true), "true"),
            (json!([]), "[]"),
            (json!("{\"a\": 1}"), "{\"a\": 1}"),
            (json!("\"quoted\""), "\"quoted\""),
            (json!(null), "null"),
            (json!("{\"broken\":"), "{\"broken\":"),
        ],
    );
}

#[test]
fn times() {
    check(
        "datetime",
        &[
            (json!("2024-02-29T12:34:56.789Z"), "u5G7nAV"),
            (json!("1969-12-31T23:59:59.999Z"), "-1"),
            (json!("not a date"), "not a date"),
        ],
    );
    for (text, stored) in [
        ("2024-02-29T12:34:56.789Z", "u5G7nAV"),
        ("2024-02-29T12:34:56.789000Z", "u5G7nAV"),
        ("2024-02-29T13:34:56.789+01:00", "u5G7nAV"),
        ("1970-01-01", "0"),
    ] {
        assert_eq!(
            time::write_datetime(&json!(text)).as_deref(),
            Some(stored),
            "{text}"
        );
    }
    for text in [
        "0001-01-01T00:00:00.000Z",
        "9999-12-31T23:59:59.999Z",
        "+275760-09-13T00:00:00.000Z",
        "-271821-04-20T00:00:00.000Z",
        "-000001-02-28T00:00:00.000Z",
    ] {
        let stored = time::write_datetime(&json!(text)).unwrap();
        assert_eq!(time::read_datetime(&stored), Some(json!(text)));
    }
    assert_eq!(time::read_datetime("ZZZZZZZZZZZ"), None);
    check(
        "dateonly",
        &[(json!("2024-02-29"), "594"), (json!("0001-01-01"), "-315o")],
    );
    check("timeonly", &[(json!("12:34:00.000"), "33OZq")]);
    assert_eq!(time::write_time(&json!("12:34")).as_deref(), Some("33OZq"));
    check(
        "duration",
        &[
            (json!("PT1H30M"), "mEMM"),
            (json!("P2DT0.500S"), "bH3iQ"),
            (json!("P541DT20H46M42.647S"), "P6od5J"),
            (json!("P1Y2M"), "P1Y2M"),
            (json!("PT0S"), "0"),
            (
                json!("PT59M59.001S"),
                &time::write_duration(&json!("PT59M59.001S")).unwrap(),
            ),
        ],
    );
    assert_eq!(time::write_duration(&json!("PT1M1H")), None);
    assert_eq!(time::write_duration(&json!("1h")), None);
}

#[test]
fn packed_texts() {
    check(
        "uuid|optional",
        &[
            (
                json!("123e4567-e89b-12d3-a456-426614174000"),
                "0kIf1d4g6oxB30AzXg0mOiNa",
            ),
            (json!("not a uuid"), "not a uuid"),
        ],
    );
    check(
        "semver",
        &[
            (json!("1.2.3"), "4cFl"),
            (json!("12345678901.0.0"), "UxGBduNhu"),
        ],
    );
    check("phone", &[(json!("+5511999999999"), "1z2ASgSr")]);
    check("color", &[(json!("#ff5733"), "18dhh")]);
    check(
        "ean",
        &[
            (json!("4006381333931"), "118x8XMN5"),
            (json!("00000000"), "00"),
        ],
    );
}

#[test]
fn addresses() {
    check(
        "ip4",
        &[
            (json!("192.168.0.1"), "wKgAAQ=="),
            (json!("no address"), "no address"),
        ],
    );
    check("ip6", &[(json!("::1"), "AAAAAAAAAAAAAAAAAAAAAQ==")]);
    for text in [
        "::",
        "1::",
        "fe80::1:2:3:4",
        "1:0:0:2::3",
        "1:2:3:4:5:6:7:8",
        "1:0:2:3:4:5:6:7",
        "::ffff:c0a8:1",
    ] {
        let stored = network::write_ip6(&json!(text)).unwrap();
        assert_eq!(network::read_ip6(&stored), Some(json!(text)));
    }
    check("mac", &[(json!("aa:bb:cc:dd:ee:ff"), "0RiYGo9Lp")]);
    check("cidr", &[(json!("192.168.1.0/24"), "3wK8b6o")]);
}

#[test]
fn fixed_decimals() {
    check("money:2", &[(json!(19.99), "$wf"), (json!(0), "$0")]);
    check("decimal:4", &[(json!(-5.5), "^-ej6"), (json!(0), "^0")]);
    check("geo:lat:6", &[(json!(90), "~cbgdO")]);
    check("geo:lon", &[(json!(-180), "~0")]);
    check(
        "geo:point:6",
        &[(json!({"latitude": 1.5, "longitude": -2.5}), "~6bVks~c0LRe")],
    );
    assert_eq!(
        kind("geo:point").encode(&json!([1.5, -2.5])),
        Ok(Cell::Text("~6bVks~c0LRe".to_owned()))
    );
}
