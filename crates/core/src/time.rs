//! Points in time, passed in by whoever has a clock.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::span::Span;

/// Milliseconds since 1970, UTC; between the years 1970 and 9999. Written as `2026-11-23T02:00:00.000Z`.
///
/// ```
/// use teeline_core::Timestamp;
/// let time: Timestamp = "2026-11-23T02:00:00.000Z".parse().unwrap();
/// assert_eq!(time.unix_ms(), 1_795_399_200_000);
/// assert_eq!(time.to_string(), "2026-11-23T02:00:00.000Z");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(DateTime<Utc>);

/// Text that is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time: {0:?}; RFC 3339 is expected, such as 2026-11-23T02:00:00.000Z")]
pub struct NotATime(String);

const MS_MAX: i64 = 253_402_300_799_999;

impl Timestamp {
    /// The time `ms` milliseconds after 1970, held within the years 1970 to 9999.
    pub fn from_unix_ms(ms: i64) -> Self {
        Timestamp(DateTime::from_timestamp_millis(ms.clamp(0, MS_MAX)).unwrap_or_default())
    }

    /// Milliseconds since 1970.
    pub fn unix_ms(self) -> i64 {
        self.0.timestamp_millis()
    }

    /// Milliseconds left until the end of the year 9999, in 15 digits: text that sorts newest first.
    pub fn inverted(self) -> String {
        format!("{:015}", MS_MAX - self.unix_ms())
    }

    /// How long it is until `later`; nothing, where that is earlier.
    pub fn until(self, later: Timestamp) -> Span {
        Span::from_ms(u64::try_from(later.unix_ms() - self.unix_ms()).unwrap_or(0))
    }

    pub(crate) fn utc(self) -> DateTime<Utc> {
        self.0
    }

    /// As it stands in ids: `2026-11-23T02-00-00`.
    pub fn for_id(self) -> String {
        self.0.format("%Y-%m-%dT%H-%M-%S").to_string()
    }

    /// `2026-11-23`.
    pub fn date(self) -> String {
        self.0.format("%Y-%m-%d").to_string()
    }

    /// `02-00-00`.
    pub fn time_of_day(self) -> String {
        self.0.format("%H-%M-%S").to_string()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| NotATime(text.to_owned()))?;
        match time.timestamp_millis() {
            ms @ 0..=MS_MAX => Ok(Timestamp::from_unix_ms(ms)),
            _ => Err(NotATime(text.to_owned())),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
