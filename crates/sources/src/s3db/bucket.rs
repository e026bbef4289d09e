//! A database's place in a bucket: reads and writes the objects below its prefix.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_smithy_runtime_api::http::Headers;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use flate2::Crc;
use teeline_core::{BackupError, Class, ObjectRow, Timestamp};

use super::body::Body;
use super::client::{connect, failure, is_absent, is_there_already, may_not_know};
use super::connection::Connection;
use super::listing::{Listed, Listing};
use super::object::RawObject;
use super::object_calls::{ObjectCall, ObjectCalls};
use super::pace::Pace;
use super::parted::Parted;

/// What the names of headers with user metadata begin with.
const METADATA: &str = "x-amz-meta-";
/// The checksum that clients of s3db.js store with each object.
const CRC32: &str = "x-amz-checksum-crc32";

/// Where a database is, with a client for it. Keys are those below the prefix.
#[derive(Clone)]
pub(super) struct Bucket(Arc<Parts>);

struct Parts {
    client: Client,
    object_calls: ObjectCalls,
    name: String,
    /// Empty, or with a slash at its end.
    prefix: String,
    /// Names the server in errors.
    server: String,
    pace: Pace,
    page_keys: i32,
    /// Whether the server may be asked for checksums. Not each knows the header.
    has_checksums: AtomicBool,
}

/// What an object's GET says of it, besides its body.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) content_type: Option<String>,
    pub(super) size: u64,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<Timestamp>,
    /// Of all of its bytes, where the server has one.
    pub(super) crc32: Option<u32>,
    /// What time it was at the server.
    pub(super) date: Option<Timestamp>,
}

impl Head {
    /// By the headers of an answer; `None` where they don't say how large the object is, or aren't those of one: each has a
    /// tag and a time, which the page of somebody who answers in between hasn't.
    pub(super) fn of(headers: &Headers) -> Option<Self> {
        let text = |name| headers.get(name).map(str::to_owned);
        let metadata = headers.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix(METADATA)?;
            Some((name.to_owned(), value.to_owned()))
        });
        let time = |name| headers.get(name).and_then(Timestamp::from_http_date);
        let (etag, last_modified) = (text("etag"), time("last-modified"));
        if etag.is_none() && last_modified.is_none() {
            return None;
        }
        Some(Head {
            metadata: metadata.collect(),
            content_type: text("content-type"),
            size: headers.get("content-length")?.parse().ok()?,
            etag,
            last_modified,
            crc32: crc32(headers),
            date: time("date"),
        })
    }

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

/// What an object was found to be.
pub(super) enum Found {
    Absent,
    /// It is no larger than asked for, and here it is.
    Small(Head, Bytes),
    Larger,
}

impl Bucket {
    /// The place of `connection`, with at most so many calls to it at once, and so many keys in a page of a listing.
    pub(super) async fn connect(connection: &Connection, calls_max: usize, page_keys: u16) -> Self {
        let prefix = match connection.prefix.as_str() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        let client = connect(connection).await;
        Bucket(Arc::new(Parts {
            object_calls: ObjectCalls::new(client.clone(), &connection.bucket),
            client,
            name: connection.bucket.clone(),
            prefix,
            server: connection
                .endpoint
                .clone()
                .unwrap_or_else(|| "S3".to_owned()),
            pace: Pace::new(calls_max),
            page_keys: page_keys.into(),
            has_checksums: AtomicBool::new(true),
        }))
    }

    /// How errors name an object, or with an empty key the place.
    pub(super) fn describe(&self, key: &str) -> String {
        let place = format!("{}/{}{key}", self.0.name, self.0.prefix);
        // Keys may hold newlines and other control characters.
        format!("s3://{}", place.trim_end_matches('/').escape_debug())
    }

    /// Empty, or with a slash at its end.
    pub(super) fn prefix(&self) -> &str {
        &self.0.prefix
    }

    /// Keys in a page of a listing.
    pub(super) fn page_keys(&self) -> i32 {
        self.0.page_keys
    }

    pub(super) fn full_key(&self, key: &str) -> String {
        format!("{}{key}", self.0.prefix)
    }

    /// Makes a call, at the server's pace. It is given the client and the bucket's name.
    pub(super) async fn call<T, F>(
        &self,
        call: impl Fn(&Client, &str) -> F,
    ) -> Result<T, BackupError>
    where
        F: Future<Output = Result<T, BackupError>>,
    {
        let Parts { client, name, .. } = &*self.0;
        self.at_pace(|| call(client, name)).await
    }

    async fn at_pace<T, F>(&self, call: impl Fn() -> F) -> Result<T, BackupError>
    where
        F: Future<Output = Result<T, BackupError>>,
    {
        // The client's futures are large and deep; without a box they would be so in all that contains them.
        Box::pin(self.0.pace.call(call)).await
    }

