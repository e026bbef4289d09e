//! Which backups of a destination are kept, and why.
//!
//! - What any rule keeps stays, and so does the last one that was verified, and what a kept one can't be restored without.
//! - A calendar rule keeps the last backup of each of the newest periods that have one, by the date in a time zone; what a
//!   backup is called has no part in it.
//! - A backup that began in the future, or before there was such a thing, is left alone: no rule is about it, so it takes
//!   nobody's place.
//! - Every rule looks from a backup to newer ones only. So older ones change nothing for it, and what is left after the
//!   others are gone is kept for the same reasons.

use std::collections::{HashMap, HashSet};

use chrono::{Datelike, NaiveDate};
use serde::Serialize;

use crate::id::BackupId;
use crate::span::Span;
use crate::time::Timestamp;
use crate::time_zone::TimeZone;

/// No backup is older: 2000-01-01.
const PLAUSIBLE_FROM_MS: i64 = 946_684_800_000;

/// The rules. One that is 0 or absent keeps nothing; where all are, every backup is kept.
///
/// ```
/// use teeline_core::{Retention, Retained, TimeZone, Timestamp};
///
/// let backup = |id: &str, began: &str| Retained {
///     id: id.parse().unwrap(),
///     started_at: began.parse().unwrap(),
///     is_verified: true,
///     parent: None,
/// };
/// let monday = backup("full-2026-11-23T02-00-00-k3j9x0q2mz", "2026-11-23T02:00:00Z");
/// let tuesday = backup("full-2026-11-24T02-00-00-a1b2c3d4e5", "2026-11-24T02:00:00Z");
/// let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
///
/// let rules = Retention { daily: 1, ..Retention::default() };
/// let judged = rules.judge(&[monday, tuesday.clone()], now, TimeZone::default());
/// assert_eq!(judged[0].id, tuesday.id);
/// assert!(judged[0].is_kept() && !judged[1].is_kept());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// The newest so many.
    pub count: u64,
    /// The last backup of each of the newest so many days that have one.
    pub daily: u64,
    /// The same of weeks, which begin on Mondays.
    pub weekly: u64,
    /// The same of months.
    pub monthly: u64,
    /// The same of years.
    pub yearly: u64,
    /// Those that began less than this ago.
    pub age: Option<Span>,
    /// Those that began less than this before the newest one did: when backups stop, none of them goes.
    pub keep_within: Option<Span>,
}

/// A backup, as the rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retained {
    /// Its id.
    pub id: BackupId,
    /// When its run began.
    pub started_at: Timestamp,
    /// Whether what is stored was read back and was right.
    pub is_verified: bool,
    /// The backup that it can't be restored without.
    pub parent: Option<BackupId>,
}

/// A backup, and what keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// Its id.
    pub id: BackupId,
    /// When its run began.
    pub started_at: Timestamp,
    /// The rules that keep it; none, where it may go.
    pub kept_by: Vec<KeptBy>,
}

/// A rule that keeps a backup, and by what of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptBy {
    /// The rule.
    pub rule: Rule,
    /// The period that the backup is the last one of, its place among the newest, the length of time, or the backup that
    /// needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
}

/// What can keep a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// [`Retention::count`]
    Count,
    /// [`Retention::daily`]
    Daily,
    /// [`Retention::weekly`]
    Weekly,
    /// [`Retention::monthly`]
    Monthly,
    /// [`Retention::yearly`]
    Yearly,
    /// [`Retention::age`]
    Age,
    /// [`Retention::keep_within`]
    KeepWithin,
    /// None that was verified, and goes on from nothing that is damaged or gone, is newer.
    LastVerified,
    /// A backup that is kept can't be restored without it.
    NeededBy,
    /// It began in the future, or before the year 2000.
    ImplausibleTime,
    /// There is no rule by which a backup may go.
    NoRule,
}

impl Judged {
    /// Whether anything keeps it.
    pub fn is_kept(&self) -> bool {
        !self.kept_by.is_empty()
    }
}

impl Retention {
    /// Whether no rule is set. Nothing may go then.
    pub fn is_empty(&self) -> bool {
        let is_unset = |span: Option<Span>| span.is_none_or(|span| span.ms() == 0);
        let counts = [
            self.count,
            self.daily,
            self.weekly,
            self.monthly,
            self.yearly,
        ];
        counts == [0; 5] && is_unset(self.age) && is_unset(self.keep_within)
    }

    /// Whether rules can be about a backup that began then: not in the future, and not before the year 2000.
    pub fn is_plausible(started_at: Timestamp, now: Timestamp) -> bool {
        started_at <= now && started_at.unix_ms() >= PLAUSIBLE_FROM_MS
    }

