//! How a bucket is reached, as written by whoever configures it.

use std::fmt;

use teeline_core::{BackupError, ObjectKey};

use super::storing::Storing;

/// S3 takes no smaller part but the last one.
pub(crate) const PART_BYTES_MIN: usize = 5 * 1024 * 1024;
/// S3 takes no larger part.
const PART_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// A bucket, or a folder in one, and how to reach it.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// The bucket's name.
    pub bucket: String,
    /// The folder in the bucket, without a slash at either end; empty is the bucket itself.
    pub prefix: String,
    /// The region; without, that of the profile or environment, or `us-east-1` with keys or an endpoint.
    pub region: Option<String>,
    /// Where the server is, such as `http://127.0.0.1:9000`; without, it is AWS. Only where this begins with `http://` is
    /// anything sent unencrypted.
    pub endpoint: Option<String>,
    /// Keys; without, they are looked for as AWS's own tools do: environment, profiles, single sign-on, the machine's role.
    pub keys: Option<AccessKeys>,
    /// The profile in AWS's files to look for keys and a region in.
    pub profile: Option<String>,
    /// Whether the bucket stands in the path and not in the host's name; without, it does where there is an endpoint.
    pub path_style: Option<bool>,
    /// The size of a part, at least 5 MiB. An upload holds two of them in memory.
    pub part_bytes: usize,
    /// How S3 is to keep what it is sent.
    pub storing: Storing,
    /// How long things may take.
    pub timeouts: Timeouts,
}

impl S3Options {
    /// `bucket` at AWS, with keys as AWS's own tools find them.
    pub fn new(bucket: impl Into<String>) -> Self {
        S3Options {
            bucket: bucket.into(),
            prefix: String::new(),
            region: None,
            endpoint: None,
            keys: None,
            profile: None,
            path_style: None,
            part_bytes: PART_BYTES_MIN,
            storing: Storing::default(),
            timeouts: Timeouts::default(),
        }
    }
}

/// The bounds of single requests: a last resort below [`DeadlineSink`](crate::DeadlineSink), which knows how large a call
/// is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands.
    pub connect_ms: u64,
    /// Until an answer begins, and until a small one ends; on top, a request has the time that its bytes, or 16 MiB, take at 256 KiB/s. The end of
    /// an upload in parts has all of `request_ms`.
    pub answer_ms: u64,
    /// A whole request, body included.
    pub request_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect_ms: 5_000,
            answer_ms: 30_000,
            request_ms: 1_200_000,
        }
    }
}

/// A key pair, and a token where it is a temporary one. `Debug` doesn't show what is secret.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKeys {
    /// The access key's id.
    pub id: String,
    /// What requests are signed with.
    pub secret: String,
    /// What comes with temporary keys.
    pub session_token: Option<String>,
}

impl fmt::Debug for AccessKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.session_token.as_ref().map(|_| "<redacted>");
        f.debug_struct("AccessKeys")
            .field("id", &self.id)
            .field("secret", &"<redacted>")
            .field("session_token", &token)
            .finish()
    }
}

impl S3Options {
    /// `s3://bucket/prefix`.
    pub(crate) fn place(&self) -> String {
        match self.prefix.as_str() {
            "" => format!("s3://{}", self.bucket),
            prefix => format!("s3://{}/{prefix}", self.bucket),
        }
    }

    pub(crate) fn is_path_style(&self) -> bool {
        // A dot in the name makes a host's name that no certificate covers.
        self.path_style
            .unwrap_or(self.endpoint.is_some() || self.bucket.contains('.'))
    }

    /// Refuses what can't work, without repeating what may be secret.
    pub(crate) fn check(&self) -> Result<(), BackupError> {
        let refuse = |message: &str| Err(BackupError::usage(self.place(), message));
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if self.bucket.is_empty() || !self.bucket.chars().all(fits) {
            return refuse("a bucket's name has letters, digits, '-', '.' and '_' only");
        }
        if !self.prefix.is_empty() {
            ObjectKey::new(&self.prefix)?;
        }
        if !(PART_BYTES_MIN..=PART_BYTES_MAX).contains(&self.part_bytes) {
            return refuse("a part has at least 5 MiB and at most 1 GiB");
        }
        if let Err(message) = self.storing.check() {
            return refuse(&message);
        }
        let Some(endpoint) = &self.endpoint else {
            return Ok(());
        };
        let host = endpoint
            .strip_prefix("https://")
            .or_else(|| endpoint.strip_prefix("http://"));
        match host {
            None => refuse("an endpoint begins with https:// or http://"),
            Some(host) if host.contains('@') => {
                refuse("an endpoint holds no keys: they have options of their own")
            }
            Some(host) if host.contains(['?', '#']) || host.trim_matches('/').is_empty() => {
                refuse("an endpoint is a scheme, a host and perhaps a port, no more")
            }
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let mut options = S3Options::new("b");
        options.keys = Some(AccessKeys {
            id: "visible".into(),
            secret: "canary-1".into(),
            session_token: Some("canary-2".into()),
        });
        let shown = format!("{options:?}");
        assert!(
            shown.contains("visible") && !shown.contains("canary"),
            "{shown}"
        );

        options.endpoint = Some("https://me:canary-3@host".into());
        let error = options.check().unwrap_err();
        assert!(!format!("{error:?}").contains("canary"));
    }

    #[test]
    fn refuses_what_cannot_work() {
        let with = |change: fn(&mut S3Options)| {
            let mut options = S3Options::new("bucket");
            change(&mut options);
            options.check().is_ok()
        };
        assert!(with(|_| ()));
        assert!(with(
            |options| options.endpoint = Some("http://127.0.0.1:9000/".into())
        ));
        assert!(with(|options| options.prefix = "some/folder".into()));
        assert!(!with(|options| options.bucket = String::new()));
        assert!(!with(|options| options.bucket = "a/b".into()));
        assert!(!with(|options| options.prefix = "/a".into()));
        assert!(!with(|options| options.prefix = "a//b".into()));
        assert!(!with(|options| options.part_bytes = 5_000_000));
        assert!(!with(|options| options.endpoint = Some("host:9000".into())));
        assert!(!with(|options| options.endpoint = Some("https://".into())));
        assert!(!with(
            |options| options.endpoint = Some("https://h/?a=b".into())
        ));
    }

    #[test]
    fn style_follows_the_endpoint() {
        let mut options = S3Options::new("bucket");
        assert!(!options.is_path_style());
        options.bucket = "with.dot".into();
        assert!(options.is_path_style());
        options.endpoint = Some("https://host".into());
        options.path_style = Some(false);
        assert!(!options.is_path_style());
    }
}
