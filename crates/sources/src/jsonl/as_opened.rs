//! Whether a file was written to while it was read, as far as that can be told.
//!
//! One that another has been put in the place of is read to its end all the same: what was opened stays what it was. And one
//! that has grown is taken for a log that goes on, of which what was there is right.

use std::fs::{File, Metadata};
use std::sync::Arc;
use std::time::SystemTime;

use teeline_core::{BackupError, Class};

use super::files::read_error;

/// A plain file, and what it was when it was opened.
pub(super) struct AsOpened {
    file: Arc<File>,
    then: Shape,
}

/// What shows that a file was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    bytes: u64,
    modified: Option<SystemTime>,
}

/// What became of a file that was read to its end.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// What was read is what there was.
    Whole,
    /// Not all of what it had came.
    Short,
    /// As much came as it had, and some of that may be older than the rest.
    Rewritten,
}

impl AsOpened {
    /// What an open file is now. `None` of what has no size, such as a pipe in the file system.
    pub(super) fn of(file: &Arc<File>) -> Option<Self> {
        let metadata = file.metadata().ok().filter(Metadata::is_file)?;
        Some(AsOpened {
            file: Arc::clone(file),
            then: Shape::of(&metadata),
        })
    }

    /// Looks at it again, where so many of its bytes came until its end: warns where some of them may have been written
    /// meanwhile.
    ///
    /// # Errors
    /// Where not all bytes came that it had.
    pub(super) fn check(&self, label: &str, came: u64) -> Result<(), BackupError> {
        let now = self.file.metadata();
        let now = Shape::of(&now.map_err(|error| read_error(label, error))?);
        match self.then.found(now, came) {
            Found::Whole => Ok(()),
            Found::Rewritten => {
                tracing::warn!(
                    file = label,
                    "it was written to while it was read, so some of its lines may be older than the others; what is written \
                     to another name, and then renamed, is never read in part"
                );
                Ok(())
            }
            Found::Short => {
                let message = format!(
                    "it had {} bytes when it was opened, and ended after {came}: it was cut short, or is written anew",
                    self.then.bytes
                );
                Err(BackupError::new(Class::Transient, "read", label, message).suggest(
                    "try again when nobody writes to it; what is written to another name, and then renamed, is never read in part",
                ))
            }
        }
    }
}

impl Shape {
    fn of(metadata: &Metadata) -> Self {
        Shape {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
        }
    }

    fn found(self, now: Shape, came: u64) -> Found {
        if came < self.bytes {
            return Found::Short;
        }
        let has_grown = now.bytes > self.bytes;
        match has_grown || now == self {
            true => Found::Whole,
            false => Found::Rewritten,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn what_is_rewritten_is_told_from_what_grows() {
        let shape = |bytes, second| Shape {
            bytes,
            modified: Some(UNIX_EPOCH + Duration::from_secs(second)),
        };
        let then = shape(100, 1);
        for (now, came, expected) in [
            (shape(100, 1), 100, Found::Whole),
            (shape(120, 2), 100, Found::Whole),
            (shape(120, 2), 110, Found::Whole),
            (shape(100, 2), 100, Found::Rewritten),
            (shape(90, 2), 100, Found::Rewritten),
            (shape(90, 2), 90, Found::Short),
            (shape(200, 2), 99, Found::Short),
        ] {
            assert_eq!(then.found(now, came), expected, "{now:?} {came}");
        }
    }
}
