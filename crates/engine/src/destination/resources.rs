//! Destinations that take some resources only.

use std::fmt;

use globset::{GlobSet, GlobSetBuilder};
use teeline_core::BackupError;

use crate::backup::glob;

/// The resources that a destination takes: names, or globs of them.
///
/// A backup is the same at each of its destinations, so such a destination takes part in the backups that have nothing else. Two are
/// equal where they are written alike.
///
/// ```
/// use teeline::ResourceGlobs;
/// # fn main() -> Result<(), teeline::BackupError> {
/// let events = ResourceGlobs::new(["events_*"])?;
/// assert!(events.take_all_of(&["events_eu", "events_us"]));
/// assert!(!events.take_all_of(&["events_eu", "users"]));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ResourceGlobs {
    patterns: Vec<String>,
    set: GlobSet,
}

impl ResourceGlobs {
    /// Those that one of `patterns` matches.
    ///
    /// # Errors
    /// Where there is none, or one isn't a glob. The message never quotes it, for it may be a connection string that landed there.
    pub fn new(patterns: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, BackupError> {
        let patterns: Vec<String> = patterns.into_iter().map(Into::into).collect();
        let refused = |message: String| BackupError::usage("resources", message);
        if patterns.is_empty() {
            return Err(refused("it names none".to_owned()));
        }
        let mut set = GlobSetBuilder::new();
        for pattern in &patterns {
            set.add(glob(pattern).map_err(refused)?);
        }
        let set = set.build().map_err(|error| refused(error.to_string()))?;
        Ok(ResourceGlobs { patterns, set })
    }

    /// As they were written.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// Whether whatever these match is among them: they are names that match, or written here in the same way. Without any, which is
    /// everything, it isn't.
    pub fn take_all_of<T: AsRef<str>>(&self, patterns: &[T]) -> bool {
        let takes = |pattern: &str| {
            let is_name = globset::escape(pattern) == pattern;
            self.patterns.iter().any(|known| known == pattern)
                || is_name && self.set.is_match(pattern)
        };
        !patterns.is_empty() && patterns.iter().all(|pattern| takes(pattern.as_ref()))
    }
}

impl PartialEq for ResourceGlobs {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

impl Eq for ResourceGlobs {}

impl fmt::Debug for ResourceGlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.patterns, f)
    }
}

/// The patterns, with commas between them.
impl fmt::Display for ResourceGlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.patterns.join(", "))
    }
}
