//! The replies that list multipart uploads and their parts.

use s3s::dto::{
    CommonPrefix, ETag, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListPartsInput,
    ListPartsOutput, MultipartUpload, Part,
};
use s3s::{S3Result, s3_error};

use crate::checksums::show_checksums;
use crate::listing::{common_prefix, encoder, page_limit};
use crate::multipart::Upload;
use crate::object_file::timestamp;
use crate::store::Store;

/// Answers `ListParts`.
pub(crate) fn list_parts(store: &Store, input: ListPartsInput) -> S3Result<ListPartsOutput> {
    let (directory, upload) = store.upload(&input.bucket, &input.key, &input.upload_id)?;
    let limit = page_limit(input.max_parts)?;
    let after = input.part_number_marker.unwrap_or(0);
    // One more than fits tells whether there is another page.
    let mut stored = store.parts(&directory, after, limit + 1)?;
    let is_truncated = limit > 0 && stored.len() > limit;
    stored.truncate(limit);
    let next = stored
        .last()
        .map(|part| part.number)
        .filter(|_| is_truncated);
    let parts = stored.into_iter().map(|part| {
        let mut shown = Part {
            part_number: Some(part.number),
            size: i64::try_from(part.size).ok(),
            last_modified: Some(part.header.modified()),
            e_tag: Some(ETag::Strong(part.header.etag)),
            ..Part::default()
        };
        show_checksums!(shown, part.header.checksums);
        shown
    });
    Ok(ListPartsOutput {
        parts: Some(parts.collect()),
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        max_parts: i32::try_from(limit).ok(),
        part_number_marker: Some(after),
        next_part_number_marker: next,
        is_truncated: Some(is_truncated),
        checksum_algorithm: upload.algorithm.clone().map(Into::into),
        storage_class: Some(upload.attributes.shown_class().into()),
        ..ListPartsOutput::default()
    })
}

/// Answers `ListMultipartUploads`.
pub(crate) fn list_uploads(
    store: &Store,
    input: ListMultipartUploadsInput,
) -> S3Result<ListMultipartUploadsOutput> {
    let limit = page_limit(input.max_uploads)?;
    let encode = encoder(input.encoding_type.as_ref())?;
    let prefix = input.prefix.unwrap_or_default();
    let delimiter = input.delimiter.filter(|delimiter| !delimiter.is_empty());
    let mut all = store.uploads(&input.bucket)?;
    all.retain(|(upload, _)| upload.key.starts_with(&prefix));
    skip_to(
        &mut all,
        input.key_marker.as_deref(),
        input.upload_id_marker.as_deref(),
    )?;

    let mut uploads: Vec<MultipartUpload> = Vec::new();
    let mut common_prefixes: Vec<&str> = Vec::new();
    let mut last = (String::new(), None);
    let mut is_truncated = false;
    for (upload, id) in &all {
        let common = common_prefix(&upload.key, &prefix, delimiter.as_deref());
        // The uploads under one common prefix follow each other; the earlier page showed it
        // already if it ended with it.
        if let Some(common) = common
            && (common_prefixes.last() == Some(&common)
                || input.key_marker.as_deref() == Some(common))
        {
            continue;
        }
        if uploads.len() + common_prefixes.len() == limit {
            is_truncated = limit > 0;
            break;
        }
        match common {
            Some(common) => {
                common_prefixes.push(common);
                last = (common.to_owned(), None);
            }
            None => {
                uploads.push(shown(upload, id, encode));
                last = (upload.key.clone(), Some(id.clone()));
            }
        }
    }
    let next = Some(last).filter(|_| is_truncated);
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        prefix: Some(encode(&prefix)),
        delimiter: delimiter.as_deref().map(encode),
        encoding_type: input.encoding_type,
        key_marker: Some(encode(&input.key_marker.unwrap_or_default())),
        upload_id_marker: Some(input.upload_id_marker.unwrap_or_default()),
        max_uploads: i32::try_from(limit).ok(),
        is_truncated: Some(is_truncated),
        next_key_marker: next.as_ref().map(|(key, _)| encode(key)),
        next_upload_id_marker: next.and_then(|(_, id)| id),
        common_prefixes: Some(
            common_prefixes
                .into_iter()
                .map(|prefix| CommonPrefix {
                    prefix: Some(encode(prefix)),
                })
                .collect(),
        ),
        uploads: Some(uploads),
        ..ListMultipartUploadsOutput::default()
    })
}

/// Drops what the markers say an earlier page has shown.
fn skip_to(
    all: &mut Vec<(Upload, String)>,
    key_marker: Option<&str>,
    id_marker: Option<&str>,
) -> S3Result<()> {
    let Some(key_marker) = key_marker.filter(|marker| !marker.is_empty()) else {
        return Ok(());
    };
    let shown = match id_marker.filter(|marker| !marker.is_empty()) {
        None => all.partition_point(|(upload, _)| upload.key.as_str() <= key_marker),
        Some(id_marker) => {
            let of_marker = all.iter().position(|(_, id)| id == id_marker);
            match of_marker {
                Some(at) => at + 1,
                // Completed or aborted since, and its place among the uploads of its key went
                // with it: showing some again is better than passing over any.
                None if id_marker.len() == 32 => {
                    all.partition_point(|(upload, _)| upload.key.as_str() < key_marker)
                }
                None => {
                    return Err(s3_error!(
                        InvalidArgument,
                        "the upload id marker is not valid"
                    ));
                }
            }
        }
    };
    all.drain(..shown);
    Ok(())
}

fn shown(upload: &Upload, id: &str, encode: fn(&str) -> String) -> MultipartUpload {
    MultipartUpload {
        key: Some(encode(&upload.key)),
        upload_id: Some(id.to_owned()),
        initiated: Some(timestamp(upload.initiated_seconds)),
        storage_class: Some(upload.attributes.shown_class().into()),
        checksum_algorithm: upload.algorithm.clone().map(Into::into),
        ..MultipartUpload::default()
    }
}
