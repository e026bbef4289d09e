//! What s3db.js gets from JavaScript: how numbers print, base 62 in doubles, JSON text, the order of object keys.

use std::io;

use serde_json::ser::{CompactFormatter, Formatter};
use serde_json::{Number, Value};

const DIGITS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Prints a finite number as `String(number)` does in JavaScript.
pub(super) fn number_text(value: f64) -> String {
    // Of what a double holds exactly, every digit counts.
    if let Some(exact) = whole(value).filter(|exact| exact.unsigned_abs() < 1 << 53) {
        return exact.to_string();
    }
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if value < 0.0 { "-" } else { "" };
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let point = exponent + 1; // how many digits stand before the decimal point
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or(0));
    if count <= point && point <= 21 {
        format!("{sign}{digits}{}", zeros(point - count))
    } else if 0 < point && point <= 21 {
        let (whole, rest) = digits.split_at(usize::try_from(point).unwrap_or(0));
        format!("{sign}{whole}.{rest}")
    } else if -6 < point && point <= 0 {
        format!("{sign}0.{}{digits}", zeros(-point))
    } else {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        let plus = if exponent < 0 { "" } else { "+" };
        format!("{sign}{first}{dot}{rest}e{plus}{exponent}")
    }
}

/// A JSON number that prints without a fraction where it has none; `None` for NaN and infinities.
pub(super) fn number_value(value: f64) -> Option<Value> {
    if let Some(whole) = whole(value).filter(|_| value != 0.0 || value.is_sign_positive()) {
        return Some(Value::from(whole));
    }
    Number::from_f64(value).map(Value::Number)
}

/// The integer that a double is, where it is one that fits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the range is checked, and the value is whole"
)]
pub(super) fn whole(value: f64) -> Option<i64> {
    const LIMIT: f64 = 9.2e18;
    (value.fract() == 0.0 && value.abs() < LIMIT).then_some(value as i64)
}

/// `Math.round`: halves go up.
pub(super) fn round(value: f64) -> f64 {
    let floor = value.floor();
    if value - floor >= 0.5 {
        floor + 1.0
    } else {
        floor
    }
}

/// Base 62 of a number rounded down; the empty string for fractions between 0 and 1, as s3db.js has it.
pub(super) fn base62(value: f64) -> String {
    if !value.is_finite() {
        return "undefined".to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    if value < 0.0 {
        return format!("-{}", base62(-value.floor()));
    }
    let mut rest = value.floor();
    let mut text = Vec::new();
    while rest > 0.0 {
        let digit = whole(rest % 62.0)
            .and_then(|digit| usize::try_from(digit).ok())
            .unwrap_or(0);
        text.push(char::from(DIGITS[digit]));
        rest = (rest / 62.0).floor();
    }
    text.iter().rev().collect()
}

/// Reads base 62; `None` where the text holds anything else, nothing, or more than a double.
pub(super) fn parse_base62(text: &str) -> Option<f64> {
    let (negative, digits) = text
        .strip_prefix('-')
        .map_or((false, text), |rest| (true, rest));
    if digits.is_empty() {
        return None;
    }
    let mut value = 0.0;
    for byte in digits.bytes() {
        let digit = DIGITS.iter().position(|digit| *digit == byte)?;
        value = value * 62.0 + f64::from(u8::try_from(digit).ok()?);
    }
    value
        .is_finite()
        .then_some(if negative { -value } else { value })
}

/// Base 62 with leading zeros up to a width.
pub(super) fn padded_base62(value: f64, width: usize) -> String {
    format!("{:0>width$}", base62(value))
}

/// Base 36 of an attribute number, which is its metadata key.
pub(super) fn base36(number: u64) -> String {
    let mut rest = number;
    let mut text = Vec::new();
    loop {
        let digit = usize::try_from(rest % 36).unwrap_or(0);
        text.push(char::from(DIGITS[digit]));
        rest /= 36;
        if rest == 0 {
            return text.iter().rev().collect();
        }
    }
}

/// Prints compact JSON as `JSON.stringify` does.
pub(super) fn json_text(value: &Value) -> String {
    let mut bytes = Vec::new();
    let mut writer = serde_json::Serializer::with_formatter(&mut bytes, Numbers);
    // Writing to memory can't fail, and a value has only string keys; were it to, the self-check would see the cut text.
    let _ = serde::Serialize::serialize(value, &mut writer);
    String::from_utf8(bytes).unwrap_or_default()
}

struct Numbers;

impl Formatter for Numbers {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        CompactFormatter.write_raw_fragment(writer, &number_text(value))
    }
}

