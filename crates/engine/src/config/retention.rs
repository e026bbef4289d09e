//! `[retention]`, at the top and of a destination: what keeps backups, and what becomes of those that nothing keeps.

use std::ops::RangeInclusive;

use teeline_core::{BackupError, Retention, Span};

use super::reader::{Known, Table};
use crate::request::RetentionPolicy;

pub(super) const RETENTION: Known = Known {
    keys: &[
        "policy",
        "count",
        "daily",
        "weekly",
        "monthly",
        "yearly",
        "age",
        "keep_within",
        "grace",
        "dead_after",
        "withdraw_percent_max",
    ],
    hints: &[
        (
            "keep",
            "write `count = 7`, or daily, weekly, monthly and yearly",
        ),
        ("days", "write `age = \"30d\"`"),
        (
            "hourly",
            "the shortest period is `daily`; `age = \"24h\"` keeps each backup of a day",
        ),
        (
            "time_zone",
            "it stands before all sections: time_zone = \"Europe/Berlin\"",
        ),
    ],
};

const LEVELS: [&str; 4] = ["daily", "weekly", "monthly", "yearly"];
const COUNT: RangeInclusive<u64> = 0..=1_000_000;
const HOUR: Span = Span::from_ms(3_600_000);
pub(super) const LONGEST: Span = Span::from_days(36_500);

/// Which rules go together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    Simple,
    Gfs,
}

pub(super) fn retention(mut table: Table<'_>) -> Result<RetentionPolicy, BackupError> {
    let policy = table.word("policy", &["simple", "gfs"], |word| match word {
        "simple" => Some(Policy::Simple),
        "gfs" => Some(Policy::Gfs),
        _ => None,
    })?;
    check_policy(&table, policy)?;
    let mut count = |name: &str| Ok(table.integer(name, COUNT)?.unwrap_or(0));
    let rules = Retention {
        count: count("count")?,
        daily: count("daily")?,
        weekly: count("weekly")?,
        monthly: count("monthly")?,
        yearly: count("yearly")?,
        age: table.span("age", HOUR..=LONGEST)?,
        keep_within: table.span("keep_within", HOUR..=LONGEST)?,
    };
    let default = RetentionPolicy::new(rules);
    let grace = table.span("grace", Span::default()..=LONGEST)?;
    let dead_after = table.span("dead_after", HOUR..=LONGEST)?;
    let withdraw_percent_max = table.integer("withdraw_percent_max", 1..=100)?;
    Ok(RetentionPolicy {
        rules,
        grace: grace.unwrap_or(default.grace),
        dead_after: dead_after.unwrap_or(default.dead_after),
        withdraw_percent_max: withdraw_percent_max.unwrap_or(default.withdraw_percent_max),
    })
}

/// A policy is named by who expects its rules and no others. Without one, all of them go together.
fn check_policy(table: &Table<'_>, policy: Option<Policy>) -> Result<(), BackupError> {
    match policy {
        None => Ok(()),
        Some(Policy::Simple) => match LEVELS.into_iter().find(|level| table.has(level)) {
            Some(level) => {
                Err(table.error_at(level, "goes with policy = \"gfs\", not with \"simple\""))
            }
            None if table.has("count") => Ok(()),
            None => Err(table.error("has the policy \"simple\" and lacks `count`")),
        },
        Some(Policy::Gfs) if table.has("count") => {
            let message =
                "goes with policy = \"simple\", or without a policy, where each rule counts";
            Err(table.error_at("count", message))
        }
        Some(Policy::Gfs) => Ok(()),
    }
}
