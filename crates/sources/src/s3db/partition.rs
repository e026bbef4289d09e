//! Partitions: under which key s3db.js keeps the entry of a record, by the record's values.
//!
//! Pure. An entry says what its record had when it was written; whether the record still has it is told by the record.

use std::cmp::Ordering;

use serde_json::{Map, Value};
use teeline_core::value_at;

use super::javascript::number_text;
use super::schema::Resource;
use super::walk::{PARTITION, resource_prefix};

/// The order in which `localeCompare` has characters that are no letters.
const BEFORE_LETTERS: &str = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789";

/// A partition of a resource.
#[derive(Debug, Clone)]
pub(super) struct Partition {
    pub(super) name: String,
    /// What all of its keys begin with.
    folder: String,
    /// In the order of its keys.
    pub(super) fields: Vec<Field>,
}

#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) path: String,
    rule: String,
}

/// A record, as far as its entries depend on it.
pub(super) struct Record<'a> {
    pub(super) id: &'a str,
    /// The version of the schema that wrote it, where it says so.
    pub(super) version: Option<&'a str>,
    pub(super) document: &'a Map<String, Value>,
}

/// What a key has for a field, or the key of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Text {
    Is(String),
    /// There is no value, or no entry.
    Absent,
    /// It can't be told from the document alone.
    Unknown,
}

impl Partition {
    /// The partitions that a resource has now.
    pub(super) fn all_of(resource: &Resource) -> impl Iterator<Item = Partition> {
        let named = resource.partitions.iter();
        named.filter_map(|(name, definition)| Self::new(resource, name, definition))
    }

    fn new(resource: &Resource, name: &str, definition: &Value) -> Option<Self> {
        let defined = definition.get("fields")?.as_object()?;
        let mut fields: Vec<Field> = defined
            .iter()
            .map(|(path, rule)| Field {
                path: path.clone(),
                rule: rule.as_str().unwrap_or_default().to_owned(),
            })
            .collect();
        fields.sort_by(|a, b| locale_order(&a.path, &b.path));
        (!fields.is_empty()).then(|| Partition {
            name: name.to_owned(),
            folder: format!("{}{PARTITION}{name}", resource_prefix(&resource.name)),
            fields,
        })
    }

    /// What the keys of all entries begin with that have these texts for the first fields; `None` where that leads out of
    /// the resource.
    pub(super) fn prefix(&self, texts: &[Option<String>]) -> Option<String> {
        let known = self.fields.iter().zip(texts);
        let known = known.map_while(|(field, text)| Some((field, text.as_deref()?)));
        let prefix = format!("{}/", self.joined(known));
        let (resource, _) = self.folder.split_once('/')?;
        let within = prefix.strip_prefix(resource)?.strip_prefix('/')?;
        (!within.is_empty()).then_some(prefix)
    }

    /// The key of the entry that a record has.
    pub(super) fn key(&self, record: &Record<'_>) -> Text {
        let mut texts = Vec::with_capacity(self.fields.len());
        let mut is_told = true;
        for field in &self.fields {
            match field.text_in(record) {
                Text::Is(text) => texts.push(text),
                Text::Absent => return Text::Absent,
                Text::Unknown => is_told = false,
            }
        }
        if !is_told {
            return Text::Unknown;
        }
        let known = self.fields.iter().zip(texts.iter().map(String::as_str));
        Text::Is(format!("{}/id={}", self.joined(known), record.id))
    }

    /// Joins as POSIX paths are: what is between two slashes may lead up again.
    fn joined<'a>(&self, texts: impl Iterator<Item = (&'a Field, &'a str)>) -> String {
        let texts = texts.map(|(field, text)| format!("/{}={text}", field.path));
        let path = std::iter::once(self.folder.clone()).chain(texts);
        let path: String = path.collect();
        let mut steps: Vec<&str> = Vec::new();
        for step in path.split('/') {
            match step {
                "" | "." => {}
                ".." if steps.last().is_some_and(|last| *last != "..") => drop(steps.pop()),
                step => steps.push(step),
            }
        }
        steps.join("/")
    }
}

impl Field {
    /// What the key of a record has for it.
    pub(super) fn text_in(&self, record: &Record<'_>) -> Text {
        match (self.path.as_str(), record.version) {
            ("_v", Some(version)) => Text::Is(version.to_owned()),
            // What begins so is s3db.js's own, which a document hasn't.
            (path, _) if path.starts_with('_') => Text::Unknown,
            (path, _) => self.text(value_at(record.document, path).unwrap_or(&Value::Null)),
        }
    }

