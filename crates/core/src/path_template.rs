//! Where a backup's files go below a destination's root: a template such as `{year}/{month}`.

use crate::error::BackupError;
use crate::id::BackupId;
use crate::key::ObjectKey;
use crate::layout;
use crate::time::Timestamp;

/// What stands at a destination's root besides the backups.
const RESERVED: [&str; 3] = [layout::CATALOG, layout::RUNS, layout::MARKER];

const PLACEHOLDERS: [&str; 7] = ["date", "time", "year", "month", "day", "backupId", "type"];

/// A checked template. It shapes data paths only: the catalogue keeps the path, so a change hides nothing.
///
/// `{date}` `{time}` `{year}` `{month}` `{day}` are the backup's start in UTC, `{type}` and `{backupId}` its own. The id
/// is appended unless it is already the last component.
///
/// ```
/// use teeline_core::{BackupId, PathTemplate, Timestamp};
///
/// let id: BackupId = "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap();
/// let time: Timestamp = "2026-11-23T02:00:00.000Z".parse().unwrap();
/// let template = PathTemplate::new("{year}/{month}/").unwrap();
/// assert_eq!(template.path(&id, time).unwrap().as_str(), "2026/11/full-2026-11-23T02-00-00-k3j9x0q2mz");
/// assert!(PathTemplate::new("{decade}").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PathTemplate(String);

impl PathTemplate {
    /// Checks a template; the empty one puts each backup right below the root.
    ///
    /// # Errors
    /// Where a placeholder is unknown, or the result would be no usable key.
    pub fn new(template: &str) -> Result<Self, BackupError> {
        let refuse = |message: String| BackupError::usage(format!("path {template:?}"), message);
        for (open, _) in template.match_indices('{') {
            let name = template[open + 1..].split('}').next().unwrap_or_default();
            if !PLACEHOLDERS.contains(&name) {
                return Err(refuse(format!(
                    "unknown placeholder {{{name}}}; accepted: {{{}}}",
                    PLACEHOLDERS.join("} {")
                )));
            }
        }
        let trimmed = template.trim_matches('/').to_owned();
        if !trimmed.is_empty() {
            ObjectKey::new(trimmed.clone())?;
        }
        let template = PathTemplate(trimmed);
        template.check_beginning(&template.0)?;
        Ok(template)
    }

    /// The path of a backup that started at `time`.
    ///
    /// # Errors
    /// Where the result is too long for a key, or begins with a name that is kept for teeline itself.
    pub fn path(&self, id: &BackupId, time: Timestamp) -> Result<ObjectKey, BackupError> {
        let date = time.date();
        let filled = self
            .0
            .replace("{date}", &date)
            .replace("{time}", &time.time_of_day())
            .replace("{year}", &date[..4])
            .replace("{month}", &date[5..7])
            .replace("{day}", &date[8..10])
            .replace("{type}", id.backup_type().as_str())
            .replace("{backupId}", id.as_str());
        self.check_beginning(&filled)?;
        let last = filled.rsplit('/').next().unwrap_or_default();
        if filled.is_empty() {
            ObjectKey::new(id.as_str())
        } else if last == id.as_str() {
            ObjectKey::new(filled)
        } else {
            ObjectKey::new(format!("{filled}/{id}"))
        }
    }

    /// Refuses a path that would stand where teeline keeps something of its own.
    fn check_beginning(&self, path: &str) -> Result<(), BackupError> {
        let first = path.split('/').next().unwrap_or_default();
        if !RESERVED.contains(&first) {
            return Ok(());
        }
        let message = format!("{} are kept for teeline itself", RESERVED.join(", "));
        Err(BackupError::usage(format!("path {:?}", self.0), message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_for_teeline_itself_is_refused() {
        let time: Timestamp = "2026-11-23T02:00:00.000Z".parse().unwrap();
        for name in RESERVED {
            assert!(PathTemplate::new(name).is_err(), "{name}");
            assert!(
                PathTemplate::new(&format!("/{name}/{{year}}")).is_err(),
                "{name}"
            );
            assert!(PathTemplate::new(&format!("a/{name}")).is_ok(), "{name}");
        }
        // A label may be called so, too.
        let id = |name: &str| {
            format!("{name}-2026-11-23T02-00-00-k3j9x0q2mz")
                .parse()
                .unwrap()
        };
        let template = PathTemplate::new("{type}").unwrap();
        assert!(template.path(&id("full"), time).is_ok());
        assert!(template.path(&id("runs"), time).is_err());
    }
}
