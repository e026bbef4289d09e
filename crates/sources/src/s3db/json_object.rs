//! JSON as JavaScript writes it: its texts may hold half a surrogate pair, which no Unicode text can.

use serde_json::{Map, Value};

/// The members of a JSON object.
pub(super) enum Members {
    Exact(Map<String, Value>),
    /// With U+FFFD for each lone surrogate: for reading only.
    Replaced(Map<String, Value>),
}

impl Members {
    pub(super) fn as_map(&self) -> &Map<String, Value> {
        let (Self::Exact(members) | Self::Replaced(members)) = self;
        members
    }

    pub(super) fn into_map(self) -> Map<String, Value> {
        match self {
            Self::Exact(members) | Self::Replaced(members) => members,
        }
    }
}

pub(super) fn parse(json: &[u8]) -> Option<Members> {
    if let Ok(members) = serde_json::from_slice(json) {
        return Some(Members::Exact(members));
    }
    let replaced = replace_lone_surrogates(std::str::from_utf8(json).ok()?)?;
    serde_json::from_str(&replaced).ok().map(Members::Replaced)
}

/// JSON with U+FFFD for its lone surrogates; none where it has none.
pub(super) fn replace_lone_surrogates(json: &str) -> Option<String> {
    let mut replaced = String::new();
    let (mut rest, mut found) = (json, false);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        replaced.push_str(before);
        let length = match unit(escape) {
            None => escape.chars().take(2).map(char::len_utf8).sum(),
            Some(0xd800..=0xdbff) if matches!(unit(&escape[6..]), Some(0xdc00..=0xdfff)) => 12,
            Some(_) => 6,
        };
        let (escape, after) = escape.split_at(length);
        if length == 6 && matches!(unit(escape), Some(0xd800..=0xdfff)) {
            found = true;
            replaced.push_str("\\ufffd");
        } else {
            replaced.push_str(escape);
        }
        rest = after;
    }
    replaced.push_str(rest);
    found.then_some(replaced)
}

/// The UTF-16 unit of an escape that a text begins with.
fn unit(text: &str) -> Option<u16> {
    let hex = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(hex, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_are_replaced() {
        for (json, expected) in [
            (r#"{"a":"x\ud800"}"#, Some(r#"{"a":"x\ufffd"}"#)),
            (
                r#"["\udc00\ud83d\ude00\ud83d"]"#,
                Some(r#"["\ufffd\ud83d\ude00\ufffd"]"#),
            ),
            (r#"["\\ud800"]"#, None),
            (r#"["\"\n\u00e9é\ud83d\ude00"]"#, None),
            ("\\", None),
            ("\\é\\u12", None),
        ] {
            assert_eq!(replace_lone_surrogates(json).as_deref(), expected, "{json}");
        }
    }
}
