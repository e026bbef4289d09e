//! Small stored documents: JSON that names its format and version and carries its own digest.
//!
//! A sealed document is a JSON object whose first members are `format` and `version` and whose last is `blake3`,
//! the digest of every byte before `,"blake3":`. So one flipped byte anywhere in the file is found, and the file
//! stays plain JSON for other tools.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::digest::Digest;
use crate::error::{BackupError, Class};
use crate::hex32::Hex32;

/// A kind of stored document, with the versions that this code writes and reads.
pub trait Document: Serialize + DeserializeOwned {
    /// The value of `format`.
    const FORMAT: &'static str;
    /// The newest version. A document of this one or an earlier one is read, any other is refused by name.
    const VERSION: u32;
    /// None is larger: whoever rules a destination may put what he likes there, and it is parsed as a whole. What grows with what a
    /// backup holds may have all of [`BYTES_MAX`].
    const BYTES_MAX: u64 = BYTES_MAX;

    /// The value of `version`: the earliest one by which readers don't misread what this document says.
    fn version(&self) -> u32 {
        Self::VERSION
    }
}

/// No document is larger, and no other file that is read whole: an attachment of a backup. Writers keep to it as readers
/// do, so that nothing is published that can't be read again.
pub const BYTES_MAX: u64 = 256 << 20;

/// The same of documents that say a few things of one matter.
pub const SMALL_BYTES_MAX: u64 = 64 << 10;

const MAC_OPEN: &str = ",\"mac\":\"";
const MAC_CLOSE: &str = "\"";
const MAC_BYTES: usize = MAC_OPEN.len() + 64 + MAC_CLOSE.len();

const SEAL_OPEN: &str = ",\"blake3\":\"";
const SEAL_CLOSE: &str = "\"}\n";
const SEAL_BYTES: usize = SEAL_OPEN.len() + 64 + SEAL_CLOSE.len();

/// Writes a document with its format, version and digest.
///
/// # Panics
/// Never for the documents of this crate: each is a JSON object with string keys.
pub fn seal<D: Document>(document: &D) -> Bytes {
    finish(body(document))
}

/// As [`seal`], with a member before the digest that authenticates every byte before it, by `mac`.
pub fn seal_authenticated<D: Document>(document: &D, mac: impl FnOnce(&[u8]) -> Hex32) -> Bytes {
    let mut text = body(document);
    let mac = mac(text.as_bytes());
    text.push_str(&format!("{MAC_OPEN}{mac}{MAC_CLOSE}"));
    finish(text)
}

/// The bytes of a document that are authenticated, and what authenticates them; none where the document isn't.
pub fn authenticated(bytes: &[u8]) -> Option<(&[u8], Hex32)> {
    let (rest, _) = bytes.split_at_checked(bytes.len().checked_sub(SEAL_BYTES)?)?;
    let (body, mac) = rest.split_at_checked(rest.len().checked_sub(MAC_BYTES)?)?;
    let hex = mac.strip_prefix(MAC_OPEN.as_bytes())?;
    let hex = std::str::from_utf8(hex.strip_suffix(MAC_CLOSE.as_bytes())?).ok()?;
    Some((body, hex.parse().ok()?))
}

/// A document without its end.
fn body<D: Document>(document: &D) -> String {
    let mut members = serde_json::Map::new();
    members.insert("format".to_owned(), D::FORMAT.into());
    members.insert("version".to_owned(), document.version().into());
    match serde_json::to_value(document) {
        Ok(Value::Object(own)) => members.extend(own),
        other => unreachable!("a document serialises as an object, not {other:?}"),
    }
    let mut text = Value::Object(members).to_string();
    text.pop();
    text
}

fn finish(mut text: String) -> Bytes {
    let digest = Digest::of(text.as_bytes());
    text.push_str(SEAL_OPEN);
    text.push_str(&digest.to_string());
    text.push_str(SEAL_CLOSE);
    Bytes::from(text)
}

