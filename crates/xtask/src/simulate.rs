//! `cargo xtask simulate`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Instant;

use clap::Args;
use teeline_simulation::Tally;
use teeline_simulation::simulate::simulate;

/// How often it is said how far it is.
const PROGRESS_EVERY: u64 = 10_000;

#[derive(Args)]
pub(crate) struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 1_000, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    from: u64,
    /// This one only, with all that happens in it
    #[arg(long)]
    seed: Option<u64>,
    /// Go on after a failure, and list all seeds that failed at the end
    #[arg(long)]
    keep_going: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let (from, seeds) = match arguments.seed {
        Some(seed) => (seed, 1),
        None => (arguments.from, arguments.seeds),
    };
    let began = Instant::now();
    let mut tally = Tally::default();
    let mut failed = Vec::new();
    for seed in from..from.saturating_add(seeds) {
        match simulate(seed, arguments.seed.is_some()) {
            Ok(simulated) => tally.add(simulated.tally),
            Err(broken) => {
                for line in &broken.trace {
                    println!("{line}");
                }
                println!("seed {seed}: {}", broken.promise);
                println!("again: cargo xtask simulate --seed {seed}");
                failed.push(seed);
                if !arguments.keep_going {
                    break;
                }
            }
        }
        let done = seed - from + 1;
        if done.is_multiple_of(PROGRESS_EVERY) {
            eprintln!("{done} of {seeds}, {:.0} s", began.elapsed().as_secs_f64());
        }
    }
    print(&tally);
    let seconds = began.elapsed().as_secs_f64();
    match &failed[..] {
        [] => {
            println!(
                "{seeds} schedules, {:.0} a second, no promise broken",
                seeds as f64 / seconds
            );
            Ok(())
        }
        failed => Err(format!("{} schedules failed: {failed:?}", failed.len())),
    }
}

fn print(tally: &Tally) {
    println!("{} calls of stores", tally.calls);
    println!("{} copies restored alone, byte for byte", tally.restored);
    print_counts("faults", &tally.faults);
    print_counts("crash points", &tally.crash_points);
    print_counts("operations", &tally.operations);
}

fn print_counts<T: Display>(what: &str, counts: &BTreeMap<T, u64>) {
    let all: u64 = counts.values().sum();
    println!("{all} {what}, of {} kinds:", counts.len());
    for (name, count) in counts {
        println!("  {count:>9}  {name}");
    }
}
