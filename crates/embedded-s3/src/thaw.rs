//! Archived objects, and making them readable for a while.
//!
//! ```text
//! <bucket>/thaws/<hash of the key>    JSON: which object, and until when it can be read
//! ```
//!
//! A thaw belongs to the object that it was asked for: one that takes its place is archived again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use hyper::StatusCode;
use s3s::dto::{RestoreObjectInput, TimestampFormat};
use s3s::{S3Error, S3Result, s3_error};
use serde::{Deserialize, Serialize};

use crate::attributes::refuse_version;
use crate::object_file::{Header, timestamp};
use crate::store::{OrInternal as _, Store, ensure_dir, found};

/// The folder of a bucket's thaws.
pub(crate) const THAWS: &str = "thaws";
const DAY_SECONDS: u64 = 86_400;

/// Whether an object can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frost {
    /// It was never archived.
    None,
    Archived,
    Thawing,
    Thawed {
        until_seconds: u64,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Thaw {
    etag: String,
    until_seconds: u64,
}

impl Frost {
    /// As a reply says it; never archived, or not thawed, is said by nothing.
    pub(crate) fn shown(self) -> Option<String> {
        match self {
            Frost::None | Frost::Archived => None,
            Frost::Thawing => Some("ongoing-request=\"true\"".to_owned()),
            Frost::Thawed { until_seconds } => {
                let mut date = Vec::new();
                let until = timestamp(until_seconds);
                until.format(TimestampFormat::HttpDate, &mut date).ok()?;
                let date = String::from_utf8(date).ok()?;
                Some(format!("ongoing-request=\"false\", expiry-date=\"{date}\""))
            }
        }
    }
}

impl Store {
    /// Whether an object can be read.
    pub(crate) fn frost(&self, bucket: &str, header: &Header) -> S3Result<Frost> {
        if !header.attributes.is_archived() {
            return Ok(Frost::None);
        }
        let thaw = read(&thaw_path(&self.bucket(bucket)?, &header.key)).or_internal()?;
        let is_of_it =
            |thaw: &Thaw| thaw.etag == header.etag && thaw.until_seconds > self.now_seconds();
        Ok(match thaw.filter(is_of_it) {
            None => Frost::Archived,
            Some(_) if self.holds_thaws.load(Ordering::Relaxed) => Frost::Thawing,
            Some(thaw) => Frost::Thawed {
                until_seconds: thaw.until_seconds,
            },
        })
    }

    /// Refuses to read what is archived. What is to be said of it otherwise.
    pub(crate) fn check_readable(&self, bucket: &str, header: &Header) -> S3Result<Option<String>> {
        match self.frost(bucket, header)? {
            Frost::Archived | Frost::Thawing => Err(s3_error!(
                InvalidObjectState,
                "the operation is not valid for the object's storage class"
            )),
            readable => Ok(readable.shown()),
        }
    }

    /// Answers `RestoreObject`, with the status that says whether it was thawed already.
    pub(crate) fn thaw(&self, input: &RestoreObjectInput) -> S3Result<StatusCode> {
        refuse_version(input.version_id.as_deref())?;
        let opened = self.open_object(&input.bucket, &input.key)?;
        let asked = input.restore_request.as_ref();
        let days = asked.and_then(|asked| asked.days);
        let days = days.and_then(|days| u64::try_from(days).ok());
        let days = days
            .filter(|days| *days > 0)
            .ok_or_else(|| s3_error!(MalformedXML, "name a number of days from 1"))?;
        let tier = asked.and_then(|asked| asked.glacier_job_parameters.as_ref());
        let tier = tier.map_or("Standard", |parameters| parameters.tier.as_str());
        let class = opened.header.attributes.shown_class();
        if !matches!(tier, "Standard" | "Bulk" | "Expedited")
            || (tier == "Expedited" && class == "DEEP_ARCHIVE")
        {
            return Err(s3_error!(InvalidArgument, "{class} has no tier {tier}"));
        }
        let status = match self.frost(&input.bucket, &opened.header)? {
            Frost::None => {
                return Err(s3_error!(
                    InvalidObjectState,
                    "restore is not allowed for the object's current storage class"
                ));
            }
            Frost::Thawing => {
                return Err(s3_error!(
                    RestoreAlreadyInProgress,
                    "object restore is already in progress"
                ));
            }
            Frost::Archived => StatusCode::ACCEPTED,
            Frost::Thawed { .. } => StatusCode::OK,
        };
        let thaw = Thaw {
            etag: opened.header.etag,
            until_seconds: self
                .now_seconds()
                .saturating_add(days.saturating_mul(DAY_SECONDS)),
        };
        self.keep_thaw(&self.bucket(&input.bucket)?, &input.key, &thaw)?;
        Ok(status)
    }

    /// Forgets what is known of an object that is gone.
    pub(crate) fn forget_thaw(&self, bucket: &Path, key: &str) -> io::Result<()> {
        found(fs::remove_file(thaw_path(bucket, key))).map(drop)
    }

    fn keep_thaw(&self, bucket: &Path, key: &str, thaw: &Thaw) -> S3Result<()> {
        let json = serde_json::to_vec(thaw).map_err(S3Error::internal_error)?;
        let staged = self.staging_path();
        ensure_dir(&bucket.join(THAWS)).or_internal()?;
        fs::write(&staged, json).or_internal()?;
        fs::rename(&staged, thaw_path(bucket, key)).or_internal()
    }
}

fn thaw_path(bucket: &Path, key: &str) -> PathBuf {
    let hash = blake3::hash(key.as_bytes()).to_hex();
    bucket.join(THAWS).join(hash.as_str())
}

fn read(path: &Path) -> io::Result<Option<Thaw>> {
    let Some(json) = found(fs::read(path))? else {
        return Ok(None);
    };
    Ok(Some(serde_json::from_slice(&json)?))
}
