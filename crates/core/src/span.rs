//! Lengths of time as people write them: `36h`, `7d`, `2w`.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A length of time, in milliseconds; a day is always 24 hours. Written as digits and a unit: `s`, `min`, `h`, `d` or `w`.
///
/// ```
/// use teeline_core::Span;
///
/// assert_eq!("36h".parse::<Span>().unwrap().ms(), 36 * 3_600_000);
/// assert_eq!("14d".parse::<Span>().unwrap().to_string(), "2w");
/// assert!("3 months".parse::<Span>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(u64);

/// Text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a length of time; accepted: {}", Span::FORM)]
pub struct NotASpan;

const UNITS: [(&str, u64); 5] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("min", 60_000),
    ("s", 1_000),
];

impl Span {
    /// How one is written.
    pub const FORM: &'static str = "digits and a unit, as 30min, 36h, 7d or 2w (s, min, h, d, w)";

    /// So many milliseconds.
    pub const fn from_ms(ms: u64) -> Self {
        Span(ms)
    }

    /// So many days of 24 hours.
    pub const fn from_days(days: u64) -> Self {
        Span(days.saturating_mul(86_400_000))
    }

    /// Milliseconds.
    pub const fn ms(self) -> u64 {
        self.0
    }
}

impl FromStr for Span {
    type Err = NotASpan;

    fn from_str(text: &str) -> Result<Self, NotASpan> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let (_, ms) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or(NotASpan)?;
        let number: u64 = number.parse().map_err(|_| NotASpan)?;
        number.checked_mul(*ms).map(Span).ok_or(NotASpan)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fitting = UNITS
            .iter()
            .find(|(_, ms)| self.0 > 0 && self.0.is_multiple_of(*ms));
        match fitting {
            Some((unit, ms)) => write!(f, "{}{unit}", self.0 / ms),
            None => write!(f, "{}s", self.0 / 1_000),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_they_are_shown() {
        for (text, ms) in [
            ("0s", 0),
            ("90s", 90_000),
            ("90min", 5_400_000),
            ("25h", 90_000_000),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.ms(), span.to_string().as_str()), (ms, text));
        }
        assert_eq!(Span::from_days(7).to_string(), "1w");
        for text in [
            "",
            "7",
            "d",
            "7m",
            "7 d",
            "-1d",
            "1.5h",
            "7D",
            "99999999999999999w",
        ] {
            assert_eq!(text.parse::<Span>(), Err(NotASpan), "{text}");
        }
    }
}
