//! One error for every failure: what was tried, on what, and what a caller may do about it.
//!
//! Retry and supervision read the [`Class`] and nothing else; people read the message and the suggestion. These hold no
//! secret of a URL, whatever they quote: they are [`masked`] when the error is made, so that no report, no record of a run
//! and no line of a log can show what the error doesn't have.

use std::error::Error as StdError;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::mask::masked;

/// What a caller may do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// May succeed if repeated. A timeout is of this class: whether it took effect is unknown.
    Transient,
    /// As [`Class::Transient`], and the other side asks for a pause.
    Throttled,
    /// Will fail again until somebody changes something.
    Permanent,
    /// Nothing is there.
    NotFound,
    /// It is there, and can't be read before it is thawed.
    Archived,
    /// Something is there that must not be replaced.
    Conflict,
    /// What was read isn't what was written.
    Corrupt,
    /// What is sealed, and no key that was given opens it.
    WrongKey,
    /// Abandoned on request.
    Cancelled,
    /// The caller asked for something that can't be: an option, a configuration, a name.
    Usage,
}

impl Class {
    /// Whether the same call may be repeated with hope.
    pub fn is_retriable(self) -> bool {
        matches!(self, Class::Transient | Class::Throttled)
    }
}

/// A failure: `operation` on `subject`: `message`, with a class and, where there is one, a suggestion.
///
/// ```
/// use teeline_core::{BackupError, Class};
///
/// let error = BackupError::new(Class::NotFound, "read", "backups/manifest.json", "no such file")
///     .suggest("run `teeline list` to see which backups there are");
/// assert_eq!(error.to_string(), "read backups/manifest.json: no such file");
/// assert!(!error.class().is_retriable());
/// ```
pub struct BackupError(Box<Parts>);

struct Parts {
    class: Class,
    operation: String,
    subject: String,
    message: String,
    suggestion: Option<String>,
    wait_ms: Option<u64>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl BackupError {
    /// An error of `class`: `operation` (a verb) was tried on `subject` and failed with `message`.
    pub fn new(
        class: Class,
        operation: impl Into<String>,
        subject: impl fmt::Display,
        message: impl fmt::Display,
    ) -> Self {
        BackupError(Box::new(Parts {
            class,
            operation: operation.into(),
            subject: masked(&subject.to_string()).into_owned(),
            message: masked(&message.to_string()).into_owned(),
            suggestion: None,
            wait_ms: None,
            source: None,
        }))
    }

    /// A request that can't be carried out as put.
    pub fn usage(subject: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self::new(Class::Usage, "use", subject, message)
    }

    /// Stored bytes that aren't what was written.
    pub fn corrupt(subject: impl fmt::Display, message: impl fmt::Display) -> Self {
        Self::new(Class::Corrupt, "check", subject, message)
    }

    /// A run that was abandoned on request.
    pub fn cancelled(subject: impl fmt::Display) -> Self {
        Self::new(Class::Cancelled, "run", subject, "interrupted")
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.0.suggestion = Some(masked(&suggestion.into()).into_owned());
        self
    }

    /// Adds for how many milliseconds the other side asks not to be called again, where it does.
    #[must_use]
    pub fn wait(mut self, wait_ms: Option<u64>) -> Self {
        self.0.wait_ms = wait_ms;
        self
    }

    /// Adds the error that caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What a caller may do about it.
    pub fn class(&self) -> Class {
        self.0.class
    }

    /// The verb that was tried.
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// What it was tried on.
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// What went wrong.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// For how many milliseconds the other side asks not to be called again, where it does.
    pub fn wait_ms(&self) -> Option<u64> {
        self.0.wait_ms
    }

    /// What to do about it, where that is known.
    pub fn suggestion(&self) -> Option<&str> {
        self.0.suggestion.as_deref()
    }
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.class {
            Class::Usage => write!(f, "{}: {}", self.0.subject, self.0.message),
            _ => write!(
                f,
                "{} {}: {}",
                self.0.operation, self.0.subject, self.0.message
            ),
        }
    }
}

impl fmt::Debug for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:?})", self.0.class)
    }
}

impl StdError for BackupError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

/// An error as data, for reports that cross a process or thread boundary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReport {
    /// What a caller may do about it.
    pub class: Class,
    /// The message; of a very long one, its beginning.
    pub message: String,
    /// What to do about it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub suggestion: Option<String>,
}

/// Bytes of each text of a report. Some servers answer with pages, and documents that say why something failed are small.
const REPORTED_BYTES_MAX: usize = 4 << 10;

impl From<&BackupError> for ErrorReport {
    fn from(error: &BackupError) -> Self {
        ErrorReport {
            class: error.class(),
            message: beginning(error.to_string()),
            suggestion: error.suggestion().map(str::to_owned).map(beginning),
        }
    }
}

/// As much of a text as a report has.
fn beginning(mut text: String) -> String {
    const CUT: &str = " …";
    if text.len() > REPORTED_BYTES_MAX {
        text.truncate(text.floor_char_boundary(REPORTED_BYTES_MAX - CUT.len()));
        text.push_str(CUT);
    }
    text
}

/// What an error of the system or of another library says, as our messages are written: `no such file or directory`.
pub fn plain_words(error: &dyn fmt::Display) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}

/// What to do where a connection failed by `cause`, if that is that nobody whom this machine trusts has signed the server's
/// certificate. It is told by its words: several libraries bring them, each in errors of its own.
pub fn mistrusted(cause: &str) -> Option<&'static str> {
    const TRUST: &str = "check that the server is the one that is meant; where its certificate is signed by an authority of your own, \
                         put that one's certificate into a file of PEM, and its path into SSL_CERT_FILE";
    cause.contains("invalid peer certificate").then_some(TRUST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_a_very_long_error_a_report_has_the_beginning() {
        for character in ["x", "ä", "\u{1}"] {
            let long = character.repeat(REPORTED_BYTES_MAX + 1);
            let error = BackupError::new(Class::Permanent, "read", "a page", &long).suggest(&long);
            let report = ErrorReport::from(&error);
            for text in [&report.message, report.suggestion.as_ref().unwrap()] {
                assert!(
                    text.len() <= REPORTED_BYTES_MAX && text.ends_with(" …"),
                    "{text}"
                );
            }
            let json = serde_json::to_string(&report).unwrap();
            assert!((json.len() as u64) < crate::document::SMALL_BYTES_MAX);
        }
    }

    proptest! {
        #[test]
        fn nothing_of_an_error_shows_a_secret(quoted in "[a-z=]{0,4}(s3|http)://\\S{0,9}CANARY\\S{0,9}@b(/p)?") {
            let error = BackupError::new(Class::Usage, "use", &quoted, format!("{quoted:?} is unknown"))
                .suggest(format!("leave {quoted} out"));
            let report = ErrorReport::from(&error);
            let shown = format!("{error} {error:?} {} {} {report:?}", error.subject(), error.message());
            prop_assert!(!shown.contains("CANARY"), "{}", shown);
        }
    }
}
