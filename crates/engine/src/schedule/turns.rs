//! Turns: before a runner does what a schedule asks for at one of its times, it says so at the destinations, by objects that only
//! one can write. So two runners of one configuration don't do the same, and whoever dies leaves nothing in anybody's way.

use std::collections::HashMap;

use futures::TryStreamExt;
use teeline_core::{
    BackupError, Class, Digest, ObjectKey, RunStatus, Timestamp, Turn, TurnEnd, document, layout,
};

use super::process;
use crate::catalog::read_document;
use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::open::{Opened, open_all};
use crate::report::{DestinationError, LastRun};

/// So often a turn is taken again at the most, after processes that died.
const ATTEMPTS_MAX: u32 = 100;

/// What became of asking for a turn.
pub(super) enum Asked {
    /// It is ours.
    Ours(Ours),
    /// Somebody else has it, or had it.
    Theirs {
        /// Where that was seen.
        destination: String,
        /// Who, or what came of it.
        holder: String,
    },
}

/// A turn that is ours.
pub(super) struct Ours {
    schedule: String,
    scheduled_at: Timestamp,
    started_at: Timestamp,
    /// Where it was taken.
    at: Vec<(Opened, ObjectKey)>,
    /// Where it couldn't be. Where it could be nowhere, somebody else may do the same.
    pub(super) errors: Vec<DestinationError>,
}

/// Takes a turn at each destination that can be asked, one after the other and in their order: so of two that ask for the same,
/// one is the first at the first that both can ask.
pub(super) async fn take(
    engine: &Engine,
    schedule: &str,
    scheduled_at: Timestamp,
    destinations: &[DestinationSpec],
) -> Result<Asked, BackupError> {
    let mut random = [0; 16];
    (engine.0.random)(&mut random)?;
    let turn = Turn {
        schedule: schedule.to_owned(),
        scheduled_at,
        taken_at: (engine.0.clock)(),
        process: process::own(),
        token: Digest::of(&random).to_string(),
    };
    let mut ours = Ours {
        schedule: turn.schedule.clone(),
        scheduled_at,
        started_at: turn.taken_at,
        at: Vec::new(),
        errors: Vec::new(),
    };
    for opened in open_all(engine, destinations, destinations.len()).await {
        let taken = match opened {
            Ok(opened) => take_at(&opened, &turn).await.map(|taken| (opened, taken)),
            Err((name, error)) => {
                ours.failed(&name, &error);
                continue;
            }
        };
        match taken {
            Ok((opened, Ok(key))) => ours.at.push((opened, key)),
            Ok((opened, Err(holder))) => {
                ours.give_back().await;
                return Ok(Asked::Theirs {
                    destination: opened.name,
                    holder,
                });
            }
            Err((name, error)) => ours.failed(&name, &error),
        }
    }
    Ok(Asked::Ours(ours))
}

/// The key that was written; or who has the turn instead.
async fn take_at(
    opened: &Opened,
    turn: &Turn,
) -> Result<Result<ObjectKey, String>, (String, BackupError)> {
    let named = |error| (opened.name.clone(), error);
    for attempt in 0..ATTEMPTS_MAX {
        let key = layout::turn(&turn.schedule, turn.scheduled_at, attempt).map_err(named)?;
        match opened.sink.put(&key, document::seal(turn)).await {
            Ok(()) => return Ok(Ok(key)),
            Err(error) if error.class() != Class::Conflict => return Err(named(error)),
            Err(_) => {}
        }
        if let Some(holder) = holder(opened, &key).await.map_err(named)? {
            return Ok(Err(holder));
        }
    }
    Ok(Err(format!("{ATTEMPTS_MAX} processes that died")))
}

/// Who has a turn, or had it; nobody, where that was interrupted, or its process is gone.
async fn holder(opened: &Opened, key: &ObjectKey) -> Result<Option<String>, BackupError> {
    match look(opened, key).await? {
        Looked::Ended(end) if is_interruption(&end) => Ok(None),
        Looked::Ended(end) => Ok(Some(format!("a process that ended at {}", end.ended_at))),
        Looked::Gone(_) | Looked::Nothing => Ok(None),
        Looked::Held(turn) => {
            let number = turn
                .process
                .map_or(String::new(), |of| format!(" {}", of.pid));
            Ok(Some(format!(
                "a process{number} that began at {}",
                turn.taken_at
            )))
        }
    }
}

fn is_interruption(end: &TurnEnd) -> bool {
    let error = end.error.as_ref();
    error.is_some_and(|error| error.class == Class::Cancelled)
}

/// What is known of a turn.
enum Looked {
    Ended(TurnEnd),
    /// Its process may be going on.
    Held(Turn),
    /// Its process isn't there any more.
    Gone(Turn),
    /// What is there can't be read, which nobody is to be held up by.
    Nothing,
}

async fn look(opened: &Opened, key: &ObjectKey) -> Result<Looked, BackupError> {
    if let Some(end) = read::<TurnEnd>(opened, &layout::turn_end(key)?).await? {
        return Ok(Looked::Ended(end));
    }
    let turn = read::<Turn>(opened, key).await?;
    Ok(match turn {
        None => Looked::Nothing,
        Some(turn) if turn.process.as_ref().is_some_and(process::is_gone) => Looked::Gone(turn),
        Some(turn) => Looked::Held(turn),
    })
}

