//! What the stores of a simulation share: the time, what happens when, and what has happened.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use teeline::sinks::{Operation, What};
use teeline::{Digest, Timestamp};
use teeline_core::seal::SEALED_SUFFIX;
use teeline_core::{DigestOfDigests, ObjectKey, Random, layout};
use tokio::sync::watch;
use tokio::time::Instant;

/// Whether a crash comes before a call takes effect, or after that and before its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Moment {
    /// It has no effect any more.
    Before,
    /// It has taken effect, and nobody learns of it.
    After,
}

/// Where a crash came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CrashPoint {
    /// On which side of the call.
    pub moment: Moment,
    /// Of what kind.
    pub operation: Operation,
    /// What the call was about: `claim`, `manifest` and so on.
    pub about: &'static str,
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = match self.moment {
            Moment::Before => "before",
            Moment::After => "after",
        };
        let operation = format!("{:?}", self.operation).to_lowercase();
        write!(f, "{moment} {operation} of {}", self.about)
    }
}

/// What happened in simulations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls of stores.
    pub calls: u64,
    /// How often each thing went wrong.
    pub faults: BTreeMap<String, u64>,
    /// Where crashes came, and how often.
    pub crash_points: BTreeMap<CrashPoint, u64>,
    /// Operations, and what they came to.
    pub operations: BTreeMap<String, u64>,
    /// Copies that were restored from one destination alone, and were right.
    pub restored: u64,
}

impl Tally {
    /// Adds what happened in another simulation.
    pub fn add(&mut self, other: Tally) {
        self.calls += other.calls;
        self.restored += other.restored;
        for (counts, others) in [
            (&mut self.faults, other.faults),
            (&mut self.operations, other.operations),
        ] {
            for (name, count) in others {
                *counts.entry(name).or_default() += count;
            }
        }
        for (point, count) in other.crash_points {
            *self.crash_points.entry(point).or_default() += count;
        }
    }
}

/// Shared by the stores of one simulation.
pub(crate) struct World {
    /// Decides how long calls take, and what lists show.
    pub(crate) random: Random,
    state: Mutex<State>,
    crashed: watch::Sender<bool>,
}

struct State {
    /// What the time was when this life began.
    began_ms: i64,
    /// The same, by the clock of its runtime.
    began: Option<Instant>,
    calls_of_life: u64,
    crash_at: Option<(u64, Moment)>,
    tally: Tally,
    digest: DigestOfDigests,
    lines: Option<Vec<String>>,
    /// What was sent to stores of each sealed file.
    sealed: BTreeMap<ObjectKey, Vec<u8>>,
    sealed_again: Option<ObjectKey>,
}

impl World {
    /// With `keeps_trace`, every line of what happens is kept, and not only their digest.
    pub(crate) fn new(seed: u64, keeps_trace: bool) -> Arc<Self> {
        Self::at(1_795_399_200_000, seed, keeps_trace)
    }

