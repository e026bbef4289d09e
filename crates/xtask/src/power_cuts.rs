//! `cargo xtask power-cuts`.

use clap::Args;
use teeline_crashes::power_cuts::{available, cut};

use crate::teeline_command::CommandArguments;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Cuts of each filesystem
    #[arg(long, default_value_t = 100)]
    rounds: u64,
    /// What decides the moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Which filesystems
    #[arg(long, value_delimiter = ',', default_value = "ext4,xfs")]
    filesystems: Vec<String>,
    #[command(flatten)]
    command: CommandArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let command = arguments.command.command()?;
    for kind in &arguments.filesystems {
        available(kind)?;
        let cut = cut(&command, kind, arguments.rounds, arguments.seed)?;
        println!(
            "{kind}: cut off {} times in a backup and {} times after it had ended, and everything held",
            cut.during, cut.after
        );
    }
    Ok(())
}
