//! What was typed of `teeline consolidate`, `teeline delete` and `teeline cleanup`: of what becomes of backups that are there.

use clap::Args;
use teeline::{Span, TimeZone};

use super::{KeyArguments, PlacesArguments};

/// `teeline consolidate`.
#[derive(Debug, Args)]
pub(crate) struct ConsolidateArguments {
    /// The incremental backup
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) places: PlacesArguments,
    #[command(flatten)]
    pub(crate) keys: KeyArguments,
    /// Seal the new backup for the secret half of this public key as well; may be repeated
    #[arg(long, value_name = "x25519:…")]
    pub(crate) recipient: Vec<String>,
}

/// `teeline delete`.
#[derive(Debug, Args)]
pub(crate) struct DeleteArguments {
    /// The backup
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) places: PlacesArguments,
    /// Delete as well what can't be restored without it
    #[arg(long)]
    pub(crate) cascade: bool,
    /// How long its files stay; 0s removes them at once. Without, as the configuration says, or a day
    #[arg(long, value_name = "SPAN")]
    pub(crate) grace: Option<Span>,
    /// A run that has published nothing is dead when nothing of it was touched for so long: 0s where you know that its
    /// process has ended. Without, as the configuration says, or a week
    #[arg(long, value_name = "SPAN")]
    pub(crate) dead_after: Option<Span>,
}

/// `teeline cleanup`.
#[derive(Debug, Args)]
pub(crate) struct CleanupArguments {
    #[command(flatten)]
    pub(crate) places: PlacesArguments,
    /// Say what would be done and which rules keep each backup, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) keep: KeepArguments,
    /// How long files stay after their backup was withdrawn; 0s removes them at once. Without, as the configuration says, or a day
    #[arg(long, value_name = "SPAN")]
    pub(crate) grace: Option<Span>,
    /// A run that has published nothing is dead when nothing of it was touched for so long. Without, as the configuration
    /// says, or a week
    #[arg(long, value_name = "SPAN")]
    pub(crate) dead_after: Option<Span>,
    /// Change nothing at a destination where more than N in a hundred of its backups would be withdrawn. Without, as the configuration
    /// says, or 100
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(crate) withdraw_percent_max: Option<u64>,
    /// Where days, weeks, months and years begin, such as Europe/Berlin. Without, as the configuration says, or UTC
    #[arg(long, value_name = "ZONE")]
    pub(crate) time_zone: Option<TimeZone>,
}

/// The rules. With any of them, those of the configuration don't count.
#[derive(Debug, Args)]
pub(crate) struct KeepArguments {
    /// Keep the newest N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keep_count: Option<u64>,
    /// Keep the last backup of each of the newest N days that have one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keep_daily: Option<u64>,
    /// The same of weeks, which begin on Mondays
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keep_weekly: Option<u64>,
    /// The same of months
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keep_monthly: Option<u64>,
    /// The same of years
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) keep_yearly: Option<u64>,
    /// Keep those that began less than this ago, such as 30d
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_age: Option<Span>,
    /// Keep those that began less than this before the newest one, such as 4w
    #[arg(long, value_name = "SPAN")]
    pub(crate) keep_within: Option<Span>,
}
