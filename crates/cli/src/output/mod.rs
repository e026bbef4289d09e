//! What is printed: results on standard output, everything else on standard error.
//!
//! Results are text for people, or exactly one JSON document. A reader that goes away (`teeline list | head -1`) ends the
//! command quietly; that is decided here and nowhere else.

mod human;
mod json;
mod next;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{MultiProgress, ProgressDrawTarget};
use teeline::{BackupError, ErrorReport, Operation, exit, exit_code_of, masked, printable};

pub(crate) use self::human::{Made, Problem, Shown, bytes, counted, ended, grouped, remarks};
pub(crate) use self::json::{Checked, CheckedDestination, CheckedSchedule, CheckedTarget};
pub(crate) use self::next::Next;
use crate::logging::Logging;

/// Where the command prints.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    json: bool,
    /// What the command tries.
    operation: Operation,
    /// Whether standard output is taken by restored data.
    data_on_stdout: bool,
    stdout: Stdout,
    /// Standard error.
    pub(crate) stderr: Stderr,
    /// How much is logged there.
    pub(crate) logging: Logging,
}

impl Output {
    /// To the process's own streams.
    pub(crate) fn new(json: bool, operation: Operation) -> Self {
        Output {
            json,
            operation,
            data_on_stdout: false,
            stdout: Stdout::default(),
            stderr: Stderr::new(),
            logging: Logging::default(),
        }
    }

    /// Whether results are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Leaves standard output to restored data: reports go to standard error from now on.
    pub(crate) fn data_to_stdout(&mut self) -> Stdout {
        self.data_on_stdout = true;
        self.stdout.clone()
    }

    /// Prints a report, and returns the exit code that it asks for.
    pub(crate) fn report(&self, report: &impl Shown) -> u8 {
        let code = report.exit_code();
        if self.data_on_stdout && self.stdout.state() == Written::Unwanted {
            // Whoever wanted the data has enough of it, which isn't worth a report.
            return code;
        }
        if self.json {
            self.result(&json::document(report));
            return code;
        }
        let mut problems = Vec::new();
        report.problems(&mut problems);
        for problem in &problems {
            self.stderr.problem(problem);
        }
        self.result(&printable::lines(&report.text()));
        code
    }

    /// Prints one of several results, as a JSON document on a line.
    pub(crate) fn json_line(&self, value: &impl serde::Serialize) {
        self.result(&json::line(value));
    }

    /// Prints why there is no report, and returns the exit code.
    pub(crate) fn failed(&self, error: &BackupError) -> u8 {
        let error = ErrorReport::from(error);
        match self.json {
            true => self.result(&json::document(&json::Failure::new(self.operation, &error))),
            false => self.stderr.problem(&human::Problem::plain(&error)),
        }
        exit_code_of(&error)
    }

    /// Prints what the parser of arguments says, which is help and versions too, and returns the exit code.
    pub(crate) fn refused(&self, error: &clap::Error) -> u8 {
        match (error.use_stderr(), self.json) {
            (false, _) => {
                self.result(&error.render().to_string());
                exit::DONE
            }
            (true, true) => self.failed(&json::refusal(error)),
            (true, false) => {
                self.stderr
                    .line(&masked(error.render().to_string().trim_end()));
                exit::USAGE
            }
        }
    }

    /// The exit code of the process, for one that everything else asks for.
    pub(crate) fn end(&self, code: u8) -> u8 {
        match self.stdout.state() {
            Written::Whole => code,
            Written::Unwanted => exit::FAILED,
            Written::Failed => {
                self.stderr.line("error: standard output can't be written");
                exit::FAILED
            }
        }
    }

    fn result(&self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.data_on_stdout {
            true => self.stderr.line(text.trim_end()),
            false => self.stderr.above_progress(|| {
                // What became of it is kept, for `end`.
                let _ = self.stdout.clone().write_all(text.as_bytes());
            }),
        }
    }
}

/// Standard output, which remembers whether everything got there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stdout {
    unwanted: Arc<AtomicBool>,
    failed: Arc<AtomicBool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Whole,
    /// The reader has gone.
    Unwanted,
    Failed,
}

impl Stdout {
    fn state(&self) -> Written {
        match (
            self.unwanted.load(Ordering::Acquire),
            self.failed.load(Ordering::Acquire),
        ) {
            (true, _) => Written::Unwanted,
            (false, true) => Written::Failed,
            (false, false) => Written::Whole,
        }
    }

    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            let which = if error.kind() == io::ErrorKind::BrokenPipe {
                &self.unwanted
            } else {
                &self.failed
            };
            which.store(true, Ordering::Release);
        }
        result
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stdout = io::stdout().lock();
        self.note(stdout.write_all(bytes).and_then(|()| stdout.flush()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.note(io::stdout().lock().flush())
    }
}

/// Standard error, shared with the progress display, which makes room for lines.
#[derive(Debug, Clone)]
pub(crate) struct Stderr {
    display: MultiProgress,
    is_terminal: bool,
}

impl Stderr {
    fn new() -> Self {
        let is_terminal = io::stderr().is_terminal();
        let target = if is_terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Stderr {
            display: MultiProgress::with_draw_target(target),
            is_terminal,
        }
    }

    /// Whether a person watches.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Where progress is drawn.
    pub(crate) fn display(&self) -> &MultiProgress {
        &self.display
    }

    /// Prints a line, or several.
    pub(crate) fn line(&self, text: &str) {
        self.above_progress(|| {
            // There is nowhere left to say that this failed.
            let _ = io::stderr()
                .lock()
                .write_all(format!("{text}\n").as_bytes());
        });
    }

    /// Prints a warning with what to do about it.
    pub(crate) fn warn(&self, message: &str, help: &str) {
        self.line(&format!("warning: {message}\n  help: {help}"));
    }

    /// Prints something that went wrong.
    pub(crate) fn problem(&self, problem: &human::Problem) {
        self.line(&problem.to_string());
    }

    fn above_progress(&self, print: impl FnOnce()) {
        match self.is_terminal {
            true => self.display.suspend(print),
            false => print(),
        }
    }
}

/// Where log lines go.
impl tracing_subscriber::fmt::MakeWriter<'_> for Stderr {
    type Writer = LogLine;

    fn make_writer(&self) -> LogLine {
        LogLine {
            stderr: self.clone(),
            text: Vec::new(),
        }
    }
}

/// A log line that is being formatted; printed whole.
#[derive(Debug)]
pub(crate) struct LogLine {
    stderr: Stderr,
    text: Vec<u8>,
}

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.text);
        if !text.is_empty() {
            // What other crates log passes through nobody's error. One event is one line, whatever the names in it; its other
            // control characters are escaped when it is formatted.
            let line = masked(text.trim_end()).replace('\n', "\\n");
            self.stderr.line(&line);
        }
    }
}
