//! How s3db.js 21.6.2 writes one value into a metadata header, and reads it.
//!
//! Headers carry printable ASCII only, so other text is percent-encoded (`u:`) or base64 (`b:`), whichever is likely to
//! be shorter; some frequent values and URL prefixes have short codes (`d:`).

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What a header holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Header {
    /// JavaScript's undefined, written out.
    Undefined,
    /// Null, written out.
    Null,
    /// Any other text.
    Text(String),
}

/// What `encodeURIComponent` leaves besides letters and digits.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

const MARKS: [&str; 5] = ["d:", "u:", "b:", "z:", "z85:"];

/// Whole values with a one-letter code. Two of them share `f`: reading finds the later one.
const WORDS: [(&str, &str); 37] = [
    ("application/json", "j"),
    ("application/xml", "X"),
    ("application/ld+json", "J"),
    ("text/html", "H"),
    ("text/plain", "T"),
    ("text/css", "C"),
    ("text/javascript", "V"),
    ("text/csv", "v"),
    ("image/png", "P"),
    ("image/jpeg", "I"),
    ("image/gif", "G"),
    ("image/svg+xml", "S"),
    ("image/webp", "W"),
    ("application/pdf", "Q"),
    ("application/zip", "z"),
    ("application/octet-stream", "o"),
    ("application/x-www-form-urlencoded", "u"),
    ("multipart/form-data", "F"),
    ("font/woff", "w"),
    ("font/woff2", "f"),
    ("processing", "p"),
    ("completed", "c"),
    ("succeeded", "s"),
    ("failed", "f"),
    ("cancelled", "x"),
    ("timeout", "t"),
    ("retrying", "r"),
    ("authorized", "a"),
    ("captured", "K"),
    ("refunded", "R"),
    ("declined", "d"),
    ("shipped", "h"),
    ("delivered", "D"),
    ("returned", "e"),
    ("in_transit", "i"),
    ("initialized", "n"),
    ("terminated", "m"),
];

/// URL prefixes with a code, longest first: the first that fits is the longest.
const PREFIXES: [(&str, &str); 16] = [
    ("https://s3.amazonaws.com/", "@s"),
    ("https://api.example.com/", "@A"),
    ("http://localhost:", "@L"),
    ("http://localhost", "@l"),
    ("https://api.", "@H"),
    ("https://www.", "@W"),
    ("https://s3-", "@S"),
    ("/products/", "@p"),
    ("/api/v1/", "@1"),
    ("/api/v2/", "@2"),
    ("/api/v3/", "@3"),
    ("https://", "@h"),
    ("http://", "@t"),
    ("/users/", "@u"),
    ("/api/", "@a"),
    ("/v1/", "@v"),
];

/// Writes a text as a header value.
pub(super) fn encode(text: &str) -> Cow<'_, str> {
    if MARKS.iter().any(|mark| text.starts_with(mark)) {
        return base64(text).into();
    }
    if let Some(code) = dictionary_code(text) {
        return code.into();
    }
    if text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        return Cow::Borrowed(text);
    }
    let (mut units, mut latin, mut beyond) = (0_usize, 0_usize, 0_usize);
    for unit in text.encode_utf16() {
        units += 1;
        match unit {
            0x20..=0x7e => {}
            0x80..=0xff => latin += 1,
            _ => beyond += 1,
        }
    }
    // The ratios 0.3 and 0.5, in whole numbers.
    let as_base64 = if beyond > 0 {
        beyond * 10 > units * 3
    } else {
        latin * 2 > units
    };
    if as_base64 {
        base64(text).into()
    } else {
        format!("u:{}", utf8_percent_encode(text, COMPONENT)).into()
    }
}

/// Reads a header value. What doesn't decode is the text itself.
pub(super) fn decode(stored: &str) -> Header {
    match stored {
        "null" => return Header::Null,
        "undefined" => return Header::Undefined,
        _ => {}
    }
    let decoded = match stored.split_at_checked(2) {
        Some(("d:", rest)) => dictionary_text(rest),
        Some(("u:", rest)) if !rest.is_empty() => percent_decoded(rest),
        Some(("b:", rest)) if !rest.is_empty() => STANDARD
            .decode(rest)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok()),
        _ => None,
    };
    Header::Text(decoded.unwrap_or_else(|| stored.to_owned()))
}

