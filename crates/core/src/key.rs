//! Keys of objects at a destination: relative, `/`-separated, ours.

use std::fmt;

use crate::error::BackupError;

/// The key of an object below a destination's root: non-empty components joined by `/`, none of them `.` or `..`,
/// without control characters and backslashes, at most 1,024 bytes.
///
/// ```
/// use teeline_core::ObjectKey;
/// let key = ObjectKey::new("catalog").unwrap().join("x.json").unwrap();
/// assert_eq!(key.as_str(), "catalog/x.json");
/// assert!(ObjectKey::new("a//b").is_err());
/// assert!(ObjectKey::new("../a").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey(String);

const KEY_BYTES_MAX: usize = 1024;

impl ObjectKey {
    /// Checks a key.
    ///
    /// # Errors
    /// Where it isn't of the form that the type describes.
    pub fn new(key: impl Into<String>) -> Result<Self, BackupError> {
        let key = key.into();
        let component_fits = |component: &str| {
            !matches!(component, "" | "." | "..")
                && !component.chars().any(|c| c.is_control() || c == '\\')
        };
        if key.len() <= KEY_BYTES_MAX && key.split('/').all(component_fits) {
            Ok(ObjectKey(key))
        } else {
            Err(BackupError::usage(
                format!("key {key:?}"),
                "not usable at a destination: components between '/' must not be empty, '.' or '..', \
                 nor hold control characters or backslashes, and the whole at most 1,024 bytes",
            ))
        }
    }

    /// The key of `name` below this one; `name` may have several components.
    ///
    /// # Errors
    /// As [`ObjectKey::new`].
    pub fn join(&self, name: &str) -> Result<Self, BackupError> {
        Self::new(format!("{}/{name}", self.0))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
