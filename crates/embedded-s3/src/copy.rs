//! Copying an object within the folder.

use std::io::Read as _;

use s3s::dto::{
    ChecksumAlgorithm, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, ETag,
    MetadataDirective,
};
use s3s::{S3Result, s3_error};

use crate::attributes::{Attributes, refuse, refuse_version, stated_attributes};
use crate::checksums::{Digests, show_checksums};
use crate::conditions::{Conditions, WriteMode};
use crate::object_file::Header;
use crate::receive::BLOCK_BYTES;
use crate::store::{OrInternal as _, Store};

/// Answers `CopyObject`. Like S3, gives the copy the ETag of an object put in one request.
pub(crate) fn copy(
    store: &Store,
    input: CopyObjectInput,
    mode: WriteMode,
) -> S3Result<CopyObjectOutput> {
    let CopySource::Bucket {
        bucket,
        key,
        version_id,
    } = &input.copy_source
    else {
        return Err(s3_error!(
            NotImplemented,
            "a copy's source can only be a bucket and a key"
        ));
    };
    refuse_version(version_id.as_deref())?;
    refuse(&[(
        "encryption",
        input.copy_source_sse_customer_algorithm.is_some(),
    )])?;
    let replaces = match input
        .metadata_directive
        .as_ref()
        .map(MetadataDirective::as_str)
    {
        None | Some(MetadataDirective::COPY) => false,
        Some(MetadataDirective::REPLACE) => true,
        Some(_) => return Err(s3_error!(InvalidArgument, "unknown metadata directive")),
    };
    let onto_itself = **bucket == *input.bucket && **key == *input.key;
    if onto_itself && !replaces && input.storage_class.is_none() {
        return Err(s3_error!(
            InvalidRequest,
            "copying an object to itself must change something"
        ));
    }
    store.bucket(&input.bucket)?;
    let mut source = store.open_object(bucket, key)?;
    let conditions = Conditions {
        if_match: input.copy_source_if_match.clone(),
        if_none_match: input.copy_source_if_none_match.clone(),
        if_modified_since: input.copy_source_if_modified_since.clone(),
        if_unmodified_since: input.copy_source_if_unmodified_since.clone(),
    };
    conditions.check_copy(&source.header)?;
    store.check_readable(bucket, &source.header)?;

    let mut attributes = stated_attributes!(input)?;
    if !replaces {
        // Class, encryption and lock aren't copied: a copy is a standard object unless told otherwise.
        attributes = Attributes {
            storage_class: attributes.storage_class,
            encryption: attributes.encryption,
            kms_key_id: attributes.kms_key_id,
            lock: attributes.lock,
            ..source.header.attributes.clone()
        };
    }
    let mut header = Header::new(&input.key, attributes, store.now_seconds());
    let mut draft = store.draft(&header).or_internal()?;
    let algorithm = input
        .checksum_algorithm
        .as_ref()
        .map(ChecksumAlgorithm::as_str);
    let mut digests = Digests::new(&source.header.checksums, algorithm);
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let read = source.file.read(&mut block).or_internal()?;
        let Some(bytes) = block.get(..read).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        digests.update(bytes);
        draft.write(bytes).or_internal()?;
    }
    let computed = digests.finish();
    header.etag = computed.etag();
    header.checksums = computed.checksums;
    store.publish(&input.bucket, draft, &header, mode)?;

    let mut result = CopyObjectResult {
        last_modified: Some(header.modified()),
        e_tag: Some(ETag::Strong(header.etag)),
        ..Default::default()
    };
    show_checksums!(result, header.checksums);
    Ok(CopyObjectOutput {
        copy_object_result: Some(result),
        ..Default::default()
    })
}
