//! Taking up a run that broke off: whether it can be gone on with, and with what.
//!
//! The backup stays the same one: its id, its claim, its plan. Whoever takes it up says so at every destination, by an object
//! that nobody else can write as well; from then on nobody before may publish it. Only then is it known that what was seen of
//! it is what there is, so it is looked at once more. What can't be gone on with is begun afresh, under an id of its own, and
//! nothing of the old run is ever published.

mod look;
mod number;
mod same;
mod unfinished;
mod unlock;

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;
use teeline_actors::{Resuming, Sealing};
use teeline_core::{
    BackupError, BackupId, Class, Holdings, ObjectKey, Resumed, Resumption, RunClaim, Strategy,
    Timestamp, layout,
};

use self::look::{Left, Trace};
use self::number::Taking;
use super::Run;
use super::attempt::Attempt;
use super::extent::Extent;
use crate::report::BackupReport;
use crate::request::Resume;

/// A run that nothing was written to for so long is dead, if this machine's clock is right; of one that was touched later that is
/// found out by looking twice.
const UNTOUCHED_MS: u64 = 60 * 60 * 1000;

/// A run isn't taken up more often. Each number up to the last is written where it is missing.
const ATTEMPTS_MAX: u32 = 100;

/// A run that is gone on with.
pub(super) struct GoingOn {
    resuming: Resuming,
    sealing: Option<Sealing>,
    holdings: Vec<Holdings>,
}

/// Why a run isn't gone on with.
enum Otherwise {
    /// Its backup is begun afresh, since this is so.
    Afresh(String),
    /// None is made.
    Refused(BackupError),
}

impl From<BackupError> for Otherwise {
    fn from(error: BackupError) -> Self {
        Otherwise::Refused(error)
    }
}

impl GoingOn {
    /// The attempt to make of it.
    pub(super) fn attempt(&self) -> Attempt {
        Attempt {
            head: self.claim().head.clone(),
            sealing: self.sealing.clone(),
            resuming: Some(self.resuming.clone()),
            holdings: self.holdings.clone(),
        }
    }

    /// Why it can't be gone on with by a backup of this extent, if that is so.
    pub(super) fn other_extent(&self, extent: &Extent) -> Option<String> {
        let head = &self.claim().head;
        let is_same = head.parent == extent.parent() && head.since == extent.since();
        (!is_same).then(|| "what it went on from isn't the last backup any more".to_owned())
    }

    pub(super) fn claim(&self) -> &RunClaim {
        self.resuming.resumption.claim()
    }
}

