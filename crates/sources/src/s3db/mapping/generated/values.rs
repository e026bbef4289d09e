//! Values that s3db.js keeps: what it stores for them stands for nothing else.
//!
//! What it doesn't keep is left out by name: texts and numbers that are stored as null, a dictionary's double entry,
//! arrays whose one item is empty.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::super::super::javascript::number_text;
use super::super::Kind;

/// Texts that mean something to s3db.js, to JSON or to a protocol on the way.
const HOSTILE: [&str; 60] = [
    "null",
    "undefined",
    "true",
    "false",
    "NaN",
    "0",
    "-1",
    "1.5",
    "1e21",
    "010",
    "[object Object]",
    "{}",
    "[]",
    "{\"a\":1}",
    "[1,2]",
    "{\"a\":\"\\ud800\"}",
    "{",
    "]",
    "\"quoted\"",
    "'",
    "\\",
    "|",
    "\\|",
    "%",
    "%41",
    "%zz",
    "+",
    "&",
    "=",
    "/",
    "../",
    " ",
    "\t",
    "\r\n",
    "\0",
    "\u{1f}",
    "\u{7f}",
    "\u{80}",
    "\u{a0}",
    "é",
    "e\u{301}",
    "ÿ",
    "Ā",
    "日本語",
    "😀",
    "👩‍👩‍👧",
    "\u{200b}",
    "\u{2028}",
    "\u{202e}",
    "\u{feff}",
    "\u{fffd}",
    "d:",
    "d:c",
    "u:%41",
    "b:YQ==",
    "z:abc",
    "completed",
    "font/woff2",
    "https://www.",
    "/api/v1/",
];

/// Any text, hostile ones above all.
fn text() -> impl Strategy<Value = String> {
    let pieces = vec(
        prop_oneof![
            select(HOSTILE.to_vec()).prop_map(str::to_owned),
            "(?s).{0,4}".prop_map(|text| text)
        ],
        0..4,
    );
    let long = (select(vec!["x", "é", "日", "😀", "|", "\n"]), 1_usize..900);
    prop_oneof![
        4 => select(HOSTILE.to_vec()).prop_map(str::to_owned),
        4 => pieces.prop_map(|pieces| pieces.concat()),
        1 => long.prop_map(|(unit, count)| unit.repeat(count)),
        2 => "[a-z0-9 ]{0,12}",
    ]
}

/// Whether a cell of this text is read as it.
fn is_kept(text: &str) -> bool {
    !matches!(text, "null" | "undefined" | "font/woff2")
}

fn is_json(text: &str) -> bool {
    // Halves of surrogate pairs are JSON to JavaScript.
    serde_json::from_str::<Value>(text).is_ok() || text.contains("\\ud")
}

fn kept_text() -> impl Strategy<Value = String> {
    text().prop_filter("read as something else", |text| {
        is_kept(text) && text != "{}"
    })
}

pub(super) fn untyped_text() -> impl Strategy<Value = String> {
    kept_text().prop_filter("read as an array", |text| !text.starts_with('['))
}

/// A number as JavaScript prints it and JSON reads it.
fn number(value: f64) -> Value {
    serde_json::from_str(&number_text(value)).unwrap()
}

/// Numbers whose text in base 62 is `null` or `undefined`.
fn is_word(number: i64) -> bool {
    matches!(number, 5_598_187 | 6_631_951_758_436_141)
}

fn integers() -> impl Strategy<Value = i64> {
    let exact = 9_007_199_254_740_991_i64;
    prop_oneof![
        -100_i64..100,
        -exact..=exact,
        any::<i32>().prop_map(i64::from)
    ]
    .prop_filter("stored as a word", |number| !is_word(*number))
}

fn numbers() -> impl Strategy<Value = Value> {
    prop_oneof![
        integers().prop_map(|number| json!(number)),
        (any::<i32>(), select(vec![10.0, 1e3, 1e6])).prop_map(|(n, by)| number(f64::from(n) / by)),
        select(vec![
            1.5e300,
            -1.5e-7,
            0.1 + 0.2,
            1.7976931348623157e308,
            2.5e-20
        ])
        .prop_map(number),
    ]
}

/// Any JSON that JavaScript can hold.
pub(in super::super) fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        numbers(),
        select(vec![1e19, 1e21, 5e-324]).prop_map(number),
        text().prop_map(Value::String),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::Array),
            btree_map(text(), inner, 0..3).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

fn json_objects() -> impl Strategy<Value = Value> {
    btree_map("[a-z]{0,3}", json_value(), 0..3).prop_map(|members| members.into_iter().collect())
}

