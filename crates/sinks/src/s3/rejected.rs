//! Answers that are errors, as data.

use std::error::Error;
use std::fmt;

use object_store::client::{HttpError, HttpErrorKind};
use teeline_core::{Class, Digest};

/// Of what a server says about it, no more than this is shown.
const MESSAGE_CHARS_MAX: usize = 300;

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejected {
    pub(crate) status: u16,
    /// The code in its body, such as `SlowDown`; empty where it has none, as the answer to a HEAD.
    pub(crate) code: String,
    pub(super) message: String,
    /// What it means, where that isn't to be told by its code and status.
    pub(crate) class: Option<Class>,
    /// The server's clock.
    pub(crate) date: Option<String>,
    /// For how long it asks not to be called again.
    pub(crate) wait_ms: Option<u64>,
    /// Which keys the request was signed with, by [`keys_digest`].
    pub(crate) signed_with: Option<Digest>,
}

impl Rejected {
    /// Whether the server can't do that at all.
    pub(crate) fn is_not_implemented(&self) -> bool {
        self.status == 501 || self.code == "NotImplemented"
    }

    /// Whether it may be the keys: nothing is said, as always of a HEAD.
    pub(crate) fn may_be_of_expired_keys(&self) -> bool {
        self.code.is_empty() && matches!(self.status, 400 | 401 | 403)
    }

    /// Whether it is the keys that are too old.
    pub(crate) fn is_of_expired_keys(&self) -> bool {
        matches!(
            self.code.as_str(),
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired"
        )
    }

    #[cfg(test)]
    pub(super) fn of_keys(status: u16, code: &str, keys: Digest) -> Self {
        Rejected {
            code: code.to_owned(),
            signed_with: Some(keys),
            ..Rejected::new(status, "")
        }
    }

    /// An answer that isn't what S3 gives. Without a code in it, it is taken for one of somebody in between, and the next one may be
    /// the server's.
    pub(super) fn unlike(status: u16, body: &str, expected: &str) -> Self {
        let rejected = Rejected::new(status, body);
        match rejected.code.as_str() {
            "" => Rejected {
                message: format!("with something else than {expected} of S3"),
                class: Some(Class::Transient),
                ..rejected
            },
            _ => rejected,
        }
    }

    /// A 404 that doesn't say what isn't there: of somebody in between, who knows nothing of objects.
    pub(super) fn is_wordless_404(&self) -> bool {
        self.status == 404 && self.code.is_empty()
    }

    /// An answer of which another one is no better.
    pub(super) fn useless(status: u16, message: &str) -> Self {
        Rejected {
            message: message.to_owned(),
            class: Some(Class::Permanent),
            ..Rejected::new(status, "")
        }
    }

    pub(super) fn new(status: u16, body: &str) -> Self {
        Rejected {
            status,
            code: text_of(body, "Code").unwrap_or_default(),
            message: text_of(body, "Message").unwrap_or_default(),
            class: None,
            date: None,
            wait_ms: None,
            signed_with: None,
        }
    }
}

impl From<Rejected> for HttpError {
    fn from(rejected: Rejected) -> Self {
        HttpError::new(HttpErrorKind::Unknown, rejected)
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
pub(super) fn text_of(xml: &str, element: &str) -> Option<String> {
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
        let rejected = Rejected::new(503, body);
        assert_eq!(rejected.code, "SlowDown");
        assert_eq!(
            rejected.to_string(),
            "the server answered 503 SlowDown Please \"reduce\"[2J"
        );
    }

    #[test]
    fn no_body_is_fine() {
        for body in ["", "<html>gateway</html>", "<Code>", "</Code><Code>x"] {
            let rejected = Rejected::new(502, body);
            assert_eq!(rejected.to_string(), "the server answered 502");
        }
    }
}