fn base64(text: &str) -> String {
    format!("b:{}", STANDARD.encode(text))
}

fn dictionary_code(text: &str) -> Option<String> {
    if let Some((_, code)) = WORDS.iter().find(|(word, _)| *word == text) {
        return Some(format!("d:{code}"));
    }
    let (prefix, code) = PREFIXES
        .iter()
        .find(|(prefix, _)| text.starts_with(prefix))?;
    let gain = prefix.len() > "d:".len() + code.len();
    gain.then(|| format!("d:{code}{}", &text[prefix.len()..]))
}

fn dictionary_text(code: &str) -> Option<String> {
    if let Some((word, _)) = WORDS.iter().rev().find(|(_, known)| *known == code) {
        return Some((*word).to_owned());
    }
    let (prefix, known) = PREFIXES.iter().find(|(_, known)| code.starts_with(known))?;
    Some(format!("{prefix}{}", &code[known.len()..]))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        let hex = rest.get(at + 1..at + 3)?;
        if !hex.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        rest = &rest[at + 3..];
    }
    percent_decode_str(text)
        .decode_utf8()
        .ok()
        .map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_values() {
        for (put, stored) in [
            ("héllo", "u:h%C3%A9llo"),
            ("ééééé", "b:w6nDqcOpw6nDqQ=="),
            ("日本語", "b:5pel5pys6Kqe"),
            ("tab\there", "u:tab%09here"),
            (
                "mostly ascii text with 日",
                "u:mostly%20ascii%20text%20with%20%E6%97%A5",
            ),
            ("d:x", "b:ZDp4"),
            ("d:", "b:ZDo="),
            ("completed", "d:c"),
            ("https://x.y", "d:@hx.y"),
            ("/v1/", "/v1/"),
            ("/api/v1/", "d:@1"),
            ("https://api.example.com/v1/users", "d:@Av1/users"),
            (
                "(it's!~*)\u{7f}é and more",
                "u:(it's!~*)%7F%C3%A9%20and%20more",
            ),
            ("", ""),
        ] {
            assert_eq!(encode(put), stored, "{put:?}");
            assert_eq!(decode(stored), Header::Text(put.to_owned()), "{stored:?}");
        }
    }

    #[test]
    fn the_prefixes_are_longest_first() {
        assert!(
            PREFIXES
                .windows(2)
                .all(|pair| pair[0].0.len() >= pair[1].0.len())
        );
    }

    #[test]
    fn what_does_not_decode_stays() {
        for stored in [
            "d:", "d:zzz", "d:q", "d:@", "d:@q", "u:", "u:%", "u:%4", "u:%zz", "u:%FF", "b:",
            "b:*", "b:/w==", "z:abc",
        ] {
            assert_eq!(decode(stored), Header::Text(stored.to_owned()));
        }
        assert_eq!(decode("null"), Header::Null);
        assert_eq!(decode("undefined"), Header::Undefined);
        assert_eq!(encode("font/woff2"), "d:f");
        assert_eq!(decode("d:f"), Header::Text("failed".to_owned()));
    }

    proptest! {
        #[test]
        fn any_text_survives(text in ".*") {
            prop_assume!(!matches!(text.as_str(), "null" | "undefined" | "font/woff2"));
            prop_assert_eq!(decode(&encode(&text)), Header::Text(text));
        }

        #[test]
        fn headers_are_printable(text in ".*") {
            let prefixed = PREFIXES.iter().any(|(prefix, _)| text.starts_with(prefix));
            prop_assume!(!prefixed);
            prop_assert!(encode(&text).bytes().all(|byte| (0x20..=0x7e).contains(&byte)));
        }

        #[test]
        fn reading_never_panics(stored in ".*", mark in "(d:|u:|b:|d:@)?") {
            let _ = decode(&format!("{mark}{stored}"));
        }
    }
}
