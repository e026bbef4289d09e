//! What the stages of a pass do with their time, counted by each for itself while it runs.
//!
//! All of a stage's time is one of three: waiting for what comes, waiting for whoever takes what it gives, or work. So the
//! bottleneck is the stage that does the least waiting.

use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// What a stage did in a pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StageReport {
    /// `read`, `encode`, or the name of a destination behind `to `.
    pub name: String,
    /// Threads or tasks that did it.
    pub workers: usize,
    /// Bytes that came.
    pub bytes_in: u64,
    /// Bytes that it gave.
    pub bytes_out: u64,
    /// How long it waited for what comes, summed over its workers.
    pub waited_for_input: Duration,
    /// How long it waited for room behind it, likewise.
    pub waited_for_output: Duration,
    /// What it did in the rest of its time, likewise: what, and for how long.
    pub work: Vec<(&'static str, Duration)>,
    /// Processor time, where it has threads of its own.
    pub cpu: Option<Duration>,
}

impl StageReport {
    /// How long it was at work, summed over its workers.
    pub fn busy(&self) -> Duration {
        self.work.iter().map(|(_, time)| *time).sum()
    }

    fn add(&mut self, other: StageReport) {
        self.workers += other.workers;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.waited_for_input += other.waited_for_input;
        self.waited_for_output += other.waited_for_output;
        self.cpu = match (self.cpu, other.cpu) {
            (Some(one), Some(other)) => Some(one + other),
            (one, other) => one.or(other),
        };
        for (what, time) in other.work {
            self.note(what, time);
        }
    }

    fn note(&mut self, what: &'static str, time: Duration) {
        match self.work.iter_mut().find(|(known, _)| *known == what) {
            Some((_, known)) => *known += time,
            None => self.work.push((what, time)),
        }
    }
}

/// The reports of a pass, as they come in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stages(Arc<Mutex<Vec<StageReport>>>);

impl Stages {
    /// A meter for one worker of a stage.
    pub(crate) fn meter(&self, name: impl Into<String>) -> Meter {
        Meter {
            report: StageReport {
                name: name.into(),
                workers: 1,
                ..StageReport::default()
            },
            since: Instant::now(),
            stages: self.clone(),
        }
    }

    /// What has come in, one report a stage, in the order in which stages ended first.
    pub(crate) fn take(&self) -> Vec<StageReport> {
        take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, report: StageReport) {
        let mut reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match reports.iter_mut().find(|known| known.name == report.name) {
            Some(known) => known.add(report),
            None => reports.push(report),
        }
    }
}

/// What a worker was at since its meter was last asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Phase {
    Input,
    Output,
    Work(&'static str),
}

/// Counts for one worker. Dropped, it hands in its report.
#[derive(Debug)]
pub(crate) struct Meter {
    report: StageReport,
    since: Instant,
    stages: Stages,
}

impl Meter {
    /// The time since the last call went to this.
    pub(crate) fn lap(&mut self, phase: Phase) {
        let now = Instant::now();
        let time = now.duration_since(self.since);
        self.since = now;
        match phase {
            Phase::Input => self.report.waited_for_input += time,
            Phase::Output => self.report.waited_for_output += time,
            Phase::Work(what) => self.report.note(what, time),
        }
    }

    pub(crate) fn came(&mut self, bytes: u64) {
        self.report.bytes_in += bytes;
    }

    pub(crate) fn gave(&mut self, bytes: u64) {
        self.report.bytes_out += bytes;
    }

    /// Notes all of the processor time of this thread, which does nothing else.
    pub(crate) fn whole_thread(&mut self) {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
        self.report.cpu = Some(Duration::new(seconds, nanoseconds));
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.stages.add(take(&mut self.report));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_moment_is_counted_once() {
        let stages = Stages::default();
        for _ in 0..2 {
            let mut meter = stages.meter("read");
            for (phase, seconds) in [
                (Phase::Input, 1),
                (Phase::Work("cut"), 2),
                (Phase::Output, 3),
                (Phase::Work("cut"), 4),
                (Phase::Work("send"), 5),
            ] {
                tokio::time::advance(Duration::from_secs(seconds)).await;
                meter.lap(phase);
            }
            meter.came(10);
            meter.gave(7);
        }
        let report = stages.take().remove(0);
        assert_eq!(
            (report.workers, report.bytes_in, report.bytes_out),
            (2, 20, 14)
        );
        assert_eq!(report.waited_for_input.as_secs(), 2);
        assert_eq!(report.waited_for_output.as_secs(), 6);
        assert_eq!(report.busy().as_secs(), 22);
        assert_eq!(report.work.len(), 2);
        assert!(stages.take().is_empty());
    }
}
