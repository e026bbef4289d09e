//! What a client says about an object besides its bytes, and refusing what this server can't honour.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use s3s::dto::{Metadata, Timestamp};
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};

use crate::lock::Lock;

/// What an object gets whose writer names no type.
const CONTENT_TYPE_DEFAULT: &str = "application/octet-stream";
/// S3's limit, over the names and values of user metadata together.
const METADATA_BYTES_MAX: usize = 2048;
const STANDARD: &str = s3s::dto::StorageClass::STANDARD;

/// The attributes kept with an object and given back with it.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Attributes {
    pub(crate) content_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_control: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_disposition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<Timestamp>,
    /// `None` is the standard class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) storage_class: Option<String>,
    /// How it was asked to be encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encryption: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kms_key_id: Option<String>,
    /// As a query: `name=value&…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tagging: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lock: Option<Lock>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
}

/// The attributes in the fields of a put, a copy or a new multipart upload.
macro_rules! stated_attributes {
    ($input:expr) => {
        $crate::attributes::Attributes {
            content_type: $input.content_type.clone().unwrap_or_default(),
            cache_control: $input.cache_control.clone(),
            content_disposition: $input.content_disposition.clone(),
            content_encoding: $input.content_encoding.clone(),
            content_language: $input.content_language.clone(),
            expires: $input.expires.clone(),
            storage_class: $input
                .storage_class
                .as_ref()
                .map(|class| class.as_str().to_owned()),
            encryption: $input
                .server_side_encryption
                .as_ref()
                .map(|encryption| encryption.as_str().to_owned()),
            kms_key_id: $input.ssekms_key_id.clone(),
            tagging: $input.tagging.clone(),
            lock: $crate::lock::Lock::stated(
                $input.object_lock_mode.as_ref().map(|mode| mode.as_str()),
                $input.object_lock_retain_until_date.as_ref(),
            ),
            metadata: $input
                .metadata
                .clone()
                .unwrap_or_default()
                .into_iter()
                .collect(),
        }
        .checked()
    };
}

/// Puts attributes into the fields of a get's or a head's reply.
macro_rules! show_attributes {
    ($output:expr, $attributes:expr) => {{
        let attributes: $crate::attributes::Attributes = $attributes;
        $output.content_type = Some(attributes.content_type);
        $output.cache_control = attributes.cache_control;
        $output.content_disposition = attributes.content_disposition;
        $output.content_encoding = attributes.content_encoding;
        $output.content_language = attributes.content_language;
        $output.expires = attributes.expires;
        $output.storage_class = attributes.storage_class.map(Into::into);
        $output.server_side_encryption = attributes.encryption.map(Into::into);
        $output.ssekms_key_id = attributes.kms_key_id;
        $output.metadata = $crate::attributes::shown_metadata(attributes.metadata);
        if let Some(lock) = attributes.lock {
            $output.object_lock_mode = lock.mode.map(Into::into);
            $output.object_lock_retain_until_date = lock.until;
        }
    }};
}

/// Refuses a put, a copy or a new multipart upload that asks for what this server doesn't do.
///
/// Accepting such a header and dropping it would let a test pass that the real service fails.
macro_rules! refuse_unsupported {
    ($input:expr) => {{
        let input = &$input;
        let private = |acl: &str| acl == "private" || acl == "bucket-owner-full-control";
        let asked = [
            (
                "ACLs",
                !input.acl.as_ref().is_none_or(|acl| private(acl.as_str())),
            ),
            (
                "grants",
                input.grant_full_control.is_some() || input.grant_read.is_some(),
            ),
            (
                "grants",
                input.grant_read_acp.is_some() || input.grant_write_acp.is_some(),
            ),
            ("legal holds", input.object_lock_legal_hold_status.is_some()),
            (
                "encryption with a client's key",
                input.sse_customer_algorithm.is_some(),
            ),
            ("redirects", input.website_redirect_location.is_some()),
        ];
        $crate::attributes::refuse(&asked)?;
    }};
}

pub(crate) use {refuse_unsupported, show_attributes, stated_attributes};

/// `NotImplemented` if any of the features is asked for.
pub(crate) fn refuse(asked: &[(&str, bool)]) -> S3Result<()> {
    match asked.iter().find(|(_, asked)| *asked) {
        Some((feature, _)) => Err(s3_error!(
            NotImplemented,
            "this server does not implement {feature}"
        )),
        None => Ok(()),
    }
}

/// Refuses to look at any version but the only one there is.
pub(crate) fn refuse_version(version: Option<&str>) -> S3Result<()> {
    match version {
        None | Some("null") => Ok(()),
        Some(_) => Err(s3_error!(
            NoSuchVersion,
            "objects here have one version, named null"
        )),
    }
}

