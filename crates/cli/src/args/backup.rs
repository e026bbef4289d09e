//! What was typed of `teeline backup`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use teeline::Span;
use teeline::config::SETTLE_PASSES_MAX;

use super::{
    Command, KeyArguments, ListArguments, LocalIndexArguments, MIB, PlacesArguments,
    StatusArguments, size,
};

/// `teeline backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// What the backup calls itself: full, incremental (only what has changed since the last one), or a name of your own
    #[arg(value_name = "TYPE", default_value = "full")]
    pub(crate) backup_type: String,
    /// A configuration: TOML, YAML or JSON. Options here win over it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// As this schedule of the configuration makes it
    #[arg(long, value_name = "NAME", conflicts_with = "backup_type")]
    pub(crate) schedule: Option<String>,
    /// Make none: list the backups there are, as `teeline list` does
    #[arg(long, conflicts_with_all = ["backup_type", "schedule", "status"])]
    pub(crate) list: bool,
    /// Make none: show everything that is known of this one, as `teeline status` does
    #[arg(long, value_name = "ID", conflicts_with_all = ["backup_type", "schedule"])]
    pub(crate) status: Option<String>,
    #[command(flatten)]
    pub(crate) source: SourceArguments,
    /// A destination: a path, s3://… or http(s)://…, with name= before it to name it. Added to those of the
    /// configuration; one of the same name is replaced. Without any, ./backups
    #[arg(long, value_name = "DEST")]
    pub(crate) to: Vec<String>,
    /// What makes it a success: all, any, priority, quorum:N
    #[arg(long)]
    pub(crate) strategy: Option<String>,
    /// What becomes of a destination that holds up the others: block, it is waited for; spill, what it is yet to get waits
    /// on disk; detach, it is left behind. Without, a required one is waited for and another one left behind
    #[arg(long, value_name = "POLICY")]
    pub(crate) lag: Option<String>,
    /// What may wait on disk for slow destinations, such as 10GiB; after that they are left behind or waited for
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, MIB, 1 << 40))]
    pub(crate) spill_bytes: Option<u64>,
    /// When a destination that was left behind is completed: wait, by this run; later, by teeline sync
    #[arg(long, value_name = "WHEN")]
    pub(crate) catch_up: Option<String>,
    /// How long it may take, such as 6h; after that it is ended, and fails
    #[arg(long, value_name = "SPAN")]
    pub(crate) deadline: Option<Span>,
    /// What an incremental backup goes on from: last, the last backup, which may be an incremental one; full, the last one that
    /// restores alone
    #[arg(long, value_name = "WHICH")]
    pub(crate) base: Option<String>,
    /// Of an incremental backup: go on from the last backup of this day in UTC, or of this time (RFC 3339), or else have only what
    /// was written then or later
    #[arg(long, value_name = "DAY|TIME")]
    pub(crate) since: Option<String>,
    /// Take up this run again, which broke off, or the latest of the same that did: what destinations have of it is kept, and
    /// only the rest is read. Where that can't be, a new backup is made, and the report says why
    #[arg(long, value_name = "ID|latest", conflicts_with = "dry_run")]
    pub(crate) resume: Option<String>,
    /// Calls to destinations that may be under way at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub(crate) concurrency: Option<u64>,
    /// How chunks are made smaller: gzip, zstd, deflate, brotli, none
    #[arg(long)]
    pub(crate) compression: Option<String>,
    /// Level of the compression: gzip 1 (fast) to 12 (small), zstd 1 to 19, deflate 1 to 9, brotli 0 to 11
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=19))]
    pub(crate) level: Option<u8>,
    /// Data files are closed at this size, such as 64MiB
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, MIB, 8 << 30))]
    pub(crate) segment_bytes: Option<u64>,
    /// Blocks are cut to this size before compression, such as 1MiB; 2MiB for zstd and brotli
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, 4 << 10, 16 << 20))]
    pub(crate) block_bytes: Option<u64>,
    /// How a copy is checked before it counts: by reading it back, or by the store's word
    #[arg(long)]
    pub(crate) verification: Option<VerificationArgument>,
    #[command(flatten)]
    pub(crate) engine: EngineArguments,
    /// Something to say of the backup, such as ticket=OPS-7; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) metadata: Vec<String>,
    /// Only these resources, whatever the configuration includes
    #[arg(
        long,
        value_name = "NAME,…",
        value_delimiter = ',',
        conflicts_with = "include"
    )]
    pub(crate) resources: Vec<String>,
    /// Only the resources that this glob matches; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<String>,
    /// Not the resources that this glob matches; wins over --include
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
    /// Only the records in these partitions of a database, and nothing else, such as byRegion=US,EU; a value that has a comma,
    /// or several fields, as JSON: byArea=[{"area":"a1","zone":"north"}]. May be repeated: a record has to be in each
    #[arg(long, value_name = "NAME=VALUE,…")]
    pub(crate) partition: Vec<String>,
    /// Only the records of a resource that have this value, such as orders.status=active or orders.address.city=Bonn; all of
    /// other resources. May be repeated: one of the values of a path, and each of the paths
    #[arg(long = "where", value_name = "RESOURCE.PATH=VALUE")]
    pub(crate) conditions: Vec<String>,
    /// What is checked of JSON lines: that each is JSON, that each is a line of text, or nothing
    #[arg(long, value_name = "WHAT")]
    pub(crate) validate: Option<ValidateArgument>,
    /// What is done with records that don't map to a document and back: keep them raw, or fail
    #[arg(long, value_name = "WHAT")]
    pub(crate) on_undecodable: Option<UndecodableArgument>,
    /// What is done with objects below a database's prefix that s3db.js doesn't know
    #[arg(long, value_name = "WHAT")]
    pub(crate) unknown_objects: Option<UnknownArgument>,
    /// Read again what of a database changed while it was read, until that finds nothing, N times at the most
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "5",
          value_parser = clap::value_parser!(u32).range(0..=i64::from(SETTLE_PASSES_MAX)))]
    pub(crate) settle: Option<u32>,
    /// Clean up afterwards, by the rules of the configuration
    #[arg(long)]
    pub(crate) cleanup: bool,
    /// Say what it would come to, from a sample of what there is, and write nothing
    #[arg(long, conflicts_with = "cleanup")]
    pub(crate) dry_run: bool,
    /// Print the report as one JSON document
    #[arg(long)]
    pub(crate) json: bool,
    /// Seal it for the holder of the secret half of this: x25519:…; may be repeated. With this or a key, whatever the
    /// configuration says of encryption doesn't count
    #[arg(long, value_name = "x25519:…")]
    pub(crate) recipient: Vec<String>,
    #[command(flatten)]
    pub(crate) keys: KeyArguments,
    #[command(flatten)]
    pub(crate) local_index: LocalIndexArguments,
}

