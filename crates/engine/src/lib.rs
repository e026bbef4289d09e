//! teeline reads a database once and leaves verified, restorable copies of it on many destinations at the same time.
//!
//! Start with [`Engine`]: it makes backups ([`BackupRequest`]), once or by a [`Schedule`], lists them, checks them ([`VerifyRequest`], [`ValidateRequest`]), restores them
//! ([`RestoreRequest`]), heals their copies from each other ([`RepairRequest`]), tries the places for them ([`InitRequest`]) and deletes what is no longer wanted
//! ([`CleanupRequest`], [`DeleteRequest`]); and it says what can be had of the backups of
//! another, the plugin of s3db.js ([`InspectPluginRequest`]). What happened is in reports, whose JSON is documented in
//! `docs/reference/json.md`; what is left on a destination in `docs/format.md`.
//!
//! A backup to two destinations, of which one is enough:
//!
//! ```
//! use teeline::{BackupRequest, DestinationSpec, Engine, JsonlSource, StrategyKind};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let at = |name: &str| folder.path().join(name).display().to_string();
//! std::fs::write(at("events.jsonl"), "{\"n\":1}\n{\"n\":2}\n")?;
//! let destinations = vec![
//!     DestinationSpec::parse(&format!("near={}", at("near")))?,
//!     DestinationSpec::parse("far=http://key:secret@127.0.0.1:1/bucket/backups")?,
//! ];
//! let mut request = BackupRequest::new(JsonlSource::path(at("events.jsonl")), destinations);
//! request.strategy = StrategyKind::Any;
//! let report = Engine::new()?.backup_blocking(request);
//! assert_eq!(report.exit_code(), 3, "degraded: {report:?}");
//! # Ok(()) }
//! ```

mod asked_for;
mod backup;
mod catalog;
mod catch_up;
mod chain;
mod check;
mod cleanup;
mod clocks;
pub mod config;
mod consolidate;
mod copies;
mod dead_runs;
mod delete;
mod destination;
mod drill;
mod engine;
mod events;
mod failed_runs;
mod failure;
mod files;
mod hooks;
mod init;
mod inspect_plugin;
mod keys;
mod ledger;
mod list;
mod local_index;
mod monitor;
mod open;
mod plain;
mod probes;
mod removal;
mod repair;
mod report;
mod request;
mod restore;
mod run_folders;
mod run_records;
mod schedule;
mod scrub;
mod set_aside;
mod standing;
mod status;
mod sync;
mod unpublished;
mod unread_source;
mod validate;
mod verify;
mod withdrawal;

pub use cleanup::CleanupRequest;
pub use config::Config;
pub use consolidate::ConsolidateRequest;
pub use delete::DeleteRequest;
pub use destination::{
    CustomSink, DestinationSpec, Place, ResourceGlobs, S3Place, Secret, unique_names,
};
pub use drill::DrillRequest;
pub use engine::{Engine, EngineBuilder, Random, Sleep, budget_bytes_default};
pub use failure::{FailedDestination, Failure, FailureMetadata, Operation};
pub use hooks::{
    CleanedUp, CommandHook, HOOK_TIMEOUT_MS_DEFAULT, Hook, HookFailure, Hooks, Moment, PingHook,
    RunEvent, WebhookHook,
};
pub use init::InitRequest;
pub use inspect_plugin::{
    ArchiveForm, Finding, FindingKind, InspectPluginRequest, InspectedArchive, InspectedBackup,
    InspectedBackupState, InspectedField, InspectedFile, InspectedManifest, InspectedPartition,
    InspectedResource, InspectedResourceState, PluginInspection,
};
pub use keys::{KeyChange, KeyForm, KeySource, Keys, KeysRequest, generate_key, generate_pair};
pub use ledger::LastVerified;
pub use list::{ListRequest, ListedStatus};
pub use local_index::LocalIndex;
pub use monitor::MonitorRequest;
pub use repair::{RepairRequest, RepairWork};
pub use report::{
    BackupReport, BackupState, BackupValidation, CheckResult, CleanedBackup, CleanedDestination,
    CleanedUpload, CleanupReport, CleanupStatus, Contained, CopyState, CopyStatus, Damage,
    DeleteReport, DeletedCopy, DestinationError, DestinationWarning, DrillReport, DriverInfo,
    DriverOutcome, DryRunReport, DryRunStatus, InitReport, InitStatus, InitializedDestination,
    KeyObject, KeysAt, KeysOfBackup, KeysReport, KnownDamage, LastRun, ListReport, ListedBackup,
    ListedCopy, MendedFile, MonitorReport, MonitoredDestination, PluginResult, PreviousState,
    Removal, RemovalStatus, RepairReport, RepairStatus, RepairedCopy, RepairedRun, ResourceStatus,
    RestoreReport, RestoreStatus, RestoredResource, SampleReport, SampledResource, ScheduleList,
    ScheduledBackup, SchedulesReport, ScrubReport, ScrubbedCopy, StatusReport, SyncReport,
    SyncStatus, SyncedBackup, SyncedCopy, ValidationChecks, ValidationReport, Verdict,
    VerifiedBackup, VerifiedCopy, VerifiedSeal, VerifyReport, WasWrong, exit, exit_code_of,
};
pub use request::{
    BackupRequest, Cancel, CatchUp, IncrementalBase, RESUME_QUIET_MS_DEFAULT, Resume,
    RetentionPolicy, Which,
};
pub use restore::{RestoreRequest, RestoreTarget};
pub use schedule::{Schedule, ScheduleEvent, ScheduleObserver, SchedulesRequest, Work, WorkReport};
pub use scrub::ScrubRequest;
pub use sync::SyncRequest;
pub use teeline_actors::{Clock, Executor, Observer, StageReport, Verification};
pub use teeline_core::seal::{
    DataKey, KdfFunction, KdfStrength, KeySecret, RawKey, Recipient, SecretText, X25519Public,
    X25519Secret,
};
pub use teeline_core::{
    BackupError, BackupId, BackupRef, BackupType, Changes, Class, Compression, CronExpression,
    Depth, DestinationId, DestinationReport, DestinationState, DestinationStatus, Digest,
    ErrorReport, InPart, Judged, KeptBy, LagPolicy, LineCheck, Metadata, MissingFile, Narrator,
    NoCalendarEvent, Partitions, PathTemplate, ProgressEvent, Promises, Query, RestoreCounts,
    Resumed, Retention, Rule, RunStatus, SegmentPlace, SettleOutcome, SettledCounts, Settling,
    Sink, Source, Span, StrategyKind, Target, Thaw, ThawTier, TimeZone, Timestamp, Timing,
    VerificationResult, Verified, WithdrawalReason, looks_like_url, masked, printable,
};
pub use teeline_sinks as sinks;
pub use teeline_sinks::object_store;
pub use teeline_sinks::{LockMode, Modes, ObjectLock, ServerSideEncryption, StorageClass, Storing};
pub use teeline_sources as sources;
pub use teeline_sources::jsonl::JsonlSource;
pub use teeline_sources::s3db::{
    Connection, OnUndecodable, RestoreMode, S3dbSource, ScanOptions, UnknownObjects,
};
pub use unread_source::UnreadSource;
pub use validate::{Scratch, ValidateRequest};
pub use verify::{VerifyRequest, WhichBackups};
