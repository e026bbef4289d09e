//! Object Lock: that nobody can remove or replace what is written before a time, said by each request that makes an object.
//!
//! object_store has no words for it, and S3 takes none that isn't signed. So it is said on the way out, and the request signed
//! again.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use object_store::HeaderValue;
use object_store::client::{HttpError, HttpErrorKind, HttpRequest};
use teeline_core::{BackupError, Hex32, Span, Timestamp};

use super::signed::{Signer, generic};

const MODE: &str = "x-amz-object-lock-mode";
const UNTIL: &str = "x-amz-object-lock-retain-until-date";
/// The SHA-256 of the body, in the request that is signed.
const BODY: &str = "x-amz-content-sha256";

/// For how long what is written stays, whoever wants it gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectLock {
    /// Who can end it before its time.
    pub mode: LockMode,
    /// Days from the time that an object is written: 1 to 36,500.
    pub days: u64,
}

/// Who can end a lock before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Who has the right `s3:BypassGovernanceRetention`.
    Governance,
    /// Nobody, the owner of the account included.
    Compliance,
}

impl ObjectLock {
    /// The days that S3 takes.
    pub const DAYS: RangeInclusive<u64> = 1..=36_500;

    /// Refuses what S3 doesn't take.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        let accepted = Self::DAYS;
        if accepted.contains(&self.days) {
            return Ok(());
        }
        Err(format!(
            "an object lock lasts {} days; accepted: {} to {}",
            self.days,
            accepted.start(),
            accepted.end()
        ))
    }
}

impl LockMode {
    /// Their names.
    pub const NAMES: [&str; 2] = ["governance", "compliance"];
}

impl FromStr for LockMode {
    type Err = BackupError;

    fn from_str(text: &str) -> Result<Self, BackupError> {
        match text {
            "governance" => Ok(LockMode::Governance),
            "compliance" => Ok(LockMode::Compliance),
            _ => {
                let accepted = Self::NAMES.join(", ");
                let message = format!("unknown word {text:?}; accepted: {accepted}");
                Err(BackupError::usage("mode of an object lock", message))
            }
        }
    }
}

impl fmt::Display for LockMode {
    /// As S3 has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LockMode::Governance => "GOVERNANCE",
            LockMode::Compliance => "COMPLIANCE",
        })
    }
}

/// Locks what is written to one bucket.
#[derive(Debug, Clone)]
pub(super) struct Locking {
    lock: ObjectLock,
    signer: Signer,
}

impl Locking {
    pub(super) fn new(lock: ObjectLock, signer: Signer) -> Self {
        Locking { lock, signer }
    }

    /// Asks for the lock, where a request makes an object.
    pub(super) async fn ask(&self, request: &mut HttpRequest) -> Result<(), HttpError> {
        if !makes_object(request) {
            return Ok(());
        }
        let unsent = |error: object_store::Error| HttpError::new(HttpErrorKind::Request, error);
        let until = in_days(self.lock.days).to_string();
        let headers = [(MODE, self.lock.mode.to_string()), (UNTIL, until)];
        for (name, value) in headers {
            let value = HeaderValue::try_from(value).map_err(|error| unsent(generic(error)))?;
            request.headers_mut().insert(name, value);
        }
        let body = request.headers().get(BODY);
        let body = body.and_then(|digest| digest.to_str().ok()?.parse::<Hex32>().ok());
        self.signer.sign(request, body).await.map_err(unsent)
    }
}

/// An object that is put whole, or the beginning of one in parts: what comes after the beginning goes by that.
fn makes_object(request: &HttpRequest) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let asks_for = |name: &str| {
        query
            .split('&')
            .any(|word| word.split('=').next() == Some(name))
    };
    match request.method().as_str() {
        "PUT" => !asks_for("partNumber"),
        "POST" => asks_for("uploads"),
        _ => false,
    }
}

fn in_days(days: u64) -> Timestamp {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let then = now.as_millis() + u128::from(Span::from_days(days).ms());
    Timestamp::from_unix_ms(i64::try_from(then).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use object_store::client::HttpRequestBody;

    use super::*;

    #[test]
    fn what_makes_an_object_is_told_from_what_goes_on_with_it() {
        for (method, uri, expected) in [
            ("PUT", "http://h/b/key", true),
            ("POST", "http://h/b/key?uploads=", true),
            ("POST", "http://h/b/key?uploads", true),
            ("PUT", "http://h/b/key?partNumber=1&uploadId=x", false),
            ("PUT", "http://h/b/key?uploadId=x&partNumber=1", false),
            ("POST", "http://h/b/key?uploadId=uploads", false),
            ("POST", "http://h/b/key?restore", false),
            ("GET", "http://h/b/?uploads", false),
            ("DELETE", "http://h/b/key", false),
        ] {
            let mut request = HttpRequest::new(HttpRequestBody::empty());
            *request.method_mut() = method.parse().unwrap();
            *request.uri_mut() = uri.parse().unwrap();
            assert_eq!(makes_object(&request), expected, "{method} {uri}");
        }
    }

    #[test]
    fn locks_that_s3_refuses_are_refused() {
        let lasting = |days| {
            let mode = LockMode::Governance;
            ObjectLock { mode, days }.check()
        };
        lasting(1).unwrap();
        lasting(36_500).unwrap();
        for days in [0, 36_501] {
            assert!(lasting(days).unwrap_err().contains("1 to 36500"));
        }
        let error = "worm".parse::<LockMode>().unwrap_err().to_string();
        assert!(error.contains("governance, compliance"), "{error}");
    }
}
