//! Numbers, plain and with a fixed number of decimals.

use serde_json::{Map, Value};

use super::super::javascript::{base62, number_text, number_value, parse_base62, round};

/// The integer part in base 62, and the decimals as JavaScript prints them, with any exponent. The smallest numbers have
/// no text: s3db.js reads nothing or NaN, for which JSON has null.
pub(super) fn read(text: &str, integer: bool) -> Option<Value> {
    if text.is_empty() {
        return Some(Value::Null);
    }
    let (parsed, printed): (_, fn(f64) -> String) = if integer {
        (parse_base62(text)?, base62)
    } else {
        (parse(text)?, print)
    };
    number_value(nearest(parsed, |number| printed(number) == text).unwrap_or(parsed))
}

/// What a double holds exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// How many doubles away from what a text says its number may be.
const NEIGHBOURS: usize = 32;

/// The number that was written, which for large ones isn't quite what was read: both ways round in each step.
pub(super) fn nearest(parsed: f64, is_it: impl Fn(f64) -> bool) -> Option<f64> {
    if parsed.abs() < EXACT || is_it(parsed) {
        return Some(parsed);
    }
    let (mut above, mut below) = (parsed, parsed);
    for _ in 0..NEIGHBOURS {
        (above, below) = (above.next_up(), below.next_down());
        if let Some(found) = [above, below].into_iter().find(|number| is_it(*number)) {
            return Some(found);
        }
    }
    None
}

pub(super) fn write(value: &Value, integer: bool) -> Option<String> {
    let number = value.as_f64()?;
    Some(if integer {
        base62(number)
    } else {
        print(number)
    })
}

pub(super) fn parse(text: &str) -> Option<f64> {
    let (negative, magnitude) = text
        .strip_prefix('-')
        .map_or((false, text), |rest| (true, rest));
    let (whole, decimals) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let whole = parse_base62(whole)?;
    let number = if decimals.is_empty() {
        whole
    } else if decimals
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'e' | b'+' | b'-'))
    {
        format!("{}.{decimals}", number_text(whole))
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())?
    } else {
        return None;
    };
    Some(if negative { -number } else { number })
}

pub(super) fn print(number: f64) -> String {
    let sign = if number < 0.0 { "-" } else { "" };
    let text = number_text(number.abs());
    match text.split_once('.') {
        Some((whole, decimals)) => {
            format!("{sign}{}.{decimals}", base62(whole.parse().unwrap_or(0.0)))
        }
        None => format!("{sign}{}", base62(number.abs())),
    }
}

fn scale(decimals: u8) -> f64 {
    10_f64.powi(i32::from(decimals))
}

/// A mark, then base 62 of the value times a power of ten, made positive by an offset.
pub(super) fn read_scaled(text: &str, mark: &str, decimals: u8, offset: u8) -> Option<Value> {
    let scaled = parse_base62(text.strip_prefix(mark)?)?;
    number_value(scaled / scale(decimals) - f64::from(offset))
}

pub(super) fn write_scaled(value: &Value, mark: &str, decimals: u8, offset: u8) -> Option<String> {
    let scaled = round((value.as_f64()? + f64::from(offset)) * scale(decimals));
    scaled
        .is_finite()
        .then(|| format!("{mark}{}", base62(scaled)))
}

/// Like [`write_scaled`], but for its mark before zero and the sign.
pub(super) fn write_decimal(value: &Value, decimals: u8) -> Option<String> {
    let scaled = round(value.as_f64()? * scale(decimals));
    scaled.is_finite().then(|| fixed(scaled, "^"))
}

/// A whole number with its sign after the mark.
pub(super) fn fixed(scaled: f64, mark: &str) -> String {
    let sign = if scaled < 0.0 { "-" } else { "" };
    format!("{mark}{sign}{}", base62(scaled.abs()))
}

pub(super) fn read_point(text: &str, decimals: u8) -> Option<Value> {
    let (latitude, longitude) = text.strip_prefix('~')?.split_once('~')?;
    let part = |text: &str, offset| read_scaled(&format!("~{text}"), "~", decimals, offset);
    let mut point = Map::new();
    point.insert("latitude".to_owned(), part(latitude, 90)?);
    point.insert("longitude".to_owned(), part(longitude, 180)?);
    Some(Value::Object(point))
}

pub(super) fn write_point(value: &Value, decimals: u8) -> Option<String> {
    let (latitude, longitude) = match value {
        Value::Object(point) if point.len() == 2 => {
            (point.get("latitude")?, point.get("longitude")?)
        }
        Value::Array(pair) if pair.len() == 2 => (&pair[0], &pair[1]),
        _ => return None,
    };
    let latitude = write_scaled(latitude, "~", decimals, 90)?;
    Some(latitude + &write_scaled(longitude, "~", decimals, 180)?)
}
