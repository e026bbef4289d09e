//! Where a backup's files go below a destination's root: a template such as `{year}/{month}`.

use crate::error::BackupError;
use crate::id::BackupId;
use crate::key::ObjectKey;
use crate::layout;
use crate::time::Timestamp;
use crate::time_zone::TimeZone;

const PLACEHOLDERS: [&str; 7] = ["date", "time", "year", "month", "day", "backupId", "type"];

/// A checked template. It shapes data paths only: the catalogue keeps the path, so a change hides nothing.
///
/// `{date}` `{time}` `{year}` `{month}` `{day}` are the backup's start as clocks of a time zone show it, `{type}` and
/// `{backupId}` its own; the time in the id is in UTC wherever that is. A type that would stand where teeline keeps something
/// of its own gets a `_` behind it. The id is appended unless it is already the last component.
///
/// ```
/// use teeline_core::{BackupId, PathTemplate, TimeZone, Timestamp};
///
/// let id: BackupId = "full-2026-11-30T23-30-00-k3j9x0q2mz".parse().unwrap();
/// let time: Timestamp = "2026-11-30T23:30:00.000Z".parse().unwrap();
/// let template = PathTemplate::new("{year}/{month}/").unwrap();
/// let path = template.path(&id, time, TimeZone::default()).unwrap();
/// assert_eq!(path.as_str(), "2026/11/full-2026-11-30T23-30-00-k3j9x0q2mz");
/// let berlin = template.path(&id, time, "Europe/Berlin".parse().unwrap()).unwrap();
/// assert_eq!(berlin.as_str(), "2026/12/full-2026-11-30T23-30-00-k3j9x0q2mz");
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

    /// Whether a text that isn't a template has a variable of one in it.
    pub fn is_looked_for_in(text: &str) -> bool {
        PLACEHOLDERS
            .iter()
            .any(|name| text.contains(&format!("{{{name}}}")))
    }

    /// The path of a backup that started at `time`, as that is in `zone`.
    ///
    /// # Errors
    /// Where the result is too long for a key, or begins with a name that is kept for teeline itself.
    pub fn path(
        &self,
        id: &BackupId,
        time: Timestamp,
        zone: TimeZone,
    ) -> Result<ObjectKey, BackupError> {
        let there = zone.there(time);
        let shown = |format: &str| there.format(format).to_string();
        let filled = self
            .0
            .replace("{date}", &shown("%Y-%m-%d"))
            .replace("{time}", &shown("%H-%M-%S"))
            .replace("{year}", &shown("%Y"))
            .replace("{month}", &shown("%m"))
            .replace("{day}", &shown("%d"))
            .replace("{type}", &type_component(id.backup_type().as_str()))
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
        if !is_reserved(first) {
            return Ok(());
        }
        let folders = layout::FOLDERS.join(", ");
        let message = format!("{folders}, {} are kept for teeline itself", layout::MARKER);
        Err(BackupError::usage(format!("path {:?}", self.0), message))
    }
}

/// Whether it stands at a destination's root besides the backups.
fn is_reserved(name: &str) -> bool {
    name == layout::MARKER || layout::FOLDERS.contains(&name)
}

/// A type as a part of a path.
fn type_component(label: &str) -> String {
    match is_reserved(label) {
        true => format!("{label}_"),
        false => label.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "full-2026-12-31T23-05-09-k3j9x0q2mz";

    fn filled(template: &str, zone: &str) -> String {
        let time: Timestamp = "2026-12-31T23:05:09.000Z".parse().unwrap();
        let template = PathTemplate::new(template).unwrap();
        let path = template.path(&ID.parse().unwrap(), time, zone.parse().unwrap());
        path.unwrap().to_string()
    }

    #[test]
    fn every_placeholder_is_filled_by_the_clocks_of_the_zone() {
        let all = "{type}/{date}/{time}/{year}-{month}-{day}/{backupId}";
        for (zone, expected) in [
            ("UTC", "full/2026-12-31/23-05-09/2026-12-31"),
            ("Asia/Kolkata", "full/2027-01-01/04-35-09/2027-01-01"),
            ("America/New_York", "full/2026-12-31/18-05-09/2026-12-31"),
        ] {
            assert_eq!(filled(all, zone), format!("{expected}/{ID}"), "{zone}");
        }
    }

    #[test]
    fn the_id_is_appended_where_it_is_not_the_last_already() {
        assert_eq!(filled("", "UTC"), ID);
        assert_eq!(filled("a/{backupId}", "UTC"), format!("a/{ID}"));
        assert_eq!(filled("{backupId}/a", "UTC"), format!("{ID}/a/{ID}"));
        assert_eq!(filled("a-{backupId}", "UTC"), format!("a-{ID}/{ID}"));
    }

    #[test]
    fn what_is_kept_for_teeline_itself_is_refused() {
        let time: Timestamp = "2026-11-23T02:00:00.000Z".parse().unwrap();
        for name in layout::FOLDERS.into_iter().chain([layout::MARKER]) {
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
        let path = |name: &str| template.path(&id(name), time, TimeZone::default());
        for name in ["full", "runs", "catalog"] {
            let first = path(name).unwrap().to_string();
            let first = first.split('/').next().unwrap();
            assert_eq!(first, type_component(name));
            assert!(!is_reserved(first), "{name}");
        }
    }
}
