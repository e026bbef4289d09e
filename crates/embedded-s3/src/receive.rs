//! Taking a request's body to a staged file, a block at a time, and checking it on the way.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3Result, TrailingHeaders, s3_error};

use crate::checksums::{Checksums, Computed, Digests};
use crate::object_file::{Draft, Header};
use crate::store::{OrInternal as _, Store};

/// Bytes gathered before they are hashed and written.
pub(crate) const BLOCK_BYTES: usize = 256 * 1024;
/// S3's limit for one request's body: 5 GiB.
const BODY_BYTES_MAX: u64 = 5 << 30;

/// What a request says its body is.
#[derive(Debug, Default)]
pub(crate) struct Stated {
    /// Bytes, without the framing of a chunked transfer.
    pub(crate) length: Option<i64>,
    pub(crate) content_md5: Option<String>,
    pub(crate) checksums: Checksums,
    /// The algorithm of a checksum that follows the body.
    pub(crate) algorithm: Option<String>,
    pub(crate) trailer: Option<TrailingHeaders>,
}

impl Stated {
    /// Whether anything tells that the body is the one that was sent.
    pub(crate) fn has_digest(&self) -> bool {
        self.content_md5.is_some() || self.algorithm.is_some() || !self.checksums.is_empty()
    }
}

/// A whole body, in a file that isn't published yet.
pub(crate) struct Received {
    pub(crate) draft: Draft,
    pub(crate) computed: Computed,
}

/// Runs file work off the threads that serve connections.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> S3Result<T> + Send + 'static,
) -> S3Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| S3Error::with_source(s3s::S3ErrorCode::InternalError, Box::new(error)))?
}

/// Receives `body` into a draft of the object that will have `header`.
///
/// # Errors
///
/// `IncompleteBody` when the body ends early or doesn't match its signature, `BadDigest` when a
/// stated MD5 or checksum doesn't hold.
pub(crate) async fn receive(
    store: &Arc<Store>,
    header: &Header,
    body: Option<StreamingBlob>,
    mut stated: Stated,
) -> S3Result<Received> {
    let mut digests = Digests::new(&stated.checksums, stated.algorithm.as_deref());
    let mut draft = {
        let (store, header) = (Arc::clone(store), header.clone());
        blocking(move || store.draft(&header).or_internal()).await?
    };
    let mut received = 0_u64;
    let mut body = body;
    let mut more = true;
    while more {
        let block = match body.as_mut() {
            Some(body) => next_block(body).await?,
            None => Vec::new(),
        };
        let bytes: usize = block.iter().map(Bytes::len).sum();
        more = bytes >= BLOCK_BYTES;
        received += bytes as u64;
        if received > BODY_BYTES_MAX {
            return Err(s3_error!(
                EntityTooLarge,
                "at most {BODY_BYTES_MAX} bytes can be put at once"
            ));
        }
        (draft, digests) = blocking(move || {
            for chunk in block {
                digests.update(&chunk);
                draft.write(&chunk).or_internal()?;
            }
            Ok((draft, digests))
        })
        .await?;
    }
    if stated
        .length
        .is_some_and(|length| u64::try_from(length) != Ok(received))
    {
        return Err(s3_error!(
            IncompleteBody,
            "received {received} bytes, not as many as announced"
        ));
    }
    if let Some(trailer) = stated.trailer.and_then(|trailer| trailer.take()) {
        stated.checksums.add_trailer(&trailer);
    }
    let computed = digests.finish();
    if !stated.checksums.hold_in(&computed.checksums) {
        return Err(s3_error!(
            BadDigest,
            "the body does not have the stated checksum"
        ));
    }
    if stated
        .content_md5
        .is_some_and(|stated| stated != computed.content_md5())
    {
        return Err(s3_error!(
            BadDigest,
            "the body does not have the stated Content-MD5"
        ));
    }
    Ok(Received { draft, computed })
}

/// The next chunks, together at least a block unless the body ends.
async fn next_block(body: &mut StreamingBlob) -> S3Result<Vec<Bytes>> {
    let mut block = Vec::new();
    let mut bytes = 0;
    while bytes < BLOCK_BYTES {
        match body.next().await {
            Some(Ok(chunk)) => {
                bytes += chunk.len();
                block.push(chunk);
            }
            Some(Err(error)) => {
                let mut refused = s3_error!(IncompleteBody, "could not read the body: {error}");
                refused.set_source(error);
                return Err(refused);
            }
            None => break,
        }
    }
    Ok(block)
}