/// A small document; nothing, where it isn't there, or isn't one.
async fn read<D: document::Document>(
    opened: &Opened,
    key: &ObjectKey,
) -> Result<Option<D>, BackupError> {
    let sink = opened.sink.as_ref();
    match read_document(sink, key).await {
        Ok(document) => Ok(Some(document)),
        Err(error) if error.class() == Class::NotFound => Ok(None),
        Err(error) if error.class() == Class::Corrupt => {
            tracing::warn!(%error, "a turn of a schedule is passed over");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Ours {
    fn failed(&mut self, destination: &str, error: &BackupError) {
        self.errors.push(DestinationError {
            destination: destination.to_owned(),
            error: error.into(),
        });
    }

    /// Takes back what was taken of a turn that is somebody else's: it would be shown as one that goes on.
    async fn give_back(self) {
        for (opened, key) in &self.at {
            if let Err(error) = opened.sink.delete(key).await {
                tracing::warn!(destination = opened.name, %error, "a turn that is somebody else's is left");
            }
        }
    }

    /// Whether nobody could be asked for it.
    pub(super) fn is_nowhere(&self) -> bool {
        self.at.is_empty()
    }

    /// Says what came of it. Where that can't be said, it is as if its process had died.
    pub(super) async fn end(
        self,
        ended_at: Timestamp,
        status: RunStatus,
        error: Option<teeline_core::ErrorReport>,
    ) {
        let end = TurnEnd {
            schedule: self.schedule,
            scheduled_at: self.scheduled_at,
            started_at: self.started_at,
            ended_at,
            status,
            error,
        };
        for (opened, key) in &self.at {
            let ending = async {
                let key = layout::turn_end(key)?;
                opened.sink.put(&key, document::seal(&end)).await
            };
            if let Err(error) = ending.await {
                tracing::warn!(destination = opened.name, %error, "what came of a turn can't be noted");
            }
        }
    }
}

/// What came of a schedule's last turn at a destination.
pub(super) async fn last(
    opened: &Opened,
    schedule: &str,
    now: Timestamp,
) -> Result<Option<LastRun>, BackupError> {
    let Some(key) = newest(opened, schedule, now, |_| true).await? else {
        return Ok(None);
    };
    let broken_off = |turn: Turn, class, message: &str| {
        let error = BackupError::new(class, "run", format!("schedule {schedule}"), message);
        LastRun {
            id: None,
            status: RunStatus::Failed,
            started_at: turn.taken_at,
            ended_at: turn.taken_at,
            error: Some((&error).into()),
        }
    };
    Ok(match look(opened, &key).await? {
        Looked::Ended(end) => Some(as_ended(end)),
        Looked::Gone(turn) => Some(broken_off(turn, Class::Cancelled, "its process died")),
        Looked::Held(turn) => {
            let message = "it hasn't ended, or its process died elsewhere";
            Some(broken_off(turn, Class::Transient, message))
        }
        Looked::Nothing => None,
    })
}

/// What came of the last turn of a schedule at a destination that has ended.
pub(super) async fn last_ended(
    opened: &Opened,
    schedule: &str,
    now: Timestamp,
) -> Result<Option<LastRun>, BackupError> {
    let Some(key) = newest(opened, schedule, now, layout::is_turn_end).await? else {
        return Ok(None);
    };
    let end = read::<TurnEnd>(opened, &layout::turn_end(&key)?).await?;
    Ok(end.map(as_ended))
}

fn as_ended(end: TurnEnd) -> LastRun {
    LastRun {
        id: None,
        status: end.status,
        started_at: end.started_at,
        ended_at: end.ended_at,
        error: end.error,
    }
}

/// The last turn of a schedule at a destination of which there is such an object.
async fn newest(
    opened: &Opened,
    schedule: &str,
    now: Timestamp,
    is_such: impl Fn(&ObjectKey) -> bool,
) -> Result<Option<ObjectKey>, BackupError> {
    let folder = layout::turns_of(schedule)?;
    let mut newest = None;
    let mut objects = opened.sink.list(Some(&folder));
    while let Some(object) = objects.try_next().await? {
        let turn = layout::turn_of(&object.key).filter(|_| is_such(&object.key));
        let time = turn.map(|(_, at, attempt)| (at, attempt));
        newest = newest.max(time.filter(|(at, _)| *at <= now));
    }
    newest
        .map(|(at, attempt)| layout::turn(schedule, at, attempt))
        .transpose()
}

/// The turns that nobody asks for any more: those before the last one of their schedule that has ended.
pub(crate) fn past_turns(keys: &[ObjectKey]) -> Vec<ObjectKey> {
    let mut ended: HashMap<String, Timestamp> = HashMap::new();
    let known = keys
        .iter()
        .filter_map(|key| Some((key, layout::turn_of(key)?)));
    for (_, (schedule, at, _)) in known.clone().filter(|(key, _)| layout::is_turn_end(key)) {
        let last = ended.entry(schedule).or_insert(at);
        *last = at.max(*last);
    }
    let is_past = |schedule: &str, at| ended.get(schedule).is_some_and(|last| at < *last);
    let past = known.filter(|(_, (schedule, at, _))| is_past(schedule, *at));
    past.map(|(key, _)| key.clone()).collect()
}
