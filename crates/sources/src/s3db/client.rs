//! An S3 client for a connection, and what its failures mean.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use teeline_core::{
    BackupError, Class, PLAIN_HTTP_WARNING, mistrusted, new_plain_http_host, retry_after_ms,
};

use super::connection::Connection;

const REGION: &str = "us-east-1";
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// A body that goes up more slowly than this is given up.
const UPLOAD_BYTES_PER_SECOND_MIN: u64 = 64 << 10;

/// A client for the server, region and keys of `connection`.
pub(super) async fn connect(connection: &Connection) -> Client {
    let config = match &connection.credentials {
        Some(keys) => {
            let credentials = Credentials::new(
                &keys.access_key,
                &keys.secret_key,
                None,
                None,
                "connection string",
            );
            Builder::new()
                .credentials_provider(credentials)
                .region(Region::new(REGION))
        }
        None => {
            let mut chain = aws_config::defaults(BehaviorVersion::latest());
            if let Some(profile) = &connection.profile {
                chain = chain.profile_name(profile);
            }
            // It is large, and everything that opens a database would be.
            let chain = Box::pin(chain.load()).await;
            let mut config = Builder::from(&chain);
            if chain.region().is_none() {
                config = config.region(Region::new(REGION));
            }
            config
        }
    };
    let mut config = config
        .behavior_version(BehaviorVersion::latest())
        .force_path_style(connection.force_path_style)
        // The pace repeats calls, and has to see each one that the server refuses.
        .retry_config(RetryConfig::disabled())
        // Calls for single objects are signed with the keys themselves.
        .disable_s3_express_session_auth(true)
        .timeout_config(timeouts(0))
        // Its notion of a stall takes a reader that pauses, as ours does when destinations are slow, for a dead server.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // Other servers don't know the newer checksums.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(region) = &connection.region {
        config = config.region(Region::new(region.clone()));
    }
    if let Some(endpoint) = &connection.endpoint {
        if let Some(host) = new_plain_http_host(endpoint) {
            tracing::warn!(host, "{PLAIN_HTTP_WARNING}");
        }
        config = config.endpoint_url(endpoint);
    }
    Client::from_conf(config.build())
}

/// How long a call may take that sends a body of this size. What it receives is timed by its reader.
pub(super) fn call_timeout(body_bytes: u64) -> Duration {
    ANSWER_TIMEOUT + Duration::from_secs(body_bytes / UPLOAD_BYTES_PER_SECOND_MIN)
}

/// The same, for a call of the client.
pub(super) fn timeouts(body_bytes: u64) -> TimeoutConfig {
    let call = call_timeout(body_bytes);
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(call)
        .operation_attempt_timeout(call)
        .build()
}

/// Whether a call failed since the object isn't there, rather than its bucket. Only the answer to a HEAD says so without a code: a
/// page without one is of somebody in between, who knows nothing of objects.
pub(super) fn is_absent<E: ProvideErrorMetadata>(
    method: &str,
    error: &SdkError<E, HttpResponse>,
) -> bool {
    let says_so = match code(error) {
        Some(code) => code != "NoSuchBucket",
        None => method == "HEAD",
    };
    status(error) == Some(404) && says_so
}

/// Whether a call that was to make an object failed since there is one.
pub(super) fn is_there_already<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    status(error) == Some(412)
}

/// Whether a call may have failed since the server doesn't know what it asks for.
pub(super) fn may_not_know<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    match status(error) {
        Some(501) => true,
        Some(400) => matches!(
            code(error),
            None | Some("InvalidArgument" | "InvalidRequest" | "NotImplemented")
        ),
        _ => false,
    }
}