/// A definition of an attribute, and a value that it keeps.
type Leaf = (Value, Value);

fn leaves<V: Strategy + 'static>(definitions: &[&str], values: V) -> BoxedStrategy<Leaf>
where
    V::Value: Into<Value>,
{
    let definitions: Vec<Value> = definitions.iter().map(|text| json!(text)).collect();
    (select(definitions), values)
        .prop_map(|(definition, value)| (definition, value.into()))
        .boxed()
}

fn date() -> impl Strategy<Value = String> {
    (0_u32..=9999, 1_u32..=12, 1_u32..=28).prop_map(|(y, m, d)| format!("{y:04}-{m:02}-{d:02}"))
}

fn clock() -> impl Strategy<Value = String> {
    (0_u32..24, 0_u32..60, 0_u32..60, 0_u32..1000)
        .prop_map(|(h, m, s, ms)| format!("{h:02}:{m:02}:{s:02}.{ms:03}"))
}

fn datetime() -> impl Strategy<Value = String> {
    (date(), clock()).prop_map(|(date, clock)| format!("{date}T{clock}Z"))
}

fn duration() -> impl Strategy<Value = String> {
    (0_u32..4000, 0_u32..24, 0_u32..60, 0_u32..60, 0_u32..1000).prop_map(|(d, h, m, s, ms)| {
        let part = |amount: u32, unit: char| match amount {
            0 => String::new(),
            _ => format!("{amount}{unit}"),
        };
        let seconds = match ms {
            0 => part(s, 'S'),
            _ => format!("{s}.{ms:03}S"),
        };
        let clock = part(h, 'H') + &part(m, 'M') + &seconds;
        match (part(d, 'D'), clock.as_str()) {
            (days, "") if days.is_empty() => "PT0S".to_owned(),
            (days, "") => format!("P{days}"),
            (days, clock) => format!("P{days}T{clock}"),
        }
    })
}

fn ip6() -> impl Strategy<Value = String> {
    vec(prop_oneof![Just(0_u16), any::<u16>()], 8)
        .prop_map(|groups| <[u16; 8]>::try_from(groups).unwrap())
        .prop_map(|groups| std::net::Ipv6Addr::from(groups).to_string())
        .prop_filter("with dots", |text| !text.contains('.'))
}

/// Digits that pack into a text which isn't of eight digits or more itself: s3db.js reads those as they are.
fn ean() -> impl Strategy<Value = String> {
    "[0-9]{8}|[0-9]{12,14}".prop_filter("its code is one", |text| {
        let code = Kind::Ean.encode(&json!(text)).unwrap().to_header();
        !code.bytes().all(|byte| byte.is_ascii_digit()) || code.len() < 8
    })
}

/// A whole number of the smallest unit, and an offset, as degrees or money.
fn scaled(range: std::ops::Range<i64>, by: f64, offset: f64) -> impl Strategy<Value = Value> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "the ranges are those of exact doubles"
    )]
    range.prop_map(move |scaled| number(scaled as f64 / by - offset))
}

