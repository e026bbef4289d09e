//! Arrays that are one text: joined by `|`, or embeddings.

use serde_json::Value;

use super::super::javascript::{base62, number_text, number_value, parse_base62, round};
use super::number;

/// Embeddings have six decimals.
const MICRO: f64 = 1e6;

/// Items joined by `|`, with a backslash before `|` and backslash in them.
fn split(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('|', _) => items.push(String::new()),
            ('\\', Some(_)) => {
                let escaped = chars.next();
                items
                    .last_mut()
                    .into_iter()
                    .for_each(|item| item.extend(escaped));
            }
            _ => items.last_mut().into_iter().for_each(|item| item.push(c)),
        }
    }
    items
}

pub(super) fn read_texts(text: &str) -> Value {
    if text.is_empty() {
        return Value::Array(Vec::new());
    }
    split(text).into_iter().map(Value::String).collect()
}

pub(super) fn write_texts(value: &Value) -> Option<String> {
    let items: Option<Vec<String>> = value
        .as_array()?
        .iter()
        .map(|item| match item {
            Value::String(text) => Some(text.replace('\\', "\\\\").replace('|', "\\|")),
            Value::Bool(value) => Some(value.to_string()),
            Value::Number(number) => number.as_f64().map(number_text),
            _ => None,
        })
        .collect();
    Some(items?.join("|"))
}

/// Texts as JavaScript prints an array of them.
pub(super) fn read_times(text: &str) -> Value {
    if text.is_empty() {
        return Value::Array(Vec::new());
    }
    text.split(',').map(Value::from).collect()
}

/// The texts of such an array; none where it holds anything else.
pub(super) fn times(items: &[Value]) -> Option<Vec<String>> {
    let item = |item: &Value| item.as_str().map(str::to_owned);
    items.iter().map(item).collect()
}

pub(super) fn read_numbers(text: &str, integer: bool) -> Option<Value> {
    if text.is_empty() {
        return Some(Value::Array(Vec::new()));
    }
    split(text)
        .iter()
        .map(|item| number::read(item, integer))
        .collect()
}

pub(super) fn write_numbers(value: &Value, integer: bool) -> Option<String> {
    let items: Option<Vec<String>> = value
        .as_array()?
        .iter()
        .map(|item| match item {
            Value::Null => Some(String::new()),
            item => number::write(item, integer),
        })
        .collect();
    Some(items?.join("|"))
}

pub(super) fn read_embedding(text: &str) -> Option<Value> {
    let inner = text.strip_prefix("^[")?.strip_suffix(']')?;
    if inner.is_empty() {
        return Some(Value::Array(Vec::new()));
    }
    inner
        .split(',')
        .map(|item| number_value(parse_base62(item)? / MICRO))
        .collect()
}

pub(super) fn write_embedding(value: &Value) -> Option<String> {
    let items: Option<Vec<String>> = value
        .as_array()?
        .iter()
        .map(|item| {
            let scaled = round(item.as_f64()? * MICRO);
            let sign = if scaled < 0.0 { "-" } else { "" };
            scaled
                .is_finite()
                .then(|| format!("{sign}{}", base62(scaled.abs())))
        })
        .collect();
    Some(format!("^[{}]", items?.join(",")))
}
