//! Points in time, passed in by whoever has a clock.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
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

/// Text that is neither a day nor a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "neither a day nor a time: {0:?}; a day in UTC is expected, such as 2026-11-23, or RFC 3339, such as 2026-11-23T02:00:00Z"
)]
pub struct NotADayOrTime(String);

const MS_MAX: i64 = 253_402_300_799_999;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const INVERTED_DIGITS: usize = 15;
const FOR_ID: &str = "%Y-%m-%dT%H-%M-%S";

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
        format!("{:0INVERTED_DIGITS$}", MS_MAX - self.unix_ms())
    }

    /// The time that [`Timestamp::inverted`] gave this text for; more than that gives for any is the earliest time.
    pub fn from_inverted(text: &str) -> Option<Self> {
        let fits = text.len() == INVERTED_DIGITS && text.bytes().all(|b| b.is_ascii_digit());
        let left: i64 = text.parse().ok().filter(|_| fits)?;
        Some(Timestamp::from_unix_ms(MS_MAX - left))
    }

    /// How long it is until `later`; nothing, where that is earlier.
    pub fn until(self, later: Timestamp) -> Span {
        Span::from_ms(u64::try_from(later.unix_ms() - self.unix_ms()).unwrap_or(0))
    }

    /// The time of a header of HTTP: `Mon, 23 Nov 2026 02:00:00 GMT`.
    pub fn from_http_date(text: &str) -> Option<Self> {
        let time = DateTime::parse_from_rfc2822(text.trim()).ok()?;
        Some(Timestamp::from_unix_ms(time.timestamp_millis()))
    }

    pub(crate) fn utc(self) -> DateTime<Utc> {
        self.0
    }

    /// As it stands in ids: `2026-11-23T02-00-00`.
    pub fn for_id(self) -> String {
        self.0.format(FOR_ID).to_string()
    }

    /// The second that [`Timestamp::for_id`] gave this text for.
    pub fn from_id(text: &str) -> Option<Self> {
        let time = NaiveDateTime::parse_from_str(text, FOR_ID).ok()?;
        Some(Timestamp::from_unix_ms(time.and_utc().timestamp_millis()))
    }

    /// The first moment of a day in UTC, such as `2026-11-23`; a time is itself.
    ///
    /// # Errors
    /// For text that is neither.
    pub fn first_of(text: &str) -> Result<Self, NotADayOrTime> {
        match text.parse::<NaiveDate>() {
            Ok(day) => Ok(Self::midnight(day)),
            Err(_) => text.parse().map_err(|_| NotADayOrTime(text.to_owned())),
        }
    }

    /// The last moment of a day in UTC, such as `2026-11-23`; a time is itself.
    ///
    /// # Errors
    /// For text that is neither.
    pub fn last_of(text: &str) -> Result<Self, NotADayOrTime> {
        match text.parse::<NaiveDate>() {
            Ok(day) => Ok(Self::from_unix_ms(
                Self::midnight(day).unix_ms() + DAY_MS - 1,
            )),
            Err(_) => text.parse().map_err(|_| NotADayOrTime(text.to_owned())),
        }
    }

    fn midnight(day: NaiveDate) -> Self {
        let midnight = day.and_time(chrono::NaiveTime::MIN).and_utc();
        Timestamp::from_unix_ms(midnight.timestamp_millis())
    }

    /// `2026-11-23`.
    pub fn date(self) -> String {
        self.0.format("%Y-%m-%d").to_string()
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_time_is_written_as_is_read_again() {
        for ms in [0, 1, 1_795_399_200_123, MS_MAX] {
            let time = Timestamp::from_unix_ms(ms);
            assert_eq!(Timestamp::from_inverted(&time.inverted()), Some(time));
            let second = Timestamp::from_unix_ms(ms - ms % 1_000);
            assert_eq!(Timestamp::from_id(&time.for_id()), Some(second));
        }
        for text in ["", "1", "-00000000000001", "2534023007999990"] {
            assert_eq!(Timestamp::from_inverted(text), None, "{text}");
        }
        for text in ["", "2026-13-01T00-00-00", "2026-11-23T02-00-00Z"] {
            assert_eq!(Timestamp::from_id(text), None, "{text}");
        }
    }

    #[test]
    fn a_day_is_all_of_it_and_a_time_itself() {
        let both = |text| (Timestamp::first_of(text), Timestamp::last_of(text));
        let time = |text: &str| Ok(text.parse::<Timestamp>().unwrap());
        assert_eq!(
            both("2024-12-31"),
            (
                time("2024-12-31T00:00:00.000Z"),
                time("2024-12-31T23:59:59.999Z")
            )
        );
        let noon = "2024-12-31T12:00:00+02:00";
        assert_eq!(both(noon), (time(noon), time(noon)));
        for text in ["", "2024", "2024-02-30", "yesterday", "2024-12-31T12:00"] {
            assert!(both(text).0.is_err() && both(text).1.is_err(), "{text}");
        }
    }
}