    /// The same, that begins at another time.
    pub(crate) fn at(began_ms: i64, seed: u64, keeps_trace: bool) -> Arc<Self> {
        Arc::new(World {
            random: Random::new(seed),
            state: Mutex::new(State {
                began_ms,
                began: None,
                calls_of_life: 0,
                crash_at: None,
                tally: Tally::default(),
                digest: DigestOfDigests::default(),
                lines: keeps_trace.then(Vec::new),
                sealed: BTreeMap::new(),
                sealed_again: None,
            }),
            crashed: watch::Sender::new(false),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Injected panics don't happen while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process begins, which dies at its call number `crash_at`, if any. To be called in its runtime.
    pub(crate) fn begin_life(&self, crash_at: Option<(u64, Moment)>) {
        self.crashed.send_replace(false);
        let mut state = self.state();
        state.began = Some(Instant::now());
        state.calls_of_life = 0;
        state.crash_at = crash_at;
    }

    /// It has ended; time stands still until the next one begins. To be called in its runtime.
    pub(crate) fn end_life(&self) {
        let now_ms = self.now().unix_ms();
        let mut state = self.state();
        state.began_ms = now_ms;
        state.began = None;
    }

    /// What the time is.
    pub(crate) fn now(&self) -> Timestamp {
        let state = self.state();
        let elapsed = state.began.map_or(Duration::ZERO, |began| began.elapsed());
        let elapsed_ms = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_unix_ms(state.began_ms.saturating_add(elapsed_ms))
    }

    /// Is over when the process dies.
    pub(crate) async fn death(&self) {
        // An error would mean that nothing can happen any more.
        let _ = self.crashed.subscribe().wait_for(|crashed| *crashed).await;
    }

    pub(crate) fn is_dead(&self) -> bool {
        *self.crashed.borrow()
    }

    /// A store is called: on which side of it the process dies, if it does.
    pub(crate) fn called(
        &self,
        store: usize,
        operation: Operation,
        key: Option<&ObjectKey>,
    ) -> Option<Moment> {
        let text = key.map_or("", ObjectKey::as_str);
        self.note(|| format!("store {store}: {operation:?} {text}"));
        let mut state = self.state();
        state.tally.calls += 1;
        state.calls_of_life += 1;
        let call = state.calls_of_life;
        let (_, moment) = state.crash_at.filter(|(at, _)| *at == call)?;
        let point = CrashPoint {
            moment,
            operation,
            about: about(key),
        };
        *state.tally.crash_points.entry(point).or_default() += 1;
        Some(moment)
    }

    /// The process dies: from now on no store is reached.
    pub(crate) fn die(&self) {
        self.note(|| "crash".to_owned());
        self.crashed.send_replace(true);
    }

    /// A store is sent bytes of an object, from `at` on.
    pub(crate) fn sends(&self, key: &ObjectKey, at: usize, bytes: &[u8]) {
        // An index isn't sealed but authenticated, which a key may do more than once, and says when its resource was read.
        let is_sealed = key.as_str().ends_with(SEALED_SUFFIX) && about(Some(key)) != "an index";
        if !is_sealed || layout::is_damaged(key) {
            return;
        }
        let mut state = self.state();
        let sent = state.sealed.entry(key.clone()).or_default();
        let again = sent.get(at..).unwrap_or_default();
        let again = again.len().min(bytes.len());
        let is_same = again == 0 || sent[at..at + again] == bytes[..again];
        if at <= sent.len() {
            sent.extend_from_slice(&bytes[again..]);
        }
        if !is_same {
            state.sealed_again = Some(key.clone());
        }
    }

    /// A key seals one thing: whoever sends a sealed file to a store sends the same.
    pub(crate) fn seals_once(&self) -> Result<(), String> {
        match &self.state().sealed_again {
            Some(key) => Err(format!("P8: {key} was sealed twice by one key, otherwise")),
            None => Ok(()),
        }
    }

    /// Something has gone wrong in a store.
    pub(crate) fn went_wrong(&self, operation: Operation, what: What) {
        self.note(|| format!("{what:?} of {operation:?}"));
        let name = match what {
            What::Fail(class) => format!("error: {class:?}"),
            other => format!("{other:?}"),
        };
        self.count_fault(&name);
    }

    /// Something has gone wrong.
    pub(crate) fn count_fault(&self, name: &str) {
        *self
            .state()
            .tally
            .faults
            .entry(name.to_owned())
            .or_default() += 1;
    }

    /// An operation has ended.
    pub(crate) fn ended(&self, operation: String) {
        self.note(|| operation.clone());
        *self.state().tally.operations.entry(operation).or_default() += 1;
    }

    /// A copy was restored alone, and was right.
    pub(crate) fn restored(&self) {
        self.state().tally.restored += 1;
    }

    /// Adds a line to the trace.
    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        let now_ms = self.now().unix_ms();
        let line = format!("{now_ms} {}", line());
        let mut state = self.state();
        state.digest.push(Digest::of(line.as_bytes()));
        if let Some(lines) = &mut state.lines {
            lines.push(line);
        }
    }

    /// What has happened, the digest of the trace, and its lines where they were kept.
    pub(crate) fn tell(&self) -> (Tally, Digest, Vec<String>) {
        let state = self.state();
        let lines = state.lines.clone().unwrap_or_default();
        (state.tally.clone(), state.digest.clone().finish(), lines)
    }
}

/// What a key is of.
pub(crate) fn about(key: Option<&ObjectKey>) -> &'static str {
    let Some(key) = key else {
        return "everything";
    };
    let name = key.file_name();
    match key.as_str() {
        layout::CATALOG => return "the catalogue",
        layout::RUNS => return "the run records",
        _ => {}
    }
    match name {
        layout::MARKER => "the marker",
        layout::RUN_CLAIM => "a claim",
        layout::MANIFEST => "a manifest",
        _ if layout::withdrawn_id(key).is_some() => "a withdrawal",
        _ if layout::catalog_entry_id(key).is_some() => "an entry",
        _ if layout::run_record_id(key).is_some() => "a run record",
        _ if key.as_str().contains("/keys/") => "a key object",
        _ if name.contains(".index") => "an index",
        _ if name.contains(".jsonl") => "a data file",
        _ => "something else",
    }
}
