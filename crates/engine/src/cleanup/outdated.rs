//! Small objects that say nothing any more: checks that newer ones have taken the place of, turns of schedules that are past, and
//! marks of runs that are gone.

use teeline_core::{BackupError, ObjectKey, ObjectMeta, layout};

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
    pub(super) fn find(
        ledger: &Ledger,
        found: &RunFolders,
        bound: Bound,
    ) -> Result<Self, BackupError> {
        let is_old =
            |number: &&ObjectMeta| number.modified_at.is_some_and(|at| bound.is_passed_by(at));
        let numbers = found.numbers.iter().filter(is_old);
        let verifications = ledger.superseded().map(layout::verification);
        Ok(Outdated {
            verifications: verifications.collect::<Result<_, _>>()?,
            turns: past_turns(&found.turns),
            numbers: numbers.map(|number| number.key.clone()).collect(),
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
