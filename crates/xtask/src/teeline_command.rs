//! The command that is to be tried.

use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use teeline_crashes::TeelineCommand;

#[derive(Args)]
pub(crate) struct CommandArguments {
    /// The command; without, it is built, as tests have it
    #[arg(long, value_name = "FILE")]
    teeline: Option<PathBuf>,
}

impl CommandArguments {
    pub(crate) fn command(&self) -> Result<TeelineCommand, String> {
        if let Some(path) = &self.teeline {
            let path = path.canonicalize();
            return path
                .map(TeelineCommand::new)
                .map_err(|error| format!("--teeline: {error}"));
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--package", "teeline-cli"])
            .status();
        if !built.is_ok_and(|status| status.success()) {
            return Err("the command can't be built".to_owned());
        }
        // It stands beside this one.
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        Ok(TeelineCommand::new(this.with_file_name("teeline")))
    }
}
