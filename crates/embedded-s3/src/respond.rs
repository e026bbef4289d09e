//! Answering a get or a head, and streaming a body out.

use std::fs::File;
use std::io::Read as _;
use std::ops;

use bytes::Bytes;
use futures::stream;
use hyper::StatusCode;
use s3s::dto::{
    ETag, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, Range, StreamingBlob,
};
use s3s::{Body, S3Response, S3Result, s3_error};

use crate::attributes::{refuse, refuse_version, show_attributes};
use crate::checksums::show_checksums;
use crate::conditions::Conditions;
use crate::receive::{BLOCK_BYTES, blocking};
use crate::store::{OrInternal as _, Store};

/// The part of the object that a reply has.
struct Selected {
    bytes: ops::Range<u64>,
    /// Present when only a part was asked for.
    content_range: Option<String>,
}

/// Fills the fields that the replies to get and head share.
macro_rules! describe {
    ($output:expr, $opened:expr, $selected:expr, $checksum_mode:expr) => {{
        let header = &$opened.header;
        $output.accept_ranges = Some("bytes".to_owned());
        $output.e_tag = Some(ETag::Strong(header.etag.clone()));
        $output.last_modified = Some(header.modified());
        $output.content_length = i64::try_from($selected.bytes.end - $selected.bytes.start).ok();
        show_attributes!($output, header.attributes.clone());
        // A checksum of the whole would look like a mismatch beside a part.
        if $checksum_mode.is_some() && $selected.content_range.is_none() {
            show_checksums!($output, header.checksums.clone());
        }
        $output.content_range = $selected.content_range.clone();
    }};
}

/// Refuses what neither get nor head does here.
macro_rules! check_read {
    ($input:expr) => {{
        refuse_version($input.version_id.as_deref())?;
        refuse(&[
            ("reading by part number", $input.part_number.is_some()),
            ("encryption", $input.sse_customer_algorithm.is_some()),
        ])?;
    }};
}

macro_rules! conditions {
    ($input:expr) => {
        Conditions {
            if_match: $input.if_match.take(),
            if_none_match: $input.if_none_match.take(),
            if_modified_since: $input.if_modified_since.take(),
            if_unmodified_since: $input.if_unmodified_since.take(),
        }
    };
}

/// Answers `HeadObject`.
pub(crate) fn head(
    store: &Store,
    mut input: HeadObjectInput,
) -> S3Result<S3Response<HeadObjectOutput>> {
    check_read!(input);
    let opened = store.open_object(&input.bucket, &input.key)?;
    conditions!(input).check_read(&opened.header)?;
    let selected = select(input.range.as_ref(), opened.size)?;
    let mut output = HeadObjectOutput::default();
    describe!(output, opened, selected, input.checksum_mode);
    output.restore = store.frost(&input.bucket, &opened.header)?.shown();
    Ok(match selected.content_range {
        Some(_) => S3Response::with_status(output, StatusCode::PARTIAL_CONTENT),
        None => S3Response::new(output),
    })
}

/// Answers `GetObject`. The body is read as the client takes it.
pub(crate) fn get(
    store: &Store,
    mut input: GetObjectInput,
) -> S3Result<S3Response<GetObjectOutput>> {
    check_read!(input);
    let mut opened = store.open_object(&input.bucket, &input.key)?;
    conditions!(input).check_read(&opened.header)?;
    let restore = store.check_readable(&input.bucket, &opened.header)?;
    let selected = select(input.range.as_ref(), opened.size)?;
    let mut output = GetObjectOutput::default();
    describe!(output, opened, selected, input.checksum_mode);
    output.restore = restore;
    output.content_type = input.response_content_type.or(output.content_type);
    output.cache_control = input.response_cache_control.or(output.cache_control);
    output.content_disposition = input
        .response_content_disposition
        .or(output.content_disposition);
    output.content_encoding = input.response_content_encoding.or(output.content_encoding);
    output.content_language = input.response_content_language.or(output.content_language);
    output.expires = input.response_expires.or(output.expires);

    opened.seek(selected.bytes.start).or_internal()?;
    output.body = Some(stream_out(
        opened.file,
        selected.bytes.end - selected.bytes.start,
    )?);
    Ok(S3Response::new(output))
}

fn select(range: Option<&Range>, size: u64) -> S3Result<Selected> {
    let Some(range) = range else {
        return Ok(Selected {
            bytes: 0..size,
            content_range: None,
        });
    };
    let bytes = range.check(size)?;
    if bytes.is_empty() {
        return Err(s3_error!(
            InvalidRange,
            "the requested range is not satisfiable"
        ));
    }
    let content_range = Some(format!("bytes {}-{}/{size}", bytes.start, bytes.end - 1));
    Ok(Selected {
        bytes,
        content_range,
    })
}

/// Streams the next `remaining` bytes of `file`.
fn stream_out(mut file: File, remaining: u64) -> S3Result<StreamingBlob> {
    if remaining <= BLOCK_BYTES as u64 {
        // Most objects: saves a trip to another thread.
        let block = read_block(&mut file, remaining)?;
        return Ok(StreamingBlob::from(Body::from(block)));
    }
    let blocks = stream::try_unfold((file, remaining), |(mut file, remaining)| async move {
        if remaining == 0 {
            return Ok(None);
        }
        let (block, file) = blocking(move || Ok((read_block(&mut file, remaining)?, file))).await?;
        let remaining = remaining - block.len() as u64;
        Ok::<_, s3s::S3Error>(Some((block, (file, remaining))))
    });
    Ok(StreamingBlob::wrap(blocks))
}

/// Reads a block, or `remaining` bytes if that is less.
fn read_block(file: &mut File, remaining: u64) -> S3Result<Bytes> {
    let bytes = remaining.min(BLOCK_BYTES as u64);
    let mut block = Vec::with_capacity(BLOCK_BYTES.min(usize::try_from(bytes).unwrap_or(0)));
    let read = file.take(bytes).read_to_end(&mut block).or_internal()?;
    if read as u64 != bytes {
        return Err(s3_error!(
            InternalError,
            "the object's file is shorter than it was"
        ));
    }
    Ok(block.into())
}
