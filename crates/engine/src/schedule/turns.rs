//! Turns: before a runner does what a schedule asks for at one of its times, it says so at the destinations, by objects that only
//! one can write. So two runners of one configuration don't do the same, and whoever dies leaves nothing in anybody's way.

use std::collections::HashMap;

use futures::TryStreamExt;
use teeline_core::{
    BackupError, Class, Digest, ObjectKey, RunStatus, Timestamp, Turn, TurnEnd, document, layout,
};

use super::{Work, process};
use crate::catalog::read_document;
use crate::engine::Engine;
use crate::open::{Opened, open_all};
use crate::report::{DestinationError, LastRun};

/// So often a turn is taken again at the most, after processes that died.
const ATTEMPTS_MAX: u32 = 100;

/// Whose runs and turns are meant: those of a schedule, and of others of its name that do the same.
#[derive(Debug, Clone)]
pub(super) struct Whose {
    pub(super) schedule: String,
    subject: Option<Digest>,
}

impl Whose {
    pub(super) fn of(engine: &Engine, schedule: &str, work: &Work) -> Self {
        Whose {
            schedule: schedule.to_owned(),
            subject: work.subject(engine),
        }
    }

    /// Whether what was done under its name is its. Where either doesn't say what that was, it is.
    pub(super) fn has_done(&self, subject: Option<Digest>) -> bool {
        let of_both = self.subject.zip(subject);
        of_both.is_none_or(|(own, its)| own == its)
    }

    fn folder(&self) -> Result<ObjectKey, BackupError> {
        match self.subject {
            Some(subject) => layout::turns_about(&self.schedule, subject),
            None => self.earlier_folder(),
        }
    }

    /// Where earlier versions have the turns of all schedules of this name.
    fn earlier_folder(&self) -> Result<ObjectKey, BackupError> {
        layout::turns_of(&self.schedule)
    }
}

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
    work: &Work,
) -> Result<Asked, BackupError> {
    let (whose, destinations) = (Whose::of(engine, schedule, work), work.destinations());
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
            Ok(opened) => take_at(&opened, &whose, &turn)
                .await
                .map(|taken| (opened, taken)),
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
    whose: &Whose,
    turn: &Turn,
) -> Result<Result<ObjectKey, String>, (String, BackupError)> {
    let named = |error| (opened.name.clone(), error);
    let earlier = holder_of_earlier(opened, whose, turn.scheduled_at).await;
    if let Some(holder) = earlier.map_err(named)? {
        return Ok(Err(holder));
    }
    let folder = whose.folder().map_err(named)?;
    for attempt in 0..ATTEMPTS_MAX {
        let key = layout::turn(&folder, turn.scheduled_at, attempt).map_err(named)?;
        match opened.sink.put(&key, document::seal(turn)).await {
            Ok(()) => return Ok(Ok(key)),
            Err(error) if error.class() != Class::Conflict => return Err(named(error)),
            Err(_) => {}
        }
        let looked = look(opened, &key).await.map_err(named)?;
        if let Some(holder) = looked.holder() {
            return Ok(Err(holder));
        }
    }
    Ok(Err(format!("{ATTEMPTS_MAX} processes that died")))
}

/// Who of an earlier version has the turn, or had it. What can't be read holds nobody up.
async fn holder_of_earlier(
    opened: &Opened,
    whose: &Whose,
    scheduled_at: Timestamp,
) -> Result<Option<String>, BackupError> {
    let folder = whose.earlier_folder()?;
    for attempt in 0..ATTEMPTS_MAX {
        let key = layout::turn(&folder, scheduled_at, attempt)?;
        match look(opened, &key).await {
            Ok(Looked::Nothing) | Err(_) => return Ok(None),
            Ok(looked) => {
                if let Some(holder) = looked.holder() {
                    return Ok(Some(holder));
                }
            }
        }
    }
    Ok(None)
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

impl Looked {
    /// Who has it, or had it; nobody, where that was interrupted, or its process is gone.
    fn holder(self) -> Option<String> {
        match self {
            Looked::Ended(end) if is_interruption(&end) => None,
            Looked::Ended(end) => Some(format!("a process that ended at {}", end.ended_at)),
            Looked::Gone(_) | Looked::Nothing => None,
            Looked::Held(turn) => {
                let number = turn
                    .process
                    .map_or(String::new(), |of| format!(" {}", of.pid));
                Some(format!("a process{number} that began at {}", turn.taken_at))
            }
        }
    }
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
    whose: &Whose,
    now: Timestamp,
) -> Result<Option<LastRun>, BackupError> {
    let Some(key) = newest(opened, whose, now, |_| true).await? else {
        return Ok(None);
    };
    let broken_off = |turn: Turn, class, message: &str| {
        let error = BackupError::new(
            class,
            "run",
            format!("schedule {}", whose.schedule),
            message,
        );
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
    whose: &Whose,
    now: Timestamp,
) -> Result<Option<LastRun>, BackupError> {
    let Some(key) = newest(opened, whose, now, layout::is_turn_end).await? else {
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
    whose: &Whose,
    now: Timestamp,
    is_such: impl Fn(&ObjectKey) -> bool,
) -> Result<Option<ObjectKey>, BackupError> {
    let (earlier, own) = (whose.earlier_folder()?, whose.folder()?);
    let mut newest = None;
    let mut objects = opened.sink.list(Some(&earlier));
    while let Some(object) = objects.try_next().await? {
        let turn = layout::turn_of(&object.key).filter(|(folder, at, _)| {
            let is_its = whose.subject.is_none() || [&earlier, &own].contains(&folder);
            is_its && is_such(&object.key) && *at <= now
        });
        newest = newest.max(turn.map(|(folder, at, attempt)| (at, attempt, folder)));
    }
    newest
        .map(|(at, attempt, folder)| layout::turn(&folder, at, attempt))
        .transpose()
}

/// The turns that nobody asks for any more: those before the last one in their folder that has ended.
pub(crate) fn past_turns(keys: &[ObjectKey]) -> Vec<ObjectKey> {
    let mut ended: HashMap<ObjectKey, Timestamp> = HashMap::new();
    let known = keys
        .iter()
        .filter_map(|key| Some((key, layout::turn_of(key)?)));
    for (_, (folder, at, _)) in known.clone().filter(|(key, _)| layout::is_turn_end(key)) {
        let last = ended.entry(folder).or_insert(at);
        *last = at.max(*last);
    }
    let is_past = |folder: &ObjectKey, at| ended.get(folder).is_some_and(|last| at < *last);
    let past = known.filter(|(_, (folder, at, _))| is_past(folder, *at));
    past.map(|(key, _)| key.clone()).collect()
}