/// A document that grows with what it is about, if it isn't too large; `subject` names it in errors.
///
/// # Errors
/// As [`check_size`].
pub fn within(subject: &str, document: Bytes, bytes_max: u64) -> Result<Bytes, BackupError> {
    match check_size(subject, document.len() as u64, bytes_max) {
        Ok(()) => Ok(document),
        Err(error) => Err(error.suggest("back up fewer resources at once, or raise segment_bytes")),
    }
}

/// A document that is about to be written, if readers take it by every rule that they have; `subject` names it in errors.
///
/// # Errors
/// [`Class::Permanent`] where they don't.
pub fn readable<D: Document>(subject: &str, document: Bytes) -> Result<Bytes, BackupError> {
    check_size(subject, document.len() as u64, D::BYTES_MAX)?;
    match open::<D>(subject, &document) {
        Ok(_) => Ok(document),
        Err(error) => Err(unreadable(subject, error)),
    }
}

/// A document is not written, since this is what whoever reads it would be told.
pub fn unreadable(subject: &str, error: BackupError) -> BackupError {
    let message = format!("it could not be read again: {}", error.message());
    BackupError::new(Class::Permanent, "write", subject, message).because(error)
}

/// Whether a file that is about to be written, and that is read whole, is one that readers take.
///
/// # Errors
/// [`Class::Permanent`] where it is larger than `bytes_max`.
pub fn check_size(subject: &str, bytes: u64, bytes_max: u64) -> Result<(), BackupError> {
    if bytes <= bytes_max {
        return Ok(());
    }
    let message = format!("{bytes} bytes, more than the {bytes_max} that are read again");
    Err(BackupError::new(
        Class::Permanent,
        "write",
        subject,
        message,
    ))
}

/// Reads a sealed document; `subject` names the file in errors.
///
/// # Errors
/// [`Class::Corrupt`] where the digest, the size or the form is wrong; [`Class::Permanent`] where the document is whole but of
/// another format or of a version that this code doesn't know.
pub fn open<D: Document>(subject: &str, bytes: &[u8]) -> Result<D, BackupError> {
    let corrupt = |message: &str| BackupError::corrupt(subject, message);
    if bytes.len() as u64 > D::BYTES_MAX {
        return Err(too_large(subject, bytes.len() as u64));
    }
    let split = bytes
        .len()
        .checked_sub(SEAL_BYTES)
        .ok_or_else(|| corrupt("too short"))?;
    let (body, seal) = bytes.split_at(split);
    let found = seal
        .strip_prefix(SEAL_OPEN.as_bytes())
        .and_then(|rest| rest.strip_suffix(SEAL_CLOSE.as_bytes()))
        .and_then(|hex| std::str::from_utf8(hex).ok())
        .and_then(|hex| hex.parse::<Digest>().ok())
        .ok_or_else(|| corrupt("it doesn't end in its digest"))?;
    if Digest::of(body) != found {
        return Err(corrupt("its digest doesn't fit its content"));
    }
    let mut members: serde_json::Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|error| corrupt("not JSON").because(error))?;
    check_version::<D>(subject, &members)?;
    members.retain(|key, _| !matches!(key.as_str(), "format" | "version" | "mac" | "blake3"));
    serde_json::from_value(Value::Object(members)).map_err(|error| {
        BackupError::new(
            Class::Permanent,
            "read",
            subject,
            format!("unexpected content: {error}"),
        )
    })
}

/// A document of so many bytes isn't one that a writer made.
pub fn too_large(subject: &str, bytes: u64) -> BackupError {
    BackupError::corrupt(subject, format!("{bytes} bytes is too large for it"))
}

