//! Answers that say a success: whether they are of S3, and what object_store has to be given of them.

use object_store::HeaderValue;
use object_store::client::{HttpError, HttpResponse};

use super::rejected::{Rejected, text_of};

/// The beginning of what the words of S3 name as theirs.
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/";

/// What isn't S3's, a page to log in on, say, isn't the server's word.
pub(super) async fn begun(response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (head, body) = response.into_parts();
    let body = body.bytes().await?;
    let text = String::from_utf8_lossy(&body);
    match text_of(&text, "UploadId") {
        Some(_) => Ok(HttpResponse::from_parts(head, body.into())),
        None => {
            Err(Rejected::unlike(head.status.as_u16(), &text, "the beginning of an upload").into())
        }
    }
}

/// Completing takes long, so a server may say 200 first and think better of it later.
pub(super) async fn completed(response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (head, body) = response.into_parts();
    let body = body.bytes().await?;
    let text = String::from_utf8_lossy(&body);
    // What it ended with is known by its tag; what the answer is called differs from server to server. An error may name one as well.
    match (text_of(&text, "Code"), text_of(&text, "ETag")) {
        (None, Some(tag)) if text.trim_end().ends_with('>') => {
            // No more of it: object_store takes any answer for an error that has the name of one in it, be it in the key.
            let body = format!(
                "<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>"
            );
            Ok(HttpResponse::from_parts(head, body.into()))
        }
        _ => Err(Rejected::new(head.status.as_u16(), &text).into()),
    }
}

/// A page is a list to its end: object_store takes what it doesn't know, a page to log in on, say, for one without keys. It also
/// takes a page that says that others follow, and not how they are had, for the last one.
pub(super) async fn listed(response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (head, body) = response.into_parts();
    let body = body.bytes().await?;
    let text = String::from_utf8_lossy(&body);
    let status = head.status.as_u16();
    if !text.contains("ListBucketResult") || !text.trim_end().ends_with("ListBucketResult>") {
        return Err(Rejected::unlike(status, &text, "a list").into());
    }
    if breaks_off(&text) {
        let message = "with a list that doesn't say how it goes on";
        return Err(Rejected::useless(status, message).into());
    }
    Ok(HttpResponse::from_parts(head, body.into()))
}

/// Whether others follow a page, and it doesn't say which. Of what it lists nothing is read.
fn breaks_off(page: &str) -> bool {
    let before = page
        .split_once("<Contents>")
        .map_or(page, |(before, _)| before);
    let after = page
        .rsplit_once("</Contents>")
        .map_or("", |(_, after)| after);
    let said = |element| text_of(before, element).or_else(|| text_of(after, element));
    let is_truncated = said("IsTruncated").is_some_and(|said| said.trim() == "true");
    is_truncated && said("NextContinuationToken").is_none_or(|token| token.is_empty())
}

/// That something is done S3 says without a body; a server may have words of S3's own for it, but no page to log in on.
pub(super) async fn done(response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (head, body) = response.into_parts();
    let body = body.bytes().await?;
    let text = String::from_utf8_lossy(&body);
    let is_of_s3 = text.contains(NAMESPACE) && text_of(&text, "Code").is_none();
    match is_of_s3 || text.trim().is_empty() {
        true => Ok(HttpResponse::from_parts(head, body.into())),
        false => {
            let expected = "the word that it is done";
            Err(Rejected::unlike(head.status.as_u16(), &text, expected).into())
        }
    }
}

/// What is said of an object is said with its tag, or with when it was written, and never with the type of a page.
pub(super) fn shown(response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let headers = response.headers();
    let is_described = headers.contains_key("etag") || headers.contains_key("last-modified");
    let kind = headers.get("content-type").map(HeaderValue::as_bytes);
    let is_page = kind.is_some_and(|kind| kind.starts_with(b"text/html"));
    match is_described && !is_page {
        true => Ok(response),
        false => Err(Rejected::unlike(response.status().as_u16(), "", "an object").into()),
    }
}

/// object_store wants a tag of what was stored, which nothing here goes by, and not every server gives one.
pub(super) fn tagged(mut response: HttpResponse) -> HttpResponse {
    let headers = response.headers_mut();
    headers
        .entry("etag")
        .or_insert(HeaderValue::from_static("\"\""));
    response
}
