//! Small objects that say nothing any more: checks that newer ones have taken the place of, turns of schedules that are past, and
//! marks of runs that are gone.

use teeline_core::{BackupError, ObjectKey, ObjectMeta, ResumptionMarker, Timestamp, layout};

use crate::catalog::read_document;
use crate::dead_runs::Bound;
use crate::ledger::Ledger;
use crate::open::Opened;
use crate::report::CleanedDestination;
use crate::run_folders::RunFolders;
use crate::schedule::past_turns;

pub(super) struct Outdated {
    verifications: Vec<ObjectKey>,
    turns: Vec<ObjectKey>,
    numbers: Vec<ObjectKey>,
}

impl Outdated {
    pub(super) async fn find(
        opened: &Opened,
        ledger: &Ledger,
        found: &RunFolders,
        bound: Bound,
    ) -> Result<Self, BackupError> {
        let verifications = ledger.superseded().map(layout::verification);
        let mut numbers = Vec::new();
        for number in &found.numbers {
            let written_at = written_at(opened, number).await?;
            if written_at.is_some_and(|at| bound.is_passed_by(at)) {
                numbers.push(number.key.clone());
            }
        }
        Ok(Outdated {
            verifications: verifications.collect::<Result<_, _>>()?,
            turns: past_turns(&found.turns),
            numbers,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.verifications.is_empty() && self.turns.is_empty() && self.numbers.is_empty()
    }

    /// Deletes them, unless nothing is to be done, and counts them.
    pub(super) async fn sweep(
        &self,
        opened: &Opened,
        dry_run: bool,
        cleaned: &mut CleanedDestination,
    ) -> Result<(), BackupError> {
        let all = self.verifications.iter().chain(&self.turns);
        for key in all.chain(&self.numbers) {
            if !dry_run {
                opened.sink.delete(key).await?;
            }
        }
        cleaned.verifications = self.verifications.len() as u64;
        // Of a turn and its end there is one.
        let turns = self.turns.iter().filter(|key| !layout::is_turn_end(key));
        cleaned.turns = turns.count() as u64;
        Ok(())
    }
}

/// When a mark was written: by the store's clock, or where that has none by what it says. What can't be read says nothing.
async fn written_at(
    opened: &Opened,
    number: &ObjectMeta,
) -> Result<Option<Timestamp>, BackupError> {
    if number.modified_at.is_some() {
        return Ok(number.modified_at);
    }
    match read_document::<ResumptionMarker>(opened.sink.as_ref(), &number.key).await {
        Ok(marker) => Ok(Some(marker.at)),
        Err(error) if error.class().is_retriable() => Err(error),
        Err(_) => Ok(None),
    }
}
