//! Small objects that say nothing any more: checks that newer ones have taken the place of, and turns of schedules that are past.

use teeline_core::{BackupError, ObjectKey, layout};

use crate::ledger::Ledger;
use crate::open::Opened;
use crate::report::CleanedDestination;
use crate::run_folders::RunFolders;
use crate::schedule::past_turns;

pub(super) struct Outdated {
    verifications: Vec<ObjectKey>,
    turns: Vec<ObjectKey>,
}

impl Outdated {
    pub(super) fn find(ledger: &Ledger, found: &RunFolders) -> Result<Self, BackupError> {
        let verifications = ledger.superseded().map(layout::verification);
        Ok(Outdated {
            verifications: verifications.collect::<Result<_, _>>()?,
            turns: past_turns(&found.turns),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.verifications.is_empty() && self.turns.is_empty()
    }

    /// Deletes them, unless nothing is to be done, and counts them.
    pub(super) async fn sweep(
        &self,
        opened: &Opened,
        dry_run: bool,
        cleaned: &mut CleanedDestination,
    ) -> Result<(), BackupError> {
        for key in self.verifications.iter().chain(&self.turns) {
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