/// Metadata as a reply has it: absent rather than empty.
pub(crate) fn shown_metadata(metadata: BTreeMap<String, String>) -> Option<Metadata> {
    (!metadata.is_empty()).then(|| metadata.into_iter().collect())
}

impl Attributes {
    /// Fills in defaults and refuses what S3 refuses.
    pub(crate) fn checked(mut self) -> S3Result<Attributes> {
        let bytes: usize = self
            .metadata
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if bytes > METADATA_BYTES_MAX {
            return Err(s3_error!(
                MetadataTooLarge,
                "{bytes} bytes of user metadata, at most {METADATA_BYTES_MAX} are allowed"
            ));
        }
        if self.content_type.is_empty() {
            CONTENT_TYPE_DEFAULT.clone_into(&mut self.content_type);
        }
        self.content_encoding = self
            .content_encoding
            .and_then(|value| stored_encoding(&value));
        if let Some(lock) = &self.lock {
            lock.check_stated()?;
        }
        match self.encryption.as_deref() {
            None if self.kms_key_id.is_some() => {
                return Err(s3_error!(InvalidArgument, "a key needs aws:kms"));
            }
            None | Some("aws:kms") => {}
            Some("AES256") if self.kms_key_id.is_none() => {}
            Some(_) => {
                return Err(s3_error!(
                    InvalidArgument,
                    "encryption is AES256, or aws:kms with or without a key"
                ));
            }
        }
        match self.storage_class.as_deref() {
            None => {}
            Some(STANDARD) => self.storage_class = None,
            Some(
                "REDUCED_REDUNDANCY"
                | "STANDARD_IA"
                | "ONEZONE_IA"
                | "INTELLIGENT_TIERING"
                | "GLACIER"
                | "DEEP_ARCHIVE"
                | "GLACIER_IR",
            ) => {}
            Some(other) => {
                return Err(s3_error!(
                    InvalidStorageClass,
                    "no such storage class: {other}"
                ));
            }
        }
        Ok(self)
    }

    /// Whether it can only be read after it was thawed.
    pub(crate) fn is_archived(&self) -> bool {
        matches!(
            self.storage_class.as_deref(),
            Some("GLACIER" | "DEEP_ARCHIVE")
        )
    }

    /// `AccessDenied` while it is locked.
    pub(crate) fn check_unlocked(&self) -> S3Result<()> {
        self.lock.as_ref().map_or(Ok(()), Lock::check_ended)
    }

    /// The tags, each a name and a value.
    pub(crate) fn tags(&self) -> Vec<(String, String)> {
        let decoded = |text: &str| {
            let spaced = text.replace('+', " ");
            percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        };
        let query = self.tagging.as_deref().unwrap_or_default();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decoded(name), decoded(value))
            })
            .collect()
    }

    /// The storage class as a listing shows it.
    pub(crate) fn shown_class(&self) -> String {
        self.storage_class
            .clone()
            .unwrap_or_else(|| STANDARD.to_owned())
    }
}

/// The content encoding without `aws-chunked`, which describes the transfer and not the object.
fn stored_encoding(value: &str) -> Option<String> {
    let kept: Vec<&str> = value
        .split(',')
        .map(str::trim)
        .filter(|coding| !matches!(*coding, "aws-chunked" | ""))
        .collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

#[cfg(test)]
mod tests {
    use s3s::S3ErrorCode;

    use super::*;

    #[test]
    fn the_transfer_coding_is_not_kept() {
        assert_eq!(stored_encoding("aws-chunked"), None);
        assert_eq!(stored_encoding("aws-chunked, gzip"), Some("gzip".into()));
        assert_eq!(stored_encoding("gzip"), Some("gzip".into()));
    }

    #[test]
    fn too_much_metadata_and_unknown_classes_are_refused() {
        let mut attributes = Attributes::default();
        attributes.metadata.insert("k".into(), "v".repeat(2047));
        assert!(attributes.clone().checked().is_ok());
        attributes.metadata.insert("k".into(), "v".repeat(2048));
        let error = attributes.checked().expect_err("too large");
        assert_eq!(*error.code(), S3ErrorCode::MetadataTooLarge);

        let class = |name: &str| {
            Attributes {
                storage_class: Some(name.into()),
                ..Attributes::default()
            }
            .checked()
        };
        assert_eq!(class("STANDARD").expect("fine").storage_class, None);
        assert_eq!(class("GLACIER").expect("fine").shown_class(), "GLACIER");
        assert_eq!(
            *class("TAPE").expect_err("unknown").code(),
            S3ErrorCode::InvalidStorageClass
        );
    }
}
