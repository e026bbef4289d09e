//! What a host asks for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use teeline_actors::{Observer, Verification};
use teeline_core::seal::Recipient;
use teeline_core::{
    AskedFor, BackupError, BackupId, BackupRef, BackupType, BadId, Class, Compression, Digest,
    InPart, LAG_PATIENCE_MS_DEFAULT, LagPolicy, Metadata, Partitions, PathTemplate, Query,
    Retention, SPILL_BYTES_DEFAULT, Source, Span, StrategyKind, TimeZone, Timestamp,
};
use tokio::sync::watch;

use crate::destination::DestinationSpec;
use crate::engine::Engine;
use crate::hooks::Hooks;
use crate::keys::Keys;
use crate::local_index::LocalIndex;

/// A backup to be made.
#[derive(Clone)]
#[non_exhaustive]
pub struct BackupRequest {
    /// What is read.
    pub source: Arc<dyn Source>,
    /// Where it goes, the preferred first.
    pub destinations: Vec<DestinationSpec>,
    /// What the backup calls itself; `full`.
    pub backup_type: BackupType,
    /// The name of the schedule that it is run by, which its record then has; none.
    pub schedule: Option<String>,
    /// What it goes on from, where it is `incremental`; the last backup.
    pub base: IncrementalBase,
    /// Where it is `incremental`: it goes on from the last backup that had begun then. Where there is none, it has what was
    /// written then or later, by the clock of the source's server, and says nothing of what is gone. None.
    pub since: Option<Timestamp>,
    /// The run that it takes up again, which goes on to be the same backup; none.
    pub resume: Option<Resume>,
    /// How long nothing may have been written to a run that is taken up: as long as something is, it isn't dead; 30 s.
    pub resume_quiet: Duration,
    /// What is said of it; nothing.
    pub metadata: Metadata,
    /// What makes it a success; `all`.
    pub strategy: StrategyKind,
    /// What becomes of destinations that fall behind, where they don't say it themselves. `None`: one that is required is
    /// waited for, another one leaves the pass.
    pub lag: Option<LagPolicy>,
    /// How long a destination that may leave may hold up the pass, all in all; 10 s.
    pub lag_patience: Duration,
    /// Bytes that may wait on disk, in the engine's temporary folder, for destinations that spill; 1 GiB.
    pub spill_bytes: u64,
    /// When a destination that has left is completed; later.
    pub catch_up: CatchUp,
    /// How long the run may take until its copies are published, and those that were left behind completed; it ends with an
    /// error then. `None`: as long as it takes.
    pub deadline: Option<Duration>,
    /// Calls that all destinations together may have under way; 4.
    pub concurrency: usize,
    /// Who is to be able to open it. Nobody, by which it isn't sealed, and everybody can.
    pub recipients: Vec<Recipient>,
    /// What opens the backups that an incremental one goes on from, if they are sealed.
    pub keys: Keys,
    /// Where the host keeps what an incremental backup goes on from where none of its `keys` opens that; nowhere, by which such
    /// a backup has everything.
    pub local_index: Option<LocalIndex>,
    /// How chunks are compressed; gzip, level 5.
    pub compression: Compression,
    /// Blocks are cut to this size, in bytes; [what suits the compression](Compression::block_bytes_default), at most
    /// `record_bytes_max`.
    pub block_bytes: Option<usize>,
    /// Data files are closed at this size; 512 MiB.
    pub segment_bytes: u64,
    /// A record larger than this is an error; 64 MiB.
    pub record_bytes_max: usize,
    /// How copies are checked; by reading them back.
    pub verification: Verification,
    /// Where the backup's folder is below a destination's root; right below it.
    pub path: PathTemplate,
    /// Names of the resources to read, instead of `include`.
    pub resources: Option<Vec<String>>,
    /// Globs of the resources to read; empty for all.
    pub include: Vec<String>,
    /// Globs of the resources to leave out; they win.
    pub exclude: Vec<String>,
    /// Only the records that are in these partitions, of the resources that have them, and nothing else; all.
    pub partitions: Partitions,
    /// Only the records that meet this, of the resources that it names; all.
    pub query: Query,
    /// What is cleaned up once the backup is made, at the destinations that have it; nothing. After a run that failed nothing
    /// ever is.
    pub cleanup: Option<RetentionPolicy>,
    /// Where days, weeks, months and years begin, for the cleanup, and whose clocks `path` goes by; UTC.
    pub time_zone: TimeZone,
    /// Is told what happens. Called from the engine's thread: it must not block.
    pub observer: Option<Observer>,
    /// Who is told of it, and may stop it; nobody.
    pub hooks: Hooks,
    /// Ends the run early.
    pub cancel: Cancel,
    /// What it stands for, where it is made of another backup.
    pub(crate) as_of: Option<AsOf>,
    /// Whether what `include` has need not be there, since nobody asked for it by name; no.
    pub(crate) includes_what_is_there: bool,
}

