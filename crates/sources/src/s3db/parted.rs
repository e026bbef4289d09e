//! Objects that are written in parts.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use teeline_core::{BackupError, Class, Digest};

use super::bucket::Bucket;
use super::client::timeouts;

/// An object that is being written in parts.
pub(super) struct Parted {
    bucket: Bucket,
    key: String,
    upload: String,
    parts: Vec<CompletedPart>,
    /// What they are, to be told from what somebody else writes.
    sent: Vec<(usize, Digest)>,
}

impl Parted {
    pub(super) fn new(bucket: Bucket, key: &str, upload: String) -> Self {
        Parted {
            bucket,
            key: key.to_owned(),
            upload,
            parts: Vec::new(),
            sent: Vec::new(),
        }
    }

    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), BackupError> {
        let number = i32::try_from(self.parts.len() + 1).unwrap_or(i32::MAX);
        let size = bytes.len() as u64;
        let digest = Digest::of(&bytes);
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
        self.sent.push((bytes.len(), digest));
        Ok(())
    }

    /// Makes an object of the parts.
    pub(super) async fn finish(&self) -> Result<(), BackupError> {
        match self.complete().await {
            // An earlier try may have taken effect, and its answer been lost: the upload is gone then.
            Err(error) if error.class() == Class::NotFound && self.has_arrived().await? => Ok(()),
            completed => completed,
        }
    }

    /// Whether what stands under the key is what was sent.
    async fn has_arrived(&self) -> Result<bool, BackupError> {
        let Some((head, mut body)) = self.bucket.open(&self.key).await? else {
            return Ok(false);
        };
        let bytes: usize = self.sent.iter().map(|(length, _)| length).sum();
        if head.size != bytes as u64 {
            return Ok(false);
        }
        for (length, digest) in &self.sent {
            if Digest::of(&body.next_piece(*length).await?) != *digest {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn complete(&self) -> Result<(), BackupError> {
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(self.parts.clone()))
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

    /// Frees what the parts take. That nothing of them is there any more is fine.
    pub(super) async fn abort(self) -> Result<(), BackupError> {
        let aborted = self
            .bucket
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
            .await;
        match aborted {
            Err(error) if error.class() == Class::NotFound => Ok(()),
            aborted => aborted,
        }
    }
}