    pub(super) fn failed<E>(
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

    /// Everything whose key begins with `prefix`, in the server's order.
    pub(super) fn list(&self, prefix: &str) -> Listing {
        Listing::new(self, prefix)
    }

    /// What is directly in the folder `prefix`, which ends in a slash or is empty.
    pub(super) fn list_folder(&self, prefix: &str) -> Listing {
        self.list(prefix).by_folder("/")
    }

    /// Opens an object; `None` where there is none.
    pub(super) async fn open(&self, key: &str) -> Result<Option<(Head, Body)>, BackupError> {
        self.at_pace(async || self.whole(key, None).await).await
    }

    /// The same, of an object that was listed so.
    pub(super) async fn open_listed(
        &self,
        listed: &Listed,
    ) -> Result<Option<(Head, Body)>, BackupError> {
        self.at_pace(async || self.whole(&listed.key, Some(listed)).await)
            .await
    }

    /// Asks for all of an object, with its checksum; where it was listed, for that one.
    async fn whole(
        &self,
        key: &str,
        listed: Option<&Listed>,
    ) -> Result<Option<(Head, Body)>, BackupError> {
        let Some(answer) = self.whole_answer(key).await? else {
            return Ok(None);
        };
        let (head, body) = self.opened(key, answer)?;
        if listed.is_some_and(|listed| listed.contradicts(&head)) {
            let size = head.size;
            let message = format!("{size} bytes came of it, and it is listed with another size");
            let subject = self.describe(key);
            return Err(BackupError::new(Class::Transient, "read", subject, message));
        }
        Ok(Some((head, body)))
    }

    async fn whole_answer(&self, key: &str) -> Result<Option<HttpResponse>, BackupError> {
        let call = self.object_call("GET", key);
        if !self.0.has_checksums.load(Ordering::Relaxed) {
            return self.answer("read", key, call).await;
        }
        let asks = call.clone().header("x-amz-checksum-mode", "ENABLED");
        match self.0.object_calls.send(asks).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if is_absent("GET", &error) => Ok(None),
            Err(error) if may_not_know(&error) => {
                let answer = self.answer("read", key, call).await?;
                // It gives the object without, so that was what it doesn't know.
                self.0.has_checksums.store(false, Ordering::Relaxed);
                Ok(answer)
            }
            Err(error) => Err(self.failed("read", key, &error)),
        }
    }

    fn opened(&self, key: &str, answer: HttpResponse) -> Result<(Head, Body), BackupError> {
        let head = Head::of(answer.headers()).ok_or_else(|| {
            let message = "the answer isn't one of S3: it lacks the size of the object, or both its tag and its time";
            BackupError::new(Class::Transient, "read", self.describe(key), message)
        })?;
        let body = ByteStream::new(answer.into_body());
        let body = Body::new(self.clone(), key, &head, body);
        Ok((head, body))
    }

    /// Whether there is an object of this key.
    pub(super) async fn exists(&self, key: &str) -> Result<bool, BackupError> {
        self.at_pace(async || {
            let call = self.object_call("HEAD", key);
            Ok(self.answer("look at", key, call).await?.is_some())
        })
        .await
    }

    /// Deletes an object. Deleting what is absent is fine.
    pub(super) async fn delete(&self, key: &str) -> Result<(), BackupError> {
        self.at_pace(async || {
            let call = self.object_call("DELETE", key);
            self.answer("delete", key, call).await.map(drop)
        })
        .await
    }

    /// Reads a whole object, unless it is larger than so many bytes.
    pub(super) async fn find(&self, key: &str, bytes_max: u64) -> Result<Found, BackupError> {
        self.find_as(key, None, bytes_max).await
    }

    /// The same, of an object that was listed so.
    pub(super) async fn find_listed(
        &self,
        listed: &Listed,
        bytes_max: u64,
    ) -> Result<Found, BackupError> {
        self.find_as(&listed.key, Some(listed), bytes_max).await
    }

    async fn find_as(
        &self,
        key: &str,
        listed: Option<&Listed>,
        bytes_max: u64,
    ) -> Result<Found, BackupError> {
        // One call with its body: what breaks in the middle is read anew, and may be another object then.
        self.at_pace(async || match self.whole(key, listed).await? {
            None => Ok(Found::Absent),
            Some((head, body)) if head.size <= bytes_max => {
                Ok(Found::Small(head, body.once().await?))
            }
            Some(_) => Ok(Found::Larger),
        })
        .await
    }

    /// Reads a whole object; `None` where there is none.
    pub(super) async fn read(&self, key: &str) -> Result<Option<(Head, Bytes)>, BackupError> {
        Ok(match self.find(key, u64::MAX).await? {
            Found::Small(head, bytes) => Some((head, bytes)),
            Found::Absent | Found::Larger => None,
        })
    }