/// The link that a backup is made of, and when that was made.
#[derive(Debug, Clone)]
pub(crate) struct AsOf {
    pub(crate) link: BackupRef,
    pub(crate) scan_started_at: Timestamp,
    pub(crate) scan_ended_at: Timestamp,
}

impl BackupRequest {
    /// A full backup with every default.
    pub fn new(source: impl Source, destinations: Vec<DestinationSpec>) -> Self {
        Self::of(Arc::new(source), destinations)
    }

    /// As [`BackupRequest::new`], of a source that is shared already.
    pub fn of(source: Arc<dyn Source>, destinations: Vec<DestinationSpec>) -> Self {
        BackupRequest {
            source,
            destinations,
            backup_type: "full".parse().expect("a type"),
            schedule: None,
            base: IncrementalBase::default(),
            since: None,
            resume: None,
            resume_quiet: Duration::from_millis(RESUME_QUIET_MS_DEFAULT),
            metadata: Metadata::default(),
            strategy: StrategyKind::default(),
            lag: None,
            lag_patience: Duration::from_millis(LAG_PATIENCE_MS_DEFAULT),
            spill_bytes: SPILL_BYTES_DEFAULT,
            catch_up: CatchUp::default(),
            deadline: None,
            concurrency: 4,
            recipients: Vec::new(),
            keys: Keys::default(),
            local_index: None,
            compression: Compression::default(),
            block_bytes: None,
            segment_bytes: 512 << 20,
            record_bytes_max: 64 << 20,
            verification: Verification::default(),
            path: PathTemplate::default(),
            resources: None,
            include: Vec::new(),
            exclude: Vec::new(),
            partitions: Partitions::default(),
            query: Query::default(),
            cleanup: None,
            time_zone: TimeZone::default(),
            observer: None,
            hooks: Hooks::default(),
            cancel: Cancel::new(),
            as_of: None,
            includes_what_is_there: false,
        }
    }
}

impl BackupRequest {
    /// The size that blocks are cut to.
    pub(crate) fn block_bytes(&self) -> usize {
        let suitable = self.compression.block_bytes_default();
        self.block_bytes
            .unwrap_or_else(|| suitable.min(self.record_bytes_max))
    }

    /// Tells what is backed up from what others back up: a digest of the source's kind, and of what it is called.
    pub(crate) fn subject(&self, engine: &Engine) -> Option<Digest> {
        let name = engine.0.lasting_name(&self.source.to_string());
        let called = json!([self.source.kind(), name]);
        let subject = Digest::of(called.to_string().as_bytes());
        self.source.is_named().then_some(subject)
    }

    /// Whether it is to have only what has changed.
    pub(crate) fn is_incremental(&self) -> bool {
        self.backup_type.is_incremental()
    }

    /// Globs of the resources to read; empty for all.
    pub(crate) fn included(&self) -> Vec<String> {
        match &self.resources {
            Some(names) => names.iter().map(|name| globset::escape(name)).collect(),
            None => self.include.clone(),
        }
    }

    /// What the backup is to have.
    pub(crate) fn asked_for(&self) -> AskedFor {
        let in_part = InPart::of(&self.partitions, &self.query);
        AskedFor::new(self.included(), self.exclude.clone(), in_part)
    }

    /// Whether it is of less than everything.
    pub(crate) fn is_selective(&self) -> bool {
        let of_resources = !self.included().is_empty() || !self.exclude.is_empty();
        of_resources || !self.partitions.is_empty() || !self.query.is_empty()
    }

    /// What becomes of each destination that falls behind.
    pub(crate) fn lag_policies(&self) -> Vec<LagPolicy> {
        let said = |destination: &DestinationSpec| {
            let required = destination.is_required(self.strategy);
            let default = match self.strategy {
                // There is one at a time.
                StrategyKind::Priority => LagPolicy::Block,
                _ => LagPolicy::default_for(required),
            };
            destination.lag.or(self.lag).unwrap_or(default)
        };
        self.destinations.iter().map(said).collect()
    }

    /// Whether the failure of each destination fails the run.
    pub(crate) fn required(&self) -> Vec<bool> {
        self.destinations
            .iter()
            .map(|destination| destination.is_required(self.strategy))
            .collect()
    }
}

impl fmt::Debug for BackupRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupRequest")
            .field("source", &self.source)
            .field("destinations", &self.destinations)
            .field("backup_type", &self.backup_type)
            .field("strategy", &self.strategy)
            .finish_non_exhaustive()
    }
}

/// What becomes of backups that are no longer wanted, and of what dead runs left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// What keeps a backup. Default: no rule, by which nothing goes.
    pub rules: Retention,
    /// How long the files of a backup stay after it was withdrawn. Default: a day.
    pub grace: Span,
    /// A run that has published nothing is dead when nothing of it was touched for so long. Default: a week.
    pub dead_after: Span,
    /// How many of a hundred backups of a destination one cleanup may withdraw; where its rules say more, it changes nothing there.
    /// So neither a mistake in the rules nor a flood of new backups takes the place of all others at once. Default: all.
    pub withdraw_percent_max: u64,
}

