//! Objects that are written in parts.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use teeline_core::BackupError;

use super::bucket::Bucket;
use super::client::timeouts;

/// An object that is being written in parts.
pub(super) struct Parted {
    bucket: Bucket,
    key: String,
    upload: String,
    parts: Vec<CompletedPart>,
}

impl Parted {
    pub(super) fn new(bucket: Bucket, key: &str, upload: String) -> Self {
        Parted {
            bucket,
            key: key.to_owned(),
            upload,
            parts: Vec::new(),
        }
    }

    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        let number = i32::try_from(self.parts.len() + 1).unwrap_or(i32::MAX);
        let size = bytes.len() as u64;
        let sent = self
            .bucket
            .call(|client, bucket| {
                let call = client.upload_part().bucket(bucket);
                let call = call
                    .key(self.bucket.full_key(&self.key))
                    .upload_id(&self.upload)
                    .part_number(number)
                    .body(ByteStream::from(bytes.clone()))
                    .customize()
                    .config_override(aws_sdk_s3::Config::builder().timeout_config(timeouts(size)));
                async {
                    let sent = call.send().await;
                    sent.map_err(|error| self.bucket.failed("write", &self.key, &error))
                }
            })
            .await?;
        let part = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(sent.e_tag);
        self.parts.push(part.build());
        Ok(())
    }

    pub(super) async fn finish(self) -> Result<(), BackupError> {
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(self.parts))
            .build();
        self.bucket
            .call(|client, bucket| {
                let call = client.complete_multipart_upload().bucket(bucket);
                let call = call
                    .key(self.bucket.full_key(&self.key))
                    .upload_id(&self.upload)
                    .multipart_upload(parts.clone());
                async {
                    let sent = call.send().await;
                    sent.map(drop)
                        .map_err(|error| self.bucket.failed("write", &self.key, &error))
                }
            })
            .await
    }

    /// Frees what the parts take.
    pub(super) async fn abort(self) -> Result<(), BackupError> {
        self.bucket
            .call(|client, bucket| {
                let call = client.abort_multipart_upload().bucket(bucket);
                let call = call
                    .key(self.bucket.full_key(&self.key))
                    .upload_id(&self.upload);
                async {
                    let sent = call.send().await;
                    sent.map(drop)
                        .map_err(|error| self.bucket.failed("clean up", &self.key, &error))
                }
            })
            .await
    }
}
