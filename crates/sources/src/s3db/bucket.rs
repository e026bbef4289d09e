//! A database's place in a bucket: lists, reads and writes the objects below its prefix.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, EncodingType};
use bytes::{Bytes, BytesMut};
use percent_encoding::percent_decode_str;
use teeline_core::{BackupError, Class, ObjectRow, Timestamp};

use super::client::{connect, failure, is_absent, timeouts};
use super::connection::Connection;

/// Without a byte for this long, a body is asked for again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a body is asked for again without getting any further.
const BODY_RETRIES: u32 = 3;
const BODY_RETRY_PAUSE: Duration = Duration::from_millis(300);

/// Where a database is, with a client for it. Keys are those below the prefix.
#[derive(Clone)]
pub(super) struct Bucket(Arc<Parts>);

struct Parts {
    client: Client,
    name: String,
    /// Empty, or with a slash at its end.
    prefix: String,
    /// Names the server in errors.
    server: String,
}

/// What an object's GET says of it, besides its body.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) content_type: Option<String>,
    pub(super) size: u64,
    etag: Option<String>,
    last_modified: Option<Timestamp>,
}

/// An entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) key: String,
    pub(super) size: u64,
}

/// A page of a listing.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) objects: Vec<Listed>,
    /// Keys' beginnings up to the next slash, where the listing is of one folder only.
    pub(super) folders: Vec<String>,
}

impl Head {
    /// The row of the index for the object `key`.
    pub(super) fn row(&self, key: &str) -> Vec<u8> {
        ObjectRow {
            key: key.to_owned(),
            last_modified: self.last_modified,
            etag: self
                .etag
                .as_deref()
                .map(|etag| etag.trim_matches('"').to_owned()),
            size: self.size,
        }
        .to_line()
    }
}

impl Bucket {
    pub(super) async fn connect(connection: &Connection) -> Self {
        let prefix = match connection.prefix.as_str() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Bucket(Arc::new(Parts {
            client: connect(connection).await,
            name: connection.bucket.clone(),
            prefix,
            server: connection
                .endpoint
                .clone()
                .unwrap_or_else(|| "S3".to_owned()),
        }))
    }

    /// How errors name an object, or with an empty key the place.
    pub(super) fn describe(&self, key: &str) -> String {
        let place = format!("{}/{}{key}", self.0.name, self.0.prefix);
        // Keys may hold newlines and other control characters.
        format!("s3://{}", place.trim_end_matches('/').escape_debug())
    }

    fn full_key(&self, key: &str) -> String {
        format!("{}{key}", self.0.prefix)
    }

