//! What was typed. Nothing is read or opened here; [`resolve`](crate::resolve) makes requests of it.

mod bench;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use teeline::config::SETTLE_PASSES_MAX;

pub(crate) use self::bench::BenchArguments;

/// Reads a database once and leaves verified, restorable copies of it on many destinations.
#[derive(Debug, Parser)]
#[command(
    name = "teeline",
    version,
    max_term_width = 100,
    after_help = "\
Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 done but a destination is behind or was avoided, \
13 damage found, 130 interrupted."
)]
pub(crate) struct Arguments {
    /// What is logged to standard error: error, warn, info, debug, trace, or a filter such as teeline=debug
    #[arg(
        long,
        global = true,
        env = "TEELINE_LOG",
        default_value = "warn",
        value_name = "FILTER"
    )]
    pub(crate) log_level: String,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a backup
    Backup(Box<BackupArguments>),
    /// List the backups that destinations hold, the newest first
    List(ListArguments),
    /// Show everything that is known of one backup
    Status(StatusArguments),
    /// Read stored bytes and check them
    Verify(VerifyArguments),
    /// Restore a backup to a folder, a database or standard output
    Restore(RestoreArguments),
    /// Make lost manifests again
    Repair(RepairArguments),
    /// Copy backups to destinations that lack them, from others that have them
    Sync(SyncArguments),
    /// Say what can be had of the backups that s3db.js's BackupPlugin left, and what it destroyed
    InspectPlugin(InspectPluginArguments),
    /// Measure backups: how fast they are with which settings, and what holds them up
    Bench(Box<BenchArguments>),
    /// Look at configurations
    Config(ConfigArguments),
}

/// `teeline backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// What the backup calls itself
    #[arg(value_name = "TYPE", default_value = "full")]
    pub(crate) backup_type: String,
    /// A configuration: TOML, YAML or JSON. Options here win over it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) source: SourceArguments,
    /// A destination: a path, s3://… or http(s)://…, with name= before it to name it. Added to those of the
    /// configuration; one of the same name is replaced. Without any, ./backups
    #[arg(long, value_name = "DEST")]
    pub(crate) to: Vec<String>,
    /// What makes it a success: all, any, priority, quorum:N
    #[arg(long)]
    pub(crate) strategy: Option<String>,
    /// What becomes of a destination that holds up the others: block, it is waited for; detach, it is left behind. Without,
    /// a required one is waited for and another one left behind
    #[arg(long, value_name = "POLICY")]
    pub(crate) lag: Option<String>,
    /// When a destination that was left behind is completed: wait, by this run; later, by teeline sync
    #[arg(long, value_name = "WHEN")]
    pub(crate) catch_up: Option<String>,
    /// Calls to destinations that may be under way at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub(crate) concurrency: Option<u64>,
    /// How chunks are made smaller: gzip, zstd, none
    #[arg(long)]
    pub(crate) compression: Option<String>,
    /// Level of the compression: gzip 1 (fast) to 12 (small), zstd 1 to 19
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=19))]
    pub(crate) level: Option<u8>,
    /// Data files are closed at this size, such as 64MiB
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, MIB, 8 << 30))]
    pub(crate) segment_bytes: Option<u64>,
    /// Blocks are cut to this size before compression, such as 1MiB; 2MiB for zstd
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| size(text, 4 << 10, 16 << 20))]
    pub(crate) block_bytes: Option<u64>,
    /// How a copy is checked before it counts: by reading it back, or by the store's word
    #[arg(long)]
    pub(crate) verification: Option<VerificationArgument>,
    #[command(flatten)]
    pub(crate) engine: EngineArguments,
    /// Only the resources that this glob matches; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<String>,
    /// Not the resources that this glob matches; wins over --include
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
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
    /// Print the report as one JSON document
    #[arg(long)]
    pub(crate) json: bool,
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
}

/// Where records come from; at most one of the four.
#[derive(Debug, Args)]
pub(crate) struct SourceArguments {
    /// Connection string of the database. Everyone on the machine can see it: prefer the next two
    #[arg(long, value_name = "URL", group = "place")]
    pub(crate) connection: Option<String>,
    /// The environment variable that holds the connection string
    #[arg(long, value_name = "NAME", group = "place")]
    pub(crate) connection_env: Option<String>,
    /// The file that holds the connection string
    #[arg(long, value_name = "FILE", group = "place")]
    pub(crate) connection_file: Option<PathBuf>,
    /// JSON lines instead of a database: a file, a folder of files, or - for standard input
    #[arg(long, value_name = "PATH", group = "place")]
    pub(crate) from: Option<PathBuf>,
    /// What the records of standard input are called; without it, stdin
    #[arg(long, value_name = "NAME", requires = "from")]
    pub(crate) resource: Option<String>,
}

/// Where backups are.
#[derive(Debug, Args)]
pub(crate) struct PlacesArguments {
    /// The configuration whose destinations are meant
    #[arg(long, value_name = "FILE", conflicts_with = "at")]
    pub(crate) config: Option<PathBuf>,
    /// A destination: a path, s3://… or http(s)://…, with name= before it to name it; may be repeated. Without any,
    /// ./backups
    #[arg(long, value_name = "DEST")]
    pub(crate) at: Vec<String>,
    /// Print the report as one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `teeline list`.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    pub(crate) places: PlacesArguments,
}

