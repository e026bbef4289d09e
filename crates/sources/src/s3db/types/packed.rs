//! Texts with a form that packs into base 62: identifiers, versions, codes.

use serde_json::Value;

use super::super::javascript::{base62, number_text, parse_base62};
use super::network::{padded, unsigned};
use super::number::nearest;

/// What a double holds exactly.
const EXACT: u64 = 1 << 53;
/// Versions below this print as digits.
const PRINTED: f64 = 1e21;

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

pub(super) fn read_uuid(text: &str) -> Option<Value> {
    if text.len() != 24 || !text.is_ascii() {
        return None;
    }
    let mut hex = String::new();
    for at in [0, 6, 12, 18] {
        hex.push_str(&format!("{:08x}", unsigned(&text[at..at + 6], 1 << 32)?));
    }
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    Some(Value::String(parts.join("-")))
}

pub(super) fn write_uuid(value: &Value) -> Option<String> {
    let hex = value.as_str()?.replace('-', "");
    if hex.len() != 32 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    [0, 8, 16, 24]
        .into_iter()
        .map(|at| Some(padded(u64::from_str_radix(&hex[at..at + 8], 16).ok()?, 6)))
        .collect()
}

pub(super) fn read_semver(text: &str) -> Option<Value> {
    let parsed = parse_base62(text).filter(|number| (0.0..PRINTED).contains(number))?;
    let packed = nearest(parsed, |number| base62(number) == text)?;
    // s3db.js computes in doubles too, so that it is as exact as this.
    let parts = [
        (packed / 1e6).floor(),
        (packed % 1e6 / 1e3).floor(),
        packed % 1e3,
    ];
    Some(Value::String(parts.map(number_text).join(".")))
}

pub(super) fn write_semver(value: &Value) -> Option<String> {
    let parts: Vec<&str> = value.as_str()?.split('.').collect();
    let [major, minor, patch] = parts[..] else {
        return None;
    };
    let number = |text: &str| {
        if digits(text) {
            text.parse::<f64>().ok()
        } else {
            None
        }
    };
    Some(base62(
        number(major)? * 1_000_000.0 + number(minor)? * 1000.0 + number(patch)?,
    ))
}

pub(super) fn read_phone(text: &str) -> Option<Value> {
    let number = parse_base62(text).filter(|_| !text.starts_with('-'))?;
    Some(Value::String(format!("+{}", number_text(number))))
}

pub(super) fn write_phone(value: &Value) -> Option<String> {
    let number = value
        .as_str()?
        .strip_prefix('+')
        .filter(|text| digits(text))?;
    number.parse::<f64>().ok().map(base62)
}

pub(super) fn read_color(text: &str) -> Option<Value> {
    let number = (text.len() == 5).then(|| unsigned(text, 1 << 24))??;
    Some(Value::String(format!("#{number:06x}")))
}

pub(super) fn write_color(value: &Value) -> Option<String> {
    let hex = value.as_str()?.strip_prefix('#')?;
    let valid = hex.len() == 6 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    valid.then(|| Some(padded(u64::from_str_radix(hex, 16).ok()?, 5)))?
}

/// A digit for the length, then base 62. A text of digits that could be the code itself is read as one.
pub(super) fn read_ean(text: &str) -> Option<Value> {
    let (length, packed) = text.split_at_checked(1)?;
    let width = match length {
        "0" => 8,
        "1" => 13,
        "2" => 12,
        "3" => 14,
        _ => return None,
    };
    if digits(text) && (8..=14).contains(&text.len()) {
        return None;
    }
    Some(Value::String(format!(
        "{:0>width$}",
        unsigned(packed, EXACT)?
    )))
}

pub(super) fn write_ean(value: &Value) -> Option<String> {
    let text = value.as_str().filter(|text| digits(text))?;
    let length = match text.len() {
        8 => "0",
        13 => "1",
        12 => "2",
        14 => "3",
        _ => return None,
    };
    text.parse::<f64>()
        .ok()
        .map(|number| format!("{length}{}", base62(number)))
}
