//! What is between object_store and the network: answers that are errors become data here, and the end of an upload in
//! parts gets the condition that object_store can't give it.
//!
//! object_store hides the status and code of an answer in text. As a typed error below its own they can be found again,
//! whatever it wraps them in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::StreamExt;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::{ClientOptions, HeaderValue};
use teeline_core::{Digest, retry_after_ms};
use tokio::time::timeout;

use super::answers::{begun, completed, done, listed, shown, tagged};
use super::lock::Locking;
use super::rejected::Rejected;

/// The slowest rate at which a request may be sent without being taken for stuck.
const SENDING_BYTES_PER_SECOND_MIN: u64 = 256 * 1024;
/// A request may wait for others that are sent beside it: for as much as the largest object that isn't sent in parts, an index, and some.
const WHOLE_BYTES: u64 = 16 * 1024 * 1024;
/// Of an answer that is an error, no more than this is read.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// Makes clients whose errors are [`Rejected`].
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) client: reqwest::Client,
    /// Whether an upload in parts is ended with `If-None-Match: *`. Not every server can.
    pub(super) conditional_completion: Arc<AtomicBool>,
    /// What is asked for with each request that makes an object.
    pub(super) locking: Option<Locking>,
    /// How long an answer may take to begin, beside what the request's bytes take.
    pub(super) answer_ms: u64,
}

impl HttpConnector for Connector {
    /// Whatever the options are: the client is made already.
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service {
            inner: HttpClient::new(self.client.clone()),
            conditional_completion: Arc::clone(&self.conditional_completion),
            locking: self.locking.clone(),
            answer_ms: self.answer_ms,
        }))
    }
}

#[derive(Debug)]
struct Service {
    inner: HttpClient,
    conditional_completion: Arc<AtomicBool>,
    locking: Option<Locking>,
    answer_ms: u64,
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let expected = Expected::of(&request);
        if expected == Expected::Completion && self.conditional_completion.load(Ordering::Relaxed) {
            // The signature covers none but the host and Amazon's own headers, so it may be added after signing.
            let any = HeaderValue::from_static("*");
            request.headers_mut().insert("if-none-match", any);
        }
        if let Some(locking) = &self.locking {
            locking.ask(&mut request).await?;
        }
        let signed_with = signer(&request);
        let response = match expected {
            // It takes as long as the object is large, which only who waits for it knows.
            Expected::Completion => self.inner.execute(request).await?,
            _ => self.answer(request).await?,
        };
        if !response.status().is_success() {
            return Err(self.rejected(response, expected, signed_with).await.into());
        }
        match expected {
            Expected::Beginning => self.in_time(begun(response)).await,
            Expected::Completion => completed(response).await,
            Expected::List => self.in_time(listed(response)).await,
            Expected::Stored => Ok(tagged(self.in_time(done(response)).await?)),
            Expected::Done => self.in_time(done(response)).await,
            Expected::Shown => shown(response),
            Expected::Other => Ok(response),
        }
    }
}

impl Service {
    /// Waits for an answer to begin. Where none does, the request may be stuck, and another one not.
    async fn answer(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let bytes = request.body().content_length() as u64;
        let sending_ms =
            bytes.max(WHOLE_BYTES).saturating_mul(1_000) / SENDING_BYTES_PER_SECOND_MIN;
        let limit = Duration::from_millis(self.answer_ms.saturating_add(sending_ms));
        in_time(limit, self.inner.execute(request)).await
    }

    /// Waits for the rest of an answer that is small.
    async fn in_time<T>(
        &self,
        rest: impl Future<Output = Result<T, HttpError>>,
    ) -> Result<T, HttpError> {
        in_time(Duration::from_millis(self.answer_ms), rest).await
    }

    async fn rejected(
        &self,
        response: HttpResponse,
        expected: Expected,
        signed_with: Option<Digest>,
    ) -> Rejected {
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name)?.to_str().ok();
        let date = header("date").map(str::to_owned);
        let wait_ms = retry_after_ms(header, SystemTime::now().into());
        // The answer to a HEAD has no words. Servers that have none in others either give the request a name.
        let is_of_s3 = expected == Expected::Shown || header("x-amz-request-id").is_some();
        let body = self.in_time(async { Ok(error_body(response.into_body()).await) });
        // The status says enough without.
        let body = body.await.unwrap_or_default();
        let rejected = match Rejected::new(status, &body) {
            rejected if rejected.is_wordless_404() && !is_of_s3 => {
                Rejected::unlike(status, &body, "an answer")
            }
            rejected => rejected,
        };
        Rejected {
            date,
            wait_ms,
            signed_with,
            ..rejected
        }
    }
}

async fn in_time<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, HttpError>>,
) -> Result<T, HttpError> {
    match timeout(limit, answer).await {
        Ok(answer) => answer,
        Err(elapsed) => Err(HttpError::new(HttpErrorKind::Timeout, elapsed)),
    }
}

/// What a request is answered with where it succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// The name of an upload in parts.
    Beginning,
    /// The end of an upload in parts.
    Completion,
    /// A page of a list.
    List,
    /// That a whole object is stored.
    Stored,
    /// That a part is, or that something is removed.
    Done,
    /// What an object is.
    Shown,
    Other,
}

impl Expected {
    fn of(request: &HttpRequest) -> Self {
        let query = request.uri().query().unwrap_or_default();
        match request.method().as_str() {
            "POST"
                if query
                    .split('&')
                    .any(|part| matches!(part, "uploads" | "uploads=")) =>
            {
                Expected::Beginning
            }
            "POST" if query.starts_with("uploadId=") => Expected::Completion,
            "GET" if query.contains("list-type=2") => Expected::List,
            "PUT" if query.is_empty() => Expected::Stored,
            "PUT" | "DELETE" => Expected::Done,
            "HEAD" => Expected::Shown,
            _ => Expected::Other,
        }
    }
}

/// Which keys a request is signed with.
fn signer(request: &HttpRequest) -> Option<Digest> {
    let header = |name| request.headers().get(name)?.to_str().ok();
    let (_, credential) = header("authorization")?.split_once("Credential=")?;
    let (id, _) = credential.split_once('/')?;
    Some(keys_digest(id, header("x-amz-security-token")))
}

/// Tells keys apart without knowing them.
pub(super) fn keys_digest(id: &str, token: Option<&str>) -> Digest {
    Digest::of(format!("{id}\n{}", token.unwrap_or_default()).as_bytes())
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