/// `teeline status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// The backup
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) places: PlacesArguments,
}

/// `teeline verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// The backup: its id, or latest
    #[arg(default_value = "latest")]
    pub(crate) id: String,
    /// Every backup
    #[arg(long, conflicts_with = "id")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) places: PlacesArguments,
}

/// `teeline restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    /// The backup: its id, or latest
    pub(crate) id: String,
    /// Where to: a target of the configuration, a folder, the connection string of a database, or - for standard output
    #[arg(long, value_name = "NAME|DIR|URL|-")]
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) places: PlacesArguments,
    /// Write also where something is already; for a database the same as --mode merge
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// What becomes of objects that are in a database already
    #[arg(long)]
    pub(crate) mode: Option<ModeArgument>,
    /// Only these resources, with commas between
    #[arg(
        long,
        value_name = "NAME,…",
        value_delimiter = ',',
        value_parser = clap::builder::NonEmptyStringValueParser::new()
    )]
    pub(crate) resources: Vec<String>,
    /// Only the records with these ids, with commas between
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    pub(crate) ids: Vec<String>,
    /// Call a resource something else; may be repeated
    #[arg(long, value_name = "OLD=NEW")]
    pub(crate) rename: Vec<String>,
    /// Say what would be restored, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `teeline repair`.
#[derive(Debug, Args)]
pub(crate) struct RepairArguments {
    /// The run: the id of its backup. Without, every run that has no manifest, save those that may be going on or failed
    pub(crate) id: Option<String>,
    /// Make lost manifests again, from another destination or from the run's other files; all of them must be there and right
    #[arg(long)]
    pub(crate) rebuild_manifest: bool,
    #[command(flatten)]
    pub(crate) places: PlacesArguments,
}

/// `teeline sync`.
#[derive(Debug, Args)]
pub(crate) struct SyncArguments {
    /// The backup: its id. Without, each that a destination lists, the oldest first
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) places: PlacesArguments,
}

/// `teeline inspect-plugin`.
#[derive(Debug, Args)]
pub(crate) struct InspectPluginArguments {
    /// A folder, which is searched with all that is in it, or an ID.backup or ID.manifest.json
    pub(crate) path: PathBuf,
    /// Print the report as one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `teeline config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

/// What can be done with configurations.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say whether a configuration can be used, and what it comes to. Contacts nobody
    Check {
        /// The configuration
        file: PathBuf,
        /// Print the result as one JSON document
        #[arg(long)]
        json: bool,
    },
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

/// `--mode`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ModeArgument {
    /// Restored ones replace those with the same keys, the others stay
    Merge,
    /// All of them stay
    SkipExisting,
    /// As merge, and what the backup doesn't have of the restored resources is deleted
    Replace,
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

impl Command {
    /// Whether the report is to be printed as JSON.
    pub(crate) fn json(&self) -> bool {
        match self {
            Command::Backup(backup) => backup.json,
            Command::List(list) => list.places.json,
            Command::Status(status) => status.places.json,
            Command::Verify(verify) => verify.places.json,
            Command::Restore(restore) => restore.places.json,
            Command::Repair(repair) => repair.places.json,
            Command::Sync(sync) => sync.places.json,
            Command::InspectPlugin(inspect) => inspect.json,
            Command::Bench(bench) => bench.json,
            Command::Config(ConfigArguments {
                command: ConfigCommand::Check { json, .. },
            }) => *json,
        }
    }
}

const MIB: u64 = 1 << 20;

const UNITS: [(&str, u64); 8] = [
    ("", 1),
    ("b", 1),
    ("kib", 1 << 10),
    ("mib", MIB),
    ("gib", 1 << 30),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
];

/// Reads a number of bytes as configurations have it: digits, and perhaps a unit.
fn size(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let factor = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, factor)| *factor);
    let bytes = number
        .parse::<u64>()
        .ok()
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor));
    bytes.filter(|bytes| (min..=max).contains(bytes)).ok_or_else(|| {
        format!("accepted: {min} to {max} bytes, with a unit such as KiB, MiB, GiB, KB, MB, GB after the number")
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn sizes_have_units_and_bounds() {
        for (text, bytes) in [
            ("1048576", MIB),
            ("1MiB", MIB),
            ("2 mib", 2 * MIB),
            ("5MB", 5_000_000),
        ] {
            assert_eq!(size(text, MIB, 1 << 30), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "MiB",
            "-1",
            "1.5MiB",
            "1KiB",
            "2GiB",
            "1TiB",
            "99999999999999999999GiB",
        ] {
            assert!(size(text, MIB, 1 << 30).is_err(), "{text}");
        }
    }

    #[test]
    fn a_source_is_one_place() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' '));
        assert!(parse("teeline backup --from a --connection-env B").is_err());
        assert!(parse("teeline backup --resource a").is_err());
        assert!(parse("teeline backup weekly --from - --resource a --json").is_ok());
        assert!(parse("teeline restore latest --target - --at x").is_ok());
        assert!(parse("teeline list --at x --config y").is_err());
        assert!(parse("teeline verify latest --all").is_err());
        assert!(parse("teeline verify --all").is_ok());
    }
}
