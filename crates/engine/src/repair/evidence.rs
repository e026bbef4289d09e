//! What is known of a run beside its own files: the checksums that its manifest had, and whether it had one at all.

use teeline_core::commit::was_published;
use teeline_core::{BackupError, BackupId, DestinationStatus, Digest, RunRecord, RunStatus};

use crate::catalog::{Asked, located};
use crate::report::DestinationError;
use crate::run_folders::Searched;
use crate::run_records;

/// What catalogue entries and run records say of a run's manifest.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// Each checksum with the file that has it.
    checksums: Vec<(Digest, String)>,
    records: Vec<RunRecord>,
    /// The destinations with a record of their own that says that the backup was published there.
    recorded: Vec<String>,
}

impl Evidence {
    /// What all destinations say. Records that can't be read go to `errors`, and nothing else depends on them.
    pub(super) async fn gather(
        id: &BackupId,
        places: &[Result<Searched, (String, BackupError)>],
        errors: &mut Vec<DestinationError>,
    ) -> Self {
        let mut evidence = Evidence::default();
        for place in places.iter().flatten() {
            evidence.take_entry(id, &place.asked);
            if let Err(error) = evidence.take_records(id, &place.asked, errors).await {
                errors.push(DestinationError {
                    destination: place.asked.opened.name.clone(),
                    error: (&error).into(),
                });
            }
        }
        evidence
    }

    /// A checksum that isn't this one, and the file that has it.
    pub(super) fn against(&self, checksum: Digest) -> Option<(Digest, &str)> {
        let mut checksums = self.checksums.iter();
        let (known, file) = checksums.find(|(known, _)| *known != checksum)?;
        Some((*known, file))
    }

    /// Whether the run has ended without a manifest at any destination, as far as it knew.
    pub(super) fn says_never_published(&self) -> bool {
        let failed =
            |record: &RunRecord| record.status == RunStatus::Failed && !may_have_published(record);
        !self.records.is_empty() && self.records.iter().all(failed)
    }

    /// Whether a destination would notice that it has lost the manifest.
    pub(super) fn is_recorded_at(&self, destination: &str) -> bool {
        self.recorded.iter().any(|name| name == destination)
    }

    fn take_entry(&mut self, id: &BackupId, asked: &Asked) {
        let catalog = &asked.catalog;
        let entries = catalog.entries.iter().chain(&catalog.without_manifest);
        for entry in entries.filter(|entry| entry.id == *id) {
            let sink = &asked.opened.sink;
            let name = format!("the catalogue's entry at {sink}");
            self.checksums.push((entry.checksum, name));
        }
    }

    async fn take_records(
        &mut self,
        id: &BackupId,
        asked: &Asked,
        errors: &mut Vec<DestinationError>,
    ) -> Result<(), BackupError> {
        let sink = asked.opened.sink.as_ref();
        for (key, record) in run_records::of(sink, id).await? {
            match record {
                Ok(record) => {
                    // Of a run that published nowhere, the manifest is none: whoever takes it up makes another.
                    if let Some(checksum) = record.checksum
                        && may_have_published(&record)
                    {
                        let name = format!("the run's record {}", located(sink, &key));
                        self.checksums.push((checksum, name));
                    }
                    if was_published(&record, &asked.opened.location) {
                        self.recorded.push(asked.opened.name.clone());
                    }
                    self.records.push(record);
                }
                Err(error) => errors.push(DestinationError {
                    destination: asked.opened.name.clone(),
                    error: (&error).into(),
                }),
            }
        }
        Ok(())
    }
}

/// Whether a manifest of the run may be at any destination, as far as it knew.
fn may_have_published(record: &RunRecord) -> bool {
    let mut destinations = record.destinations.iter();
    destinations.any(|at| {
        matches!(
            at.status,
            DestinationStatus::Committed | DestinationStatus::Unknown
        )
    })
}
