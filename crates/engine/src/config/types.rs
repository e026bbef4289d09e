//! The parts of a [`Config`](super::Config): plain data, with units and defaults.

use std::path::PathBuf;

use serde::Serialize;
use teeline_core::{
    BackupType, Compression, CronExpression, LAG_PATIENCE_MS_DEFAULT, LagPolicy, LineCheck,
    Metadata, Partitions, PathTemplate, Query, SPILL_BYTES_DEFAULT, Span, StrategyKind,
};
use teeline_sources::s3db::{OnUndecodable, UnknownObjects};

use super::connection::Connection;
use crate::destination::Secret;
use crate::request::{CatchUp, IncrementalBase, RESUME_QUIET_MS_DEFAULT};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What is backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceConfig {
    /// Where records come from.
    pub location: SourceLocation,
    /// What is done with an object that can't be mapped to a document. Default: [`OnUndecodable::Keep`].
    pub on_undecodable: OnUndecodable,
    /// What is done with objects of the bucket that s3db.js didn't make. Default: [`UnknownObjects::Keep`].
    pub unknown_objects: UnknownObjects,
    /// How often, at the most, what of a database changed during the scan is read again: until that finds nothing. 0 to
    /// [`SETTLE_PASSES_MAX`]. Default: 0.
    pub settle_passes_max: u32,
    /// What is checked of JSON lines. Default: [`LineCheck::Json`].
    pub validate: LineCheck,
}

/// More passes over a database aren't accepted: one that hasn't settled by then won't.
pub const SETTLE_PASSES_MAX: u32 = 100;

/// Where records come from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceLocation {
    /// A database in the storage format of s3db.js.
    S3db(Connection),
    /// JSON lines: a file, a folder of files, or standard input.
    Jsonl {
        /// The file or folder, relative to the working directory; `-` for standard input.
        path: PathBuf,
        /// What the records of standard input are called; there for it, and only for it: files are resources of their
        /// own names.
        resource: Option<String>,
    },
}

/// Where a restore goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetLocation {
    /// A database in the storage format of s3db.js.
    Database(Connection),
    /// A folder.
    Folder(PathBuf),
}

/// How it is backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupConfig {
    /// What makes a run a success. Default: [`StrategyKind::All`].
    pub strategy: StrategyKind,
    /// What becomes of destinations that fall behind, where they don't say it themselves. Default: none, which means that
    /// a required one is waited for, and another one leaves the pass.
    pub lag: Option<LagPolicy>,
    /// Milliseconds that a destination which may leave may hold up the pass, all in all: 1 to 86,400,000. Default: 10,000.
    pub lag_patience_ms: u64,
    /// For how many milliseconds nothing may be written to a run before it is taken up again, 0 to 3,600,000. Default: 30,000.
    pub resume_quiet_ms: u64,
    /// Bytes that may wait on disk for destinations that spill, 1 MiB to 1,024 GiB. Default: 1 GiB.
    pub spill_bytes: u64,
    /// When a destination that was left behind is completed. Default: [`CatchUp::Later`].
    pub catch_up: CatchUp,
    /// How long a run may take, 1 s to 36,500 days. Default: none, as long as it takes.
    pub deadline: Option<Span>,
    /// What incremental backups go on from. Default: [`IncrementalBase::Last`].
    pub base: IncrementalBase,
    /// How many calls to destinations may be under way at once, 1 to 1,024. Default: 4.
    pub concurrency: usize,
    /// How chunks are made smaller, with the level in it. Default: gzip, level 5.
    pub compression: Compression,
    /// Bytes that a block is cut to before compression, 4 KiB to 16 MiB. Default:
    /// [what suits the compression](Compression::block_bytes_default), at most `record_bytes_max`.
    pub block_bytes: Option<usize>,
    /// Bytes that a segment, which is one file at a destination, is closed at: 1 MiB to 8 GiB. Default: 512 MiB.
    pub segment_bytes: u64,
    /// Bytes of the largest record that is accepted, from `block_bytes`, or 4 KiB where that isn't set, to 1 GiB. Default: 64 MiB.
    pub record_bytes_max: usize,
    /// Bytes of the largest body of an object that is put into its record, at most `record_bytes_max`; larger ones are
    /// kept as they are beside the records. Default: 256 KiB, or `record_bytes_max` where that is less.
    pub inline_bytes_max: usize,
    /// How a copy is checked before it counts. Default: [`Verification::Read`].
    pub verification: Verification,
    /// Where backups go below a destination's root. Default: right below it.
    pub path: PathTemplate,
    /// Globs of the resources that are wanted. Default: none, which means all.
    pub include: Vec<String>,
    /// Globs of the resources that are left out, also where `include` names them. Default: none.
    pub exclude: Vec<String>,
    /// Only the records in these partitions, of the resources that have them, and nothing else. Default: none, which means all.
    pub partitions: Partitions,
    /// Only the records that meet this, of the resources that it names. Default: no condition.
    pub query: Query,
    /// What is said of each backup. Default: nothing.
    pub metadata: Metadata,
    /// Whether each backup that succeeds is followed by a cleanup where it has been made. Default: no.
    pub cleanup: bool,
}

/// A backup that is made again and again, or something else that is done so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleConfig {
    /// What it is called: `[a-z][a-z0-9_-]*`.
    pub name: String,
    /// When it is made.
    pub cron: CronExpression,
    /// What its backups call themselves, or what it does instead. Default: `full`.
    pub backup_type: BackupType,
    /// What it does instead of a backup, which `backup_type` names. Default: none, which means a backup.
    pub upkeep: Option<UpkeepConfig>,
    /// How much later it may begin. Default: not at all.
    pub jitter: Span,
    /// Names of the resources that are wanted, instead of what is included otherwise. Default: none, which means that.
    pub resources: Option<Vec<String>>,
    /// How it is made. Default: as all others.
    pub backup: BackupConfig,
}

