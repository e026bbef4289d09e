//! What is between object_store and the network: answers that are errors become data here, and the end of an upload in
//! parts gets the condition that object_store can't give it.
//!
//! object_store hides the status and code of an answer in text. As a typed error below its own they can be found again,
//! whatever it wraps them in.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::StreamExt;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::{ClientOptions, HeaderValue};

use super::lock::Locking;

/// Of an answer that is an error, no more than this is read.
const ERROR_BYTES_MAX: usize = 64 * 1024;
/// Of what a server says about it, no more than this is shown.
const MESSAGE_CHARS_MAX: usize = 300;

/// Makes clients whose errors are [`Rejected`].
#[derive(Debug, Clone)]
pub(super) struct Connector {
    pub(super) client: HttpClient,
    /// Whether an upload in parts is ended with `If-None-Match: *`. Not every server can.
    pub(super) conditional_completion: Arc<AtomicBool>,
    /// What is asked for with each request that makes an object.
    pub(super) locking: Option<Locking>,
}

impl Connector {
    pub(super) fn connected(&self) -> HttpClient {
        HttpClient::new(self.clone())
    }
}

impl HttpConnector for Connector {
    /// All of them are the same one: how it is to be set up was said when it was made.
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.connected())
    }
}

#[async_trait]
impl HttpService for Connector {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let query = request.uri().query().unwrap_or_default();
        let is_completion = request.method() == "POST" && query.starts_with("uploadId=");
        if is_completion && self.conditional_completion.load(Ordering::Relaxed) {
            // The signature covers none but the host and Amazon's own headers, so it may be added after signing.
            let any = HeaderValue::from_static("*");
            request.headers_mut().insert("if-none-match", any);
        }
        if let Some(locking) = &self.locking {
            locking.ask(&mut request).await?;
        }
        let response = self.client.execute(request).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(rejected(response).await);
        }
        if !is_completion {
            return Ok(response);
        }
        // Completing takes long, so a server may say 200 first and think better of it later.
        let (head, body) = response.into_parts();
        let body = body.bytes().await?;
        let text = String::from_utf8_lossy(&body);
        // What it ended with is known by its tag; what the answer is called differs from server to server.
        if text_of(&text, "ETag").is_some() && text.trim_end().ends_with('>') {
            return Ok(HttpResponse::from_parts(head, body.into()));
        }
        Err(wrap(Rejected::new(status.as_u16(), &text, None)))
    }
}

async fn rejected(response: HttpResponse) -> HttpError {
    let status = response.status().as_u16();
    let date = response.headers().get("date");
    let date = date.and_then(|date| date.to_str().ok()).map(str::to_owned);
    let body = error_body(response.into_body()).await;
    wrap(Rejected::new(status, &body, date))
}

/// As much of the body as comes: the status says enough without.
async fn error_body(body: HttpResponseBody) -> String {
    let mut stream = body.bytes_stream();
    let mut read = Vec::new();
    while let Some(Ok(bytes)) = stream.next().await {
        read.extend_from_slice(&bytes);
        if read.len() >= ERROR_BYTES_MAX {
            break;
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}

fn wrap(rejected: Rejected) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, rejected)
}

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejected {
    pub(crate) status: u16,
    /// The code in its body, such as `SlowDown`; empty where it has none, as the answer to a HEAD.
    pub(crate) code: String,
    message: String,
    /// The server's clock.
    pub(crate) date: Option<String>,
}

impl Rejected {
    /// Whether the server can't do that at all.
    pub(crate) fn is_not_implemented(&self) -> bool {
        self.status == 501 || self.code == "NotImplemented"
    }

    fn new(status: u16, body: &str, date: Option<String>) -> Self {
        Rejected {
            status,
            code: text_of(body, "Code").unwrap_or_default(),
            message: text_of(body, "Message").unwrap_or_default(),
            date,
        }
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {}", self.status)?;
        for part in [&self.code, &self.message] {
            if !part.is_empty() {
                write!(f, " {}", one_line(part))?;
            }
        }
        Ok(())
    }
}

impl Error for Rejected {}

/// The text of the first element of this name.
fn text_of(xml: &str, element: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{element}>"))?;
    let (text, _) = rest.split_once(&format!("</{element}>"))?;
    Some(text.to_owned())
}

/// Text from elsewhere, safe to show: what it escapes is put right, control characters and what is too much are left out.
fn one_line(text: &str) -> String {
    let text = text
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    let shown = text.trim().chars().filter(|c| !c.is_control());
    shown.take(MESSAGE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_code_and_message() {
        let body = "<?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code>\
                    <Message>Please &quot;reduce&quot;\u{1b}[2J</Message></Error>";
        let rejected = Rejected::new(503, body, None);
        assert_eq!(rejected.code, "SlowDown");
        assert_eq!(
            rejected.to_string(),
            "the server answered 503 SlowDown Please \"reduce\"[2J"
        );
    }

    #[test]
    fn no_body_is_fine() {
        for body in ["", "<html>gateway</html>", "<Code>", "</Code><Code>x"] {
            let rejected = Rejected::new(502, body, None);
            assert_eq!(rejected.to_string(), "the server answered 502");
        }
    }
}
