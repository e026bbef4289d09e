//! The long forms of what the tests run in short, each with the figures that docs/reliability.md quotes: `cargo xtask --help`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command for people"
)]

mod bitflips;
mod disk_full;
mod kill_points;
mod kills;
mod model;
mod nth_fault;
mod power_cuts;
mod races;
mod restore_faults;
mod simulate;
mod soak;
mod teeline_command;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The long forms of the tests.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Disks that are too small for a backup, at each size: nothing is half there
    DiskFull(disk_full::Arguments),
    /// Every interleaving of runs, cleanups, repairs and restores, over the rules that decide in them
    Model(model::Arguments),
    /// Writers that claim the same id at once: one wins each race
    Races(races::Arguments),
    /// The real command, killed at each of its system calls (needs strace)
    KillPoints(kill_points::Arguments),
    /// The real command, killed at each of its requests to an S3 server, before and after it takes effect (needs strace)
    KillRequests(kill_points::Arguments),
    /// The real command, killed at random moments, with folders and an S3 server
    Kills(kills::Arguments),
    /// Filesystems that are cut off in mid-write (needs root, mkfs and xfs_io)
    PowerCuts(power_cuts::Arguments),
    /// Every bit of a backup flipped, plain and sealed: each is found and named
    Bitflips(bitflips::Arguments),
    /// The first call of each kind that fails, the second, and so on: nothing is lost
    NthFault(nth_fault::Arguments),
    /// A restore to a folder of which one system call fails, with each error: all of it is there, or nothing (needs strace)
    RestoreFaults(restore_faults::Arguments),
    /// Lives of backups in which anything may go wrong, by seeds: no promise is broken
    Simulate(simulate::Arguments),
    /// Weeks of use in minutes, in any way, with kills and damage: nothing is lost, and nothing leaks
    Soak(soak::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::DiskFull(arguments) => disk_full::run(&arguments),
        Command::Model(arguments) => model::run(&arguments),
        Command::Races(arguments) => races::run(&arguments),
        Command::KillPoints(arguments) => kill_points::at_system_calls(&arguments),
        Command::KillRequests(arguments) => kill_points::at_requests(&arguments),
        Command::Kills(arguments) => kills::run(&arguments),
        Command::PowerCuts(arguments) => power_cuts::run(&arguments),
        Command::Bitflips(arguments) => bitflips::run(&arguments),
        Command::NthFault(arguments) => nth_fault::run(&arguments),
        Command::RestoreFaults(arguments) => restore_faults::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Soak(arguments) => soak::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::FAILURE
        }
    }
}
