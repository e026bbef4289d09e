//! Running the command.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::Wrong;

/// A run that was killed is taken up at once: nobody else is there who could be at work on it.
pub(crate) const NO_QUIET: (&str, &str) = ("TEELINE__BACKUP__RESUME_QUIET_MS", "0");

/// The command, as it was built.
#[derive(Debug, Clone)]
pub struct TeelineCommand(PathBuf);

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; none where it was killed.
    pub code: Option<i32>,
    /// What it printed, where that is JSON.
    pub report: Value,
    /// What it said beside.
    pub stderr: String,
}

impl TeelineCommand {
    /// The command at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        TeelineCommand(path.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// It, to be run in `folder`, with nothing to read and its output kept.
    pub(crate) fn prepared(&self, folder: &Path, arguments: &[String]) -> Command {
        let mut command = Command::new(&self.0);
        command.args(arguments).current_dir(folder);
        command.env(NO_QUIET.0, NO_QUIET.1);
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end, which must be one of these codes.
    pub(crate) fn run_to(
        &self,
        folder: &Path,
        arguments: &[String],
        codes: &[i32],
    ) -> Result<Ran, Wrong> {
        let output = self.prepared(folder, arguments).output();
        let ran = Ran::of(output.map_err(|error| format!("{}: {error}", self.0.display()))?);
        match ran.code.is_some_and(|code| codes.contains(&code)) {
            true => Ok(ran),
            false => Err(format!(
                "`teeline {}` ended with {:?} and not {codes:?}: {}{}",
                arguments.join(" "),
                ran.code,
                ran.stderr,
                ran.report
            )),
        }
    }
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        Ran {
            code: output.status.code(),
            report: serde_json::from_slice(&output.stdout).unwrap_or_default(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