    /// What a key has for a value.
    pub(super) fn text(&self, value: &Value) -> Text {
        let text = match value {
            Value::Null => return Text::Absent,
            Value::String(text) => text,
            other => return Text::Is(js_text(other)),
        };
        let Some(text) = cut(text, &self.rule) else {
            return Text::Unknown;
        };
        match self.rule.contains("date") {
            true => day(text).map_or(Text::Unknown, Text::Is),
            false => Text::Is(text.to_owned()),
        }
    }
}

/// As `String(value)` has it.
fn js_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number
            .as_f64()
            .map_or_else(|| number.to_string(), number_text),
        Value::Array(items) => items.iter().map(js_text).collect::<Vec<_>>().join(","),
        Value::Object(_) => "[object Object]".to_owned(),
    }
}

/// A text as `maxlength:N` of a rule cuts it: to N units of UTF-16. `None` where that cuts a character in two.
fn cut<'t>(text: &'t str, rule: &str) -> Option<&'t str> {
    let length = rule.split_once("maxlength:").map(|(_, rest)| rest);
    let digits =
        length.map(|rest| rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len());
    let length = length
        .zip(digits)
        .and_then(|(rest, digits)| rest[..digits].parse::<usize>().ok());
    let Some(length) = length else {
        return Some(text);
    };
    let mut units = 0;
    for (at, character) in text.char_indices() {
        match units.cmp(&length) {
            Ordering::Less => units += character.len_utf16(),
            Ordering::Equal => return Some(&text[..at]),
            Ordering::Greater => return None,
        }
    }
    (units <= length).then_some(text)
}

