//! What a failure of object_store means to a caller: a class, one line that says what is wrong, and what to do.
//!
//! Its own texts nest several levels, repeat one another and quote whole bodies, so none of them is shown: only the answer
//! of the server, or the deepest cause. Nothing here knows a secret.

use std::error::Error;

use object_store::client::{HttpError, HttpErrorKind};
use teeline_core::{BackupError, Class, mistrusted, plain_words};

use super::credentials::NoCredentials;
use super::rejected::Rejected;
use crate::deadline::effect_unknown;

/// Where it was tried, for the words.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) operation: &'a str,
    pub(super) subject: &'a str,
    pub(super) host: &'a str,
    pub(super) bucket: &'a str,
    /// Whether the next request has other keys, without anybody's help.
    pub(super) renews_keys: bool,
}

impl Context<'_> {
    fn error(&self, class: Class, message: impl std::fmt::Display) -> BackupError {
        BackupError::new(class, self.operation, self.subject, message)
    }

    pub(super) fn explain(&self, error: &object_store::Error) -> BackupError {
        if let Some(rejected) = find::<Rejected>(error) {
            self.rejected(rejected)
        } else if let Some(missing) = find::<NoCredentials>(error) {
            self.no_credentials(missing)
        } else if let Some(broken) = find::<HttpError>(error) {
            self.broken(broken)
        } else if matches!(error, object_store::Error::InvalidPath { .. }) {
            self.error(Class::Permanent, deepest(error))
                .suggest("something else writes here too: give the backups a prefix of their own")
        } else {
            self.ready_store(error)
        }
    }

    /// What a store says that isn't reached through our own connections: it has the kinds of object_store only.
    fn ready_store(&self, error: &object_store::Error) -> BackupError {
        use object_store::Error as E;
        match error {
            E::NotFound { .. } => self.error(Class::NotFound, "no such object"),
            E::AlreadyExists { .. } | E::Precondition { .. } | E::NotModified { .. } => {
                self.error(Class::Conflict, deepest(error))
            }
            _ => self.error(Class::Permanent, deepest(error)),
        }
    }

    fn no_credentials(&self, missing: &NoCredentials) -> BackupError {
        let class = if missing.may_be_found {
            Class::Transient
        } else {
            Class::Permanent
        };
        self.error(class, missing).suggest(
            "set keys in the configuration or the environment, name a profile, or log in again",
        )
    }

    fn broken(&self, error: &HttpError) -> BackupError {
        let cause = deepest(error);
        let host = self.host;
        if let Some(trust) = mistrusted(&cause) {
            let message = format!("{host} isn't trusted: {cause}");
            return self.error(Class::Permanent, message).suggest(trust);
        }
        match error.kind() {
            HttpErrorKind::Connect => self
                .error(
                    Class::Transient,
                    format!("can't connect to {host}: {cause}"),
                )
                .suggest("check the endpoint, and that its server runs and can be reached"),
            HttpErrorKind::Timeout => self.error(
                Class::Transient,
                format!(
                    "no answer from {host} in time{}",
                    effect_unknown(self.operation)
                ),
            ),
            _ => self.error(
                Class::Transient,
                format!("the connection to {host} broke: {cause}"),
            ),
        }
    }

    fn rejected(&self, rejected: &Rejected) -> BackupError {
        let class = self.class_of(rejected);
        if rejected.code == "NoSuchBucket" {
            let message = format!("the bucket {} does not exist", self.bucket);
            return self
                .error(class, message)
                .suggest("create the bucket first");
        }
        if class == Class::NotFound {
            return self.error(class, "no such object");
        }
        if class == Class::Archived {
            return self.error(class, "it is archived, and must be thawed to be read");
        }
        let error = self.error(class, rejected).wait(rejected.wait_ms);
        match suggestion(rejected) {
            Some(suggestion) => error.suggest(suggestion),
            None => error,
        }
    }

    fn class_of(&self, rejected: &Rejected) -> Class {
        if let Some(class) = rejected.class {
            return class;
        }
        match (rejected.code.as_str(), rejected.status) {
            // Codes first: servers put one code under several statuses.
            ("NoSuchBucket", _) => Class::Permanent,
            ("SlowDown" | "SlowDownRead" | "SlowDownWrite" | "Throttling", _)
            | ("ThrottlingException" | "RequestLimitExceeded" | "TooManyRequests", _) => {
                Class::Throttled
            }
            ("RequestTimeout" | "OperationAborted" | "InternalError", _)
            | ("ConditionalRequestConflict", _) => Class::Transient,
            // What arrived isn't what was sent: cut short or changed on the way, which the next try need not be.
            ("IncompleteBody" | "BadDigest" | "ClientDisconnected", _)
            | ("XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch", _) => Class::Transient,
            _ if self.renews_keys => Class::Transient,
            ("NotImplemented" | "QuotaExceeded" | "XMinioStorageFull", _) => Class::Permanent,
            ("InvalidObjectState", _) => Class::Archived,
            (_, 404) => Class::NotFound,
            // Something is there already: 412 as AWS says it, 304 and 409 as some others do. Said of a read it is no word on that:
            // what was published and can't be read back may be visible.
            (_, 304 | 409 | 412) if self.operation == "write" => Class::Conflict,
            (_, 416) => Class::Corrupt,
            (_, 429 | 503) => Class::Throttled,
            (_, 501 | 505 | 507) => Class::Permanent,
            (_, 408 | 500..=599) => Class::Transient,
            // The end of an upload, taken back.
            (_, 200..=299) => Class::Transient,
            _ => Class::Permanent,
        }
    }
}

