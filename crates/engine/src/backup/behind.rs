//! Completing those that a pass has left behind, before the run is over.

use teeline_core::{DestinationReport, DestinationStatus};

use super::Run;
use crate::catch_up::Completion;
use crate::report::BackupReport;

impl Run<'_> {
    /// Copies what they lack from a destination that has the backup. One that can't be completed stays behind, and says why.
    pub(super) async fn complete_who_is_behind(&self, report: &mut BackupReport) {
        let is = |status| move |at: &DestinationReport| at.status == status;
        let mut all = report.destinations.iter();
        let donor = all.position(is(DestinationStatus::Committed));
        let (Some(sealed), Some(path), Some(donor)) = (&self.made, &report.folder, donor) else {
            return;
        };
        for (to, destination) in self.opened.iter().zip(&mut report.destinations) {
            if destination.status != DestinationStatus::Behind {
                continue;
            }
            let mut completion = Completion::new(&self.opened[donor], to, path, sealed);
            match self.deadline.cancel().guard(completion.run()).await {
                Ok(bytes) => {
                    destination.status = DestinationStatus::Committed;
                    destination.verified = completion.verified();
                    destination.bytes += bytes;
                    let resources = sealed.manifest.all_resources();
                    destination.segments = resources.map(|r| r.segments.len() as u64).sum();
                }
                Err(error) => {
                    if completion.may_be_visible(&error) {
                        destination.status = DestinationStatus::Unknown;
                    }
                    destination.error = Some(self.deadline.told((&error).into()));
                }
            }
        }
        if report.error.is_none() {
            // What the strategy asks for may only be met now.
            let ended = report.destinations.iter();
            let ended = Vec::from_iter(ended.map(|at| (at.required, at.status)));
            report.status = self.request.strategy.verdict(&ended).into();
        }
    }
}
