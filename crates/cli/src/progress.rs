//! What a person sees while a run goes on: a display on a terminal, a line now and then elsewhere.
//!
//! The engine's thread only notes what happened; a thread of this module shows it, so a slow terminal never holds a
//! backup up.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use teeline::printable::one_line;
use teeline::{DestinationId, DestinationState, Narrator, Observer, ProgressEvent};

use crate::output::{Output, Stderr, bytes, grouped};

/// How often a display is brought up to date.
const INTERVAL: Duration = Duration::from_millis(100);

/// A display of a run. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Progress {
    seen: Arc<Mutex<Seen>>,
    /// Dropped to end the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What has happened so far.
#[derive(Debug, Default)]
struct Seen {
    /// What is being done, or the resource that is being read.
    doing: String,
    records: u64,
    plain_bytes: u64,
    stored_bytes: u64,
    destinations: BTreeMap<DestinationId, Destination>,
    narrator: Narrator,
    /// Lines that weren't printed yet. There is one for each resource and change of state.
    lines: Vec<String>,
}

#[derive(Debug)]
struct Destination {
    name: String,
    state: DestinationState,
    bytes: u64,
    lag_bytes: u64,
}

impl Progress {
    /// Shows what is being done until it is dropped.
    pub(crate) fn start(output: &Output, doing: &str) -> Self {
        let seen = Arc::new(Mutex::new(Seen {
            doing: doing.to_owned(),
            ..Seen::default()
        }));
        let shown: Option<Box<dyn Show>> = match (output.stderr.is_terminal(), output.is_json()) {
            (true, _) => Some(Box::new(Bars::new(output.stderr.clone()))),
            // Whoever reads JSON doesn't read along.
            (false, true) => None,
            (false, false) => Some(Box::new(Lines(output.stderr.clone()))),
        };
        let (stop, stopped) = mpsc::channel();
        let thread = shown.and_then(|mut shown| {
            let seen = Arc::clone(&seen);
            let show = move || {
                let go_on = |stopped: &mpsc::Receiver<()>| {
                    stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout)
                };
                while go_on(&stopped) {
                    shown.show(&mut lock(&seen));
                }
                shown.show(&mut lock(&seen));
                shown.end();
            };
            // Without a thread there is no display, which the run doesn't need.
            std::thread::Builder::new()
                .name("teeline-progress".to_owned())
                .spawn(show)
                .ok()
        });
        Progress {
            seen,
            stop: Some(stop),
            thread,
        }
    }

    /// Says what is being done now.
    pub(crate) fn doing(&self, what: String) {
        let mut seen = lock(&self.seen);
        seen.lines.push(what.clone());
        seen.doing = what;
    }

    /// What the engine tells.
    pub(crate) fn observer(&self) -> Observer {
        let seen = Arc::clone(&self.seen);
        Arc::new(move |event| lock(&seen).note(event))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If it panicked, that has been printed, and the result is still to come.
            let _ = thread.join();
        }
    }
}

/// The state is plain numbers, right also after a panic elsewhere.
fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seen {
    fn note(&mut self, event: ProgressEvent) {
        self.lines.extend(self.narrator.line(&event));
        match event {
            ProgressEvent::PassStarted { destinations, .. } => {
                for (destination, name) in destinations {
                    let new = Destination {
                        name,
                        state: DestinationState::Writing,
                        bytes: 0,
                        lag_bytes: 0,
                    };
                    self.destinations.insert(destination, new);
                }
            }
            ProgressEvent::Resource { name } => {
                self.doing = format!("reading {}", one_line(&name));
            }
            ProgressEvent::Read {
                records,
                plain_bytes,
                stored_bytes,
            } => {
                (self.records, self.plain_bytes, self.stored_bytes) =
                    (records, plain_bytes, stored_bytes);
            }
            ProgressEvent::Acked {
                destination,
                bytes,
                lag_bytes,
            } => {
                if let Some(seen) = self.destinations.get_mut(&destination) {
                    (seen.bytes, seen.lag_bytes) = (bytes, lag_bytes);
                }
            }
            ProgressEvent::State {
                destination, state, ..
            } => {
                if let Some(seen) = self.destinations.get_mut(&destination) {
                    seen.state = state;
                }
            }
            // Events that are added later say nothing that is shown here.
            _ => {}
        }
    }
}

