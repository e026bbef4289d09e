//! The S3 operations: each checks what was asked for and hands the work to the store.
//!
//! A body is taken whole before an error is answered: closing a connection that still sends would
//! let the client see a broken pipe in place of the error. Operations not listed here are
//! `NotImplemented`, the trait's default.

use std::io::ErrorKind;
use std::sync::Arc;

use s3s::dto::*;
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, s3_error};

use crate::attributes::{
    Attributes, refuse, refuse_unsupported, refuse_version, stated_attributes,
};
use crate::checksums::{show_checksums, stated_checksums};
use crate::conditions::WriteMode;
use crate::multipart::{Completion, Upload, check_part_number};
use crate::object_file::Header;
use crate::receive::{Received, Stated, blocking, receive};
use crate::store::{OrInternal as _, Store};
use crate::{copy, listing, respond, uploads};

/// S3's limit on the keys of one `DeleteObjects`.
const DELETE_KEYS_MAX: usize = 1000;
const KEY_BYTES_MAX: usize = 1024;

/// The service over a folder.
pub(crate) struct FolderS3 {
    store: Arc<Store>,
}

impl FolderS3 {
    pub(crate) fn new(store: Arc<Store>) -> FolderS3 {
        FolderS3 { store }
    }

    /// Runs `work` on the store, off the threads that serve connections.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> S3Result<T> + Send + 'static,
    ) -> S3Result<T> {
        let store = Arc::clone(&self.store);
        blocking(move || work(&store)).await
    }
}

/// What a put or a part says about its body.
macro_rules! stated {
    ($request:expr) => {
        Stated {
            length: $request.input.content_length,
            content_md5: $request.input.content_md5.clone(),
            checksums: stated_checksums!($request.input),
            algorithm: $request
                .input
                .checksum_algorithm
                .as_ref()
                .map(|name| name.as_str().to_owned()),
            trailer: $request.trailing_headers.clone(),
        }
    };
}

#[async_trait::async_trait]
impl S3 for FolderS3 {
    async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let input = request.input;
        refuse(&[(
            "object lock",
            input.object_lock_enabled_for_bucket == Some(true),
        )])?;
        self.work(move |store| match store.create_bucket(&input.bucket) {
            Ok(()) => {
                let location = Some(format!("/{}", input.bucket));
                Ok(S3Response::new(CreateBucketOutput { location }))
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(s3_error!(
                BucketAlreadyOwnedByYou,
                "the bucket is there already"
            )),
            Err(error) => Err(S3Error::internal_error(error)),
        })
        .await
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.work(move |store| store.bucket(&request.input.bucket))
            .await?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn list_buckets(
        &self,
        request: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let input = request.input;
        refuse(&[("paging of buckets", input.continuation_token.is_some())])?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let buckets = self.work(|store| store.buckets().or_internal()).await?;
        let shown = buckets
            .into_iter()
            .filter(|(name, _)| name.starts_with(&prefix));
        Ok(S3Response::new(ListBucketsOutput {
            buckets: Some(
                shown
                    .map(|(name, created)| Bucket {
                        name: Some(name),
                        creation_date: Some(created),
                        ..Bucket::default()
                    })
                    .collect(),
            ),
            prefix: input.prefix,
            ..ListBucketsOutput::default()
        }))
    }

    async fn delete_bucket(
        &self,
        request: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        self.work(move |store| store.delete_bucket(&request.input.bucket))
            .await?;
        Ok(S3Response::new(DeleteBucketOutput::default()))
    }

    async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let stated = stated!(request);
        let has_digest = stated.has_digest();
        let body = request.input.body.take();
        let input = request.input;
        let (attributes, refused) = match stated_attributes!(input) {
            Ok(attributes) => (attributes, None),
            Err(error) => (Attributes::default(), Some(error)),
        };
        let mut header = Header::new(&input.key, attributes, self.store.now_seconds());
        let Received { draft, computed } = receive(&self.store, &header, body, stated).await?;

        if let Some(error) = refused {
            return Err(error);
        }
        refuse_unsupported!(input);
        refuse(&[("appending", input.write_offset_bytes.is_some())])?;
        if header.attributes.lock.is_some() && !has_digest {
            return Err(s3_error!(
                InvalidRequest,
                "Content-MD5 or a checksum is required where an object is to be locked"
            ));
        }
        let mode = WriteMode::of(input.if_none_match.as_ref(), input.if_match.as_ref())?;
        header.modified_seconds = self.store.now_seconds();
        header.etag = computed.etag();
        header.checksums = computed.checksums;
        let mut output = PutObjectOutput {
            e_tag: Some(ETag::Strong(header.etag.clone())),
            server_side_encryption: input.server_side_encryption,
            ssekms_key_id: input.ssekms_key_id,
            ..Default::default()
        };
        show_checksums!(output, header.checksums.clone());
        self.work(move |store| store.publish(&input.bucket, draft, &header, mode))
            .await?;
        Ok(S3Response::new(output))
    }