fn suggestion(rejected: &Rejected) -> Option<String> {
    let text = match (rejected.code.as_str(), rejected.status) {
        _ if rejected.is_of_expired_keys() => "get new temporary keys",
        ("InvalidAccessKeyId" | "SignatureDoesNotMatch", _) | (_, 401) => {
            "check the access key and its secret"
        }
        ("RequestTimeTooSkewed", _) => {
            let date = rejected.date.as_deref().unwrap_or("another time");
            return Some(format!("set this machine's clock: the server says {date}"));
        }
        ("AuthorizationHeaderMalformed" | "PermanentRedirect", _) | (_, 301..=303 | 307 | 308) => {
            "set the region that the bucket is in"
        }
        ("QuotaExceeded" | "XMinioStorageFull", _) | (_, 507) => {
            "free some space, or choose another place"
        }
        ("NotImplemented", _) | (_, 501) => {
            "use a server that can write in parts, and knows what is configured of storage class, tags, lock and encryption; or leave those out"
        }
        (_, 403) => {
            "allow s3:GetObject, s3:PutObject, s3:ListBucket and s3:AbortMultipartUpload on the bucket, for tags \
             s3:PutObjectTagging, to lock s3:PutObjectRetention, to thaw s3:RestoreObject, and to delete s3:DeleteObject and s3:ListBucketMultipartUploads"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

/// The first error of a type in a chain.
pub(super) fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// What the deepest error of a chain says.
pub(super) fn deepest(error: &(dyn Error + 'static)) -> String {
    chain(error)
        .last()
        .map_or_else(String::new, |deepest| plain_words(&deepest))
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use teeline_core::{ObjectKey, Sink};
    use teeline_fault_proxy::{Answer, Fault, FaultProxy, Rule};

    use crate::{AccessKeys, ObjectStoreSink, S3Options};

    const DATE: &str = "Mon, 23 Nov 2026 02:00:00 GMT";

    /// What is suggested where a write is answered so; nobody is behind who answers.
    async fn suggested(answer: Answer) -> Option<String> {
        let proxy = FaultProxy::start("127.0.0.1:1").await.unwrap();
        proxy.add(Rule::new("", "object", Fault::Answer(answer)));
        let mut options = S3Options::new("bucket");
        options.endpoint = Some(proxy.endpoint());
        options.keys = Some(AccessKeys {
            id: "id".into(),
            secret: "secret".into(),
            session_token: None,
        });
        let sink = ObjectStoreSink::s3(options).await.unwrap();
        let key = ObjectKey::new("object").unwrap();
        let error = sink.put(&key, Bytes::new()).await.unwrap_err();
        assert!(proxy.hits() > 0, "{error}");
        error.suggestion().map(str::to_owned)
    }

    async fn assert_suggested(expected: &str, answers: &[(u16, &str)]) {
        for (status, code) in answers {
            let given = suggested(Answer::error(*status, code)).await;
            assert_eq!(given.as_deref(), Some(expected), "{status} {code}");
        }
    }

    #[tokio::test]
    async fn what_to_do_about_keys_and_rights() {
        let new_keys = "get new temporary keys";
        assert_suggested(
            new_keys,
            &[
                (403, "ExpiredToken"),
                (400, "ExpiredTokenException"),
                (400, "TokenRefreshRequired"),
            ],
        )
        .await;
        let keys = "check the access key and its secret";
        assert_suggested(
            keys,
            &[
                (403, "InvalidAccessKeyId"),
                (403, "SignatureDoesNotMatch"),
                (401, ""),
            ],
        )
        .await;
        let rights = "allow s3:GetObject, s3:PutObject, s3:ListBucket and s3:AbortMultipartUpload on the bucket, for tags \
                      s3:PutObjectTagging, to lock s3:PutObjectRetention, to thaw s3:RestoreObject, and to delete \
                      s3:DeleteObject and s3:ListBucketMultipartUploads";
        assert_suggested(rights, &[(403, "AccessDenied"), (403, "")]).await;
    }

    #[tokio::test]
    async fn what_to_do_about_a_clock_names_the_servers() {
        let skewed = || Answer::error(403, "RequestTimeTooSkewed");
        let given = suggested(skewed().header("date", DATE)).await;
        let expected = format!("set this machine's clock: the server says {DATE}");
        assert_eq!(given, Some(expected));
        let given = suggested(skewed()).await;
        let expected = "set this machine's clock: the server says another time";
        assert_eq!(given.as_deref(), Some(expected));
    }

    #[tokio::test]
    async fn what_to_do_about_the_place() {
        let region = "set the region that the bucket is in";
        assert_suggested(
            region,
            &[
                (400, "AuthorizationHeaderMalformed"),
                (301, "PermanentRedirect"),
                (307, "TemporaryRedirect"),
                (301, ""),
                (302, ""),
                (303, ""),
                (308, ""),
            ],
        )
        .await;
        let bucket = "create the bucket first";
        assert_suggested(bucket, &[(404, "NoSuchBucket")]).await;
        let space = "free some space, or choose another place";
        let full = [
            (403, "QuotaExceeded"),
            (507, "XMinioStorageFull"),
            (507, ""),
        ];
        assert_suggested(space, &full).await;
        let server = "use a server that can write in parts, and knows what is configured of storage class, tags, lock and encryption; \
                      or leave those out";
        assert_suggested(server, &[(501, "NotImplemented"), (501, "")]).await;
    }

    #[tokio::test]
    async fn what_passes_by_itself_suggests_nothing() {
        for (status, code) in [(500, "InternalError"), (503, "SlowDown"), (502, "")] {
            let given = suggested(Answer::error(status, code)).await;
            assert_eq!(given, None, "{status} {code}");
        }
    }
}