    fn failed<E>(
        &self,
        operation: &str,
        key: &str,
        error: &SdkError<E, HttpResponse>,
    ) -> BackupError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        failure(operation, self.describe(key), &self.0.server, error)
    }

    /// Everything whose key begins with `prefix`, in no particular order.
    pub(super) fn list(&self, prefix: &str) -> Listing {
        self.listing(prefix, None)
    }

    /// What is directly in the folder `prefix`, which ends in a slash or is empty.
    pub(super) fn list_folder(&self, prefix: &str) -> Listing {
        self.listing(prefix, Some("/"))
    }

    fn listing(&self, prefix: &str, delimiter: Option<&'static str>) -> Listing {
        Listing {
            bucket: self.clone(),
            prefix: prefix.to_owned(),
            delimiter,
            token: None,
            at_end: false,
        }
    }

    /// Whether there is any object.
    pub(super) async fn is_empty(&self) -> Result<bool, BackupError> {
        let call = self.0.client.list_objects_v2();
        let call = call.bucket(&self.0.name).prefix(&self.0.prefix).max_keys(1);
        let page = call
            .send()
            .await
            .map_err(|error| self.failed("list", "", &error))?;
        Ok(page.contents().is_empty())
    }

    /// Opens an object; `None` where there is none.
    pub(super) async fn open(&self, key: &str) -> Result<Option<(Head, Body)>, BackupError> {
        let call = self.0.client.get_object();
        let call = call.bucket(&self.0.name).key(self.full_key(key));
        let output = match call.send().await {
            Ok(output) => output,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(self.failed("read", key, &error)),
        };
        let size = output
            .content_length()
            .and_then(|size| u64::try_from(size).ok());
        let size = size.ok_or_else(|| {
            let message = "the answer doesn't say how large the object is";
            BackupError::new(Class::Permanent, "read", self.describe(key), message)
        })?;
        let head = Head {
            metadata: metadata(&output),
            content_type: output.content_type().map(str::to_owned),
            size,
            etag: output.e_tag().map(str::to_owned),
            last_modified: output.last_modified().and_then(timestamp),
        };
        let body = Body {
            bucket: self.clone(),
            key: key.to_owned(),
            stream: output.body,
            arrived: Bytes::new(),
            etag: head.etag.clone(),
            offset: 0,
            size,
            retries: 0,
            was_replaced: false,
        };
        Ok(Some((head, body)))
    }

    /// Reads a whole object that is expected to be small; `None` where there is none.
    pub(super) async fn read(&self, key: &str) -> Result<Option<(Head, Bytes)>, BackupError> {
        let mut tries_left = BODY_RETRIES;
        loop {
            let Some((head, mut body)) = self.open(key).await? else {
                return Ok(None);
            };
            match body.collect().await {
                // What counts is the new one.
                Err(_) if body.was_replaced() && tries_left > 0 => tries_left -= 1,
                bytes => return bytes.map(|bytes| Some((head, bytes))),
            }
        }
    }

    /// Writes an object.
    pub(super) async fn put(
        &self,
        key: &str,
        metadata: BTreeMap<String, String>,
        content_type: Option<String>,
        body: Bytes,
    ) -> Result<(), BackupError> {
        let untyped = content_type.is_none();
        let size = body.len() as u64;
        let call = self.0.client.put_object();
        let call = call
            .bucket(&self.0.name)
            .key(self.full_key(key))
            .set_metadata(Some(metadata.into_iter().collect()))
            .set_content_type(content_type)
            // As the clients of s3db.js store it. They ask for it when they read, and where it is missing they leave the
            // bodies of records unread and their connections busy, until none is left.
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(ByteStream::from(body))
            .customize()
            .config_override(aws_sdk_s3::Config::builder().timeout_config(timeouts(size)))
            .mutate_request(move |request| {
                // The client says application/octet-stream of itself.
                if untyped {
                    request.headers_mut().remove("content-type");
                }
            });
        call.send()
            .await
            .map_err(|error| self.failed("write", key, &error))?;
        Ok(())
    }

    /// Begins to write an object in parts.
    pub(super) async fn begin(
        &self,
        key: &str,
        metadata: BTreeMap<String, String>,
        content_type: Option<String>,
    ) -> Result<Parted, BackupError> {
        let call = self.0.client.create_multipart_upload();
        let call = call
            .bucket(&self.0.name)
            .key(self.full_key(key))
            .set_metadata(Some(metadata.into_iter().collect()))
            .set_content_type(content_type);
        let output = call
            .send()
            .await
            .map_err(|error| self.failed("write", key, &error))?;
        let upload = output.upload_id().map(str::to_owned).ok_or_else(|| {
            let message = "the server gave no id for an upload in parts";
            BackupError::new(Class::Permanent, "write", self.describe(key), message)
        })?;
        Ok(Parted {
            bucket: self.clone(),
            key: key.to_owned(),
            upload,
            parts: Vec::new(),
        })
    }
}

/// A listing, page by page.
pub(super) struct Listing {
    bucket: Bucket,
    prefix: String,
    delimiter: Option<&'static str>,
    token: Option<String>,
    at_end: bool,
}

