//! When schedules run: pure rules over cron expressions, a time zone and the times that are passed in.
//!
//! What was missed is caught up once, however much was missed: a schedule is due from its first time after it last ran, and
//! then again from the first time after that. So no state is needed but when each last ran.

mod calendar_event;
mod cron;
#[cfg(test)]
mod tests;

pub use self::calendar_event::NoCalendarEvent;
pub use self::cron::{CronExpression, NotACronExpression};
use crate::random::Random;
use crate::span::Span;
use crate::time::Timestamp;
use crate::time_zone::TimeZone;

/// When something runs, again and again.
///
/// ```
/// use teeline_core::{Span, Timestamp, Timing};
///
/// let timing = Timing {
///     cron: "0 2 * * *".parse().unwrap(),
///     time_zone: "Europe/Berlin".parse().unwrap(),
///     jitter: Span::default(),
/// };
/// let noon: Timestamp = "2026-11-23T12:00:00.000Z".parse().unwrap();
/// assert_eq!(timing.next_after(noon).unwrap().to_string(), "2026-11-24T01:00:00.000Z");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// The times.
    pub cron: CronExpression,
    /// Where clocks show them.
    pub time_zone: TimeZone,
    /// How much later than such a time it may begin, so that many don't begin at once; always before the next such time.
    pub jitter: Span,
}

impl Timing {
    /// The first time after `after`, without jitter. `None`: it never comes again.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.cron.next_after(after, self.time_zone)
    }

    /// The times after `after`, without jitter.
    pub fn times_after(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        std::iter::successors(self.next_after(after), |time| self.next_after(*time))
    }

    /// When that begins which is scheduled for the first time after `after`. The jitter in it follows from `seed` and that time.
    pub fn begins_after(&self, after: Timestamp, seed: u64) -> Option<Timestamp> {
        let time = self.next_after(after)?;
        if self.jitter == Span::default() {
            return Some(time);
        }
        let mut end_ms = self.jitter.ms().saturating_add(1);
        if let Some(next) = self.next_after(time) {
            end_ms = end_ms.min(time.until(next).ms());
        }
        let random = Random::new(seed ^ time.unix_ms().cast_unsigned());
        let later_ms = i64::try_from(random.below(end_ms)).unwrap_or(i64::MAX);
        Some(Timestamp::from_unix_ms(
            time.unix_ms().saturating_add(later_ms),
        ))
    }
}

/// A schedule among others, as far as what comes next depends on it.
#[derive(Debug, Clone)]
pub struct Awaited<'a> {
    /// When it runs.
    pub timing: &'a Timing,
    /// When it last ran; or where that isn't known, or it never did, from when on it counts.
    pub since: Timestamp,
    /// Whether that run was interrupted, so that it is due again.
    pub interrupted: bool,
    /// What its jitter follows from.
    pub seed: u64,
}

/// What is to run now, and what comes next. Schedules are named by their places in the list that it was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agenda {
    /// What is due, in the order in which it is to run: in turn, the one first that has waited longest.
    pub due: Vec<usize>,
    /// What comes next of the others, and when.
    pub next: Option<(usize, Timestamp)>,
}

impl Agenda {
    /// The agenda at `now`.
    pub fn at(now: Timestamp, awaited: &[Awaited<'_>]) -> Agenda {
        let begins = awaited.iter().enumerate().filter_map(|(index, awaited)| {
            // A run that is dated in the future would put off all others until then.
            let since = awaited.since.min(now);
            let begins = match awaited.interrupted {
                true => since,
                false => awaited.timing.begins_after(since, awaited.seed)?,
            };
            Some((begins, index))
        });
        let mut begins: Vec<(Timestamp, usize)> = begins.collect();
        begins.sort_unstable();
        let due = begins.partition_point(|(begins, _)| *begins <= now);
        Agenda {
            next: begins.get(due).map(|(begins, index)| (*index, *begins)),
            due: begins[..due].iter().map(|(_, index)| *index).collect(),
        }
    }
}
