//! A database's place in a bucket: reads and writes the objects below its prefix.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::ChecksumAlgorithm;
use bytes::Bytes;
use teeline_core::{BackupError, Class, ObjectRow, Timestamp};

use super::body::Body;
use super::client::{connect, failure, is_absent, timeouts};
use super::connection::Connection;
use super::listing::Listing;
use super::object::RawObject;
use super::pace::Pace;
use super::parted::Parted;

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
    pace: Pace,
    page_keys: i32,
}

/// What an object's GET says of it, besides its body.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) content_type: Option<String>,
    pub(super) size: u64,
    pub(super) etag: Option<String>,
    last_modified: Option<Timestamp>,
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
        Bucket(Arc::new(Parts {
            client: connect(connection).await,
            name: connection.bucket.clone(),
            prefix,
            server: connection
                .endpoint
                .clone()
                .unwrap_or_else(|| "S3".to_owned()),
            pace: Pace::new(calls_max),
            page_keys: page_keys.into(),
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
        let Parts {
            client, name, pace, ..
        } = &*self.0;
        // The client's futures are large and deep; without a box they would be so in all that contains them.
        Box::pin(pace.call(|| call(client, name))).await
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

    /// Whether there is any object.
    pub(super) async fn is_empty(&self) -> Result<bool, BackupError> {
        Ok(self.list("").first().await?.is_none())
    }

    /// Opens an object; `None` where there is none.
    pub(super) async fn open(&self, key: &str) -> Result<Option<(Head, Body)>, BackupError> {
        self.call(|client, bucket| {
            let call = client.get_object().bucket(bucket).key(self.full_key(key));
            async {
                match call.send().await {
                    Ok(output) => self.opened(key, output).map(Some),
                    Err(error) if is_absent(&error) => Ok(None),
                    Err(error) => Err(self.failed("read", key, &error)),
                }
            }
        })
        .await
    }

    fn opened(&self, key: &str, output: GetObjectOutput) -> Result<(Head, Body), BackupError> {
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
        let body = Body::new(self.clone(), key, &head, output.body);
        Ok((head, body))
    }

    /// Whether there is an object of this key.
    pub(super) async fn exists(&self, key: &str) -> Result<bool, BackupError> {
        self.call(|client, bucket| {
            let call = client.head_object().bucket(bucket).key(self.full_key(key));
            async {
                match call.send().await {
                    Ok(_) => Ok(true),
                    Err(error) if is_absent(&error) => Ok(false),
                    Err(error) => Err(self.failed("look at", key, &error)),
                }
            }
        })
        .await
    }

    /// Deletes an object. Deleting what is absent is fine.
    pub(super) async fn delete(&self, key: &str) -> Result<(), BackupError> {
        self.call(|client, bucket| {
            let call = client
                .delete_object()
                .bucket(bucket)
                .key(self.full_key(key));
            async {
                match call.send().await {
                    Ok(_) => Ok(()),
                    Err(error) if is_absent(&error) => Ok(()),
                    Err(error) => Err(self.failed("delete", key, &error)),
                }
            }
        })
        .await
    }

    /// Reads a whole object, unless it is larger than so many bytes.
    pub(super) async fn find(&self, key: &str, bytes_max: u64) -> Result<Found, BackupError> {
        // One call with its body: what breaks in the middle is read anew, and may be another object then.
        self.call(|client, bucket| {
            let call = client.get_object().bucket(bucket).key(self.full_key(key));
            async {
                let output = match call.send().await {
                    Ok(output) => output,
                    Err(error) if is_absent(&error) => return Ok(Found::Absent),
                    Err(error) => return Err(self.failed("read", key, &error)),
                };
                let (head, body) = self.opened(key, output)?;
                match head.size <= bytes_max {
                    true => Ok(Found::Small(head, body.once().await?)),
                    false => Ok(Found::Larger),
                }
            }
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

    /// Writes an object.
    pub(super) async fn put(&self, key: &str, object: &RawObject) -> Result<(), BackupError> {
        let untyped = object.content_type.is_none();
        let size = object.body.len() as u64;
        self.call(|client, bucket| {
            let call = client.put_object();
            let call = call
                .bucket(bucket)
                .key(self.full_key(key))
                .set_metadata(Some(object.metadata.clone().into_iter().collect()))
                .set_content_type(object.content_type.clone())
                // As the clients of s3db.js store it. They ask for it when they read, and where it is missing they leave
                // the bodies of records unread and their connections busy, until none is left.
                .checksum_algorithm(ChecksumAlgorithm::Crc32)
                .body(ByteStream::from(object.body.clone()))
                .customize()
                .config_override(aws_sdk_s3::Config::builder().timeout_config(timeouts(size)))
                .mutate_request(move |request| {
                    // The client says application/octet-stream of itself.
                    if untyped {
                        request.headers_mut().remove("content-type");
                    }
                });
            async {
                let sent = call.send().await;
                sent.map(drop)
                    .map_err(|error| self.failed("write", key, &error))
            }
        })
        .await
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

fn metadata(output: &GetObjectOutput) -> BTreeMap<String, String> {
    let metadata = output.metadata().into_iter().flatten();
    metadata
        .map(|(key, value)| (key.to_ascii_lowercase(), value.clone()))
        .collect()
}

pub(super) fn timestamp(time: &DateTime) -> Option<Timestamp> {
    time.to_millis().ok().map(Timestamp::from_unix_ms)
}