impl Listing {
    /// The next page; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Page>, BackupError> {
        if self.at_end {
            return Ok(None);
        }
        let Parts { client, name, .. } = &*self.bucket.0;
        // Keys may hold characters that XML can't.
        let call = client.list_objects_v2().encoding_type(EncodingType::Url);
        let call = call
            .bucket(name)
            .prefix(self.bucket.full_key(&self.prefix))
            .set_delimiter(self.delimiter.map(str::to_owned))
            .set_continuation_token(self.token.clone());
        let output = call
            .send()
            .await
            .map_err(|error| self.bucket.failed("list", &self.prefix, &error))?;
        let next = output.next_continuation_token().map(str::to_owned);
        let goes_on = output.is_truncated().unwrap_or(next.is_some());
        if goes_on && (next.is_none() || next == self.token) {
            return Err(self.broken("the server doesn't say how the listing goes on"));
        }
        self.token = next;
        self.at_end = !goes_on;

        let encoded = output.encoding_type() == Some(&EncodingType::Url);
        let mut page = Page::default();
        for object in output.contents() {
            page.objects.push(Listed {
                key: self.key(object.key(), encoded)?,
                size: object
                    .size()
                    .and_then(|size| u64::try_from(size).ok())
                    .unwrap_or(0),
            });
        }
        for folder in output.common_prefixes() {
            let folder = self.key(folder.prefix(), encoded)?;
            if folder.len() <= self.prefix.len() {
                return Err(self.broken("the server lists the folder within itself"));
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
                .map_err(|_| self.broken(&format!("the key {listed:?} isn't UTF-8")))?
                .into_owned()
        } else {
            listed.to_owned()
        };
        decoded
            .strip_prefix(&self.bucket.0.prefix)
            .filter(|key| key.starts_with(&self.prefix))
            .map(str::to_owned)
            .ok_or_else(|| self.broken(&format!("the server lists {listed:?}, which isn't in it")))
    }

    fn broken(&self, message: &str) -> BackupError {
        let subject = self.bucket.describe(&self.prefix);
        BackupError::new(Class::Permanent, "list", subject, message)
    }
}

/// The body of an object. Where its connection breaks, it goes on over another one.
pub(super) struct Body {
    bucket: Bucket,
    key: String,
    stream: ByteStream,
    /// What arrived and wasn't given yet.
    arrived: Bytes,
    etag: Option<String>,
    /// How much has arrived.
    offset: u64,
    size: u64,
    retries: u32,
    was_replaced: bool,
}

impl Body {
    /// Whether the failure was that another object took its place.
    pub(super) fn was_replaced(&self) -> bool {
        self.was_replaced
    }

    /// The next bytes, at most so many; `None` at the end.
    pub(super) async fn next(&mut self, bytes_max: usize) -> Result<Option<Bytes>, BackupError> {
        if self.arrived.is_empty() {
            self.arrived = self.receive().await?.unwrap_or_default();
        }
        let given = self.arrived.split_to(bytes_max.min(self.arrived.len()));
        Ok(Some(given).filter(|given| !given.is_empty()))
    }

    /// The next bytes, not empty; `None` at the end.
    async fn receive(&mut self) -> Result<Option<Bytes>, BackupError> {
        while self.offset < self.size {
            let problem = match tokio::time::timeout(IDLE_TIMEOUT, self.stream.next()).await {
                Ok(Some(Ok(bytes))) if bytes.is_empty() => continue,
                Ok(Some(Ok(bytes))) => {
                    self.offset += bytes.len() as u64;
                    self.retries = 0;
                    if self.offset > self.size {
                        return Err(self.broken("it is larger than the server said"));
                    }
                    return Ok(Some(bytes));
                }
                Ok(Some(Err(error))) => error.to_string(),
                Ok(None) => "the connection was closed".to_owned(),
                Err(_) => format!("no byte for {} s", IDLE_TIMEOUT.as_secs()),
            };
            if self.retries == BODY_RETRIES {
                let (offset, size) = (self.offset, self.size);
                return Err(self.broken(&format!(
                    "it broke off at byte {offset} of {size}: {problem}"
                )));
            }
            self.retries += 1;
            tokio::time::sleep(BODY_RETRY_PAUSE * self.retries).await;
            self.resume().await?;
        }
        Ok(None)
    }

