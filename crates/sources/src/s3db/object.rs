//! An S3 object as far as a record lives in it.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Everything of an object that a restore has to bring back: user metadata, content type, body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawObject {
    /// User metadata; keys are lower-case and without `x-amz-meta-`, as S3 returns them.
    pub metadata: BTreeMap<String, String>,
    /// The content type, where the object has one.
    pub content_type: Option<String>,
    /// The body, which may be empty.
    pub body: Bytes,
}
