//! Types of attributes: how s3db.js 21.6.2 turns a value into the text of a cell, and back.
//!
//! A text that a type can't read is carried as it is, which is what s3db.js does with values that it can't encode. So
//! the document shows the stored text there, and encoding finds that text again.

mod list;
mod network;
mod number;
mod packed;
mod time;

use serde_json::Value;

use super::cell::Cell;
use super::javascript::{json_text, number_text};
use super::json_object::replace_lone_surrogates;

/// The type of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, as is: strings and what is kept like them, ciphertext and password hashes among them.
    Text,
    /// Without a type: numbers and booleans are theirs in a body and text in a header; arrays are JSON.
    Any,
    /// The same, where a number or a boolean is meant.
    Loose(Meant),
    Number {
        integer: bool,
    },
    Boolean,
    DateTime,
    DateOnly,
    TimeOnly,
    Duration,
    Texts,
    Numbers {
        integer: bool,
    },
    /// Dates or times, an array that is never made text of its own: in a header, it is what JavaScript prints of it.
    Times,
    Embedding,
    Json,
    /// Bytes, which s3db.js takes apart into one attribute for each.
    Bytes,
    Ip4,
    Ip6,
    Mac,
    Cidr,
    Money {
        decimals: u8,
    },
    Decimal {
        decimals: u8,
    },
    /// Degrees, made positive by the offset.
    Degrees {
        decimals: u8,
        offset: u8,
    },
    Point {
        decimals: u8,
    },
    Uuid,
    Semver,
    Phone,
    Color,
    Ean,
    /// Not understood: never exact.
    Opaque,
}

/// What an attribute in object form is meant to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meant {
    Number,
    Boolean,
}

/// A value that the type of its attribute has no text for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoText;

impl Kind {
    /// The type that a definition means. s3db.js finds most of them by a word anywhere in the definition, in this order.
    pub(super) fn of(definition: &Value) -> Self {
        match definition {
            Value::String(text) => Self::of_text(text),
            Value::Object(form) => match form.get("type").and_then(Value::as_str) {
                Some("array") => match form.get("items").and_then(Value::as_str) {
                    Some(items) => {
                        let length = form.get("length").and_then(Value::as_u64);
                        list_kind(items, items.contains("integer"), length)
                    }
                    None => Self::Any,
                },
                Some("number" | "money" | "crypto" | "decimal") => Self::Loose(Meant::Number),
                Some("boolean" | "bool") => Self::Loose(Meant::Boolean),
                Some("string" | "email" | "url" | "enum") => Self::Text,
                _ => Self::Any,
            },
            _ => Self::Any,
        }
    }

    fn of_text(text: &str) -> Self {
        let has = |word: &str| text.contains(word);
        let integer = has("|integer") || has("integer:true");
        if has("embedding") {
            return Self::Embedding;
        }
        if has("array") {
            let items = ["items:string", "items:number"]
                .into_iter()
                .find(|items| has(items))
                .unwrap_or("");
            return match list_kind(items, integer, number_after(text, "length:")) {
                Self::Any if has("datetime") || has("dateonly") => Self::Times,
                kind => kind,
            };
        }
        let decimals = |name: &str, default: u8| {
            // More would not be exact powers of ten in a double.
            number_after(text, name)
                .map_or(Some(default), |n| u8::try_from(n).ok().filter(|n| *n <= 22))
        };
        let or_opaque = |kind: Option<Self>| kind.unwrap_or(Self::Opaque);
        if has("secret") || has("password") {
            return Self::Text;
        }
        match () {
            () if has("ip4") => Self::Ip4,
            () if has("ip6") => Self::Ip6,
            () if has("buffer") || has("bits") => Self::Bytes,
            () if has("crypto") => {
                or_opaque(decimals("crypto:", 8).map(|decimals| Self::Money { decimals }))
            }
            () if has("money") => {
                or_opaque(decimals("money:", 2).map(|decimals| Self::Money { decimals }))
            }
            () if has("decimal") => {
                or_opaque(decimals("decimal:", 2).map(|decimals| Self::Decimal { decimals }))
            }
            () if has("geo:lat") => {
                or_opaque(decimals("geo:lat:", 6).map(|decimals| Self::Degrees {
                    decimals,
                    offset: 90,
                }))
            }
            () if has("geo:lon") => {
                or_opaque(decimals("geo:lon:", 6).map(|decimals| Self::Degrees {
                    decimals,
                    offset: 180,
                }))
            }
            () if has("geo:point") => {
                or_opaque(decimals("geo:point:", 6).map(|decimals| Self::Point { decimals }))
            }
            () if has("number") => Self::Number { integer },
            () if has("bool") => Self::Boolean,
            () if has("json") || has("object") => Self::Json,
            () => Self::of_name(text),
        }
    }