    async fn resume(&mut self) -> Result<(), BackupError> {
        let Parts { client, name, .. } = &*self.bucket.0;
        let call = client
            .get_object()
            .bucket(name)
            .key(self.bucket.full_key(&self.key));
        let call = call
            .range(format!("bytes={}-", self.offset))
            .set_if_match(self.etag.clone());
        let output = match call.send().await {
            Ok(output) => output,
            Err(error) => return Err(self.resume_failed(&error)),
        };
        let goes_on = output
            .content_length()
            .and_then(|left| u64::try_from(left).ok())
            == Some(self.size - self.offset);
        if !goes_on || output.e_tag() != self.etag.as_deref() {
            return Err(self.replaced());
        }
        self.stream = output.body;
        Ok(())
    }

    fn resume_failed(&mut self, error: &SdkError<GetObjectError, HttpResponse>) -> BackupError {
        let failed = self.bucket.failed("read", &self.key, error);
        match failed.class() {
            Class::Conflict | Class::NotFound => self.replaced(),
            _ => failed,
        }
    }

    fn replaced(&mut self) -> BackupError {
        self.was_replaced = true;
        self.broken("it was replaced while it was read")
            .suggest("run the backup again")
    }

    fn broken(&self, message: &str) -> BackupError {
        BackupError::new(
            Class::Transient,
            "read",
            self.bucket.describe(&self.key),
            message,
        )
    }

    /// All that is left of it.
    pub(super) async fn collect(&mut self) -> Result<Bytes, BackupError> {
        let Some(first) = self.receive().await? else {
            return Ok(Bytes::new());
        };
        if self.offset == self.size {
            return Ok(first);
        }
        let mut all = BytesMut::from(first);
        while let Some(bytes) = self.receive().await? {
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }
}

/// An object that is being written in parts.
pub(super) struct Parted {
    bucket: Bucket,
    key: String,
    upload: String,
    parts: Vec<CompletedPart>,
}

impl Parted {
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        let number = i32::try_from(self.parts.len() + 1).unwrap_or(i32::MAX);
        let size = bytes.len() as u64;
        let Parts { client, name, .. } = &*self.bucket.0;
        let call = client
            .upload_part()
            .bucket(name)
            .key(self.bucket.full_key(&self.key));
        let call = call
            .upload_id(&self.upload)
            .part_number(number)
            .body(ByteStream::from(bytes))
            .customize()
            .config_override(aws_sdk_s3::Config::builder().timeout_config(timeouts(size)));
        let output = call
            .send()
            .await
            .map_err(|error| self.bucket.failed("write", &self.key, &error))?;
        let part = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(output.e_tag);
        self.parts.push(part.build());
        Ok(())
    }

    pub(super) async fn finish(self) -> Result<(), BackupError> {
        let Parts { client, name, .. } = &*self.bucket.0;
        let call = client
            .complete_multipart_upload()
            .bucket(name)
            .key(self.bucket.full_key(&self.key));
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(self.parts))
            .build();
        let call = call.upload_id(&self.upload).multipart_upload(parts);
        call.send()
            .await
            .map_err(|error| self.bucket.failed("write", &self.key, &error))?;
        Ok(())
    }

    /// Frees what the parts take.
    pub(super) async fn abort(self) -> Result<(), BackupError> {
        let Parts { client, name, .. } = &*self.bucket.0;
        let call = client
            .abort_multipart_upload()
            .bucket(name)
            .key(self.bucket.full_key(&self.key));
        let call = call.upload_id(&self.upload);
        call.send()
            .await
            .map_err(|error| self.bucket.failed("clean up", &self.key, &error))?;
        Ok(())
    }
}

fn metadata(output: &GetObjectOutput) -> BTreeMap<String, String> {
    let metadata = output.metadata().into_iter().flatten();
    metadata
        .map(|(key, value)| (key.to_ascii_lowercase(), value.clone()))
        .collect()
}

fn timestamp(time: &DateTime) -> Option<Timestamp> {
    time.to_millis().ok().map(Timestamp::from_unix_ms)
}
