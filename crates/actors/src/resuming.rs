//! What the placer does otherwise for a run that is taken up: what everybody has is placed as it is, and the rest is compared
//! with what is there before it is sent to anybody.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use teeline_core::{
    BackupError, Comparison, EncodedBlock, Placement, Placer, ResourceEnd, ResourceId, Resumption,
    RunClaim, ScanPlan,
};

use crate::messages::SupervisorMessage;

/// How a run that broke off is taken up.
#[derive(Debug, Clone)]
pub struct Resuming {
    /// What there is of it.
    pub resumption: Arc<Resumption>,
    /// Its claim, as it is stored.
    pub claim: Bytes,
    /// Which time it is taken up, from 1.
    pub attempt: u32,
}

/// Why there will be no backup.
pub(crate) enum Failure {
    Failed(BackupError),
    /// What is read isn't what was read when the run broke off.
    Differs(BackupError),
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        Failure::Failed(error)
    }
}

/// A run that is gone on with.
pub(crate) struct GoingOn {
    resumption: Arc<Resumption>,
    comparison: Comparison,
    /// The resources of which the source leaves out what everybody has.
    continued: BTreeSet<ResourceId>,
}

impl GoingOn {
    /// Goes on with a run, if the source is going to give what it had claimed. Also says what isn't read again.
    pub(crate) fn begin(
        resumption: &Arc<Resumption>,
        plan: &ScanPlan,
        new: &RunClaim,
    ) -> Result<(Self, SupervisorMessage), Failure> {
        let check = resumption.check(plan, &new.claimed, &new.attachments);
        check.map_err(Failure::Differs)?;
        let (from, bytes) = resumption.skipped(plan);
        let going_on = GoingOn {
            resumption: Arc::clone(resumption),
            comparison: resumption.comparison(),
            continued: plan.continued.clone(),
        };
        Ok((going_on, SupervisorMessage::Skipped(from, bytes)))
    }

    /// Places what everybody has of a resource that begins, where that isn't read again.
    pub(crate) fn keep(
        &mut self,
        id: ResourceId,
        placer: &mut Placer,
        placements: &mut Vec<Placement>,
    ) -> Result<(), BackupError> {
        if self.continued.contains(&id) {
            placer.keep(id, self.resumption.kept(id), placements)?;
            self.comparison.keep(id);
        }
        Ok(())
    }

    /// Compares the next chunk.
    pub(crate) fn chunk(&mut self, chunk: &EncodedBlock) -> Result<(), Failure> {
        self.comparison.chunk(chunk).map_err(Failure::Differs)
    }

    /// Compares the segments of a resource that have been closed.
    pub(crate) fn placed(&self, id: ResourceId, placements: &[Placement]) -> Result<(), Failure> {
        for placement in placements {
            if let Placement::Close { entry, .. } = placement {
                let closed = self.comparison.closed(id, entry);
                closed.map_err(Failure::Differs)?;
            }
        }
        Ok(())
    }

    /// How a resource ends.
    pub(crate) fn ended(&self, id: ResourceId, end: ResourceEnd) -> Result<ResourceEnd, Failure> {
        self.comparison.ended(id, end).map_err(Failure::Differs)
    }
}
