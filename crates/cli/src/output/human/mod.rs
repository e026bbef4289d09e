//! Reports as people read them, a file a report.

mod backup;
mod check;
mod cleanup;
mod drill;
mod dry_run;
mod init;
mod inspection;
mod keys;
mod list;
mod monitor;
mod repair;
mod restore;
mod schedules;
mod scrub;
mod settle;
mod status;
mod sync;
mod validation;
mod verify;
mod words;

use std::fmt::{self, Display};

use serde::Serialize;
use teeline::printable::one_line;
use teeline::{Damage, DestinationWarning, ErrorReport, HookFailure};

pub(crate) use self::backup::Made;
pub(crate) use self::schedules::{ended, remarks};
pub(crate) use self::words::{bytes, counted, grouped};

/// A result that can be printed either way; its JSON is its `Serialize`.
pub(crate) trait Shown: Serialize {
    /// What the process exits with.
    fn exit_code(&self) -> u8;

    /// Lines for standard output; may be nothing.
    fn text(&self) -> String;

    /// What goes to standard error.
    fn problems(&self, problems: &mut Vec<Problem>);
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    Error,
    /// It changes nothing of what became of the whole.
    Warning,
}

/// Something that went wrong, or that somebody should know, with what to do about it where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    severity: Severity,
    about: Option<String>,
    message: String,
    suggestion: Option<String>,
}

impl Problem {
    /// One that is about the whole.
    pub(crate) fn new(message: &str) -> Self {
        Problem {
            severity: Severity::Error,
            about: None,
            message: message.to_owned(),
            suggestion: None,
        }
    }

    /// One that is about this.
    fn about(about: String, message: &str) -> Self {
        Problem {
            about: Some(about),
            ..Problem::new(message)
        }
    }

    pub(super) fn plain(error: &ErrorReport) -> Self {
        Problem {
            suggestion: error.suggestion.clone(),
            ..Problem::new(&error.message)
        }
    }

    pub(crate) fn of(destination: &str, error: &ErrorReport) -> Self {
        // What concerns no destination in particular comes without a name.
        let about = Some(format!("destination {destination}")).filter(|_| !destination.is_empty());
        Problem {
            about,
            ..Problem::plain(error)
        }
    }

    /// The same, with a command that helps.
    fn with_help(self, command: Option<&str>) -> Self {
        Problem {
            suggestion: command.map(|command| format!("`{command}`")),
            ..self
        }
    }

    /// Word of a check that couldn't be left at a destination.
    fn unrecorded(destination: &str, error: &ErrorReport) -> Self {
        let message = format!("what was found can't be noted there: {}", error.message);
        Problem {
            message,
            ..Problem::of(destination, error)
        }
    }

    fn warning(warning: &DestinationWarning) -> Self {
        Problem {
            severity: Severity::Warning,
            ..Problem::about(warning.destination.clone(), &warning.message)
        }
    }

    pub(crate) fn of_hook(failure: &HookFailure) -> Self {
        Problem {
            about: Some(format!("hook {}, at {}", failure.hook, failure.event)),
            ..Problem::plain(&failure.error)
        }
    }

    fn damage(damage: &Damage) -> Self {
        let chunk = damage
            .chunk
            .map_or(String::new(), |chunk| format!(", chunk {chunk}"));
        let resource = damage.resource.as_ref();
        let resource = resource.map_or(String::new(), |name| format!("resource {name}, "));
        let about = format!(
            "destination {}, {resource}{}{chunk}",
            damage.destination, damage.file
        );
        Problem::about(about, &damage.message)
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.severity {
            Severity::Error => "error: ",
            Severity::Warning => "warning: ",
        })?;
        if let Some(about) = &self.about {
            write!(f, "{}: ", one_line(about))?;
        }
        f.write_str(&one_line(&self.message))?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "\n  help: {}", one_line(suggestion)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_no_error() {
        let warning = DestinationWarning {
            destination: "far".to_owned(),
            message: "it lists late".to_owned(),
        };
        assert_eq!(
            Problem::warning(&warning).to_string(),
            "warning: far: it lists late"
        );
    }

    #[test]
    fn a_problem_says_what_to_do() {
        let error = ErrorReport {
            class: teeline::Class::Usage,
            message: "x: is wrong".to_owned(),
            suggestion: Some("try y".to_owned()),
        };
        assert_eq!(
            Problem::of("far", &error).to_string(),
            "error: destination far: x: is wrong\n  help: try y"
        );
    }
}
