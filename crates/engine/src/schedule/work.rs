//! What schedules do: backups, and what keeps them worth having.

use serde::Serialize;
use serde_json::json;
use teeline_core::{BackupError, BackupId, BackupType, Class, Digest, ErrorReport, RunStatus};

use crate::cleanup::CleanupRequest;
use crate::destination::DestinationSpec;
use crate::drill::DrillRequest;
use crate::engine::Engine;
use crate::repair::RepairRequest;
use crate::report::{
    BackupReport, CleanupReport, DrillReport, RepairReport, ScrubReport, ValidationReport,
    VerifyReport, exit, exit_code_of,
};
use crate::request::{BackupRequest, Cancel};
use crate::scrub::ScrubRequest;
use crate::validate::ValidateRequest;
use crate::verify::VerifyRequest;

/// Something that can be done again and again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Work {
    /// A backup.
    Backup(Box<BackupRequest>),
    /// A cleanup.
    Cleanup(CleanupRequest),
    /// A check of stored bytes.
    Verify(VerifyRequest),
    /// A validation.
    Validate(ValidateRequest),
    /// A scrub.
    Scrub(ScrubRequest),
    /// A drill.
    Drill(DrillRequest),
    /// A repair.
    Repair(RepairRequest),
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum WorkReport {
    /// Of a backup.
    Backup(Box<BackupReport>),
    /// Of a cleanup.
    Cleanup(CleanupReport),
    /// Of a check of stored bytes.
    Verify(VerifyReport),
    /// Of a validation.
    Validate(ValidationReport),
    /// Of a scrub.
    Scrub(ScrubReport),
    /// Of a drill.
    Drill(DrillReport),
    /// Of a repair.
    Repair(RepairReport),
}

/// As types of schedules are written that make no backup.
const UPKEEP_TYPES: [&str; 6] = ["cleanup", "verify", "validate", "scrub", "drill", "repair"];

impl Work {
    /// As the type of a schedule is written; of a backup, its own.
    pub fn label(&self) -> BackupType {
        let [cleanup, verify, validate, scrub, drill, repair] = UPKEEP_TYPES;
        let name = match self {
            Work::Backup(request) => return request.backup_type.clone(),
            Work::Cleanup(_) => cleanup,
            Work::Verify(_) => verify,
            Work::Validate(_) => validate,
            Work::Scrub(_) => scrub,
            Work::Drill(_) => drill,
            Work::Repair(_) => repair,
        };
        name.parse().expect("a type")
    }

    /// Where it is done.
    pub fn destinations(&self) -> &[DestinationSpec] {
        match self {
            Work::Backup(request) => &request.destinations,
            Work::Cleanup(request) => &request.destinations,
            Work::Verify(request) => &request.destinations,
            Work::Validate(request) => &request.destinations,
            Work::Scrub(request) => &request.destinations,
            Work::Drill(request) => &request.destinations,
            Work::Repair(request) => &request.destinations,
        }
    }

    /// Tells what it does from what others do who have a schedule of the same name: what a backup is of, or what else is done, and where. Of a
    /// source that isn't named nothing tells that.
    pub(super) fn subject(&self, engine: &Engine) -> Option<Digest> {
        if let Work::Backup(request) = self {
            return request.subject(engine);
        }
        let places = self.destinations().iter();
        let places = places.map(|to| engine.0.lasting_name(&to.place.location()));
        let done = json!([self.label(), places.collect::<Vec<_>>()]);
        Some(Digest::of(done.to_string().as_bytes()))
    }

    pub(super) fn cancelled_by(mut self, cancel: &Cancel) -> Self {
        let its = match &mut self {
            Work::Backup(request) => &mut request.cancel,
            Work::Cleanup(request) => &mut request.cancel,
            Work::Verify(request) => &mut request.cancel,
            Work::Validate(request) => &mut request.cancel,
            Work::Scrub(request) => &mut request.cancel,
            Work::Drill(request) => &mut request.cancel,
            Work::Repair(request) => &mut request.cancel,
        };
        *its = cancel.clone();
        self
    }
}

