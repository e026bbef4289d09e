//! Listings: keys page by page, whatever characters they hold.

use std::hash::{DefaultHasher, Hash, Hasher};

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::{CommonPrefix, EncodingType, Object};
use percent_encoding::percent_decode_str;
use teeline_core::chain::version_of;
use teeline_core::{BackupError, Class, Timestamp};

use super::bucket::{Bucket, Head, timestamp};

/// What servers give at the most.
pub(super) const PAGE_KEYS: u16 = 1_000;

/// An entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) key: String,
    pub(super) size: u64,
    pub(super) last_modified: Option<Timestamp>,
    /// A hash of what the listing says of the object. Another version of the object has another one, unless it was
    /// written at the same time, as far as the server tells times apart, with a body of the same content.
    pub(super) version: u64,
    /// The same, of what a GET says as well.
    pub(super) version_as_read: u64,
}

impl Listed {
    /// Whether what came of the object can't be it: it is the version that is listed, of another size.
    pub(super) fn contradicts(&self, came: &Head) -> bool {
        let as_listed = version_of(came.last_modified, came.etag.as_deref(), self.size);
        came.size != self.size && as_listed == self.version_as_read
    }

    /// An object that isn't listed, and may be there all the same.
    pub(super) fn unlisted(key: String) -> Self {
        Listed {
            key,
            size: 0,
            last_modified: None,
            version: 0,
            version_as_read: 0,
        }
    }
}

/// A page of a listing.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) objects: Vec<Listed>,
    /// Keys' beginnings up to the delimiter and with it, where the listing has one.
    pub(super) folders: Vec<String>,
}

/// A listing, page by page.
pub(super) struct Listing {
    bucket: Bucket,
    prefix: String,
    delimiter: Option<&'static str>,
    /// Keys up to this one, in the server's order, are left out.
    after: Option<String>,
    page_keys: i32,
    token: Option<String>,
    /// What the last page began with, as the server wrote it.
    begun_with: Option<String>,
    at_end: bool,
}

impl Listing {
    pub(super) fn new(bucket: &Bucket, prefix: &str) -> Self {
        Listing {
            bucket: bucket.clone(),
            prefix: prefix.to_owned(),
            delimiter: None,
            after: None,
            page_keys: bucket.page_keys(),
            token: None,
            begun_with: None,
            at_end: false,
        }
    }

    /// What follows the prefix up to `delimiter` is one folder, however many keys are in it.
    pub(super) fn by_folder(self, delimiter: &'static str) -> Self {
        Listing {
            delimiter: Some(delimiter),
            ..self
        }
    }

    /// Begins behind a key, in the server's order.
    pub(super) fn after(self, key: String) -> Self {
        Listing {
            after: Some(key),
            ..self
        }
    }

    /// Whether the last page was given.
    pub(super) fn is_at_end(&self) -> bool {
        self.at_end
    }

    /// The first key; `None` where there is none.
    pub(super) async fn first(mut self) -> Result<Option<Listed>, BackupError> {
        self.page_keys = 1;
        // A page may be empty and not the last.
        while let Some(page) = self.next().await? {
            if let Some(first) = page.objects.into_iter().next() {
                return Ok(Some(first));
            }
        }
        Ok(None)
    }

    /// The next page; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Page>, BackupError> {
        if self.at_end {
            return Ok(None);
        }
        let output = self
            .bucket
            .call(|client, bucket| {
                // Keys may hold characters that XML can't.
                let call = client.list_objects_v2().encoding_type(EncodingType::Url);
                let call = call
                    .bucket(bucket)
                    .prefix(self.bucket.full_key(&self.prefix))
                    .set_delimiter(self.delimiter.map(str::to_owned))
                    .set_start_after(self.after.as_deref().map(|key| self.bucket.full_key(key)))
                    .max_keys(self.page_keys)
                    .set_continuation_token(self.token.clone());
                async {
                    let sent = call.send().await;
                    let page =
                        sent.map_err(|error| self.bucket.failed("list", &self.prefix, &error))?;
                    match begin_of(&page) {
                        // A keyless page may be followed by another one.
                        Some(begin) if self.begun_with.as_ref() == Some(&begin) => {
                            let message = "the server gave the last page once more";
                            Err(self.broken(Class::Transient, message))
                        }
                        _ => Ok(page),
                    }
                }
            })
            .await?;
        let next = output.next_continuation_token().map(str::to_owned);
        let goes_on = output.is_truncated().unwrap_or(next.is_some());
        if goes_on && (next.is_none() || next == self.token) {
            let message = "the server doesn't say how the listing goes on";
            return Err(self.broken(Class::Permanent, message));
        }
        self.begun_with = begin_of(&output).or(self.begun_with.take());
        self.token = next;
        self.at_end = !goes_on;

        let encoded = output.encoding_type() == Some(&EncodingType::Url);
        let mut page = Page::default();
        for object in output.contents() {
            let size = object.size().and_then(|size| u64::try_from(size).ok());
            let size = size.unwrap_or(0);
            let last_modified = object.last_modified().and_then(timestamp);
            page.objects.push(Listed {
                key: self.key(object.key(), encoded)?,
                size,
                last_modified,
                version: version(object),
                version_as_read: version_of(last_modified, object.e_tag(), size),
            });
        }
        for folder in output.common_prefixes() {
            let folder = self.key(folder.prefix(), encoded)?;
            if folder.len() <= self.prefix.len() {
                let message = "the server lists the folder within itself";
                return Err(self.broken(Class::Permanent, message));
            }
            page.folders.push(folder);
        }
        Ok(Some(page))
    }

    fn key(&self, listed: Option<&str>, encoded: bool) -> Result<String, BackupError> {
        let listed = listed.unwrap_or_default();
        let decoded = if encoded {
            // As in forms: a plus sign is a space, and one that is meant is %2B.
            let spaced = listed.replace('+', " ");
            let decoded = percent_decode_str(&spaced).decode_utf8();
            decoded
                .map_err(|_| {
                    let message = format!("the key {listed:?} isn't UTF-8");
                    self.broken(Class::Permanent, &message)
                })?
                .into_owned()
        } else {
            listed.to_owned()
        };
        decoded
            .strip_prefix(self.bucket.prefix())
            .filter(|key| key.starts_with(&self.prefix))
            .map(str::to_owned)
            .ok_or_else(|| {
                let message = format!("the server lists {listed:?}, which isn't in it");
                self.broken(Class::Permanent, &message)
            })
    }

    fn broken(&self, class: Class, message: &str) -> BackupError {
        let subject = self.bucket.describe(&self.prefix);
        BackupError::new(class, "list", subject, message)
    }
}

/// The first that a page has, as the server wrote it.
fn begin_of(page: &ListObjectsV2Output) -> Option<String> {
    let object = page.contents().first().and_then(Object::key);
    let folder = page.common_prefixes().first();
    object
        .or(folder.and_then(CommonPrefix::prefix))
        .map(str::to_owned)
}

fn version(object: &Object) -> u64 {
    let mut hasher = DefaultHasher::new();
    let last_modified = object.last_modified();
    last_modified
        .map(|time| (time.secs(), time.subsec_nanos()))
        .hash(&mut hasher);
    (object.e_tag(), object.size()).hash(&mut hasher);
    hasher.finish()
}
