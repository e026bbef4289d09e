//! `cargo xtask races`.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use teeline_simulation::races::race;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Races over each kind of store
    #[arg(long, default_value_t = 5_000)]
    rounds: u64,
    /// What decides how many writers a race has
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A folder for the races over files, which is made where it isn't there
    #[arg(long, default_value = "target/races")]
    folder: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let began = Instant::now();
    let raced = race(arguments.rounds, arguments.seed, &arguments.folder)?;
    for (kind, races) in &raced.races {
        println!("{races} races over {kind}, one winner each");
    }
    println!(
        "{} writers in {:.1} s",
        raced.writers,
        began.elapsed().as_secs_f64()
    );
    Ok(())
}