/// What the failure of `operation` on `subject` means. `server` is where the call went.
pub(super) fn failure<E>(
    operation: &str,
    subject: impl fmt::Display,
    server: &str,
    error: &SdkError<E, HttpResponse>,
) -> BackupError
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    let new = |class, message: String| BackupError::new(class, operation, &subject, message);
    if matches!(error, SdkError::ServiceError(_)) {
        return refusal(operation, subject, error);
    }
    let root = root_cause(error);
    let lacks_keys = ["credential", "identity", "profile"]
        .iter()
        .any(|word| chain(error).any(|cause| cause.to_string().contains(word)));
    match error {
        _ if lacks_keys => new(
            Class::Permanent,
            format!("there are no keys to sign requests with: {root}"),
        )
        .suggest("put the keys into the connection string, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a profile"),
        SdkError::TimeoutError(_) => {
            new(Class::Transient, format!("no answer from {server} in time"))
        }
        SdkError::DispatchFailure(_) if let Some(trust) = mistrusted(&root) => {
            new(Class::Permanent, format!("{server} isn't trusted: {root}")).suggest(trust)
        }
        SdkError::DispatchFailure(dispatch) => {
            let io = chain(error).find_map(|cause| cause.downcast_ref::<io::Error>());
            let message = match io.map(io::Error::kind) {
                Some(io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
                Some(io::ErrorKind::ConnectionReset) => "connection reset".to_owned(),
                _ if dispatch.is_timeout() => "no connection in time".to_owned(),
                _ => root,
            };
            let message = format!("{server} can't be reached: {message}");
            new(Class::Transient, message)
                .suggest("check the host and the port in the connection string, and that the server runs")
        }
        SdkError::ResponseError(_) => {
            // A success that broke off in the middle, say a page of a list, is one as well.
            let class = match status(error) {
                Some(200..=299 | 500..) => Class::Transient,
                _ => Class::Permanent,
            };
            let message = format!("the answer of {server} isn't one of S3: {root}");
            new(class, message).suggest("check that the connection string names an S3 server")
        }
        _ => new(Class::Permanent, root),
    }
}

fn refusal<E>(
    operation: &str,
    subject: impl fmt::Display,
    error: &SdkError<E, HttpResponse>,
) -> BackupError
where
    E: ProvideErrorMetadata,
{
    let status = status(error).unwrap_or(0);
    let code = code(error).unwrap_or("");
    let text = error.message().filter(|text| !text.is_empty());
    let details = match (code, text) {
        ("", None) => format!("status {status}"),
        ("", Some(text)) => format!("status {status}: {text}"),
        (code, None) => code.to_owned(),
        (code, Some(text)) => format!("{code}: {text}"),
    };
    let (class, message, suggestion) = match (code, status) {
        ("NoSuchBucket", _) => (
            // An object, or a backup, is what may not be there; a place has to be.
            Class::Permanent,
            "the bucket doesn't exist".to_owned(),
            "check the bucket in the connection string, or create it",
        ),
        ("InvalidAccessKeyId" | "SignatureDoesNotMatch", _) => (
            Class::Permanent,
            format!("the server doesn't accept the keys ({details})"),
            "check the access key and the secret key; characters such as / and + in a secret are written %2F and %2B",
        ),
        ("RequestTimeTooSkewed", _) => {
            let date = header(error, "date").unwrap_or("another time");
            let details = format!("{details}; the server's clock says {date}");
            (Class::Permanent, details, "set the clock of this machine")
        }
        ("ExpiredToken" | "InvalidToken", _) => {
            (Class::Permanent, details, "log in again, or renew the keys")
        }
        (
            "PermanentRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException",
            _,
        )
        | (_, 301..=303 | 307 | 308) => (
            Class::Permanent,
            format!("the bucket is in another region ({details})"),
            "name its region in the connection string: ?region=…",
        ),
        (_, 401 | 403) => (
            Class::Permanent,
            format!("the server refuses ({details})"),
            "check the keys, and that they have the right to list, read and, to restore, write in this bucket",
        ),
        ("SlowDown" | "Throttling" | "ThrottlingException" | "TooManyRequests", _) | (_, 429) => {
            (Class::Throttled, details, "")
        }
        ("RequestTimeout" | "InternalError" | "OperationAborted" | "ConditionalRequestConflict", _)
        // What arrived isn't what was sent.
        | ("IncompleteBody" | "BadDigest" | "ClientDisconnected", _)
        | ("XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch", _)
        | (_, 408 | 500..) => (Class::Transient, details, ""),
        ("NoSuchUpload", _) => (Class::NotFound, details, ""),
        // An error within a success has a code, and so has what says that something isn't there.
        ("", 200..=299 | 404) => (
            Class::Transient,
            format!("the answer isn't one of S3 ({details})"),
            "check that the connection string names an S3 server",
        ),
        (_, 404) => (Class::NotFound, details, ""),
        (_, 409 | 412) => (Class::Conflict, details, ""),
        _ => (Class::Permanent, details, ""),
    };
    let wait_ms = retry_after_ms(|name| header(error, name), SystemTime::now().into());
    let error = BackupError::new(class, operation, subject, message).wait(wait_ms);
    match suggestion {
        "" => error,
        suggestion => error.suggest(suggestion),
    }
}

fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error
        .raw_response()
        .map(|response| response.status().as_u16())
}

fn header<'a, E>(error: &'a SdkError<E, HttpResponse>, name: &'static str) -> Option<&'a str> {
    error.raw_response()?.headers().get(name)
}

fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
}

fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        (*error).source()
    })
}

fn root_cause(error: &(dyn StdError + 'static)) -> String {
    chain(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}
