//! The record of a run, left at its destinations.

use teeline_core::{BackupError, ErrorReport, RunRecord, Timestamp, document, layout};

use super::Run;
use crate::report::BackupReport;

impl Run<'_> {
    /// Leaves the run's record wherever it can be left. Gives the destinations, by number, that didn't take it.
    pub(super) async fn record(
        &self,
        report: &BackupReport,
        ended_at: Timestamp,
    ) -> Vec<(usize, BackupError)> {
        let Some(id) = report.id.clone() else {
            return Vec::new();
        };
        let record = RunRecord {
            id: id.clone(),
            backup_type: report.backup_type.clone(),
            status: report.status,
            started_at: self.started_at,
            ended_at,
            checksum: report.checksum,
            error: report.error.clone(),
            destinations: report.destinations.clone(),
        };
        let bytes = document::seal(&record);
        let key = match layout::run_record(&id, ended_at) {
            Ok(key) => key,
            Err(error) => return vec![(0, error)],
        };
        let reachable = self
            .opened
            .iter()
            .zip(&report.destinations)
            .enumerate()
            .filter(|(_, (_, destination))| {
                let retriable = |error: &ErrorReport| error.class.is_retriable();
                // What took nothing wasn't claimed, so it may be no destination at all.
                destination.bytes > 0 && !destination.error.as_ref().is_some_and(retriable)
            });
        let writes = reachable.map(|(index, (opened, _))| {
            let (key, bytes) = (key.clone(), bytes.clone());
            async move {
                opened
                    .sink
                    .put(&key, bytes)
                    .await
                    .err()
                    .map(|error| (index, error))
            }
        });
        let failed = futures::future::join_all(writes).await;
        failed.into_iter().flatten().collect()
    }
}
