//! Lines that have no key, told apart by what they say.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Digest;
use crate::error::BackupError;

/// The first half of a line's BLAKE3, its newline left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LineDigest([u8; 16]);

impl LineDigest {
    /// Of a line, with or without its newline.
    pub fn of(line: &[u8]) -> Self {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut half = [0; 16];
        half.copy_from_slice(&Digest::of(line).as_bytes()[..16]);
        LineDigest(half)
    }
}

impl fmt::Display for LineDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for LineDigest {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "32 hexadecimal digits are expected";
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(FORM);
        }
        let mut half = [0; 16];
        for (at, byte) in half.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| FORM)?;
        }
        Ok(LineDigest(half))
    }
}

impl Serialize for LineDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LineDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// How often there is a line, or is one line less: a line of `_lines`, or of `_deleted` where the source is of JSON lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownLine {
    /// The resource.
    pub resource: String,
    /// What it says.
    pub line: LineDigest,
    /// How often.
    pub times: u64,
}

impl KnownLine {
    /// It as stored.
    ///
    /// # Errors
    /// Never: it has a JSON form.
    pub fn encode(&self) -> Result<Vec<u8>, BackupError> {
        let mut line = serde_json::to_vec(self).map_err(|error| {
            BackupError::corrupt(&self.resource, "a line has no JSON form").because(error)
        })?;
        line.push(b'\n');
        Ok(line)
    }

    /// Reads stored ones; `subject` names them in errors.
    ///
    /// # Errors
    /// Where they aren't such lines.
    pub fn decode_all(subject: &str, lines: &[u8]) -> Result<Vec<Self>, BackupError> {
        let lines = lines.split_inclusive(|byte| *byte == b'\n');
        let decoded = lines.map(|line| {
            serde_json::from_slice(line).map_err(|error| {
                BackupError::corrupt(subject, "a line of it is unreadable").because(error)
            })
        });
        decoded.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart_by_what_they_say() {
        let digest = LineDigest::of(b"{\"a\":1}\n");
        assert_eq!(digest, LineDigest::of(b"{\"a\":1}"));
        assert_ne!(digest, LineDigest::of(b"{\"a\":2}\n"));
        let known = KnownLine {
            resource: "a b".to_owned(),
            line: digest,
            times: 3,
        };
        let encoded = known.encode().unwrap();
        assert_eq!(KnownLine::decode_all("it", &encoded).unwrap(), [known]);
        for fault in [
            "{}\n",
            "x\n",
            "{\"resource\":\"a\",\"line\":\"é0\",\"times\":1}\n",
        ] {
            assert!(
                KnownLine::decode_all("it", fault.as_bytes()).is_err(),
                "{fault}"
            );
        }
    }
}