impl BackupArguments {
    /// What is looked at instead of making a backup, in the form that the commands for it have.
    pub(crate) fn looks(&self) -> Option<Command> {
        let places = || PlacesArguments {
            config: self.config.clone(),
            at: self.to.clone(),
            goes_with_config: true,
            database: self.source.database.clone(),
            json: self.json,
        };
        match &self.status {
            Some(id) => Some(Command::Status(StatusArguments {
                id: id.clone(),
                places: places(),
            })),
            None if self.list => Some(Command::List(ListArguments::of(places()))),
            None => None,
        }
    }
}

/// What the process may use.
#[derive(Debug, Default, Args)]
pub(crate) struct EngineArguments {
    /// Where work is done: on threads of its own, or one thing after the other. The backups are the same
    #[arg(long)]
    pub(crate) executor: Option<ExecutorArgument>,
    /// Threads that compress
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=256))]
    pub(crate) workers: Option<u64>,
    /// Bytes of records that may be in memory at once, such as 64MiB
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, 8 * MIB, 1 << 40))]
    pub(crate) budget_bytes: Option<u64>,
    /// The folder for what waits on disk; without, the operating system's temporary folder
    #[arg(long, value_name = "PATH")]
    pub(crate) temp_dir: Option<PathBuf>,
}

/// The database that is backed up, or restored; destinations in its bucket are found by it. At most one of the three.
#[derive(Debug, Clone, Args)]
#[group(multiple = false)]
pub(crate) struct ConnectionArguments {
    /// Connection string of the database. Everyone on the machine can see it: prefer the next two
    #[arg(long, value_name = "URL")]
    pub(crate) connection: Option<String>,
    /// The environment variable that holds the connection string
    #[arg(long, value_name = "NAME")]
    pub(crate) connection_env: Option<String>,
    /// The file that holds the connection string
    #[arg(long, value_name = "FILE")]
    pub(crate) connection_file: Option<PathBuf>,
}

/// Where records come from: a database or JSON lines.
#[derive(Debug, Args)]
pub(crate) struct SourceArguments {
    #[command(flatten)]
    pub(crate) database: ConnectionArguments,
    /// JSON lines instead of a database: a file, a folder of files, or - for standard input
    #[arg(long, value_name = "PATH", conflicts_with = "ConnectionArguments")]
    pub(crate) from: Option<PathBuf>,
    /// What the records of standard input are called; without it, stdin
    #[arg(long, value_name = "NAME", requires = "from")]
    pub(crate) resource: Option<String>,
}

/// `--verification`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum VerificationArgument {
    /// It is read back and compared
    Read,
    /// The store's word is taken
    Attested,
}

/// `--executor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExecutorArgument {
    /// On threads of its own
    Threads,
    /// One thing after the other
    Inline,
}

/// `--unknown-objects`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum UnknownArgument {
    /// They are backed up
    Keep,
    /// They are left out
    Skip,
    /// The backup fails
    Fail,
}

/// `--on-undecodable`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum UndecodableArgument {
    /// They are kept raw, and counted
    Keep,
    /// The backup fails
    Fail,
}

/// `--validate`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ValidateArgument {
    /// Each line is one JSON value
    Json,
    /// Each line is text in UTF-8, and not blank
    Lines,
    /// Nothing is checked
    None,
}