    /// What keeps each backup, the newest first, whatever the order in which they are given.
    pub fn judge(&self, backups: &[Retained], now: Timestamp, zone: TimeZone) -> Vec<Judged> {
        let mut newest_first: Vec<&Retained> = backups.iter().collect();
        newest_first.sort_by(|a, b| (b.started_at, &b.id).cmp(&(a.started_at, &a.id)));
        let mut rules = Rules::new(self, now, zone);
        let mut judged: Vec<Judged> = newest_first
            .iter()
            .map(|backup| Judged {
                id: backup.id.clone(),
                started_at: backup.started_at,
                kept_by: rules.keep(backup),
            })
            .collect();
        keep_parents(&newest_first, &mut judged);
        judged
    }
}

/// The rules on their way from the newest backup to the oldest.
struct Rules<'a> {
    retention: &'a Retention,
    now: Timestamp,
    zone: TimeZone,
    calendar: [Periods; 4],
    count: u64,
    newest: Option<Timestamp>,
    has_verified: bool,
}

/// A calendar rule: how many periods it may still keep one of, and the last one that it has seen.
struct Periods {
    rule: Rule,
    left: u64,
    name: fn(NaiveDate) -> String,
    seen: Option<String>,
}

impl Periods {
    fn keep(&mut self, date: NaiveDate) -> Option<KeptBy> {
        let period = (self.name)(date);
        if self.left == 0 || self.seen.as_ref() == Some(&period) {
            return None;
        }
        self.left -= 1;
        self.seen = Some(period.clone());
        Some(KeptBy::of(self.rule, period))
    }
}

impl KeptBy {
    fn new(rule: Rule) -> Self {
        KeptBy { rule, of: None }
    }

    /// By a backup that couldn't be withdrawn, and can't be restored without.
    pub fn needed() -> Self {
        KeptBy::new(Rule::NeededBy)
    }

    fn of(rule: Rule, of: impl ToString) -> Self {
        KeptBy {
            rule,
            of: Some(of.to_string()),
        }
    }
}

impl<'a> Rules<'a> {
    fn new(retention: &'a Retention, now: Timestamp, zone: TimeZone) -> Self {
        let periods = |rule, left, name| Periods {
            rule,
            left,
            name,
            seen: None,
        };
        Rules {
            retention,
            now,
            zone,
            calendar: [
                periods(Rule::Daily, retention.daily, |date| date.to_string()),
                periods(Rule::Weekly, retention.weekly, week),
                periods(Rule::Monthly, retention.monthly, |date| {
                    date.format("%Y-%m").to_string()
                }),
                periods(Rule::Yearly, retention.yearly, |date| {
                    date.year().to_string()
                }),
            ],
            count: 0,
            newest: None,
            has_verified: false,
        }
    }

    fn keep(&mut self, backup: &Retained) -> Vec<KeptBy> {
        if !Retention::is_plausible(backup.started_at, self.now) {
            return vec![KeptBy::new(Rule::ImplausibleTime)];
        }
        let mut kept_by = Vec::new();
        if self.retention.is_empty() {
            kept_by.push(KeptBy::new(Rule::NoRule));
        }
        self.count += 1;
        if self.count <= self.retention.count {
            kept_by.push(KeptBy::of(Rule::Count, self.count));
        }
        let date = self.zone.date(backup.started_at);
        kept_by.extend(
            self.calendar
                .iter_mut()
                .filter_map(|periods| periods.keep(date)),
        );
        let newest = *self.newest.get_or_insert(backup.started_at);
        let spans = [
            (Rule::Age, self.retention.age, self.now),
            (Rule::KeepWithin, self.retention.keep_within, newest),
        ];
        for (rule, span, since) in spans {
            let is_young = |span: &Span| backup.started_at.until(since) < *span;
            kept_by.extend(span.filter(is_young).map(|span| KeptBy::of(rule, span)));
        }
        if backup.is_verified && !self.has_verified {
            self.has_verified = true;
            kept_by.push(KeptBy::new(Rule::LastVerified));
        }
        kept_by
    }
}

/// The week by ISO 8601, whose year isn't always that of the day.
fn week(date: NaiveDate) -> String {
    date.format("%G-W%V").to_string()
}

/// Keeps what kept backups need, and what that needs.
fn keep_parents(backups: &[&Retained], judged: &mut [Judged]) {
    let places: HashMap<&BackupId, usize> = backups
        .iter()
        .enumerate()
        .map(|(place, backup)| (&backup.id, place))
        .collect();
    let mut needing: Vec<usize> = (0..judged.len())
        .filter(|at| judged[*at].is_kept())
        .collect();
    let mut followed: HashSet<usize> = needing.iter().copied().collect();
    while let Some(child) = needing.pop() {
        let parent = backups[child].parent.as_ref();
        let Some(parent) = parent.and_then(|id| places.get(id)).copied() else {
            continue;
        };
        let needed_by = KeptBy::of(Rule::NeededBy, &backups[child].id);
        judged[parent].kept_by.push(needed_by);
        if followed.insert(parent) {
            needing.push(parent);
        }
    }
}

#[cfg(test)]
mod tests;
