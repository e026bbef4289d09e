//! The cleanup that follows a backup.

use teeline_core::{DestinationStatus, RunStatus};

use super::Run;
use crate::cleanup::{CleanupRequest, cleanup};
use crate::report::{BackupReport, CleanupReport};

impl Run<'_> {
    /// Cleans up where the backup has just been made: where it failed, older ones are all that there is.
    pub(super) async fn clean_up(&self, report: &BackupReport) -> Option<CleanupReport> {
        let request = self.request;
        let policy = request
            .cleanup
            .filter(|_| report.status != RunStatus::Failed)?;
        let made = request.destinations.iter().zip(&report.destinations);
        let made = made.filter(|(_, at)| at.status == DestinationStatus::Committed);
        let destinations = made.map(|(spec, _)| spec.clone()).collect();
        let mut after = CleanupRequest::new(destinations, policy);
        after.time_zone = request.time_zone;
        after.cancel = request.cancel.clone();
        Some(cleanup(self.engine, &after).await)
    }
}
