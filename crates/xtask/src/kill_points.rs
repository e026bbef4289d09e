//! `cargo xtask kill-points` and `cargo xtask kill-requests`.

use std::time::Instant;

use clap::Args;
use teeline_crashes::kill_points::{self, Killed, available};
use teeline_crashes::{Scenario, TeelineCommand, kill_requests, scenarios};

use crate::teeline_command::CommandArguments;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Only at every so manieth system call, or request, of a kind
    #[arg(long, value_name = "N", default_value_t = 1)]
    stride: usize,
    /// Only in this scenario
    #[arg(long)]
    scenario: Option<String>,
    #[command(flatten)]
    command: CommandArguments,
}

/// Kills one scenario at every so manieth point.
type Sweep = fn(&TeelineCommand, &Scenario, (usize, usize), &mut Killed) -> Result<(), String>;

/// `cargo xtask kill-points`.
pub(crate) fn at_system_calls(arguments: &Arguments) -> Result<(), String> {
    run(arguments, &scenarios(), kill_points::sweep)
}

/// `cargo xtask kill-requests`.
pub(crate) fn at_requests(arguments: &Arguments) -> Result<(), String> {
    run(arguments, &kill_requests::scenarios(), kill_requests::sweep)
}

fn run(arguments: &Arguments, scenarios: &[Scenario], sweep: Sweep) -> Result<(), String> {
    available()?;
    let command = arguments.command.command()?;
    let began = Instant::now();
    let mut killed = Killed::new();
    for scenario in wanted(scenarios, arguments.scenario.as_deref())? {
        sweep(
            &command,
            scenario,
            (1, arguments.stride.max(1)),
            &mut killed,
        )?;
        let of_it = killed
            .iter()
            .filter(|((name, _), _)| *name == scenario.name);
        match of_it.map(|(_, points)| points).sum::<u64>() {
            0 => return Err(format!("{}: it was killed nowhere", scenario.name)),
            points => println!("{}: {points} points", scenario.name),
        }
    }
    println!(
        "killed at {} points in {} s, and everything held",
        killed.values().sum::<u64>(),
        began.elapsed().as_secs()
    );
    Ok(())
}

fn wanted<'a>(scenarios: &'a [Scenario], only: Option<&str>) -> Result<Vec<&'a Scenario>, String> {
    let is_wanted = |scenario: &&Scenario| only.is_none_or(|only| only == scenario.name);
    let wanted: Vec<&Scenario> = scenarios.iter().filter(is_wanted).collect();
    if wanted.is_empty() {
        let names: Vec<&str> = scenarios.iter().map(|scenario| scenario.name).collect();
        return Err(format!("--scenario is one of: {}", names.join(", ")));
    }
    Ok(wanted)
}
