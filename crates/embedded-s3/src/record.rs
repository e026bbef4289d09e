//! The heads of requests, kept for whoever wants to see what was sent.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::Request;

/// What a request said before its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRequest {
    /// `PUT`, `GET` and so on.
    pub method: String,
    /// The path as it was sent, percent-encoded: `/bucket/key`.
    pub path: String,
    /// What follows the question mark; may be empty.
    pub query: String,
    /// Names in lower case, with their values.
    pub headers: Vec<(String, String)>,
}

impl RecordedRequest {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(known, _)| known == name)?;
        Some(value)
    }
}

/// Nothing is kept until it is asked for.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Option<Vec<RecordedRequest>>>);

impl Recorder {
    pub(crate) fn begin(&self) {
        self.kept().get_or_insert_default();
    }

    pub(crate) fn heads(&self) -> Vec<RecordedRequest> {
        self.kept().clone().unwrap_or_default()
    }

    pub(crate) fn note<B>(&self, request: &Request<B>) {
        if let Some(heads) = &mut *self.kept() {
            heads.push(head(request));
        }
    }

    fn kept(&self) -> MutexGuard<'_, Option<Vec<RecordedRequest>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn head<B>(request: &Request<B>) -> RecordedRequest {
    let shown = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers = request.headers().iter();
    RecordedRequest {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_string(), shown(value.as_bytes())))
            .collect(),
    }
}
