//! Frames: objects of any bytes among chunks that are made of lines. A frame is one line of JSON that describes a piece
//! of an object, then the piece's bytes, then a newline. An object's pieces follow each other; the first one carries what
//! is known of the object as a whole.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use serde::{Deserialize, Serialize};

use crate::error::BackupError;

/// The description of a piece.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrameHeader {
    /// The object's key below the database's prefix.
    pub key: String,
    /// Where the piece begins in the object's body; 0 for the first.
    pub offset: u64,
    /// Bytes of the piece.
    pub length: u64,
    /// Bytes of the whole body.
    pub size: u64,
    /// The content type; in the first piece only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content_type: Option<String>,
    /// The user metadata, keys in lower case; in the first piece only.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub metadata: BTreeMap<String, String>,
}

/// A piece of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub header: FrameHeader,
    /// Its bytes.
    pub bytes: Bytes,
}

impl Frame {
    /// The frame as stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut frame = crate::chunk::json_line(&self.header);
        frame.reserve(self.bytes.len() + 1);
        frame.extend_from_slice(&self.bytes);
        frame.push(b'\n');
        frame
    }

    /// Whether the object ends with this piece.
    pub fn is_last(&self) -> bool {
        self.header.offset + self.header.length == self.header.size
    }

    /// Takes every frame out of a chunk's plain bytes; frames never cross chunks.
    ///
    /// # Errors
    /// [`Class::Corrupt`](crate::Class::Corrupt) where the bytes aren't frames from the first to the last.
    pub fn decode_all(bytes: Bytes) -> Result<Vec<Frame>, BackupError> {
        let corrupt = |message: &str| BackupError::corrupt("a frame", message);
        let mut rest = bytes;
        let mut frames = Vec::new();
        while !rest.is_empty() {
            let newline =
                memchr::memchr(b'\n', &rest).ok_or_else(|| corrupt("its line has no end"))?;
            let header: FrameHeader = serde_json::from_slice(&rest[..newline])
                .map_err(|error| corrupt("its line is unreadable").because(error))?;
            rest.advance(newline + 1);
            let length = usize::try_from(header.length)
                .ok()
                .filter(|length| *length < rest.len());
            let length = length.ok_or_else(|| corrupt("it is cut short"))?;
            let fits = header
                .offset
                .checked_add(header.length)
                .is_some_and(|end| end <= header.size);
            if !fits || rest[length] != b'\n' {
                return Err(corrupt("its sizes don't fit"));
            }
            let body = rest.split_to(length);
            rest.advance(1);
            frames.push(Frame {
                header,
                bytes: body,
            });
        }
        Ok(frames)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frames_read_back(bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..5)) {
            let frames: Vec<Frame> = bodies.iter().enumerate().map(|(index, body)| Frame {
                header: FrameHeader {
                    key: format!("k\n{index}"),
                    offset: 3,
                    length: body.len() as u64,
                    size: 3 + body.len() as u64,
                    content_type: Some("text/plain".into()),
                    metadata: BTreeMap::from([("_v".to_owned(), "v1".to_owned())]),
                },
                bytes: Bytes::from(body.clone()),
            }).collect();
            let stored: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
            prop_assert_eq!(Frame::decode_all(Bytes::from(stored.clone())).unwrap(), frames);
            if let Some(cut) = stored.len().checked_sub(1) {
                prop_assert!(Frame::decode_all(Bytes::from(stored[..cut].to_vec())).is_err());
            }
        }

        #[test]
        fn garbage_is_an_error_or_nothing(garbage in proptest::collection::vec(any::<u8>(), 1..200)) {
            prop_assert!(Frame::decode_all(Bytes::from(garbage)).is_err());
        }
    }
}
