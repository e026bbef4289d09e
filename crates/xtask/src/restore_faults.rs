//! `cargo xtask restore-faults`.

use std::time::Instant;

use clap::Args;
use teeline_crashes::kill_points::available;
use teeline_crashes::restore_faults::sweep;

use crate::teeline_command::CommandArguments;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Only every so manieth system call of a kind
    #[arg(long, value_name = "N", default_value_t = 1)]
    stride: usize,
    #[command(flatten)]
    command: CommandArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    available()?;
    let command = arguments.command.command()?;
    let began = Instant::now();
    let failed = sweep(&command, (1, arguments.stride.max(1)))?;
    println!(
        "{} runs with a call that failed in {} s, of which {} restored all the same; everything held ({} besides failed to wake a thread)",
        failed.runs,
        began.elapsed().as_secs(),
        failed.restored,
        failed.asleep
    );
    Ok(())
}
