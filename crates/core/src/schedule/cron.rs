//! Cron expressions, and the times that they come to where clocks are put forward and back.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDateTime;
use croner::Cron;
use croner::parser::{CronParser, Year};

use crate::time::Timestamp;
use crate::time_zone::TimeZone;

/// Longer ones aren't expressions.
const CHARACTERS_MAX: usize = 200;

/// Times as cron has them: minute, hour, day of the month, month and day of the week, with a field for the second before
/// them if there are six; or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
///
/// Where clocks are put forward, what falls into the hour that is left out runs as soon as it is over; where they are put
/// back, what falls into the hour that comes twice runs the first time only. An expression that names every hour goes by the
/// hours that there are instead: it isn't late where one is left out, and runs both times where one comes twice.
///
/// ```
/// use teeline_core::{CronExpression, TimeZone, Timestamp};
///
/// let cron: CronExpression = "30 2 * * *".parse().unwrap();
/// let next = |after: &str| {
///     let new_york: TimeZone = "America/New_York".parse().unwrap();
///     cron.next_after(after.parse().unwrap(), new_york).unwrap().to_string()
/// };
/// assert_eq!(next("2026-03-07T12:00:00.000Z"), "2026-03-08T07:00:00.000Z", "3:00, since there is no 2:30");
/// assert_eq!(next("2026-03-08T07:00:00.000Z"), "2026-03-09T06:30:00.000Z");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronExpression {
    text: String,
    pub(super) cron: Cron,
}

/// Text that is no cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotACronExpression {
    /// Too few fields, or too many.
    #[error(
        "it has {found} fields; accepted: minute, hour, day of the month, month and day of the week, with a second before them if there are six, or {}",
        NICKNAMES.join(", ")
    )]
    Fields {
        /// How many there are.
        found: usize,
    },
    /// A field that can't be.
    #[error("its {field} is {found:?}; accepted: {accepted}")]
    Field {
        /// What the field is of.
        field: &'static str,
        /// What it is.
        found: String,
        /// What it may be.
        accepted: &'static str,
    },
    /// A time that never comes.
    #[error("there is no such day in any year")]
    Never,
}

const NICKNAMES: [&str; 6] = [
    "@hourly",
    "@daily",
    "@weekly",
    "@monthly",
    "@yearly",
    "@annually",
];

/// A field of an expression.
struct Field {
    name: &'static str,
    accepted: &'static str,
    /// The words that may be in it.
    words: &'static [&'static str],
}

const fn numbers(name: &'static str, accepted: &'static str) -> Field {
    Field {
        name,
        accepted,
        words: &[],
    }
}

const FIELDS: [Field; 6] = [
    numbers("second", "0 to 59, as *, 5, 1,2, 1-5 or */10"),
    numbers("minute", "0 to 59, as *, 5, 1,2, 1-5 or */10"),
    numbers("hour", "0 to 23, as *, 5, 1,2, 1-5 or */4"),
    Field {
        name: "day of the month",
        accepted: "1 to 31, as *, 5, 1,2, 1-5 or */2; L for the last; 15W for the weekday nearest to the 15th",
        words: &["L", "W", "LW"],
    },
    Field {
        name: "month",
        accepted: "1 to 12 or JAN to DEC, as *, 5, 1,2, 1-5 or */3",
        words: &[
            "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
        ],
    },
    Field {
        name: "day of the week",
        accepted: "0 (Sunday) to 7 (Sunday again) or SUN to SAT, as *, 5, 1,2 or 1-5; 5#2 for the second Friday, 5#L for the last; \
                   with + before it, both days must fit",
        words: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "L"],
    },
];

impl CronExpression {
    /// The first time after `after` where clocks are those of `time_zone`. `None`: it never comes again.
    pub fn next_after(&self, after: Timestamp, time_zone: TimeZone) -> Option<Timestamp> {
        if self.names_every_hour() {
            let next = self
                .cron
                .find_next_occurrence(&time_zone.there(after), false);
            return next
                .ok()
                .map(|next| Timestamp::from_unix_ms(next.timestamp_millis()));
        }
        let mut wall = time_zone.there(after).naive_local();
        loop {
            wall = self.cron.find_next_occurrence(&wall, false).ok()?;
            let time = time_zone.first_at(wall);
            // What clocks show a second time has run at the first.
            if time > after {
                return Some(time);
            }
        }
    }

    fn names_every_hour(&self) -> bool {
        self.cron.pattern.hours.values().len() == 24
    }
}

impl FromStr for CronExpression {
    type Err = NotACronExpression;

    fn from_str(text: &str) -> Result<Self, NotACronExpression> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let text = fields.join(" ");
        let wrong_count = NotACronExpression::Fields {
            found: fields.len(),
        };
        if text.len() > CHARACTERS_MAX {
            return Err(wrong_count);
        }
        let is_nickname = |text: &str| {
            NICKNAMES
                .iter()
                .any(|known| known.eq_ignore_ascii_case(text))
        };
        match fields.len() {
            1 if is_nickname(&text) => {}
            5 => check_fields(&FIELDS[1..], &fields)?,
            6 => check_fields(&FIELDS, &fields)?,
            _ => return Err(wrong_count),
        }
        let cron = parser().parse(&text).map_err(|_| wrong_count)?;
        match cron.find_next_occurrence(&NaiveDateTime::default(), true) {
            Ok(_) => Ok(CronExpression { text, cron }),
            Err(_) => Err(NotACronExpression::Never),
        }
    }
}

fn parser() -> CronParser {
    CronParser::builder().year(Year::Disallowed).build()
}

/// Finds the field that is wrong, which the parser doesn't name.
fn check_fields(fields: &[Field], found: &[&str]) -> Result<(), NotACronExpression> {
    for (index, (field, text)) in fields.iter().zip(found).enumerate() {
        let mut alone = vec!["*"; fields.len()];
        alone[index] = text;
        if !has_known_words(field, text) || parser().parse(&alone.join(" ")).is_err() {
            return Err(NotACronExpression::Field {
                field: field.name,
                found: (*text).to_owned(),
                accepted: field.accepted,
            });
        }
    }
    Ok(())
}

/// The parser would take a name for its number in any field.
fn has_known_words(field: &Field, text: &str) -> bool {
    text.split(|c: char| !c.is_alphabetic())
        .filter(|word| !word.is_empty())
        .all(|word| {
            field
                .words
                .iter()
                .any(|known| known.eq_ignore_ascii_case(word))
        })
}

impl fmt::Display for CronExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
