//! A cell: one stored value of a record, before it goes into a header or a JSON body.

use serde_json::{Number, Value};

use super::javascript::{json_text, number_text};
use super::value::{self, Header};

/// A stored value. Only attributes without a type have others than text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Undefined,
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    /// An array of texts, which a header has as one text with commas.
    Joined(Vec<String>),
    /// An array or object in a body, which only bookkeeping has.
    Json(Value),
}

impl Cell {
    pub(super) fn from_header(stored: &str) -> Self {
        match value::decode(stored) {
            Header::Undefined => Self::Undefined,
            Header::Null => Self::Null,
            Header::Text(text) => Self::Text(text),
        }
    }

    pub(super) fn from_body(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(value) => Self::Number(value),
            Value::String(text) => Self::Text(text),
            other => Self::Json(other),
        }
    }

    pub(super) fn to_header(&self) -> String {
        match self {
            Self::Undefined => "undefined".to_owned(),
            Self::Null => "null".to_owned(),
            other => value::encode(&other.text()).into_owned(),
        }
    }

    /// The value in a JSON body, which leaves undefined ones out.
    pub(super) fn to_body(&self) -> Option<Value> {
        Some(match self {
            Self::Undefined => return None,
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(value) => Value::Number(value.clone()),
            Self::Text(text) => Value::String(text.clone()),
            Self::Joined(items) => items.iter().map(String::as_str).collect(),
            Self::Json(value) => value.clone(),
        })
    }

    /// The bytes that a behaviour counts for it: those of its text, before it is made fit for a header.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Undefined | Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Text(text) => text.len(),
            other => other.text().len(),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Undefined => "undefined".to_owned(),
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(value) => value
                .as_f64()
                .map_or_else(|| value.to_string(), number_text),
            Self::Text(text) => text.clone(),
            Self::Joined(items) => items.join(","),
            Self::Json(value) => json_text(value),
        }
    }
}
