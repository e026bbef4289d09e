//! A clock that time passes by only while schedules wait, and what runs over it.

use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use teeline::sinks::{Fault, Operation, What, When};
use teeline::{
    BackupRequest, Class, DestinationSpec, Engine, Executor, JsonlSource, Schedule, ScheduleEvent,
    SchedulesReport, SchedulesRequest, Span, Timestamp, Timing,
};

/// A clock, and records to back up.
pub(crate) struct World {
    now_ms: Arc<AtomicI64>,
    /// How often an engine has asked for randomness, so that no two get the same.
    asked: Arc<AtomicU8>,
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn at(time: &str) -> Self {
        let world = World {
            now_ms: Arc::new(AtomicI64::new(at(time).unix_ms())),
            asked: Arc::default(),
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::write(world.records(), "{\"id\":1}\n{\"id\":2}\n").unwrap();
        world
    }

    pub(crate) fn records(&self) -> std::path::PathBuf {
        self.folder.path().join("users.jsonl")
    }

    pub(crate) fn set(&self, time: &str) {
        self.now_ms.store(at(time).unix_ms(), Ordering::SeqCst);
    }

    pub(crate) fn engine(&self) -> Engine {
        let (clock, timers) = (Arc::clone(&self.now_ms), Arc::clone(&self.now_ms));
        let asked = Arc::clone(&self.asked);
        Engine::builder()
            .executor(Executor::Inline)
            .clock(Arc::new(move || {
                Timestamp::from_unix_ms(clock.load(Ordering::SeqCst))
            }))
            .sleep(Arc::new(move |time| {
                let timers = Arc::clone(&timers);
                Box::pin(async move {
                    let ms = i64::try_from(time.as_millis()).unwrap();
                    timers.fetch_add(ms, Ordering::SeqCst);
                })
            }))
            .random(Arc::new(move |bytes| {
                bytes.fill(asked.fetch_add(1, Ordering::SeqCst));
                Ok(())
            }))
            .build()
            .unwrap()
    }
}

pub(crate) fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

pub(crate) fn in_berlin(cron: &str) -> Timing {
    Timing {
        cron: cron.parse().unwrap(),
        time_zone: "Europe/Berlin".parse().unwrap(),
        jitter: Span::default(),
    }
}

pub(crate) fn schedule(
    name: &str,
    cron: &str,
    records: &Path,
    to: &[&DestinationSpec],
) -> Schedule {
    let to = to.iter().map(|to| (*to).clone()).collect();
    let request = BackupRequest::new(JsonlSource::path(records), to);
    Schedule::new(name, in_berlin(cron), request).unwrap()
}

/// Runs what is scheduled until `runs` have ended. Gives what was made, for when and in which order, and what else was told.
pub(crate) fn run(
    engine: &Engine,
    runs: usize,
) -> (SchedulesReport, Vec<(String, Timestamp)>, Vec<String>) {
    let told = Arc::new(Mutex::new((Vec::new(), Vec::new(), 0)));
    let mut request = SchedulesRequest::default();
    let (telling, finish) = (Arc::clone(&told), request.finish.clone());
    request.observer = Some(Arc::new(move |event| {
        let (begun, others, ended) = &mut *telling.lock().unwrap();
        match event {
            ScheduleEvent::Begins { name, scheduled_at } => {
                assert_eq!(begun.len(), *ended, "one at a time");
                begun.push((name.clone(), *scheduled_at));
            }
            ScheduleEvent::Ended { .. } => *ended += 1,
            other => others.push(format!("{other:?}")),
        }
        if *ended == runs {
            finish.cancel();
        }
    }));
    let report = engine.run_schedules_blocking(request).unwrap();
    let (begun, others, _) = std::mem::take(&mut *told.lock().unwrap());
    (report, begun, others)
}

pub(crate) fn unlistable() -> Fault {
    let denied = What::Fail(Class::Permanent);
    Fault::new(Operation::List, When::From(1), denied).on_keys_with("runs")
}

pub(crate) fn times(expected: &[(&str, &str)]) -> Vec<(String, Timestamp)> {
    let time = |(name, time): &(&str, &str)| ((*name).to_owned(), at(time));
    expected.iter().map(time).collect()
}
