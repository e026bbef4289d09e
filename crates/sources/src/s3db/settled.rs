//! The lines of `_settled`: what of a database had changed when it was read again.
//!
//! Each is about one object, and stands instead of all that came before it about that object.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use teeline_core::{BackupError, Frame, FrameHeader};

use super::walk::record_of;

/// A line.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SettledLine<'a> {
    /// The key of the object, below the prefix of the database.
    #[serde(borrow)]
    pub(super) key: Cow<'a, str>,
    /// The resource and the id, where it is the key of a record.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    resource: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    id: Option<Cow<'a, str>>,
    /// The line of the record, as the data files have it, by the `s3db.json` that was read last before it.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub(super) record: Option<&'a RawValue>,
    /// The object itself, where that is more than the line of a record says.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub(super) object: Option<Piece<'a>>,
    /// Whether the object is gone.
    #[serde(skip_serializing_if = "is_false", default)]
    pub(super) gone: bool,
}

/// A piece of an object. The pieces of one follow each other.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Piece<'a> {
    pub(super) offset: u64,
    /// Of the whole body.
    pub(super) size: u64,
    /// In the first piece only, as the metadata.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    metadata: BTreeMap<String, String>,
    /// In base64.
    #[serde(borrow)]
    body: Cow<'a, str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}

impl<'a> SettledLine<'a> {
    /// The beginning of a line about an object.
    pub(super) fn about(key: &'a str) -> Self {
        let record = record_of(key);
        SettledLine {
            key: Cow::Borrowed(key),
            resource: record.map(|(resource, _)| Cow::Borrowed(resource)),
            id: record.map(|(_, id)| Cow::Borrowed(id)),
            ..SettledLine::default()
        }
    }

    /// The line about an object that is gone.
    pub(super) fn gone(key: &'a str) -> Self {
        SettledLine {
            gone: true,
            ..SettledLine::about(key)
        }
    }

    /// The line about a record; `line` is its line, a newline at its end.
    pub(super) fn record(key: &'a str, line: &'a [u8]) -> Result<Self, BackupError> {
        let record: &RawValue = serde_json::from_slice(line)
            .map_err(|error| BackupError::corrupt(key, "its line isn't JSON").because(error))?;
        Ok(SettledLine {
            record: Some(record),
            ..SettledLine::about(key)
        })
    }

    /// As it is, with a piece of the object.
    pub(super) fn with_piece(self, Frame { header, bytes }: &Frame) -> Self {
        SettledLine {
            object: Some(Piece {
                offset: header.offset,
                size: header.size,
                content_type: header.content_type.clone(),
                metadata: header.metadata.clone(),
                body: STANDARD.encode(bytes).into(),
            }),
            ..self
        }
    }

    /// The line as stored.
    pub(super) fn encode(&self) -> Result<Vec<u8>, BackupError> {
        let mut line = serde_json::to_vec(self).map_err(|error| {
            BackupError::corrupt(&self.key, "it has no JSON form").because(error)
        })?;
        line.push(b'\n');
        Ok(line)
    }

    /// Reads a line.
    pub(super) fn decode(line: &'a [u8]) -> Result<Self, BackupError> {
        let corrupt = |message: &str| BackupError::corrupt("a line of _settled", message);
        let decoded: Self = serde_json::from_slice(line)
            .map_err(|error| corrupt("it is unreadable").because(error))?;
        match (decoded.record, &decoded.object, decoded.gone) {
            (Some(_), _, false) | (None, Some(_), false) | (None, None, true) => Ok(decoded),
            _ => Err(corrupt("it is about neither a change nor a deletion")),
        }
    }

    /// Whether it goes on with the object of the line before it.
    pub(super) fn continues(&self) -> bool {
        self.object.as_ref().is_some_and(|piece| piece.offset > 0)
    }

    /// The resource of which it has the line of a record.
    pub(super) fn resource(&self) -> Option<&str> {
        self.resource.as_deref().filter(|_| self.record.is_some())
    }

