//! What became of a run.

use teeline_actors::{PassEnd, PassReport};
use teeline_core::{
    BackupId, BackupType, Class, DestinationId, DestinationReport, DestinationStatus, ErrorReport,
    Outcome, RunStatus, SealedManifest, Timestamp, Totals, Verified,
};

use super::Run;
use crate::report::{BackupReport, PluginResult};

impl Run<'_> {
    pub(super) fn take(
        &mut self,
        done: PassReport,
        id: BackupId,
        path: String,
        report: &mut BackupReport,
    ) {
        report.id = Some(id);
        report.folder = Some(path);
        report.error = done.error.as_ref().map(ErrorReport::from);
        for (DestinationId(index), destination) in done.destinations {
            self.reports[index] = Some(destination);
        }
        if let (Some(resumed), Some((from, bytes))) = (&mut report.resumed, done.skipped) {
            resumed.from = from;
            resumed.bytes_not_read = bytes;
        }
        report.stages.extend(done.stages);
        report.budget_peak_bytes = report
            .budget_peak_bytes
            .max(self.engine.0.budget.take_peak());
        report.describe(done.manifest.as_ref());
        self.made = done.manifest;
    }

    /// What became of each destination; those that no pass got to were skipped.
    pub(super) fn destination_reports(&self) -> Vec<DestinationReport> {
        let required = self.request.required();
        self.request
            .destinations
            .iter()
            .enumerate()
            .map(|(index, spec)| match self.reports.get(index) {
                Some(Some(report)) => report.clone(),
                _ => DestinationReport {
                    name: spec.name.clone(),
                    location: spec.place.location(),
                    status: DestinationStatus::Skipped,
                    required: required[index],
                    bytes: 0,
                    segments: 0,
                    verified: Verified::No,
                    retries: 0,
                    duration_ms: 0,
                    lag_bytes_max: 0,
                    spooled_bytes: 0,
                    kept_bytes: 0,
                    error: None,
                },
            })
            .collect()
    }
}

/// Of a pass that has gone on with a run, and published nothing: what isn't as it was written at a destination that the backup
/// can't be without. Nothing that is there is replaced, so whoever went on with the run once more would come to the same.
pub(super) fn damaged_left(done: &PassReport) -> Option<String> {
    let is_failed = matches!(done.end, PassEnd::Finished(Outcome::Failed));
    let may_be_listed = |(_, at): &(DestinationId, DestinationReport)| {
        matches!(
            at.status,
            DestinationStatus::Committed | DestinationStatus::Unknown
        )
    };
    if !is_failed || done.error.is_some() || done.destinations.iter().any(may_be_listed) {
        return None;
    }
    let mut errors = done.destinations.iter().filter_map(|(_, at)| {
        let error = at.error.as_ref()?;
        (error.class == Class::Corrupt).then(|| format!("{}: {}", at.name, error.message))
    });
    errors.next()
}

impl BackupReport {
    /// A run that failed may have published before: that backup is listed, and whoever reads the report must know where.
    pub(super) fn say_where_half_published(&mut self) {
        let holds = |report: &&DestinationReport| report.status == DestinationStatus::Committed;
        let names: Vec<&str> = self
            .destinations
            .iter()
            .filter(holds)
            .map(|report| report.name.as_str())
            .collect();
        if self.status != RunStatus::Failed || names.is_empty() {
            return;
        }
        let message = format!(
            "half-published: the backup is visible at {}",
            names.join(", ")
        );
        let error = self.error.get_or_insert_with(|| ErrorReport {
            class: Class::Permanent,
            message: message.clone(),
            suggestion: None,
        });
        if error.message != message {
            error.message = format!("{}; {message}", error.message);
        }
        error
            .suggestion
            .get_or_insert_with(|| "what is visible there is whole and can be restored".to_owned());
    }

    /// Says what a pass has made. One that made nothing has no numbers, not those of the pass before it.
    fn describe(&mut self, made: Option<&SealedManifest>) {
        let manifest = made.map(|made| &made.manifest);
        let totals = manifest.map_or_else(Totals::default, |manifest| manifest.totals);
        self.record_count = totals.records;
        self.object_count = totals.objects;
        self.kept_raw = totals.kept_raw;
        self.vanished = totals.vanished;
        self.changes = manifest.and_then(|manifest| manifest.source.changes);
        self.settle = manifest.and_then(|manifest| manifest.source.settle);
        self.size = totals.stored_bytes;
        self.plain_bytes = totals.plain_bytes;
        self.checksum = made.map(|made| made.checksum);
        let resources = manifest
            .into_iter()
            .flat_map(|manifest| &manifest.resources);
        self.resources = resources.map(|resource| resource.name.clone()).collect();
    }

    pub(crate) fn failed(backup_type: BackupType, started_at: Timestamp) -> Self {
        BackupReport {
            id: None,
            backup_type,
            status: RunStatus::Failed,
            started_at,
            record_count: 0,
            object_count: 0,
            kept_raw: 0,
            vanished: 0,
            parent: None,
            changes: None,
            since: None,
            whole_because: None,
            resumed: None,
            settle: None,
            size: 0,
            plain_bytes: 0,
            checksum: None,
            duration: 0,
            folder: None,
            resources: Vec::new(),
            plugin: PluginResult::default(),
            destinations: Vec::new(),
            left_out: Vec::new(),
            warnings: Vec::new(),
            cleanup: None,
            error: None,
            failure: None,
            hook_failures: Vec::new(),
            stages: Vec::new(),
            budget_peak_bytes: 0,
        }
    }
}