impl Run<'_> {
    /// Goes on with the run that was asked for, if there is one and that can be done; the report says which it was.
    ///
    /// # Errors
    /// Where nobody has anything of it, it is a backup already, or another process has it.
    pub(super) async fn take_up(
        &self,
        strategy: &Strategy,
        report: &mut BackupReport,
    ) -> Result<Option<GoingOn>, BackupError> {
        let id = match &self.request.resume {
            None => return Ok(None),
            Some(Resume::Run(id)) => id.clone(),
            Some(Resume::Unfinished) => {
                let found = async { Ok(self.newest_unfinished().await) };
                match self.deadline.cancel().guard(found).await? {
                    None => return Ok(None),
                    Some(id) => id,
                }
            }
        };
        report.resumed = Some(Resumed::new(id.clone()));
        let going_on = async { Ok(self.go_on(&id, strategy).await) };
        match self.deadline.cancel().guard(going_on).await? {
            Ok(going_on) => Ok(Some(going_on)),
            Err(Otherwise::Afresh(reason)) => {
                super::afresh(report, reason);
                Ok(None)
            }
            // Nobody has asked for this very one, and a backup is wanted in any case.
            Err(Otherwise::Refused(error))
                if error.class() != Class::Cancelled
                    && self.request.resume == Some(Resume::Unfinished) =>
            {
                super::afresh(report, error.to_string());
                Ok(None)
            }
            Err(Otherwise::Refused(error)) => Err(error),
        }
    }

    async fn go_on(&self, id: &BackupId, strategy: &Strategy) -> Result<GoingOn, Otherwise> {
        let path = self.path_of(id)?;
        let mut left = self.look_at_all(id, &path).await?;
        let Some((claim, bytes)) = left.iter().flatten().find_map(|left| left.claim.clone()) else {
            return Err(nobody_has(id, &self.unanswered(&left)).into());
        };
        self.wait_until_quiet(id, &path, &left).await?;
        self.check_same(&claim).map_err(Otherwise::Afresh)?;
        let claims = left.iter().flatten().filter_map(|left| left.claim.as_ref());
        if claims.map(|(_, bytes)| bytes).any(|other| *other != bytes) {
            let message = "destinations have different claims of it";
            return Err(Otherwise::Afresh(message.to_owned()));
        }
        let unlocked = self.unlock_left(&claim, &bytes, &left).await?;
        let mut holdings = Vec::new();
        for (opened, left) in self.opened.iter().zip(&mut left) {
            let sealer = unlocked.as_ref().map(|sealing| sealing.sealer.as_ref());
            holdings.push(match left {
                Some(left) => Some(look::holdings(opened, &claim, sealer, left).await?),
                None => None,
            });
        }
        let active: BTreeSet<usize> = strategy.active().iter().map(|id| id.0).collect();
        let take_part = holdings.iter().enumerate();
        let take_part = take_part.filter(|(index, _)| active.contains(index));
        let looked_at: Vec<&Holdings> = take_part.filter_map(|(_, held)| held.as_ref()).collect();
        let resumption = Resumption::new(claim, &looked_at);
        let resumption = resumption.map_err(|error| Otherwise::Afresh(error.to_string()))?;
        let attempts = left.iter().flatten().map(|left| left.attempts);
        let attempt = attempts.max().unwrap_or(0).saturating_add(1);
        if attempt > ATTEMPTS_MAX {
            let message = format!("it was taken up {} times before", attempt - 1);
            return Err(Otherwise::Afresh(message));
        }
        let began = resumption.claim().head.started_at;
        let taking = Taking {
            id,
            path: &path,
            entry: &layout::catalog_entry(id, began)?,
            claim: &bytes,
            attempt,
        };
        let numbered = async {
            let unclaimed = self.number_all(&taking, &left, &active).await?;
            self.look_again(&taking, &left).await?;
            Ok::<_, Otherwise>(unclaimed)
        };
        let unclaimed = match numbered.await {
            Ok(unclaimed) => unclaimed,
            Err(otherwise) => {
                self.take_back_numbers(&taking, &left).await;
                return Err(otherwise);
            }
        };
        let silent = self.unanswered(&left).into_iter().map(str::to_owned);
        let resumption = resumption.without_word_from(silent.chain(unclaimed).collect());
        Ok(GoingOn {
            resuming: Resuming {
                resumption: Arc::new(resumption),
                claim: bytes,
                attempt,
            },
            sealing: unlocked,
            holdings: holdings
                .into_iter()
                .map(Option::unwrap_or_default)
                .collect(),
        })
    }

    /// Where a run of this id has its files.
    fn path_of(&self, id: &BackupId) -> Result<ObjectKey, BackupError> {
        let Some(began) = id.began() else {
            let message =
                format!("{id} says no time at which it began, so it is no run of teeline");
            return Err(BackupError::usage("resume", message));
        };
        let request = self.request;
        request.path.path(id, began, request.time_zone)
    }

    /// What each destination has of the run; none where one couldn't be asked.
    async fn look_at_all(
        &self,
        id: &BackupId,
        path: &ObjectKey,
    ) -> Result<Vec<Option<Left>>, Otherwise> {
        let looks = self.opened.iter().map(|opened| look::at(opened, id, path));
        let mut left = Vec::new();
        for looked in join_all(looks).await {
            left.push(match looked {
                Ok(left) => Some(left),
                // Who can't be asked is out by the strategy, if it still can't be later. What is made of the run must be what may be there.
                Err(Otherwise::Refused(error))
                    if !matches!(error.class(), Class::Usage | Class::Corrupt) =>
                {
                    None
                }
                Err(otherwise) => return Err(otherwise),
            });
        }
        Ok(left)
    }

    /// The destinations that couldn't be asked.
    fn unanswered(&self, left: &[Option<Left>]) -> Vec<&str> {
        let pairs = self.opened.iter().zip(left);
        let unanswered = pairs.filter(|(_, left)| left.is_none());
        unanswered.map(|(opened, _)| opened.name.as_str()).collect()
    }

    /// Waits until it is known that nobody writes to the run any more.
    async fn wait_until_quiet(
        &self,
        id: &BackupId,
        path: &ObjectKey,
        left: &[Option<Left>],
    ) -> Result<(), Otherwise> {
        let newest = left.iter().flatten().filter_map(|left| left.newest_at);
        let now = (self.engine.0.clock)();
        let is_untouched = |at: Timestamp| at <= now && at.until(now).ms() >= UNTOUCHED_MS;
        if newest.max().is_some_and(is_untouched) {
            return Ok(());
        }
        let quiet = (self.engine.0.sleep)(self.request.resume_quiet);
        quiet.await;
        let again = self.look_at_all(id, path).await?;
        let traces = |left: &[Option<Left>]| -> Vec<Option<Trace>> {
            let traces = left.iter();
            traces
                .map(|left| left.as_ref().map(|left| left.trace.clone()))
                .collect()
        };
        let same = traces(left).into_iter().zip(traces(&again));
        match same
            .into_iter()
            .any(|(before, now)| before.is_some() && now.is_some() && before != now)
        {
            false => Ok(()),
            true => Err(is_written_to(id).into()),
        }
    }
}

fn nobody_has(id: &BackupId, unanswered: &[&str]) -> BackupError {
    let but = match unanswered {
        [] => String::new(),
        names => format!("; {} couldn't be asked", names.join(", ")),
    };
    let message =
        format!("no run of this id has left anything where the request would put it{but}");
    BackupError::new(Class::NotFound, "resume", id, message).suggest(
        "name the destinations of that run, and the path that it had; a run's folder is called as the run, and has a run.json",
    )
}

fn is_written_to(id: &BackupId) -> BackupError {
    let message = "something is still written to it, so the process that makes it isn't dead";
    BackupError::new(Class::Conflict, "resume", id, message)
        .suggest("wait until that has ended, or end it; then try again")
}

fn is_complete(id: &BackupId, at: &str) -> BackupError {
    let message = format!("it is complete: there is a backup at {at}");
    BackupError::usage(format!("resume {id}"), message)
        .suggest("`teeline sync` brings it to the destinations that lack it")
}

fn has_lost_its_manifest(id: &BackupId, at: &str) -> BackupError {
    let message = format!("it was complete, and its manifest is missing at {at}");
    BackupError::corrupt(format!("resume {id}"), message).suggest(format!(
        "`teeline repair {id} --rebuild-manifest` makes it again"
    ))
}