    /// The piece of the object, as `_objects` has it.
    pub(super) fn frame(&self) -> Result<Option<Frame>, BackupError> {
        let Some(piece) = &self.object else {
            return Ok(None);
        };
        let body = STANDARD.decode(piece.body.as_bytes());
        let body = body.map_err(|error| {
            BackupError::corrupt(&self.key, "its body isn't base64").because(error)
        })?;
        let header = FrameHeader {
            key: self.key.clone().into_owned(),
            offset: piece.offset,
            length: body.len() as u64,
            size: piece.size,
            content_type: piece.content_type.clone(),
            metadata: piece.metadata.clone(),
        };
        Ok(Some(Frame {
            header,
            bytes: Bytes::from(body),
        }))
    }
}

/// What a line of `_settled` or `_deleted` says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Its key below the database's prefix.
    pub key: String,
    /// Whether it is a record with a line.
    pub as_line: bool,
    /// Whether it is, or has, an object.
    pub as_frame: bool,
}

impl Said {
    /// Whether there is no such object any more.
    pub fn is_gone(&self) -> bool {
        !self.as_line && !self.as_frame
    }
}

/// What lines say, each about its object; those that go on with one say nothing new.
///
/// # Errors
/// Where they aren't such lines.
pub fn said(lines: &[u8]) -> Result<Vec<Said>, BackupError> {
    let mut all = Vec::new();
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let line = SettledLine::decode(line)?;
        if !line.continues() {
            all.push(Said {
                as_line: line.record.is_some(),
                as_frame: line.object.is_some(),
                key: line.key.into_owned(),
            });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(key: &str, body: Vec<u8>, offset: u64) -> Frame {
        let metadata = match offset {
            0 => BTreeMap::from([("0".to_owned(), "é".to_owned())]),
            _ => BTreeMap::new(),
        };
        Frame {
            header: FrameHeader {
                key: key.to_owned(),
                offset,
                length: body.len() as u64,
                size: offset + body.len() as u64,
                content_type: Some("a/b".to_owned()).filter(|_| offset == 0),
                metadata,
            },
            bytes: body.into(),
        }
    }

    proptest! {
        #[test]
        fn lines_read_back(
            key in "[a-z/=\n\"é]{1,20}",
            body in prop::collection::vec(any::<u8>(), 0..50),
            offset in 0_u64..2,
            is_record in any::<bool>(),
        ) {
            let record = b"{\"id\":\"a\",\"n\":1.0e5}\n";
            let frame = frame(&key, body, offset);
            let line = match is_record {
                true => SettledLine::record(&key, record).unwrap(),
                false => SettledLine::about(&key),
            };
            let line = line.with_piece(&frame).encode().unwrap();
            prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            let read = SettledLine::decode(&line).unwrap();
            prop_assert_eq!(read.frame().unwrap(), Some(frame));
            prop_assert_eq!(read.continues(), offset > 0);
            let text = read.record.map(RawValue::get);
            prop_assert_eq!(text, is_record.then_some("{\"id\":\"a\",\"n\":1.0e5}"));
        }

        #[test]
        fn reading_garbage_never_panics(garbage in "[{}\\[\\]a-z\":,]{0,40}") {
            if let Ok(line) = SettledLine::decode(garbage.as_bytes()) {
                let _ = line.frame();
            }
        }
    }

    #[test]
    fn a_line_is_about_one_thing() {
        let gone = SettledLine::gone("resource=a/data/id=b").encode().unwrap();
        let expected =
            "{\"key\":\"resource=a/data/id=b\",\"resource\":\"a\",\"id\":\"b\",\"gone\":true}\n";
        assert_eq!(String::from_utf8(gone).unwrap(), expected);
        for fault in [
            r#"{"key":"a"}"#,
            r#"{"key":"a","gone":true,"record":{}}"#,
            r#"{"record":{}}"#,
            r#"{"key":"a","object":{"offset":0}}"#,
        ] {
            assert!(SettledLine::decode(fault.as_bytes()).is_err(), "{fault}");
        }
        let line = r#"{"key":"a","object":{"offset":0,"size":1,"body":"*"}}"#;
        let error = SettledLine::decode(line.as_bytes())
            .unwrap()
            .frame()
            .unwrap_err();
        assert!(error.to_string().contains("base64"), "{error}");
    }
}