    fn of_name(text: &str) -> Self {
        let name = text.split('|').next().unwrap_or("");
        match name {
            "uuid" => Self::Uuid,
            _ if text.contains("datetime") => Self::DateTime,
            _ if text.contains("dateonly") => Self::DateOnly,
            "timeonly" => Self::TimeOnly,
            "mac" => Self::Mac,
            "cidr" => Self::Cidr,
            "semver" => Self::Semver,
            "phone" => Self::Phone,
            "color" => Self::Color,
            "duration" => Self::Duration,
            "ean" => Self::Ean,
            "any" => Self::Any,
            "text" => Self::Opaque,
            _ => Self::Text,
        }
    }

    /// Whether an object is one value of this type rather than more attributes.
    pub(super) fn holds_objects(&self) -> bool {
        matches!(self, Self::Json | Self::Point { .. })
    }

    /// The value of a cell, which isn't an undefined one.
    pub(super) fn decode(&self, cell: &Cell, from_body: bool) -> Value {
        match cell {
            Cell::Undefined => Value::String("undefined".to_owned()),
            Cell::Null => Value::Null,
            Cell::Bool(value) => Value::Bool(*value),
            Cell::Number(value) => Value::Number(value.clone()),
            Cell::Joined(items) => items.iter().map(String::as_str).collect(),
            Cell::Json(value) => value.clone(),
            Cell::Text(text) => {
                let loose = if from_body { None } else { self.loosely(text) };
                loose
                    .or_else(|| self.read(text))
                    .unwrap_or_else(|| Value::String(text.clone()))
            }
        }
    }

    /// The cell of a value.
    pub(super) fn encode(&self, value: &Value) -> Result<Cell, NoText> {
        match (self, value) {
            (Self::Json, Value::Null) => return Ok(Cell::Text("null".to_owned())),
            (_, Value::Null) => return Ok(Cell::Null),
            (Self::Opaque, _) => return Err(NoText),
            (Self::Text | Self::Any | Self::Loose(_), Value::Number(number)) => {
                return Ok(Cell::Number(number.clone()));
            }
            (Self::Text | Self::Any | Self::Loose(_), Value::Bool(value)) => {
                return Ok(Cell::Bool(*value));
            }
            _ => {}
        }
        if *self == Self::Times
            && let Value::Array(items) = value
        {
            return list::times(items).map(Cell::Joined).ok_or(NoText);
        }
        if let Some(text) = self.write(value) {
            return Ok(Cell::Text(text));
        }
        match value {
            Value::String(text) if self.read(text).is_none() => Ok(Cell::Text(text.clone())),
            // Of nested attributes, s3db.js doesn't check the types.
            Value::Number(number) => Ok(Cell::Number(number.clone())),
            _ => Err(NoText),
        }
    }

    /// In a header, numbers and booleans of an object form are text like any other, and so are lists of times.
    fn loosely(&self, text: &str) -> Option<Value> {
        match self {
            Self::Loose(Meant::Boolean) => text.parse().ok().map(Value::Bool),
            Self::Loose(Meant::Number) => {
                let number: f64 = text.parse().ok()?;
                (number_text(number) == text).then(|| super::javascript::number_value(number))?
            }
            Self::Times => Some(list::read_times(text)),
            _ => None,
        }
    }

