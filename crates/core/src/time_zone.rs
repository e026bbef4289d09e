//! The time zone in which days, weeks, months and years begin and end.

use std::fmt;
use std::str::FromStr;

use chrono::{
    DateTime, LocalResult, NaiveDate, NaiveDateTime, SecondsFormat, TimeDelta, TimeZone as _,
};
use chrono_tz::Tz;
use serde::{Serialize, Serializer};

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

const GAP_SECONDS_MAX: i64 = 40 * 3_600;

/// Text that names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time zone; names of the IANA database are accepted, such as Europe/Berlin or UTC")]
pub struct NotATimeZone;

impl TimeZone {
    /// The day that it is there.
    pub(crate) fn date(self, time: Timestamp) -> NaiveDate {
        self.there(time).date_naive()
    }

    /// What clocks show there, with how far from UTC they are: `2026-11-23T03:00:00+01:00`.
    pub fn shown(self, time: Timestamp) -> String {
        self.there(time).to_rfc3339_opts(SecondsFormat::Secs, false)
    }

    /// The time as it is there.
    pub(crate) fn there(self, time: Timestamp) -> DateTime<Tz> {
        time.utc().with_timezone(&self.0)
    }

    /// When clocks there first show `wall`; where they never do, since they are put forward: when that is over.
    pub(crate) fn first_at(self, wall: NaiveDateTime) -> Timestamp {
        let time = match self.0.from_local_datetime(&wall) {
            LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => time,
            LocalResult::None => self.gap_end(wall),
        };
        Timestamp::from_unix_ms(time.timestamp_millis())
    }

    /// The first second at which clocks there are past `wall`, which they never show.
    fn gap_end(self, wall: NaiveDateTime) -> DateTime<Tz> {
        let at = |seconds: i64| {
            let utc = wall.checked_add_signed(TimeDelta::seconds(seconds));
            self.0.from_utc_datetime(&utc.unwrap_or(wall))
        };
        // Clocks are less than that from UTC, and it was never more than a day that was left out.
        let (mut before, mut past) = (-GAP_SECONDS_MAX, GAP_SECONDS_MAX);
        while past - before > 1 {
            let middle = before.midpoint(past);
            match at(middle).naive_local() < wall {
                true => before = middle,
                false => past = middle,
            }
        }
        at(past)
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

impl Serialize for TimeZone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}