    /// Reads an object from a byte on, if it is still the one of this tag.
    pub(super) async fn read_from(
        &self,
        key: &str,
        offset: u64,
        etag: Option<&str>,
    ) -> Result<HttpResponse, BackupError> {
        self.at_pace(async || {
            let call = self.object_call("GET", key);
            let call = call.header("range", format!("bytes={offset}-"));
            let call = match etag {
                Some(etag) => call.header("if-match", etag),
                None => call,
            };
            let sent = self.0.object_calls.send(call).await;
            sent.map_err(|error| self.failed("read", key, &error))
        })
        .await
    }

    /// Writes an object.
    pub(super) async fn put(&self, key: &str, object: &RawObject) -> Result<(), BackupError> {
        self.at_pace(async || {
            let sent = self.0.object_calls.send(self.put_call(key, object)).await;
            sent.map(drop)
                .map_err(|error| self.failed("write", key, &error))
        })
        .await
    }

    /// Writes an object where there is none, or says that there is one: which may be this very one, where the answer to a call that is
    /// repeated was lost. A server that knows no conditions writes it over whatever there is.
    pub(super) async fn create(&self, key: &str, object: &RawObject) -> Result<bool, BackupError> {
        let created = self
            .at_pace(async || {
                let call = self.put_call(key, object).header("if-none-match", "*");
                match self.0.object_calls.send(call).await {
                    Ok(_) => Ok(Some(true)),
                    Err(error) if is_there_already(&error) => Ok(Some(false)),
                    Err(error) if may_not_know(&error) => Ok(None),
                    Err(error) => Err(self.failed("write", key, &error)),
                }
            })
            .await?;
        match created {
            Some(created) => Ok(created),
            None => self.put(key, object).await.map(|()| true),
        }
    }

    fn put_call(&self, key: &str, object: &RawObject) -> ObjectCall {
        let mut crc = Crc::new();
        crc.update(&object.body);
        let checksum = BASE64_STANDARD.encode(crc.sum().to_be_bytes());
        let mut call = self.object_call("PUT", key);
        for (name, value) in &object.metadata {
            call = call.header(format!("{METADATA}{name}"), value);
        }
        if let Some(content_type) = &object.content_type {
            call = call.header("content-type", content_type);
        }
        // As the clients of s3db.js store it. They ask for it when they read, and where it is missing they leave the
        // bodies of records unread and their connections busy, until none is left.
        call.header("x-amz-sdk-checksum-algorithm", "CRC32")
            .header(CRC32, checksum)
            .body(object.body.clone())
    }

    fn object_call(&self, method: &'static str, key: &str) -> ObjectCall {
        ObjectCall::new(method, self.full_key(key))
    }

    /// The answer to a call for an object; `None` where there is no such object.
    async fn answer(
        &self,
        operation: &str,
        key: &str,
        call: ObjectCall,
    ) -> Result<Option<HttpResponse>, BackupError> {
        let method = call.method();
        match self.0.object_calls.send(call).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if is_absent(method, &error) => Ok(None),
            Err(error) => Err(self.failed(operation, key, &error)),
        }
    }

    /// Begins to write an object in parts.
    pub(super) async fn begin(
        &self,
        key: &str,
        metadata: &BTreeMap<String, String>,
        content_type: Option<&str>,
    ) -> Result<Parted, BackupError> {
        let upload = self
            .call(|client, bucket| {
                let call = client.create_multipart_upload();
                let call = call
                    .bucket(bucket)
                    .key(self.full_key(key))
                    .set_metadata(Some(metadata.clone().into_iter().collect()))
                    .set_content_type(content_type.map(str::to_owned));
                async {
                    let sent = call.send().await;
                    sent.map_err(|error| self.failed("write", key, &error))
                }
            })
            .await?;
        let id = upload.upload_id().map(str::to_owned).ok_or_else(|| {
            let message = "the server gave no id for an upload in parts";
            BackupError::new(Class::Permanent, "write", self.describe(key), message)
        })?;
        Ok(Parted::new(self.clone(), key, id))
    }
}

/// The checksum of all of an object's bytes in a row. What was written in parts may have one of the parts' checksums instead, and not each server
/// says which it is.
fn crc32(headers: &Headers) -> Option<u32> {
    let is_of_all = match headers.get("x-amz-checksum-type") {
        Some(kind) => kind == "FULL_OBJECT",
        None => !headers.get("etag").is_some_and(|etag| etag.contains('-')),
    };
    let header = headers.get(CRC32).filter(|_| is_of_all)?;
    let bytes = BASE64_STANDARD.decode(header).ok()?;
    bytes.try_into().ok().map(u32::from_be_bytes)
}

/// The time that a header says.
pub(super) fn timestamp(time: &DateTime) -> Option<Timestamp> {
    time.to_millis().ok().map(Timestamp::from_unix_ms)
}
