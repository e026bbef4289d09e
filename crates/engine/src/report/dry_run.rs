//! What a backup would come to.

use serde::Serialize;
use teeline_core::{BackupType, ErrorReport};

use super::exit_code_of;
use crate::failure::{Failure, Operation};

/// What a backup would come to, judged by a sample of what there is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DryRunReport {
    /// Its type.
    #[serde(rename = "type")]
    pub backup_type: BackupType,
    /// What became of the dry run.
    pub status: DryRunStatus,
    /// Records of all resources.
    pub record_count: u64,
    /// Objects that are no records.
    pub object_count: u64,
    /// Stored bytes of one copy.
    pub size: u64,
    /// Bytes of the records, uncompressed.
    pub plain_bytes: u64,
    /// Milliseconds that reading and compressing it would take. Destinations that are slower than that aren't in it.
    pub estimated_duration: u64,
    /// Whether the sample was all that there is, so that nothing but the duration is estimated.
    pub is_whole: bool,
    /// What was read.
    pub sample: SampleReport,
    /// Each resource, and last `_objects` for objects that are no records.
    pub resources: Vec<SampledResource>,
    /// Milliseconds that the dry run took.
    pub duration: u64,
    /// Why nothing can be said.
    pub error: Option<ErrorReport>,
    /// What went wrong first, for callers of web APIs and those who know s3db.js's plugin.
    pub failure: Option<Failure>,
}

/// What became of a dry run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DryRunStatus {
    /// Nothing was written; this is what would be.
    DryRun,
    /// It can't be told.
    Failed,
}

/// What was read to judge the whole by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SampleReport {
    /// Records, of all resources.
    pub record_count: u64,
    /// Objects that are no records.
    pub object_count: u64,
    /// What they were compressed to, with their indexes, in bytes.
    pub size: u64,
    /// Bytes of both, uncompressed.
    pub plain_bytes: u64,
    /// Milliseconds that reading and compressing them took.
    pub duration: u64,
}

/// What a resource would come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SampledResource {
    /// Its name.
    pub name: String,
    /// Records, or objects for `_objects`.
    pub record_count: u64,
    /// Stored bytes.
    pub size: u64,
    /// Bytes, uncompressed.
    pub plain_bytes: u64,
    /// Of the records, those in the sample.
    pub sampled: u64,
}

impl DryRunReport {
    /// One of which nothing is known yet.
    pub(crate) fn failed(backup_type: BackupType) -> Self {
        DryRunReport {
            backup_type,
            status: DryRunStatus::Failed,
            record_count: 0,
            object_count: 0,
            size: 0,
            plain_bytes: 0,
            estimated_duration: 0,
            is_whole: false,
            sample: SampleReport::default(),
            resources: Vec::new(),
            duration: 0,
            error: None,
            failure: None,
        }
    }

    /// Says what went wrong first.
    pub(crate) fn concluded(mut self) -> Self {
        self.failure = Failure::first(Operation::Backup, &self.error);
        self
    }

    /// 0; 1, 2 or 130 where nothing can be said.
    pub fn exit_code(&self) -> u8 {
        self.error.as_ref().map_or(super::exit::DONE, exit_code_of)
    }
}