/// The number of a key that JavaScript objects hold in numeric order, before all others.
pub(super) fn array_index(key: &str) -> Option<u32> {
    let canonical = key == "0" || !key.starts_with(['0', '+']);
    key.parse::<u32>()
        .ok()
        .filter(|index| canonical && *index < u32::MAX)
}

/// Puts keys in the order of a JavaScript object: array indexes ascending, then the others as inserted.
pub(super) fn object_order<T>(entries: &mut [(String, T)]) {
    entries.sort_by_key(|(key, _)| array_index(key).map_or(u64::MAX, u64::from));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_print_as_in_javascript() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (62.0, "62"),
            (-0.25, "-0.25"),
            (123_456.789, "123456.789"),
            (1e15, "1000000000000000"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (0.1 + 0.2, "0.30000000000000004"),
        ] {
            assert_eq!(number_text(value), text);
        }
    }

    #[test]
    fn base_62_of_numbers() {
        for (value, text) in [
            (0.0, "0"),
            (62.0, "10"),
            (-5.0, "-5"),
            (3843.0, "ZZ"),
            (9_007_199_254_740_991.0, "FfGNdXsE7"),
            (1e21, "jdt8BLTpPG02"),
            (-1.0, "-1"),
        ] {
            assert_eq!(base62(value), text);
            assert_eq!(parse_base62(text), Some(value));
        }
        assert_eq!(base62(1e-7), "");
        assert_eq!(base62(62.9), "10");
        assert_eq!(base62(f64::NAN), "undefined");
        assert_eq!(parse_base62(""), None);
        assert_eq!(parse_base62("a b"), None);
        assert_eq!(parse_base62(&"Z".repeat(200)), None);
    }

    #[test]
    fn keys_are_base_36() {
        let keys: Vec<String> = [0, 9, 10, 35, 36, 1295].map(base36).into();
        assert_eq!(keys, ["0", "9", "a", "z", "10", "zz"]);
    }

    #[test]
    fn json_is_that_of_javascript() {
        let value =
            json!({"b": [1, -2.5, 1e21, 1.5e-7, 1e20], "a": "\u{8}\u{1}\"\\\u{7f}\u{2028}"});
        assert_eq!(
            json_text(&value),
            "{\"b\":[1,-2.5,1e+21,1.5e-7,100000000000000000000],\"a\":\"\\b\\u0001\\\"\\\\\u{7f}\u{2028}\"}"
        );
    }

    #[test]
    fn keys_are_in_the_order_of_an_object() {
        let mut entries: Vec<_> = ["b", "10", "a", "2", "01", "4294967295"]
            .map(|key| (key.to_owned(), ()))
            .into();
        object_order(&mut entries);
        let keys: Vec<_> = entries.into_iter().map(|(key, ())| key).collect();
        assert_eq!(keys, ["2", "10", "b", "a", "01", "4294967295"]);
    }

    proptest! {
        #[test]
        fn a_printed_number_reads_back(value in proptest::num::f64::NORMAL) {
            prop_assert_eq!(number_text(value).parse::<f64>().unwrap(), value);
        }

        #[test]
        fn whole_numbers_survive_base_62(value in -9_007_199_254_740_991_i64..=9_007_199_254_740_991) {
            #[expect(clippy::cast_precision_loss, reason = "the range is that of exact doubles")]
            let value = value as f64;
            prop_assert_eq!(parse_base62(&base62(value)), Some(value));
        }
    }
}