impl Engine {
    /// Does what a schedule would do, once.
    pub async fn carry_out(&self, work: Work) -> WorkReport {
        match work {
            Work::Backup(request) => WorkReport::Backup(Box::new(self.backup(*request).await)),
            Work::Cleanup(request) => WorkReport::Cleanup(self.cleanup(request).await),
            Work::Verify(request) => WorkReport::Verify(self.verify(request).await),
            Work::Validate(request) => WorkReport::Validate(self.validate(request).await),
            Work::Scrub(request) => WorkReport::Scrub(self.scrub(request).await),
            Work::Drill(request) => WorkReport::Drill(self.drill(request).await),
            Work::Repair(request) => WorkReport::Repair(self.repair(request).await),
        }
    }

    /// As [`Engine::carry_out`], for hosts without an executor.
    pub fn carry_out_blocking(&self, work: Work) -> WorkReport {
        futures::executor::block_on(self.carry_out(work))
    }
}

impl WorkReport {
    /// As that of the report in it.
    pub fn exit_code(&self) -> u8 {
        match self {
            WorkReport::Backup(report) => report.exit_code(),
            WorkReport::Cleanup(report) => report.exit_code(),
            WorkReport::Verify(report) => report.exit_code(),
            WorkReport::Validate(report) => report.exit_code(),
            WorkReport::Scrub(report) => report.exit_code(),
            WorkReport::Drill(report) => report.exit_code(),
            WorkReport::Repair(report) => report.exit_code(),
        }
    }

    /// As the type of a schedule is written that does it; of a backup, its own.
    pub fn label(&self) -> BackupType {
        let [cleanup, verify, validate, scrub, drill, repair] = UPKEEP_TYPES;
        let name = match self {
            WorkReport::Backup(report) => return report.backup_type.clone(),
            WorkReport::Cleanup(_) => cleanup,
            WorkReport::Verify(_) => verify,
            WorkReport::Validate(_) => validate,
            WorkReport::Scrub(_) => scrub,
            WorkReport::Drill(_) => drill,
            WorkReport::Repair(_) => repair,
        };
        name.parse().expect("a type")
    }

    /// The backup that was made.
    pub fn backup_id(&self) -> Option<&BackupId> {
        match self {
            WorkReport::Backup(report) => report.id.as_ref(),
            _ => None,
        }
    }

    /// What became of it: of what isn't a backup, whatever isn't done as it should be has failed.
    pub fn status(&self) -> RunStatus {
        match (self, self.exit_code()) {
            (WorkReport::Backup(report), _) => report.status,
            (_, exit::DONE) => RunStatus::Completed,
            (_, exit::DEGRADED) => RunStatus::Degraded,
            _ => RunStatus::Failed,
        }
    }

    /// Why it failed, in a sentence.
    pub(super) fn error(&self) -> Option<ErrorReport> {
        if self.status() != RunStatus::Failed {
            return None;
        }
        let code = self.exit_code();
        let found = match self {
            WorkReport::Backup(report) => report.error.clone(),
            WorkReport::Cleanup(report) => {
                let of_places = report.destinations.iter().flat_map(|at| at.all_errors());
                let of_none = report.errors.iter().map(|failed| &failed.error);
                of_places.chain(of_none).next().cloned()
            }
            WorkReport::Verify(report) => report.errors.first().map(|one| one.error.clone()),
            WorkReport::Validate(report) => {
                let of_places = report.destination_errors.iter().map(|one| &one.error);
                let of_backups = report
                    .validations
                    .iter()
                    .filter_map(|one| one.error.as_ref());
                of_places.chain(of_backups).next().cloned()
            }
            WorkReport::Scrub(report) => report.errors.first().map(|one| one.error.clone()),
            WorkReport::Repair(report) => {
                let copies = report.runs.iter().flat_map(|run| &run.destinations);
                let of_copies = copies.filter_map(|copy| copy.error.as_ref());
                let of_places = report.errors.iter().map(|failed| &failed.error);
                of_copies.chain(of_places).next().cloned()
            }
            WorkReport::Drill(report) => {
                let of_backup = report.backup.iter().filter_map(|one| one.error.as_ref());
                report.error.iter().chain(of_backup).next().cloned()
            }
        };
        // The worst is what counts, and damage is no error of its own.
        let fits = found.filter(|error| exit_code_of(error) == code);
        let (class, message) = match code {
            exit::DAMAGED => (Class::Corrupt, "it found damage"),
            exit::INTERRUPTED => (Class::Cancelled, "it was interrupted"),
            _ => (Class::Permanent, "it wasn't done as it should be"),
        };
        let general = BackupError::new(class, "run", "the schedule", message);
        Some(fits.unwrap_or_else(|| (&general).into()))
    }
}
