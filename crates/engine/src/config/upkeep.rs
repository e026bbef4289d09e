//! What a schedule does instead of a backup, and what each of these takes.

use std::path::PathBuf;

use teeline_core::{BackupError, Span};

use super::places::no_url;
use super::reader::Table;
use super::types::UpkeepConfig;

/// What some of them take.
pub(super) const UPKEEP_KEYS: [&str; 7] = [
    "all", "deep", "last", "scratch", "budget", "max_age", "from",
];

const BUDGET_MAX: u64 = 1 << 60;
const MAX_AGE: std::ops::RangeInclusive<Span> = Span::from_ms(1_000)..=Span::from_days(36_500);
const VALIDATED_MAX: u64 = 1_000_000;
const VALIDATED_DEFAULT: u64 = 10;

/// What a schedule of that type does, if it isn't a backup.
pub(super) fn upkeep(
    table: &mut Table<'_>,
    name: &str,
) -> Result<Option<UpkeepConfig>, BackupError> {
    Ok(Some(match name {
        "cleanup" => UpkeepConfig::Cleanup,
        "verify" => UpkeepConfig::Verify {
            all: table.boolean("all")?.unwrap_or(false),
            deep: table.boolean("deep")?.unwrap_or(false),
        },
        "validate" => UpkeepConfig::Validate {
            last: last(table)?,
            scratch: scratch(table)?,
        },
        "scrub" => UpkeepConfig::Scrub {
            budget_bytes: table.size("budget", 1..=BUDGET_MAX)?,
            max_age: table.span("max_age", MAX_AGE)?,
            deep: table.boolean("deep")?.unwrap_or(false),
        },
        "repair" => UpkeepConfig::Repair,
        "drill" => UpkeepConfig::Drill {
            from: table.text_as("from", no_url)?,
            scratch: scratch(table)?,
        },
        _ => return Ok(None),
    }))
}

/// The keys that what is called so takes, beside when it is done.
pub(super) fn keys_of(name: &str) -> &'static [&'static str] {
    match name {
        "verify" => &["all", "deep"],
        "validate" => &["last", "scratch"],
        "scrub" => &["budget", "max_age", "deep"],
        "drill" => &["from", "scratch"],
        _ => &[],
    }
}

fn scratch(table: &mut Table<'_>) -> Result<Option<PathBuf>, BackupError> {
    table.text_as("scratch", |text| no_url(text).map(PathBuf::from))
}

fn last(table: &mut Table<'_>) -> Result<u64, BackupError> {
    let last = table.integer("last", 1..=VALIDATED_MAX)?;
    Ok(last.unwrap_or(VALIDATED_DEFAULT))
}