    /// Form uploads would be held in memory whole.
    async fn post_object(
        &self,
        _request: S3Request<PostObjectInput>,
    ) -> S3Result<S3Response<PostObjectOutput>> {
        Err(s3_error!(
            NotImplemented,
            "this server does not implement form uploads"
        ))
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        self.work(move |store| respond::get(store, request.input))
            .await
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        self.work(move |store| respond::head(store, request.input))
            .await
    }

    async fn get_object_tagging(
        &self,
        request: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        let input = request.input;
        refuse_version(input.version_id.as_deref())?;
        let opened = self
            .work(move |store| store.open_object(&input.bucket, &input.key))
            .await?;
        let tags = opened.header.attributes.tags().into_iter();
        let tag = |(name, value)| Tag {
            key: Some(name),
            value: Some(value),
        };
        Ok(S3Response::new(GetObjectTaggingOutput {
            tag_set: tags.map(tag).collect(),
            version_id: None,
        }))
    }

    async fn restore_object(
        &self,
        request: S3Request<RestoreObjectInput>,
    ) -> S3Result<S3Response<RestoreObjectOutput>> {
        self.work(move |store| store.thaw(&request.input))
            .await
            .map(|status| S3Response::with_status(RestoreObjectOutput::default(), status))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        refuse_version(input.version_id.as_deref())?;
        refuse(&[
            (
                "conditional deletes",
                input.if_match.is_some() || input.if_match_size.is_some(),
            ),
            (
                "conditional deletes",
                input.if_match_last_modified_time.is_some(),
            ),
        ])?;
        self.work(move |store| store.delete_object(&input.bucket, &input.key))
            .await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let DeleteObjectsInput { bucket, delete, .. } = request.input;
        if delete.objects.is_empty() || delete.objects.len() > DELETE_KEYS_MAX {
            return Err(s3_error!(MalformedXML, "name 1 to {DELETE_KEYS_MAX} keys"));
        }
        let quiet = delete.quiet.unwrap_or(false);
        self.work(move |store| {
            store.bucket(&bucket)?;
            let mut deleted = Vec::new();
            let mut errors = Vec::new();
            for object in delete.objects {
                match delete_one(store, &bucket, &object) {
                    Ok(()) if quiet => {}
                    Ok(()) => {
                        deleted.push(DeletedObject {
                            key: Some(object.key),
                            ..Default::default()
                        });
                    }
                    Err(error) => errors.push(Error {
                        key: Some(object.key),
                        code: Some(error.code().as_str().to_owned()),
                        message: error.message().map(str::to_owned),
                        version_id: object.version_id,
                    }),
                }
            }
            Ok(S3Response::new(DeleteObjectsOutput {
                deleted: Some(deleted),
                errors: Some(errors),
                ..Default::default()
            }))
        })
        .await
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.work(move |store| listing::page(store, request.input))
            .await
            .map(S3Response::new)
    }

