//! Backup ids: `<type>-<UTC time>-<ten characters>`, such as `full-2026-11-23T02-00-00-k3j9x0q2mz`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Timestamp;

const RANDOM_CHARACTERS: usize = 10;
const TYPE_CHARACTERS_MAX: usize = 40;
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// What a backup calls itself: `full`, or an own label of `[a-z0-9-]{1,40}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct BackupType(String);

/// The name of a backup, unique over all destinations. Read from the right, since a type may hold dashes.
///
/// ```
/// use teeline_core::{BackupId, BackupType, Timestamp};
///
/// let time: Timestamp = "2026-11-23T02:00:00.000Z".parse().unwrap();
/// let id = BackupId::new(&"weekly-snapshot".parse::<BackupType>().unwrap(), time, &[0; 10]);
/// assert_eq!(id.as_str(), "weekly-snapshot-2026-11-23T02-00-00-aaaaaaaaaa");
/// assert_eq!(id.backup_type().as_str(), "weekly-snapshot");
/// assert_eq!(id.began(), Some(time));
/// assert_eq!("../etc".parse::<BackupId>().is_err(), true);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackupId(String);

/// Text that is no backup id or no backup type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadId {
    /// Not of the form of an id.
    #[error("not a backup id: {0:?}; one looks like full-2026-11-23T02-00-00-k3j9x0q2mz")]
    Id(String),
    /// Not of the form of a type.
    #[error("not a backup type: {0:?}; 1 to 40 of a-z, 0-9 and '-' are accepted")]
    Type(String),
}

impl BackupType {
    /// Whether backups of it have only what is other than in the one that they go on from, if there is one: `incremental`.
    pub fn is_incremental(&self) -> bool {
        self.0 == "incremental"
    }

    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BackupType {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let accepted = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=TYPE_CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(accepted) {
            Ok(BackupType(text.to_owned()))
        } else {
            Err(BadId::Type(text.to_owned()))
        }
    }
}

impl fmt::Display for BackupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for BackupType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl BackupId {
    /// An id for a backup of `backup_type` that starts at `time`; `random` should be from a good source.
    pub fn new(backup_type: &BackupType, time: Timestamp, random: &[u8; 10]) -> Self {
        let suffix: String = random
            .iter()
            .map(|byte| char::from(ALPHABET[usize::from(*byte) % 36]))
            .collect();
        BackupId(format!("{backup_type}-{}-{suffix}", time.for_id()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When it began, to the second; none where the id, which may be anybody's, has no such time in it.
    pub fn began(&self) -> Option<Timestamp> {
        let tail = &self.0[self.0.len() - TAIL_CHARACTERS..];
        Timestamp::from_id(&tail[1..20])
    }

    /// The type, read from the id.
    pub fn backup_type(&self) -> BackupType {
        BackupType(self.0[..self.0.len() - TAIL_CHARACTERS].to_owned())
    }
}

/// `-2026-11-23T02-00-00-` and the random characters.
const TAIL_CHARACTERS: usize = 21 + RANDOM_CHARACTERS;

impl FromStr for BackupId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId::Id(text.to_owned());
        if !text.is_ascii() || text.len() <= TAIL_CHARACTERS {
            return Err(bad());
        }
        let (label, tail) = text.split_at(text.len() - TAIL_CHARACTERS);
        let (time, random) = tail.split_at(21);
        let shape =
            time.bytes()
                .zip(b"-0000-00-00T00-00-00-")
                .all(|(found, wanted)| match wanted {
                    b'0' => found.is_ascii_digit(),
                    _ => found == *wanted,
                });
        let random_fits = random
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        match label.parse::<BackupType>() {
            Ok(_) if shape && random_fits => Ok(BackupId(text.to_owned())),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for BackupId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for BackupId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_type_the_time_in_utc_and_ten_characters() {
        let at: Timestamp = "2026-11-23T02:00:09.500+02:00".parse().unwrap();
        let id = BackupId::new(&"pre-release".parse().unwrap(), at, &[7; 10]);
        let rest = id.as_str().strip_prefix("pre-release-2026-11-23T00-00-09-");
        let random = rest.expect("the type and the time come first");
        assert_eq!(random.len(), 10);
        assert!(
            random
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
        );
        assert_eq!(id.backup_type().as_str(), "pre-release");
    }
}
