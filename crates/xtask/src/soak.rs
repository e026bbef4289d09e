//! `cargo xtask soak`.

use std::time::{Duration, Instant};

use clap::Args;
use teeline_crashes::soak::{Options, soak};

use crate::teeline_command::CommandArguments;

#[derive(Args)]
pub(crate) struct Arguments {
    /// For so long
    #[arg(long, value_name = "N", default_value_t = 10)]
    minutes: u64,
    /// What decides what is done
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// An empty place at an S3 server, as a destination is typed: http://KEY:SECRET@HOST:PORT/BUCKET/PREFIX. Without, one over a folder
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    #[command(flatten)]
    command: CommandArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let command = arguments.command.command()?;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let options = Options {
        time: Duration::from_secs(arguments.minutes * 60),
        seed: arguments.seed,
        server: arguments.server.clone(),
    };
    let began = Instant::now();
    let soaked = soak(&command, folder.path(), &options)
        .map_err(|wrong| format!("seed {}: {wrong}", arguments.seed))?;
    for (name, count) in &soaked.steps {
        println!("{count:>7}  {name}");
    }
    let steps: u64 = soaked.steps.values().sum();
    println!(
        "{steps} steps in {} s, {} commands killed",
        began.elapsed().as_secs(),
        soaked.kills
    );
    println!("{} copies restored alone, byte for byte", soaked.restored);
    println!("the process of the engine, medians of each sixth of the steps:");
    for usage in &soaked.usage {
        println!("         {usage}");
    }
    println!("nothing lost, and nothing left that is no backup's");
    Ok(())
}
