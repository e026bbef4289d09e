//! Where the connection string of a database is found, and who says so: the option or the key that its errors name.

use std::fs;
use std::path::PathBuf;

use teeline_core::{BackupError, plain_words};
use teeline_sources::s3db;

use crate::keys::check_private;

/// Where the connection string of a database is found. It holds credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    found: Found,
    said_by: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Here(Box<s3db::Connection>),
    InVariable(String),
    InFile(PathBuf),
}

impl Connection {
    /// This connection string; `said_by` is the option or the key that errors name, here and below.
    ///
    /// # Errors
    /// Where it is none.
    pub fn inline(text: &str, said_by: impl Into<String>) -> Result<Self, BackupError> {
        let said_by = said_by.into();
        let found = Found::Here(Box::new(parse(text, &said_by)?));
        Ok(Connection { found, said_by })
    }

    /// What the environment variable `name` holds when it is asked for.
    pub fn variable(name: impl Into<String>, said_by: impl Into<String>) -> Self {
        Connection {
            found: Found::InVariable(name.into()),
            said_by: said_by.into(),
        }
    }

    /// What the file at `path`, relative to the working directory, holds when it is asked for; space around it is ignored.
    pub fn file(path: impl Into<PathBuf>, said_by: impl Into<String>) -> Self {
        Connection {
            found: Found::InFile(path.into()),
            said_by: said_by.into(),
        }
    }

    /// Finds the connection string and reads it.
    ///
    /// # Errors
    /// Where the variable isn't set, the file can't be read or has keys and can be read by others, or what is found is no connection
    /// string.
    pub fn resolve(
        &self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<s3db::Connection, BackupError> {
        let said_by = &self.said_by;
        let (subject, text) = match &self.found {
            Found::Here(connection) => return Ok((**connection).clone()),
            Found::InVariable(name) => {
                let subject = format!("{said_by}, variable {name}");
                let text =
                    environment(name).ok_or_else(|| BackupError::usage(&subject, "isn't set"))?;
                (subject, text)
            }
            Found::InFile(path) => {
                let subject = format!("{said_by}, {}", path.display());
                let text = fs::read_to_string(path).map_err(|error| {
                    let message = format!("can't be read: {}", plain_words(&error));
                    BackupError::usage(&subject, message).because(error)
                })?;
                (subject, text)
            }
        };
        let connection = match text.trim() {
            "" => return Err(BackupError::usage(subject, "is empty")),
            text => parse(text, &subject)?,
        };
        if let Found::InFile(path) = &self.found
            && connection.credentials.is_some()
        {
            check_private(path)?;
        }
        Ok(connection)
    }
}

fn parse(text: &str, subject: &str) -> Result<s3db::Connection, BackupError> {
    text.parse()
        .map_err(|error| BackupError::usage(subject, error))
}
