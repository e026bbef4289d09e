//! The last steps of a backup at a destination: by a run, a repair, or a sync.

use teeline_core::commit::PublishStep;

use crate::scene::{Planted, Scene};
use crate::world::{BackupNumber, Call, Content, Copy, File, Place};

/// Who publishes, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Publisher {
    /// How often the run had been taken up, with this time; none, where it isn't by a run.
    pub(crate) attempt: Option<u8>,
    /// Which claim was there before anything was written or compared: see `Copy::claims`.
    pub(crate) claims_seen: u8,
    pub(crate) content: Content,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Done,
    Failed,
    /// Something else stands there.
    Conflict,
}

/// The step that follows, by its place in their order; what goes on from nothing looks for no parent.
pub(crate) fn after(scene: &Scene, backup: BackupNumber, step: usize) -> Option<usize> {
    let is_one = |step: &usize| {
        PublishStep::ORDER[*step] != PublishStep::Parent || scene.plans[backup].parent.is_some()
    };
    (step + 1..PublishStep::ORDER.len()).find(is_one)
}

/// Whether that is the step that the manifest is written by, or the one before, after looking.
pub(crate) fn has_looked(step: usize) -> bool {
    matches!(
        PublishStep::ORDER[step],
        PublishStep::Parent | PublishStep::Manifest
    )
}

impl Publisher {
    pub(crate) fn step(
        self,
        scene: &Scene,
        place: &mut Place,
        backup: BackupNumber,
        step: PublishStep,
        call: Call,
    ) -> Step {
        let may_go_on = match step {
            PublishStep::Entry => return self.write(place, backup, File::Entry, call),
            PublishStep::Manifest => return self.write(place, backup, File::Manifest, call),
            PublishStep::Look => {
                scene.planted == Some(Planted::NobodyLooksBeforeTheManifest)
                    || self.is_its_own(scene, &place.copies[backup])
            }
            PublishStep::Parent => {
                let parent = scene.plans[backup].parent;
                let is_there = |parent: BackupNumber| place.copies[parent].traces.is_backup();
                parent.is_none_or(is_there)
                    || scene.planted == Some(Planted::NobodyLooksForTheParent)
            }
            PublishStep::LookAgain => {
                scene.planted == Some(Planted::NobodyLooksAgain)
                    || self.is_its_own(scene, &place.copies[backup])
            }
        };
        match may_go_on && call == Call::Answered {
            true => Step::Done,
            false => Step::Failed,
        }
    }

    fn write(self, place: &mut Place, backup: BackupNumber, file: File, call: Call) -> Step {
        let is_there = call.is_done() && place.copies[backup].put(file, self.content);
        match call {
            Call::Answered if is_there => Step::Done,
            Call::Answered => Step::Conflict,
            Call::Failed | Call::Lost => Step::Failed,
        }
    }

    /// Whether it isn't withdrawn or swept, nobody has taken it up since, and nobody has claimed it anew.
    fn is_its_own(self, scene: &Scene, copy: &Copy) -> bool {
        let looks_for_numbers = scene.planted != Some(Planted::NobodyLooksForAHigherNumber);
        let next = |attempt: u8| {
            let next = copy.numbers.get(usize::from(attempt));
            next.copied().flatten().is_some()
        };
        let is_taken_up = looks_for_numbers && self.attempt.is_some_and(next);
        let looks_at_claim = scene.planted != Some(Planted::AnyClaimWillDo);
        let is_another = looks_at_claim && copy.claims != self.claims_seen;
        copy.traces.obstacle().is_none() && !is_taken_up && !is_another
    }
}
