//! The time zone in which days, weeks, months and years begin and end.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;
use chrono_tz::Tz;

use crate::time::Timestamp;

/// A time zone of the IANA database, such as `Europe/Berlin`; UTC by default.
///
/// ```
/// use teeline_core::TimeZone;
///
/// assert_eq!(TimeZone::default().to_string(), "UTC");
/// assert_eq!("Europe/Berlin".parse::<TimeZone>().unwrap().to_string(), "Europe/Berlin");
/// assert!("Berlin".parse::<TimeZone>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeZone(Tz);

/// Text that names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time zone; names of the IANA database are accepted, such as Europe/Berlin or UTC")]
pub struct NotATimeZone;

impl TimeZone {
    /// The day that it is there.
    pub(crate) fn date(self, time: Timestamp) -> NaiveDate {
        time.utc().with_timezone(&self.0).date_naive()
    }
}

impl Default for TimeZone {
    fn default() -> Self {
        TimeZone(Tz::UTC)
    }
}

impl FromStr for TimeZone {
    type Err = NotATimeZone;

    fn from_str(text: &str) -> Result<Self, NotATimeZone> {
        text.parse().map(TimeZone).map_err(|_| NotATimeZone)
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}
