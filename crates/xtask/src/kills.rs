//! `cargo xtask kills`.

use clap::Args;
use teeline_crashes::Served;
use teeline_crashes::random_kills::kill;

use crate::teeline_command::CommandArguments;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Backups to be started, and killed
    #[arg(long, default_value_t = 200)]
    rounds: u64,
    /// What decides the moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A variable with the URL of a place at a server (http://KEY:SECRET@host:port/bucket/prefix); without, one of our own is
    /// started
    #[arg(long, value_name = "NAME")]
    server_env: Option<String>,
    #[command(flatten)]
    command: CommandArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let command = arguments.command.command()?;
    let (rounds, seed) = (arguments.rounds, arguments.seed);
    let killed = match &arguments.server_env {
        Some(name) => {
            let place = std::env::var(name).map_err(|error| format!("{name}: {error}"))?;
            kill(&command, rounds, seed, Some(&place))?
        }
        None => {
            let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
            let served = Served::start(folder.path())?;
            kill(&command, rounds, seed, Some(&served.place()))?
        }
    };
    println!(
        "{} backups killed and {} ended before, and everything held",
        killed.kills, killed.ended
    );
    Ok(())
}