impl RetentionPolicy {
    /// Of these rules.
    pub fn new(rules: Retention) -> Self {
        RetentionPolicy {
            rules,
            grace: Span::from_days(1),
            dead_after: Span::from_days(7),
            withdraw_percent_max: 100,
        }
    }
}

impl Default for RetentionPolicy {
    fn default() -> Self {
        Self::new(Retention::default())
    }
}

/// What an incremental backup goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IncrementalBase {
    /// The last backup of the same, which may be a link itself.
    #[default]
    Last,
    /// The last one that restores alone, so that two backups are enough for a restore, and each link has more in it.
    Full,
}

impl std::str::FromStr for IncrementalBase {
    type Err = BackupError;

    fn from_str(text: &str) -> Result<Self, BackupError> {
        match text {
            "last" => Ok(IncrementalBase::Last),
            "full" => Ok(IncrementalBase::Full),
            _ => Err(BackupError::usage(
                "base",
                format!("unknown word {text:?}; accepted: last, full"),
            )),
        }
    }
}

/// Which run a backup takes up again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// This one. Where the source or the request isn't as it was, the backup is begun afresh, and the report says why.
    Run(BackupId),
    /// The newest one of the same request that broke off, if no backup of its type was made since; without one, the backup is a
    /// new one as ever.
    Unfinished,
}

impl std::str::FromStr for Resume {
    type Err = BackupError;

    fn from_str(text: &str) -> Result<Self, BackupError> {
        match text {
            "latest" => Ok(Resume::Unfinished),
            text => text.parse().map(Resume::Run).map_err(|error| {
                BackupError::usage("resume", error)
                    .suggest("the id of a run is the name of its folder at a destination; latest is accepted as well")
            }),
        }
    }
}

/// For how many milliseconds nothing is written to a run that counts as dead, unless said otherwise.
pub const RESUME_QUIET_MS_DEFAULT: u64 = 30_000;

/// When a destination that was left behind is completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CatchUp {
    /// By the run itself, before it reports.
    Wait,
    /// By whoever asks for it, with [`Engine::sync`](crate::Engine::sync).
    #[default]
    Later,
}

impl std::str::FromStr for CatchUp {
    type Err = BackupError;

    fn from_str(text: &str) -> Result<Self, BackupError> {
        match text {
            "wait" => Ok(CatchUp::Wait),
            "later" => Ok(CatchUp::Later),
            _ => Err(BackupError::usage(
                "catch_up",
                format!("unknown word {text:?}; accepted: wait, later"),
            )),
        }
    }
}

/// Ends runs early. Clones end the same runs.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<watch::Sender<bool>>);

impl Cancel {
    /// Not cancelled.
    pub fn new() -> Self {
        Cancel(Arc::new(watch::Sender::new(false)))
    }

    /// Ends every run that was given a clone; they clean up and report that they were interrupted.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }

    /// Runs a future until it is cancelled.
    pub(crate) fn guard<T>(
        &self,
        future: impl Future<Output = Result<T, BackupError>>,
    ) -> impl Future<Output = Result<T, BackupError>> {
        // Each future that waits for this one would be as large as it, and tests and hosts have small stacks.
        let future = Box::pin(future);
        async {
            // In this order: what is done is done, and a simulation goes the same way each time.
            tokio::select! {
                biased;
                result = future => result,
                () = self.cancelled() => Err(BackupError::cancelled("the operation")),
            }
        }
    }

    /// Is over once it is cancelled.
    pub(crate) async fn cancelled(&self) {
        // An error would mean that nobody can cancel it any more, and this clone can.
        let _ = self.subscribe().wait_for(|cancelled| *cancelled).await;
    }
}

impl Default for Cancel {
    fn default() -> Self {
        Self::new()
    }
}

/// Which backup is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The one that began last.
    Latest,
    /// Of those that had begun at this time, the one that began last.
    At(Timestamp),
    /// This one.
    Id(teeline_core::BackupId),
}

impl std::str::FromStr for Which {
    type Err = BackupError;

    fn from_str(text: &str) -> Result<Self, BackupError> {
        match text {
            "latest" => Ok(Which::Latest),
            text => match Timestamp::last_of(text) {
                Ok(time) => Ok(Which::At(time)),
                // No backup is called so. What it is isn't said again: it may be an address with its secret.
                Err(_) => text.parse().map(Which::Id).map_err(|_: BadId| {
                    let message = "it isn't the id of one, which looks like full-2026-11-23T02-00-00-k3j9x0q2mz";
                    BackupError::new(Class::NotFound, "find", "the backup", message).suggest(
                        "`teeline list` shows the ids; what reads a backup takes `latest` as well, and a day or time for what there was then",
                    )
                }),
            },
        }
    }
}