    fn read(&self, text: &str) -> Option<Value> {
        match self {
            Self::Opaque | Self::Times => None,
            // s3db.js stores the text "[object Object]" so too, and reads either as the object.
            Self::Text => (text == "{}").then(|| Value::Object(serde_json::Map::new())),
            Self::Any | Self::Loose(_) | Self::Bytes => read_array(text),
            Self::Json => read_json(text),
            Self::Boolean => Some(Value::Bool(matches!(text, "1" | "true" | "yes" | "y"))),
            Self::Number { integer } => number::read(text, *integer),
            Self::Texts => Some(list::read_texts(text)),
            Self::Numbers { integer } => list::read_numbers(text, *integer),
            Self::Embedding => list::read_embedding(text),
            Self::DateTime => time::read_datetime(text),
            Self::DateOnly => time::read_date(text),
            Self::TimeOnly => time::read_time(text),
            Self::Duration => time::read_duration(text),
            Self::Ip4 => network::read_ip4(text),
            Self::Ip6 => network::read_ip6(text),
            Self::Mac => network::read_mac(text),
            Self::Cidr => network::read_cidr(text),
            Self::Money { decimals } => number::read_scaled(text, "$", *decimals, 0),
            Self::Decimal { decimals } => number::read_scaled(text, "^", *decimals, 0),
            Self::Degrees { decimals, offset } => {
                number::read_scaled(text, "~", *decimals, *offset)
            }
            Self::Point { decimals } => number::read_point(text, *decimals),
            Self::Uuid => packed::read_uuid(text),
            Self::Semver => packed::read_semver(text),
            Self::Phone => packed::read_phone(text),
            Self::Color => packed::read_color(text),
            Self::Ean => packed::read_ean(text),
        }
    }

    fn write(&self, value: &Value) -> Option<String> {
        match self {
            Self::Opaque | Self::Times => None,
            Self::Text => match value {
                Value::String(text) => Some(text.clone()),
                Value::Object(members) if members.is_empty() => Some("{}".to_owned()),
                _ => None,
            },
            Self::Any | Self::Loose(_) | Self::Bytes | Self::Json => Some(match value {
                Value::String(text) => text.clone(),
                other => json_text(other),
            }),
            Self::Boolean => value
                .as_bool()
                .map(|value| if value { "1" } else { "0" }.to_owned()),
            Self::Number { integer } => number::write(value, *integer),
            Self::Texts => list::write_texts(value),
            Self::Numbers { integer } => list::write_numbers(value, *integer),
            Self::Embedding => list::write_embedding(value),
            Self::DateTime => time::write_datetime(value),
            Self::DateOnly => time::write_date(value),
            Self::TimeOnly => time::write_time(value),
            Self::Duration => time::write_duration(value),
            Self::Ip4 => network::write_ip4(value),
            Self::Ip6 => network::write_ip6(value),
            Self::Mac => network::write_mac(value),
            Self::Cidr => network::write_cidr(value),
            Self::Money { decimals } => number::write_scaled(value, "$", *decimals, 0),
            Self::Decimal { decimals } => number::write_decimal(value, *decimals),
            Self::Degrees { decimals, offset } => {
                number::write_scaled(value, "~", *decimals, *offset)
            }
            Self::Point { decimals } => number::write_point(value, *decimals),
            Self::Uuid => packed::write_uuid(value),
            Self::Semver => packed::write_semver(value),
            Self::Phone => packed::write_phone(value),
            Self::Color => packed::write_color(value),
            Self::Ean => packed::write_ean(value),
        }
    }
}

fn list_kind(items: &str, integer: bool, length: Option<u64>) -> Kind {
    if items.contains("string") {
        return Kind::Texts;
    }
    match (items.contains("number"), integer, length) {
        (false, ..) => Kind::Any,
        (true, false, Some(256..)) => Kind::Embedding,
        (true, integer, _) => Kind::Numbers { integer },
    }
}

/// The number that follows a word in a definition.
fn number_after(text: &str, word: &str) -> Option<u64> {
    let (_, rest) = text.split_once(word)?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// An array, or the empty object, where the text is what it would be written as.
fn read_array(text: &str) -> Option<Value> {
    if text.starts_with('[') || text == "{}" {
        read_json(text)
    } else {
        None
    }
}

/// JSON, where the text is what it would be written as. Texts are stored without quotes, so quoted ones are text.
fn read_json(text: &str) -> Option<Value> {
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        let replaced = replace_lone_surrogates(text)?;
        return serde_json::from_str(&replaced).ok();
    };
    (!value.is_string() && json_text(&value) == text).then_some(value)
}

#[cfg(test)]
pub(super) mod properties;
#[cfg(test)]
mod tests;
