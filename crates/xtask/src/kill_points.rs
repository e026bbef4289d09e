//! `cargo xtask kill-points`.

use std::time::Instant;

use clap::Args;
use teeline_crashes::kill_points::{Killed, available, sweep};
use teeline_crashes::scenarios;

use crate::teeline_command::CommandArguments;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Only at every so manieth system call of a kind
    #[arg(long, value_name = "N", default_value_t = 1)]
    stride: usize,
    /// Only in this scenario
    #[arg(long)]
    scenario: Option<String>,
    #[command(flatten)]
    command: CommandArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    available()?;
    let command = arguments.command.command()?;
    let began = Instant::now();
    let wanted = |name: &str| arguments.scenario.as_ref().is_none_or(|only| only == name);
    let mut killed = Killed::new();
    for scenario in scenarios().iter().filter(|scenario| wanted(scenario.name)) {
        sweep(
            &command,
            scenario,
            (1, arguments.stride.max(1)),
            &mut killed,
        )?;
        let points = killed
            .iter()
            .filter(|((name, _), _)| *name == scenario.name);
        println!(
            "{}: {} points",
            scenario.name,
            points.map(|(_, points)| points).sum::<u64>()
        );
    }
    println!(
        "killed at {} points in {} s, and everything held",
        killed.values().sum::<u64>(),
        began.elapsed().as_secs()
    );
    Ok(())
}
