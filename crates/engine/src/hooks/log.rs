//! What a run did, line by line, for whoever is told of its end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use teeline_actors::{Clock, Observer};
use teeline_core::{Narrator, ProgressEvent};

/// Of a run that has more to say, the last lines are kept: they tell how it ended.
const LINES_MAX: usize = 500;

/// The log of a run. Clones share it.
#[derive(Clone)]
pub(crate) struct RunLog {
    noted: Arc<Mutex<Noted>>,
    clock: Clock,
}

#[derive(Default)]
struct Noted {
    narrator: Narrator,
    lines: VecDeque<String>,
    left_out: usize,
}

impl RunLog {
    /// One without lines, whose times are those of `clock`.
    pub(crate) fn new(clock: Clock) -> Self {
        RunLog {
            noted: Arc::default(),
            clock,
        }
    }

    /// Who notes what happens, and passes it on.
    pub(crate) fn observing(&self, next: Option<Observer>) -> Observer {
        let log = self.clone();
        Arc::new(move |event| {
            log.note(&event);
            if let Some(next) = &next {
                next(event);
            }
        })
    }

    /// The lines so far, each with its time first.
    pub(crate) fn lines(&self) -> Vec<String> {
        let noted = self.noted();
        let left_out = (noted.left_out > 0).then(|| format!("{} lines before", noted.left_out));
        left_out
            .into_iter()
            .chain(noted.lines.iter().cloned())
            .collect()
    }

    fn note(&self, event: &ProgressEvent) {
        let mut noted = self.noted();
        let Some(line) = noted.narrator.line(event) else {
            return;
        };
        noted.lines.push_back(format!("{} {line}", (self.clock)()));
        if noted.lines.len() > LINES_MAX {
            noted.lines.pop_front();
            noted.left_out += 1;
        }
    }

    /// Lines are whole, right also after a panic elsewhere.
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use teeline_core::Timestamp;

    use super::*;

    #[test]
    fn the_last_lines_are_kept_with_their_times_and_everything_is_passed_on() {
        let log = RunLog::new(Arc::new(|| Timestamp::from_unix_ms(0)));
        let (told, news) = std::sync::mpsc::channel();
        let observer = log.observing(Some(Arc::new(move |event| told.send(event).unwrap())));
        for number in 0..LINES_MAX + 2 {
            let name = format!("resource\n{number}");
            observer(ProgressEvent::Resource { name });
        }
        let lines = log.lines();
        assert_eq!(lines.len(), LINES_MAX + 1);
        assert_eq!(lines[0], "2 lines before");
        assert_eq!(lines[1], "1970-01-01T00:00:00.000Z reading resource\\n2");
        assert_eq!(news.try_iter().count(), LINES_MAX + 2);
    }
}