/// What a schedule does instead of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpkeepConfig {
    /// A cleanup by `[retention]`.
    Cleanup,
    /// A check of stored bytes.
    Verify {
        /// Of every backup. Default: of the latest.
        all: bool,
        /// Whether they are decoded, parsed and counted as well. Default: no.
        deep: bool,
    },
    /// A validation.
    Validate {
        /// Of so many backups, the newest, from 1. Default: 10.
        last: u64,
        /// The folder in which they are restored. Default: none, which means the temporary folder.
        scratch: Option<PathBuf>,
    },
    /// A scrub.
    Scrub {
        /// How many bytes are read at the most, from 1. Default: none, which means all that is due.
        budget_bytes: Option<u64>,
        /// Copies that somebody has looked at within so long are left alone. Default: none are.
        max_age: Option<Span>,
        /// Whether they are decoded, parsed and counted as well. Default: no.
        deep: bool,
    },
    /// A repair of everything.
    Repair,
    /// A drill.
    Drill {
        /// The name of the destination to restore from. Default: any, at random.
        from: Option<String>,
        /// The folder in which it is restored. Default: none, which means the temporary folder.
        scratch: Option<PathBuf>,
    },
}

/// How a copy is checked before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verification {
    /// It is read back and compared.
    #[default]
    Read,
    /// The store's word is taken.
    Attested,
}

/// What the process may use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineConfig {
    /// Where the work is done. Default: none, which means threads.
    pub executor: Option<ExecutorConfig>,
    /// Threads that compress, 1 to 256. Default: as many as there are cores, as far as the budget has blocks for them.
    pub workers: Option<usize>,
    /// Bytes of records that may be in memory at once, 8 MiB to 1,024 GiB. Default: none, which means 8 MiB and 2 MiB for each
    /// processor.
    pub budget_bytes: Option<u64>,
    /// The folder for what slow destinations are yet to be sent, where they spill. Default: none, which means the operating
    /// system's temporary folder.
    pub temp_dir: Option<PathBuf>,
    /// How much is logged, where the command isn't told otherwise. Default: none, which means warnings.
    pub log_level: Option<LogLevel>,
}

/// Where the work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutorConfig {
    /// On threads of its own.
    Threads,
    /// One thing after the other.
    Inline,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What failed.
    Error,
    /// And what somebody should look at.
    Warn,
    /// And what is done.
    Info,
    /// And how.
    Debug,
    /// All there is.
    Trace,
}

impl LogLevel {
    /// As they are written.
    pub const NAMES: [&'static str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    /// As s3db.js calls them.
    pub(super) const NAMES_OF_THE_PLUGIN: [&'static str; 7] =
        ["silent", "fatal", "error", "warn", "info", "debug", "trace"];

    /// The name of it.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Off => "off",
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "off" => LogLevel::Off,
            "error" => LogLevel::Error,
            "warn" => LogLevel::Warn,
            "info" => LogLevel::Info,
            "debug" => LogLevel::Debug,
            "trace" => LogLevel::Trace,
            _ => return None,
        })
    }

    pub(super) fn of_the_plugin(name: &str) -> Option<Self> {
        match name {
            "silent" => Some(LogLevel::Off),
            "fatal" => Some(LogLevel::Error),
            name => Self::named(name).filter(|level| *level != LogLevel::Off),
        }
    }
}

/// What a configuration says that is accepted, and had better be said in another way: it has no effect, say, or shows a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigWarning {
    /// Where it is, and what.
    pub message: String,
    /// What to say instead.
    pub help: String,
}

/// An S3 server over a folder, for trying things out without an account anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedS3Config {
    /// The folder, relative to the working directory.
    pub root: PathBuf,
    /// The access key id that it accepts.
    pub access_key: String,
    /// The secret access key that it accepts.
    pub secret_key: Secret,
    /// The buckets that it has. Default: none.
    pub buckets: Vec<String>,
    /// A database that is put into it where there is none yet. Default: none.
    pub sample: Option<SampleConfig>,
}

/// A sample database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleConfig {
    /// The bucket, one of the server's.
    pub bucket: String,
    /// What its keys begin with, without a slash at either end. Default: nothing.
    pub prefix: String,
    /// How many records it has, 1 to 10,000,000. Default: 5,000.
    pub records: u64,
}

impl Default for BackupConfig {
    fn default() -> Self {
        BackupConfig {
            strategy: StrategyKind::All,
            lag: None,
            lag_patience_ms: LAG_PATIENCE_MS_DEFAULT,
            resume_quiet_ms: RESUME_QUIET_MS_DEFAULT,
            spill_bytes: SPILL_BYTES_DEFAULT,
            catch_up: CatchUp::Later,
            deadline: None,
            base: IncrementalBase::Last,
            concurrency: 4,
            compression: Compression::default(),
            block_bytes: None,
            segment_bytes: 512 * 1024 * 1024,
            record_bytes_max: 64 * MIB,
            inline_bytes_max: 256 * KIB,
            verification: Verification::Read,
            path: PathTemplate::default(),
            include: Vec::new(),
            exclude: Vec::new(),
            partitions: Partitions::default(),
            query: Query::default(),
            metadata: Metadata::default(),
            cleanup: false,
        }
    }
}