trait Show: Send {
    fn show(&mut self, seen: &mut Seen);
    fn end(&mut self);
}

/// For logs: only what happens seldom.
struct Lines(Stderr);

impl Show for Lines {
    fn show(&mut self, seen: &mut Seen) {
        for line in seen.lines.drain(..) {
            self.0.line(&line);
        }
    }

    fn end(&mut self) {}
}

/// For terminals: a line for the source and one for each destination.
struct Bars {
    stderr: Stderr,
    source: ProgressBar,
    destinations: BTreeMap<DestinationId, ProgressBar>,
}

impl Bars {
    fn new(stderr: Stderr) -> Self {
        let source = stderr.display().add(bar("{spinner} {msg}"));
        Bars {
            stderr,
            source,
            destinations: BTreeMap::new(),
        }
    }
}

impl Show for Bars {
    fn show(&mut self, seen: &mut Seen) {
        seen.lines.clear();
        self.source.tick();
        let read = match seen.records {
            0 => String::new(),
            records => format!(
                "  {} records, {} plain, {} stored",
                grouped(records),
                bytes(seen.plain_bytes),
                bytes(seen.stored_bytes)
            ),
        };
        self.source.set_message(format!("{}{read}", seen.doing));
        for (id, destination) in &seen.destinations {
            let shown = self.destinations.entry(*id).or_insert_with(|| {
                self.stderr.display().add(bar(
                    "  {prefix:16} {binary_bytes:>12} {binary_bytes_per_sec:>14}  {msg}",
                ))
            });
            let lag = match destination.lag_bytes {
                0 => String::new(),
                lag => format!(", {} behind", bytes(lag)),
            };
            shown.set_prefix(destination.name.clone());
            shown.set_position(destination.bytes);
            shown.set_message(format!("{}{lag}", destination.state));
        }
    }

    fn end(&mut self) {
        for shown in self.destinations.values().chain([&self.source]) {
            shown.finish_and_clear();
        }
    }
}

fn bar(template: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::no_length().with_style(style)
}

#[cfg(test)]
mod tests {
    use teeline::{Class, ErrorReport};

    use super::*;

    #[test]
    fn resources_and_changes_of_state_are_lines_and_nothing_else_is() {
        let (near, far) = (DestinationId(0), DestinationId(1));
        let id = "full-2026-11-23T02-00-00-k3j9x0q2mz".parse().unwrap();
        let gone = ErrorReport {
            class: Class::Transient,
            message: "no answer".to_owned(),
            suggestion: None,
        };
        let mut seen = Seen::default();
        for event in [
            ProgressEvent::PassStarted {
                id,
                destinations: vec![(near, "near".to_owned()), (far, "far".to_owned())],
            },
            ProgressEvent::Resource {
                name: "users\n\u{1b}[2J".to_owned(),
            },
            ProgressEvent::Read {
                records: 7,
                plain_bytes: 70,
                stored_bytes: 30,
            },
            ProgressEvent::Acked {
                destination: near,
                bytes: 20,
                lag_bytes: 10,
            },
            ProgressEvent::State {
                destination: near,
                state: DestinationState::Writing,
                error: None,
            },
            ProgressEvent::State {
                destination: far,
                state: DestinationState::Down,
                error: Some(gone),
            },
            ProgressEvent::State {
                destination: near,
                state: DestinationState::Committed,
                error: None,
            },
        ] {
            seen.note(event);
        }
        let begins = "full-2026-11-23T02-00-00-k3j9x0q2mz: begins";
        assert_eq!(
            seen.lines,
            [
                begins,
                "reading users\\n\\u{1b}[2J",
                "far: down: no answer",
                "near: committed"
            ]
        );
        assert_eq!((seen.records, seen.destinations[&near].lag_bytes), (7, 10));
    }
}
