//! What was typed of `teeline run` and `teeline schedule`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::EngineArguments;

/// `teeline run`.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The configuration whose schedules are meant
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) engine: EngineArguments,
}

/// `teeline schedule`.
#[derive(Debug, Args)]
pub(crate) struct ScheduleArguments {
    #[command(subcommand)]
    pub(crate) command: ScheduleCommand,
}

/// What can be done with schedules.
#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Say what comes next of each, and what its last run came to
    List {
        /// The configuration whose schedules are meant
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print the report as one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Print units and timers for systemd, which then runs them instead of teeline run
    Systemd {
        /// The configuration whose schedules are meant
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// For the services of a user instead of the system's
        #[arg(long)]
        user: bool,
        /// Print them as one JSON document
        #[arg(long)]
        json: bool,
    },
}

impl ScheduleCommand {
    /// Whether the report is to be printed as JSON.
    pub(super) fn json(&self) -> bool {
        match self {
            ScheduleCommand::List { json, .. } | ScheduleCommand::Systemd { json, .. } => *json,
        }
    }
}