/// The day that a text says, as a rule with `date` in it has it: up to the T of a time in UTC, otherwise what `new Date` makes of
/// it, of which only days, months and years are sure not to depend on where that runs.
fn day(text: &str) -> Option<String> {
    if text.contains('T') && text.contains('Z') {
        return text.split('T').next().map(str::to_owned);
    }
    let parts: Vec<&str> = text.split('-').collect();
    let numbers: Vec<u32> = parts
        .iter()
        .map(|part| {
            part.bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| part.parse().ok())?
        })
        .collect::<Option<_>>()?;
    let widths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let (month, day) = match (widths.as_slice(), numbers.as_slice()) {
        ([4], _) => (1, 1),
        ([4, 2], [_, month]) => (*month, 1),
        ([4, 2, 2], [_, month, day]) => (*month, *day),
        _ => return None,
    };
    let last = match month {
        2 if is_leap(numbers[0]) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let is_sure = (1..=12).contains(&month) && (1..=last).contains(&day);
    is_sure.then(|| format!("{}-{month:02}-{day:02}", parts[0]))
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// The order of `localeCompare`, as far as names of attributes go: other characters before letters, whose case counts last.
fn locale_order(a: &str, b: &str) -> Ordering {
    let rank = |c: char| match BEFORE_LETTERS.find(c) {
        Some(at) => (0, at, c),
        None => (1, 0, c.to_ascii_lowercase()),
    };
    let by_letters = a.chars().map(rank).cmp(b.chars().map(rank));
    // Small letters first.
    by_letters.then_with(|| b.cmp(a))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Catalogue;
    use super::*;

    fn partition(fields: &Value) -> Partition {
        let catalogue = json!({"resources": {"orders": {
            "currentVersion": "v1", "versions": {"v1": {"attributes": {}}}, "partitions": {"by": {"fields": fields}},
        }}});
        let catalogue = Catalogue::parse(catalogue.to_string().as_bytes()).unwrap();
        Partition::all_of(&catalogue.resources[0]).next().unwrap()
    }

    fn key(fields: &Value, document: &Value) -> Text {
        let record = Record {
            id: "order-1",
            version: Some("v3"),
            document: document.as_object().unwrap(),
        };
        match partition(fields).key(&record) {
            Text::Is(key) => Text::Is(key.strip_prefix("resource=orders/").unwrap().to_owned()),
            other => other,
        }
    }

    #[test]
    fn keys_are_those_of_s3db_js() {
        for (fields, document, expected) in [
            (
                json!({"Zone": "string", "area": "string"}),
                json!({"area": "a1", "Zone": "north"}),
                "partition=by/area=a1/Zone=north/id=order-1",
            ),
            (
                json!({"code": "string|maxlength:3"}),
                json!({"code": "wlgton"}),
                "partition=by/code=wlg/id=order-1",
            ),
            (
                json!({"code": "string|maxlength:3"}),
                json!({"code": "wé"}),
                "partition=by/code=wé/id=order-1",
            ),
            (
                json!({"orderedAt": "date"}),
                json!({"orderedAt": "2020-12-23T10:00:00.000Z"}),
                "partition=by/orderedAt=2020-12-23/id=order-1",
            ),
            (
                json!({"createdAt": "date|maxlength:10"}),
                json!({"createdAt": "2024-08-24T10:00:00.000Z"}),
                "partition=by/createdAt=2024-08-24/id=order-1",
            ),
            (
                json!({"day": "date"}),
                json!({"day": "2024-08"}),
                "partition=by/day=2024-08-01/id=order-1",
            ),
            (
                json!({"day": "date"}),
                json!({"day": "2024-02-29"}),
                "partition=by/day=2024-02-29/id=order-1",
            ),
            (
                json!({"day": "date"}),
                json!({"day": 20}),
                "partition=by/day=20/id=order-1",
            ),
            (
                json!({"paid": "boolean", "amount": "number"}),
                json!({"amount": 1.5, "paid": true}),
                "partition=by/amount=1.5/paid=true/id=order-1",
            ),
            (
                json!({"address.city": "string"}),
                json!({"address": {"city": "São Paulo"}}),
                "partition=by/address.city=São Paulo/id=order-1",
            ),
            (
                json!({"Zone": "string"}),
                json!({"Zone": ""}),
                "partition=by/Zone=/id=order-1",
            ),
            (
                json!({"tags": "array|items:string"}),
                json!({"tags": ["a", "b"]}),
                "partition=by/tags=a,b/id=order-1",
            ),
            (
                json!({"s": "string"}),
                json!({"s": "x/../y"}),
                "partition=by/y/id=order-1",
            ),
            (
                json!({"s": "string"}),
                json!({"s": "a//b/./c="}),
                "partition=by/s=a/b/c=/id=order-1",
            ),
            (
                json!({"_v": "string"}),
                json!({}),
                "partition=by/_v=v3/id=order-1",
            ),
        ] {
            let expected = Text::Is(expected.to_owned());
            assert_eq!(key(&fields, &document), expected, "{fields} {document}");
        }
    }

    #[test]
    fn a_record_without_a_value_has_no_entry_and_of_some_nobody_knows_the_key() {
        for (fields, document, expected) in [
            (
                json!({"Zone": "string"}),
                json!({"Zone": null}),
                Text::Absent,
            ),
            (json!({"Zone": "string"}), json!({}), Text::Absent),
            (
                json!({"code": "string|maxlength:1"}),
                json!({"code": "😀"}),
                Text::Unknown,
            ),
            (
                json!({"day": "date"}),
                json!({"day": "7 March 2024"}),
                Text::Unknown,
            ),
            (
                json!({"day": "date"}),
                json!({"day": "2024-02-30"}),
                Text::Unknown,
            ),
            (
                json!({"day": "date"}),
                json!({"day": "2100-02-29"}),
                Text::Unknown,
            ),
            (json!({"_etag": "string"}), json!({}), Text::Unknown),
            (
                json!({"day": "date", "Zone": "string"}),
                json!({"day": "7 March 2024"}),
                Text::Absent,
            ),
        ] {
            assert_eq!(key(&fields, &document), expected, "{fields} {document}");
        }
    }

    #[test]
    fn prefixes_stay_in_the_resource() {
        let two = partition(&json!({"b": "string", "a": "string"}));
        let prefix =
            |texts: [Option<&str>; 2]| two.prefix(&texts.map(|text| text.map(str::to_owned)));
        for (texts, expected) in [
            (
                [Some("1"), Some("2")],
                Some("resource=orders/partition=by/a=1/b=2/"),
            ),
            ([Some("1"), None], Some("resource=orders/partition=by/a=1/")),
            ([None, Some("2")], Some("resource=orders/partition=by/")),
            (
                [Some("x/../../q"), Some("2")],
                Some("resource=orders/q/b=2/"),
            ),
            ([Some("x/../../.."), None], None),
            ([Some("x/../.."), None], None),
            ([Some("x/../../../resource=users"), None], None),
        ] {
            assert_eq!(prefix(texts).as_deref(), expected, "{texts:?}");
        }
    }

    #[test]
    fn fields_are_in_the_order_of_their_language() {
        let mut names = [
            "b.c", "b", "Zone", "area", "B", "a1", "a_b", "a-b", "ab", "A",
        ];
        names.sort_by(|a, b| locale_order(a, b));
        assert_eq!(
            names,
            [
                "A", "a_b", "a-b", "a1", "ab", "area", "b", "B", "b.c", "Zone"
            ]
        );
    }
}