    async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        // The generated input lacks the condition on the destination.
        let condition = |name: &str| -> S3Result<Option<ETagCondition>> {
            request
                .headers
                .get(name)
                .map(|value| ETagCondition::parse_http_header(value.as_bytes()))
                .transpose()
                .map_err(|_| s3_error!(InvalidArgument, "invalid header: {name}"))
        };
        let mode = WriteMode::of(
            condition("if-none-match")?.as_ref(),
            condition("if-match")?.as_ref(),
        )?;
        let input = request.input;
        refuse_unsupported!(input);
        self.work(move |store| copy::copy(store, input, mode))
            .await
            .map(S3Response::new)
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        refuse_unsupported!(input);
        let algorithm = input
            .checksum_algorithm
            .as_ref()
            .map(|name| name.as_str().to_owned());
        let upload = Upload::new(
            input.key.clone(),
            stated_attributes!(input)?,
            algorithm,
            self.store.now_seconds(),
        );
        let bucket = input.bucket.clone();
        let id = self
            .work(move |store| store.create_upload(&bucket, &upload))
            .await?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: input.checksum_type,
            server_side_encryption: input.server_side_encryption,
            ssekms_key_id: input.ssekms_key_id,
            ..Default::default()
        }))
    }

    async fn upload_part(
        &self,
        mut request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let stated = stated!(request);
        let body = request.input.body.take();
        let input = request.input;
        let mut header = Header::new(&input.key, Attributes::default(), self.store.now_seconds());
        let Received { draft, computed } = receive(&self.store, &header, body, stated).await?;
        header.modified_seconds = self.store.now_seconds();
        check_part_number(input.part_number)?;
        refuse(&[("encryption", input.sse_customer_algorithm.is_some())])?;
        self.work(move |store| {
            let (directory, _) = store.upload(&input.bucket, &input.key, &input.upload_id)?;
            store.put_part(&directory, input.part_number, draft, &computed, &mut header)?;
            let mut output = UploadPartOutput {
                e_tag: Some(ETag::Strong(header.etag)),
                ..Default::default()
            };
            show_checksums!(output, header.checksums);
            Ok(S3Response::new(output))
        })
        .await
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        refuse(&[
            (
                "checksums of whole uploads",
                !stated_checksums!(input).is_empty(),
            ),
            ("encryption", input.sse_customer_algorithm.is_some()),
        ])?;
        let completion = Completion {
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            id: input.upload_id,
            parts: input
                .multipart_upload
                .and_then(|upload| upload.parts)
                .unwrap_or_default(),
            mode: WriteMode::of(input.if_none_match.as_ref(), input.if_match.as_ref())?,
            size: input.mpu_object_size,
        };
        let etag = self
            .work(move |store| store.complete_upload(completion))
            .await?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            location: Some(format!(
                "/{}/{}",
                input.bucket,
                crate::key_path::url_encode(&input.key)
            )),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(etag)),
            ..Default::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let input = request.input;
        self.work(move |store| store.abort_upload(&input.bucket, &input.key, &input.upload_id))
            .await?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn list_parts(
        &self,
        request: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        self.work(move |store| uploads::list_parts(store, request.input))
            .await
            .map(S3Response::new)
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        self.work(move |store| uploads::list_uploads(store, request.input))
            .await
            .map(S3Response::new)
    }
}

fn delete_one(store: &Store, bucket: &str, object: &ObjectIdentifier) -> S3Result<()> {
    refuse_version(object.version_id.as_deref())?;
    refuse(&[
        (
            "conditional deletes",
            object.e_tag.is_some() || object.size.is_some(),
        ),
        ("conditional deletes", object.last_modified_time.is_some()),
    ])?;
    match object.key.len() {
        0 => Err(s3_error!(UserKeyMustBeSpecified, "a key can't be empty")),
        1..=KEY_BYTES_MAX => store.delete_object(bucket, &object.key),
        _ => Err(s3_error!(
            KeyTooLongError,
            "a key has at most {KEY_BYTES_MAX} bytes"
        )),
    }
}
