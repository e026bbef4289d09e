//! A command as a hook: the event as JSON on its standard input, its exit code as the answer.

use std::process::Stdio;

use async_trait::async_trait;
use teeline_core::{BackupError, Class};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::{Hook, RunEvent};

/// What is kept of what a command says on standard error.
const SAID_BYTES_MAX: usize = 4 << 10;

/// A command, which is no shell's: the first word is the program, the others are its arguments as they are. Beside the event
/// on standard input it finds `TEELINE_EVENT` and `TEELINE_BACKUP_ID` in its environment.
#[derive(Debug)]
pub struct CommandHook {
    words: Vec<String>,
}

impl CommandHook {
    /// A hook of these words.
    ///
    /// # Errors
    /// Of class [`Usage`](Class::Usage), where there is none.
    pub fn new(words: Vec<String>) -> Result<Self, BackupError> {
        match words.first() {
            Some(program) if !program.is_empty() => Ok(CommandHook { words }),
            _ => Err(BackupError::usage("command", "it has no program")),
        }
    }

    fn failed(&self, message: impl std::fmt::Display) -> BackupError {
        BackupError::new(Class::Permanent, "run", &self.words[0], message)
    }

    fn spawn(&self, event: &RunEvent) -> Result<Child, BackupError> {
        let id = event.id.as_ref().map(ToString::to_string);
        let mut command = Command::new(&self.words[0]);
        command
            .args(&self.words[1..])
            .env("TEELINE_EVENT", event.name)
            .env("TEELINE_BACKUP_ID", id.unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // What it starts goes with it.
        #[cfg(unix)]
        command.process_group(0);
        command.spawn().map_err(|error| self.failed(error))
    }
}

/// Ends a command that isn't waited for any more, and what it has started.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(pid) = self
            .0
            .and_then(|pid| rustix::process::Pid::from_raw(i32::try_from(pid).ok()?))
        {
            // It may have ended by itself.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

#[async_trait]
impl Hook for CommandHook {
    fn may_stop(&self) -> bool {
        true
    }

    async fn call(&self, event: &RunEvent) -> Result<(), BackupError> {
        let json = serde_json::to_vec(event).map_err(|error| self.failed(error))?;
        let mut child = self.spawn(event)?;
        let mut group = Group(child.id());
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let tell = async {
            if let Some(mut stdin) = stdin {
                // One that doesn't read what it is told may close its input.
                let _ = stdin.write_all(&json).await;
            }
        };
        let listen = async {
            let mut said = Vec::new();
            if let Some(mut stderr) = stderr {
                let mut buffer = [0; 1024];
                while let Ok(bytes @ 1..) = stderr.read(&mut buffer).await {
                    let room = SAID_BYTES_MAX - said.len();
                    said.extend_from_slice(&buffer[..bytes.min(room)]);
                }
            }
            said
        };
        let ((), said, status) = tokio::join!(tell, listen, child.wait());
        let status = status.map_err(|error| self.failed(error))?;
        group.0 = None;
        match status.success() {
            true => Ok(()),
            false => {
                let said = String::from_utf8_lossy(&said);
                Err(self.failed(format!("{status}: {}", said.trim())))
            }
        }
    }
}
