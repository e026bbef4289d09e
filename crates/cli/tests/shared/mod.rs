//! A folder to run the command in, and what came of running it.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it should be"
)]
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod documented;
pub(crate) mod killed;
pub(crate) mod running;
pub(crate) mod shop;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A folder of its own for a test, which the command runs in.
pub(crate) struct Scratch(TempDir);

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Scratch(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn flip_byte(&self, name: &str) {
        let mut bytes = self.read(name);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        self.write(name, bytes);
    }

    /// Every file below a folder, by its path.
    pub(crate) fn files(&self, name: &str) -> Vec<String> {
        let root = self.path(name);
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => found.push(
                        path.strip_prefix(&root)
                            .unwrap()
                            .to_string_lossy()
                            .into_owned(),
                    ),
                }
            }
        }
        found.sort();
        found
    }

    /// The command, in this folder, without anybody's own settings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_teeline"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("AWS_") || name.starts_with("TEELINE") || name.starts_with("CARGO")
            {
                command.env_remove(&*name);
            }
        }
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env("XDG_STATE_HOME", self.path("state"))
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end, which must be this exit code.
    #[track_caller]
    pub(crate) fn teeline(&self, code: i32, arguments: &[&str]) -> Run {
        let output = self.command(arguments).output().unwrap();
        Run::of(code, output, &format!("{arguments:?}"))
    }

    /// As `teeline`, with something on its standard input.
    #[track_caller]
    pub(crate) fn teeline_with(&self, code: i32, arguments: &[&str], input: &[u8]) -> Run {
        let mut child = self.start(arguments);
        child.stdin.take().unwrap().write_all(input).unwrap();
        Run::of(
            code,
            child.wait_with_output().unwrap(),
            &format!("{arguments:?}"),
        )
    }

    /// Starts it with pipes for all of its streams.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The ids that are listed at a destination.
    #[track_caller]
    pub(crate) fn listed(&self, at: &str) -> Vec<String> {
        let list = self.teeline(0, &["list", "--at", at, "--json"]).json();
        let ids = list["backups"].as_array().unwrap().iter();
        ids.map(|backup| backup["id"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Run {
    #[track_caller]
    pub(crate) fn of(code: i32, output: Output, what: &str) -> Self {
        let run = Run {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        assert_eq!(
            exit_code(output.status),
            code,
            "{what}\n{}\n{}",
            run.stdout,
            run.stderr
        );
        run
    }

    /// What it printed, which must be one JSON document and nothing else.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}\n{}", self.stdout))
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or(-1)
}

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Lines of which the last one is broken, and more than the smallest budget has leases for: a run that reads them fails when its
/// destination has taken something, and so has its record.
pub(crate) fn broken_at_the_end() -> String {
    let mut lines = "{\"text\":\"one of many lines that are all the same\"}\n".repeat(40_000);
    lines.push_str("{\"text\":\n");
    lines
}

/// What makes so many lines too many.
pub(crate) const SMALL_BUDGET: [&str; 4] = ["--budget-bytes", "8MiB", "--block-bytes", "4KiB"];