fn packed() -> impl Strategy<Value = Leaf> {
    let hex = |digits: &'static str| digits;
    let [lat, lon] = [(180_000_001, 90.0), (360_000_001, 180.0)]
        .map(|(end, offset)| scaled(0..end, 1e6, offset).boxed());
    let point = (lat.clone(), lon.clone())
        .prop_map(|(latitude, longitude)| json!({"latitude": latitude, "longitude": longitude}));
    let money = scaled(-1_000_000_000_000..1_000_000_000_000, 100.0, 0.0);
    prop_oneof![
        leaves(&["datetime|optional", "datetime"], datetime()),
        leaves(&["dateonly|optional"], date()),
        leaves(&["timeonly|optional"], clock()),
        leaves(&["duration|optional"], duration()),
        leaves(
            &["uuid|optional"],
            hex("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
        ),
        leaves(&["mac|optional"], "([0-9a-f]{2}:){5}[0-9a-f]{2}"),
        leaves(
            &["ip4|optional", "ip4"],
            any::<[u8; 4]>().prop_map(|ip| std::net::Ipv4Addr::from(ip).to_string())
        ),
        leaves(&["ip6"], ip6()),
        leaves(
            &["cidr|optional"],
            (any::<[u8; 4]>(), 0_u8..=32)
                .prop_map(|(ip, length)| format!("{}/{length}", std::net::Ipv4Addr::from(ip)))
        ),
        leaves(
            &["semver|optional"],
            (0_u32..5000, 0_u32..1000, 0_u32..1000)
                .prop_filter("stored as null", |v| *v != (5, 598, 187))
                .prop_map(|(a, b, c)| format!("{a}.{b}.{c}"))
        ),
        leaves(&["phone|optional"], "\\+[1-9][0-9]{7,14}"),
        leaves(&["color|optional"], "#[0-9a-f]{6}"),
        leaves(&["ean|optional"], ean()),
        leaves(&["money", "money:2|optional"], money),
        leaves(
            &["crypto:8", "decimal:8|optional"],
            scaled(0..10_000_000_000_000, 1e8, 0.0)
        ),
        leaves(
            &["decimal:4"],
            scaled(-10_000_000_000..10_000_000_000, 1e4, 0.0)
        ),
        leaves(&["geo:lat:6", "geo:lat"], lat),
        leaves(&["geo:lon:6|optional"], lon),
        leaves(&["geo:point"], point),
    ]
}

fn lists() -> impl Strategy<Value = Leaf> {
    let texts = vec(text(), 0..5)
        .prop_filter("read as something else", |items| {
            is_kept(&items.join("|")) && !matches!(&items[..], [item] if item.is_empty())
        })
        .boxed();
    let floats = vec(numbers(), 0..5)
        .prop_filter("stored as a word", |items| {
            items.len() != 1 || items[0] != 5_598_187
        })
        .boxed();
    let times = vec(datetime(), 1..4);
    let embedding = vec(scaled(-2_000_000..2_000_000, 1e6, 0.0), 0..5);
    let array = vec(json_value(), 0..4);
    let form = |items: &str| json!({"type": "array", "items": items, "optional": true});
    prop_oneof![
        leaves(
            &["array|items:string", "array|items:string|optional"],
            texts.clone()
        ),
        texts.prop_map(move |items| (form("string"), json!(items))),
        leaves(&["array|items:number|optional"], floats.clone()),
        floats.prop_map(move |items| (form("number"), json!(items))),
        leaves(&["array|items:number|integer:true"], vec(integers(), 0..5)),
        leaves(&["array|items:datetime|optional"], times),
        leaves(&["embedding:4", "array|items:number|length:256"], embedding),
        leaves(
            &[
                "array",
                "array|items:object|optional",
                "array|items:boolean"
            ],
            array
        ),
    ]
}

fn plain() -> impl Strategy<Value = Leaf> {
    let json = prop_oneof![
        2 => json_objects(),
        1 => vec(json_value(), 0..3).prop_map(Value::Array),
        1 => numbers(),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(Value::Null),
        1 => text().prop_filter("JSON itself", |text| is_kept(text) && !is_json(text)).prop_map(Value::String),
    ];
    let form = |name: &str| json!({"type": name, "optional": true});
    prop_oneof![
        4 => leaves(&["string", "string|optional|max:4000", "email|optional", "url", "secret", "password", "currency|optional", "enum"], kept_text()),
        2 => kept_text().prop_map(move |text| (form("string"), json!(text))),
        2 => leaves(&["any", "any|optional"], untyped_text()),
        3 => leaves(&["number", "number|optional|min:0"], numbers()),
        1 => numbers().prop_map(move |number| (form("number"), number)),
        1 => leaves(&["number|integer:true", "number|integer|optional"], integers()),
        2 => leaves(&["boolean", "boolean|optional"], any::<bool>()),
        1 => any::<bool>().prop_map(move |value| (form("boolean"), json!(value))),
        2 => leaves(&["json", "object|optional"], json),
    ]
}

/// What only a body keeps: there, values without a type have one, and bytes stay together.
pub(super) fn in_body() -> impl Strategy<Value = Leaf> {
    let scalars = prop_oneof![
        numbers(),
        any::<bool>().prop_map(Value::Bool),
        untyped_text().prop_map(Value::String)
    ];
    prop_oneof![
        leaves(&["any", "string|optional"], scalars),
        leaves(&["buffer", "bits:64"], vec(any::<u8>(), 1..14)),
    ]
}

/// Definitions with a value each, or null: such as the metadata keeps, or only a body.
pub(super) struct Leaves {
    pub(super) strategy: BoxedStrategy<Leaf>,
    pub(super) in_body: bool,
}

impl Leaves {
    pub(super) fn new(in_body: bool) -> Self {
        let kept = prop_oneof![2 => plain(), 2 => packed(), 1 => lists()];
        let kept = match in_body {
            true => prop_oneof![6 => kept, 1 => self::in_body()].boxed(),
            false => kept.boxed(),
        };
        let or_null =
            (kept, prop::bool::weighted(0.05)).prop_map(|((definition, value), is_null)| {
                (definition, if is_null { Value::Null } else { value })
            });
        Leaves {
            strategy: or_null.boxed(),
            in_body,
        }
    }
}
