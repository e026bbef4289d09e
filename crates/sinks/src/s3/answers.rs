//! Answers that say a success: whether they are of S3, and what object_store has to be given of them.

use object_store::HeaderValue;
use object_store::client::{HttpError, HttpResponse};

use super::rejected::{Rejected, text_of};

/// What isn't S3's, a page to log in on, say, isn't the server's word.
pub(super) async fn begun(response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (head, body) = response.into_parts();
    let body = body.bytes().await?;
    let text = String::from_utf8_lossy(&body);
    match text_of(&text, "UploadId") {
        Some(_) => Ok(HttpResponse::from_parts(head, body.into())),
        None => Err(unlike(
            head.status.as_u16(),
            &text,
            "the beginning of an upload",
        )),
    }
}

/// Completing takes long, so a server may say 200 first and think better of it later.
pub(super) async fn completed(response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (head, body) = response.into_parts();
    let body = body.bytes().await?;
    let text = String::from_utf8_lossy(&body);
    // What it ended with is known by its tag; what the answer is called differs from server to server.
    match text_of(&text, "ETag") {
        Some(tag) if text.trim_end().ends_with('>') => {
            // No more of it: object_store takes any answer for an error that has the name of one in it, be it in the key.
            let body = format!(
                "<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>"
            );
            Ok(HttpResponse::from_parts(head, body.into()))
        }
        _ => Err(Rejected::new(head.status.as_u16(), &text).into()),
    }
}

/// A page is a list to its end: object_store takes what it doesn't know, a page to log in on, say, for one without keys.
pub(super) async fn listed(response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (head, body) = response.into_parts();
    let body = body.bytes().await?;
    let text = String::from_utf8_lossy(&body);
    if text.contains("ListBucketResult") && text.trim_end().ends_with("ListBucketResult>") {
        return Ok(HttpResponse::from_parts(head, body.into()));
    }
    Err(unlike(head.status.as_u16(), &text, "a list"))
}

/// An answer that isn't what S3 gives.
fn unlike(status: u16, body: &str, expected: &str) -> HttpError {
    let mut rejected = Rejected::new(status, body);
    if rejected.message.is_empty() {
        rejected.message = format!("with something else than {expected} of S3");
    }
    rejected.into()
}

/// object_store wants a tag of what was stored, which nothing here goes by, and not every server gives one.
pub(super) fn tagged(mut response: HttpResponse) -> HttpResponse {
    let headers = response.headers_mut();
    headers
        .entry("etag")
        .or_insert(HeaderValue::from_static("\"\""));
    response
}
