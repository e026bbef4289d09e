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
    /// Print what each run came to as a JSON document on a line of its own
    #[arg(long)]
    pub(crate) json: bool,
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
    /// Do now what a schedule does, once, whatever its times
    Run {
        /// The schedule
        name: String,
        /// The configuration whose schedule is meant
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print the report as one JSON document
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        engine: EngineArguments,
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
            ScheduleCommand::List { json, .. }
            | ScheduleCommand::Run { json, .. }
            | ScheduleCommand::Systemd { json, .. } => *json,
        }
    }
}
