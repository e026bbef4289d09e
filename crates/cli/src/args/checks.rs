//! What was typed of `teeline scrub` and `teeline drill`: of checks that are made again and again.

use clap::Args;
use teeline::Span;

use super::{KeyArguments, PlacesArguments, size};

/// `teeline scrub`.
#[derive(Debug, Args)]
pub(crate) struct ScrubArguments {
    /// How many bytes are read at the most, such as 10GB. The copy that nobody has looked at for longest is read whatever its size
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, 1, u64::MAX))]
    pub(crate) budget: Option<u64>,
    /// Leave those alone that somebody has looked at within so long, such as 30d
    #[arg(long, value_name = "SPAN")]
    pub(crate) max_age: Option<Span>,
    /// Decode, parse and count all of them as well
    #[arg(long)]
    pub(crate) deep: bool,
    #[command(flatten)]
    pub(crate) places: PlacesArguments,
    #[command(flatten)]
    pub(crate) keys: KeyArguments,
}

/// `teeline drill`.
#[derive(Debug, Args)]
pub(crate) struct DrillArguments {
    /// The backup: its id, latest, or a day in UTC or a time (RFC 3339) for what there was then. Without, any, at random
    pub(crate) id: Option<String>,
    /// Any backup, at random, as without an id
    #[arg(long, conflicts_with = "id")]
    pub(crate) random: bool,
    /// The destination to restore from, by its name. Without, any, at random
    #[arg(long, value_name = "NAME")]
    pub(crate) from: Option<String>,
    /// Where it is restored to, in a folder or below a prefix of its own that is removed again: a folder, or the connection string of a
    /// database. Without, the temporary folder
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) scratch: Option<String>,
    #[command(flatten)]
    pub(crate) keys: KeyArguments,
    #[command(flatten)]
    pub(crate) places: PlacesArguments,
}
