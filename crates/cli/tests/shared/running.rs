//! `teeline run`, while it goes on.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command};

use super::Scratch;

/// A command that is running, and what it says.
pub(crate) struct Running {
    pub(crate) child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    pub(crate) fn start(scratch: &Scratch) -> Self {
        Self::start_with(scratch, &[])
    }

    pub(crate) fn start_with(scratch: &Scratch, more: &[&str]) -> Self {
        let mut child = scratch.start(&[&["run", "--config", "c.toml"], more].concat());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Running { child, stderr }
    }

    /// Reads on until a line has this in it; it must be among the next hundred.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, part: &str) -> String {
        self.wait_for_one_of(&[part])
    }

    /// As `wait_for`, of several.
    #[track_caller]
    pub(crate) fn wait_for_one_of(&mut self, parts: &[&str]) -> String {
        for _ in 0..100 {
            let mut line = String::new();
            let read = self.stderr.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "{parts:?} never came");
            if parts.iter().any(|part| line.contains(part)) {
                return line;
            }
        }
        panic!("{parts:?} doesn't come");
    }

    pub(crate) fn terminate(mut self) -> (Option<i32>, String) {
        let sent = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}