fn check_version<D: Document>(
    subject: &str,
    members: &serde_json::Map<String, Value>,
) -> Result<(), BackupError> {
    let refuse = |message: String| BackupError::new(Class::Permanent, "read", subject, message);
    let format = members
        .get("format")
        .and_then(Value::as_str)
        .unwrap_or("nothing");
    if format != D::FORMAT {
        return Err(refuse(format!(
            "{} is expected here, found {format}",
            D::FORMAT
        )));
    }
    match members.get("version").and_then(Value::as_u64) {
        Some(version) if (1..=u64::from(D::VERSION)).contains(&version) => Ok(()),
        Some(version) => Err(refuse(format!(
            "{format} version {version} is unknown to this teeline, which reads {}",
            match D::VERSION {
                1 => "version 1".to_owned(),
                newest => format!("versions 1 to {newest}"),
            }
        ))
        .suggest("use a newer teeline")),
        None => Err(refuse(format!("{format} without a version"))),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Note {
        text: String,
    }

    impl Document for Note {
        const FORMAT: &'static str = "note";
        const VERSION: u32 = 1;
        const BYTES_MAX: u64 = SMALL_BYTES_MAX;
    }

    /// As [`Note`], and the later versions of it that say more.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct LaterNote {
        text: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        aside: Option<String>,
    }

    impl Document for LaterNote {
        const FORMAT: &'static str = "note";
        const VERSION: u32 = 2;

        fn version(&self) -> u32 {
            match self.aside {
                None => 1,
                Some(_) => 2,
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let sealed = seal(&Note {
            text: "hällo \"x\"".to_owned(),
        });
        assert_eq!(open::<Note>("n", &sealed).unwrap().text, "hällo \"x\"");
        for index in 0..sealed.len() {
            for bit in 0..8 {
                let mut damaged = sealed.to_vec();
                damaged[index] ^= 1 << bit;
                assert_eq!(
                    open::<Note>("n", &damaged).unwrap_err().class(),
                    Class::Corrupt
                );
            }
        }
        assert!(open::<Note>("n", &sealed[..sealed.len() - 1]).is_err());
        assert!(open::<Note>("n", b"").is_err());
    }

    #[test]
    fn what_would_not_be_read_again_is_not_written() {
        let note = Note {
            text: "hello".to_owned(),
        };
        let bytes = seal(&note).len() as u64;
        assert_eq!(within("n", seal(&note), bytes).unwrap(), seal(&note));
        let error = within("n", seal(&note), bytes - 1).unwrap_err();
        assert_eq!(error.class(), Class::Permanent);
        assert!(error.to_string().starts_with("write n: "), "{error}");
    }

    #[test]
    fn what_readers_would_refuse_by_any_rule_is_not_written() {
        let about = |bytes: usize| Note {
            text: "x".repeat(bytes),
        };
        let right = seal(&about(1));
        assert_eq!(readable::<Note>("n", right.clone()).unwrap(), right);
        let later = seal(&LaterNote {
            text: "x".to_owned(),
            aside: Some("y".to_owned()),
        });
        let large = seal(&about(1 << 20));
        for (document, expected) in [
            (later, "write n: it could not be read again: note version 2"),
            (large, "write n: "),
        ] {
            let error = readable::<Note>("n", document).unwrap_err();
            assert_eq!(error.class(), Class::Permanent);
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }

    #[test]
    fn what_is_larger_than_its_kind_may_be_is_not_parsed() {
        let about = |bytes: u64| Note {
            text: "x".repeat(usize::try_from(bytes).unwrap()),
        };
        let around = seal(&about(0)).len() as u64;
        let most = about(Note::BYTES_MAX - around);
        assert_eq!(open::<Note>("n", &seal(&most)).unwrap(), most);
        let error = open::<Note>("n", &seal(&about(Note::BYTES_MAX - around + 1))).unwrap_err();
        assert_eq!(error.class(), Class::Corrupt);
        let message = format!("n: {} bytes is too large for it", Note::BYTES_MAX + 1);
        assert!(error.to_string().ends_with(&message), "{error}");
    }

    #[test]
    fn an_unknown_version_is_refused_by_name() {
        let plain = LaterNote {
            text: "x".to_owned(),
            aside: None,
        };
        let later = LaterNote {
            text: "x".to_owned(),
            aside: Some("y".to_owned()),
        };
        let error = open::<Note>("n", &seal(&later)).unwrap_err();
        assert_eq!(error.class(), Class::Permanent);
        let message = "note version 2 is unknown to this teeline, which reads version 1";
        assert!(error.to_string().contains(message), "{error}");

        assert_eq!(open::<Note>("n", &seal(&plain)).unwrap().text, "x");
        for note in [plain, later] {
            assert_eq!(open::<LaterNote>("n", &seal(&note)).unwrap(), note);
        }
    }
}
