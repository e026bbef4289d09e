//! What was typed. Nothing is read or opened here; [`resolve`](crate::resolve) makes requests of it.

mod backup;
mod bench;
mod checks;
mod cleanup;
mod keys;
mod schedule;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use teeline::{Operation, ThawTier};

pub(crate) use self::backup::{
    BackupArguments, ConnectionArguments, EngineArguments, ExecutorArgument, SourceArguments,
    UndecodableArgument, UnknownArgument, ValidateArgument, VerificationArgument,
};
pub(crate) use self::bench::BenchArguments;
pub(crate) use self::checks::{DrillArguments, ScrubArguments};
pub(crate) use self::cleanup::{CleanupArguments, ConsolidateArguments, DeleteArguments};
pub(crate) use self::keys::{
    KeyArguments, KeyCommand, KeyCommandArguments, LocalIndexArguments, NewKeyArguments,
    OpeningArguments, WhichArguments,
};
pub(crate) use self::schedule::{RunArguments, ScheduleArguments, ScheduleCommand};

/// Reads a database once and leaves verified, restorable copies of it on many destinations.
#[derive(Debug, Parser)]
#[command(
    name = "teeline",
    version,
    max_term_width = 100,
    after_help = "\
Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 done but a destination is behind or was avoided, \
12 no key opens it, 13 damage found, 130 interrupted."
)]
pub(crate) struct Arguments {
    /// What is logged to standard error: error, warn, info, debug, trace, or a filter such as teeline=debug. Without, as the
    /// configuration says, or warn
    #[arg(long, global = true, env = "TEELINE_LOG", value_name = "FILTER")]
    pub(crate) log_level: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Try places for backups, and note there what can be relied on
    Init(InitArguments),
    /// Make a backup
    Backup(Box<BackupArguments>),
    /// List the backups that destinations hold, the newest first
    List(ListArguments),
    /// Show everything that is known of one backup
    Status(StatusArguments),
    /// Read stored bytes and check them
    Verify(VerifyArguments),
    /// Say whether backups can be relied on: check them, restore them to a scratch place, and compare
    Validate(ValidateArguments),
    /// Read stored bytes again, those first that nobody has looked at for longest, within a budget
    Scrub(ScrubArguments),
    /// Restore a backup, any of them, from one destination alone to a scratch place, and compare
    Drill(DrillArguments),
    /// Say whether destinations have the backups that are expected of them; for monitors
    Check(MonitorArguments),
    /// Restore a backup to a folder, a database or standard output
    Restore(RestoreArguments),
    /// Make whole again what is damaged or lost at a destination, from the others
    Repair(RepairArguments),
    /// Copy backups to destinations that lack them, from others that have them
    Sync(SyncArguments),
    /// Make a full backup of an incremental one and what it goes on from, without the database
    Consolidate(ConsolidateArguments),
    /// Delete a backup: it isn't listed any more, and its files go after a grace
    Delete(DeleteArguments),
    /// Delete the backups that no rule keeps, and what dead runs have left
    Cleanup(CleanupArguments),
    /// Say who can open sealed backups, and change it
    Key(KeyCommandArguments),
    /// Stay, and make the backups that are scheduled, and what else is
    Run(RunArguments),
    /// Look at schedules
    Schedule(ScheduleArguments),
    /// Say what can be had of the backups that s3db.js's BackupPlugin left, and what it destroyed
    InspectPlugin(InspectPluginArguments),
    /// Measure backups: how fast they are with which settings, and what holds them up
    Bench(Box<BenchArguments>),
    /// Look at configurations
    Config(ConfigArguments),
}

/// Where backups are.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlacesArguments {
    /// The configuration whose destinations are meant
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A destination: a path, s3://… or http(s)://…, with name= before it to name it; may be repeated. Without any,
    /// ./backups
    #[arg(long, value_name = "DEST")]
    pub(crate) at: Vec<String>,
    /// Whether destinations may be named beside a configuration, as for a backup.
    #[arg(skip)]
    pub(crate) goes_with_config: bool,
    #[command(flatten)]
    pub(crate) database: ConnectionArguments,
    /// Print the report as one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `teeline init`.
#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    #[command(flatten)]
    pub(crate) places: PlacesArguments,
}

/// `teeline list`.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    pub(crate) places: PlacesArguments,
    /// So many, the newest
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Only those whose ids begin so
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    /// Only those of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) backup_type: Option<String>,
    /// Only those that began on this day in UTC, or at this time (RFC 3339), or later
    #[arg(long, value_name = "DAY|TIME", visible_alias = "start-date")]
    pub(crate) since: Option<String>,
    /// Only those that began on this day in UTC, or at this time (RFC 3339), or earlier
    #[arg(long, value_name = "DAY|TIME", visible_alias = "end-date")]
    pub(crate) until: Option<String>,
    /// Only those of which this is said; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) metadata: Vec<String>,
    /// Backups, or the runs that failed and left none
    #[arg(long, value_enum, default_value_t)]
    pub(crate) status: ListedStatusArgument,
}

impl ListArguments {
    /// All of them.
    fn of(places: PlacesArguments) -> Self {
        ListArguments {
            places,
            limit: None,
            prefix: None,
            backup_type: None,
            since: None,
            until: None,
            metadata: Vec::new(),
            status: ListedStatusArgument::default(),
        }
    }
}

/// `teeline check`.
#[derive(Debug, Args)]
pub(crate) struct MonitorArguments {
    #[command(flatten)]
    pub(crate) places: PlacesArguments,
    /// How old the latest backup may be that has what is asked for, such as 25h
    #[arg(long, value_name = "SPAN")]
    pub(crate) max_age: Option<String>,
    /// The resources that are asked for; may be repeated. Without, and without --exclude, whatever the backups there were made of
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<String>,
    /// The resources that aren't asked for; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
    /// How many backups there must be
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) min_count: u64,
    /// How long ago each backup may have been verified, or made, if nobody has looked since, such as 30d
    #[arg(long, value_name = "SPAN")]
    pub(crate) max_unverified: Option<String>,
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
    /// The backup: its id, latest, or a day in UTC or a time (RFC 3339) for what there was then
    #[arg(default_value = "latest")]
    pub(crate) id: String,
    /// Every backup
    #[arg(long, conflicts_with = "id")]
    pub(crate) all: bool,
    /// Decode, parse and count all of it as well, and compare that with what it is said to hold
    #[arg(long)]
    pub(crate) deep: bool,
    #[command(flatten)]
    pub(crate) places: PlacesArguments,
    #[command(flatten)]
    pub(crate) opening: OpeningArguments,
}

/// `teeline validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArguments {
    /// The backup: its id, or latest. Without, the last ones
    pub(crate) id: Option<String>,
    /// So many backups, the newest
    #[arg(long, value_name = "N", default_value_t = 10, conflicts_with = "id",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) last: u64,
    /// Where they are restored to, one after the other, in a folder or below a prefix of its own that is removed again: a folder, or
    /// the connection string of a database. Without, the temporary folder
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) scratch: Option<String>,
    #[command(flatten)]
    pub(crate) opening: OpeningArguments,
    #[command(flatten)]
    pub(crate) places: PlacesArguments,
}

/// `teeline restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    /// The backup: its id, latest, or a day in UTC or a time (RFC 3339) for what there was then; a time may be given with --at as well
    #[arg(default_value = "latest")]
    pub(crate) id: String,
    /// Where to: a target of the configuration, a folder, the connection string of a database, or - for standard output
    #[arg(
        long,
        value_name = "NAME|DIR|URL|-",
        required_unless_present = "ConnectionArguments"
    )]
    pub(crate) target: Option<String>,
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
    /// Have data thawed that is archived everywhere
    #[arg(long)]
    pub(crate) thaw: bool,
    /// For so many days it is to be readable then
    #[arg(long, value_name = "N", default_value_t = 7, requires = "thaw", value_parser = clap::value_parser!(u32).range(1..=365))]
    pub(crate) thaw_days: u32,
    /// How fast: standard, in hours; bulk, in up to two days; expedited, in minutes
    #[arg(long, value_name = "TIER", default_value_t, requires = "thaw")]
    pub(crate) thaw_tier: ThawTier,
    /// Wait for data that is being thawed
    #[arg(long)]
    pub(crate) wait: bool,
    /// Say what would be restored, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) opening: OpeningArguments,
}

/// `teeline repair`.
#[derive(Debug, Args)]
pub(crate) struct RepairArguments {
    /// The backup: its id. It is healed with those that it needs. Without, each; but no run without a manifest that may be going on or
    /// failed
    pub(crate) id: Option<String>,
    /// Make lost manifests again, from another destination or from the run's other files; all of them must be there and right. Nothing
    /// else is repaired
    #[arg(long)]
    pub(crate) rebuild_manifest: bool,
    /// Repair everything, and copy each backup to destinations that lack it
    #[arg(long, conflicts_with_all = ["id", "rebuild_manifest"])]
    pub(crate) auto: bool,
    #[command(flatten)]
    pub(crate) places: PlacesArguments,
    #[command(flatten)]
    pub(crate) keys: KeyArguments,
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

/// `--status`.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum ListedStatusArgument {
    /// Backups
    #[default]
    Completed,
    /// Runs that failed and left no backup
    Failed,
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

impl Command {
    /// What it tries, should it fail before there is a report.
    pub(crate) fn operation(&self) -> Operation {
        match self {
            Command::Backup(_)
            | Command::Consolidate(_)
            | Command::Run(_)
            | Command::Schedule(_)
            | Command::Bench(_) => Operation::Backup,
            Command::Init(_) | Command::List(_) | Command::Status(_) | Command::Check(_) => {
                Operation::List
            }
            Command::Verify(_)
            | Command::Validate(_)
            | Command::Scrub(_)
            | Command::Drill(_)
            | Command::InspectPlugin(_) => Operation::Verify,
            Command::Restore(_) => Operation::Restore,
            Command::Repair(_) => Operation::Repair,
            Command::Sync(_) => Operation::Sync,
            Command::Key(_) => Operation::Keys,
            Command::Delete(_) => Operation::Delete,
            Command::Cleanup(_) => Operation::Cleanup,
            Command::Config(_) => Operation::ValidateConfig,
        }
    }

    /// The same, where there is another way to say it: what `backup --list` and `backup --status` look at.
    pub(crate) fn plain(self) -> Self {
        match self {
            Command::Backup(typed) => typed.looks().unwrap_or(Command::Backup(typed)),
            command => command,
        }
    }

    /// Whether the report is to be printed as JSON.
    pub(crate) fn json(&self) -> bool {
        match self {
            Command::Backup(backup) => backup.json,
            Command::Init(init) => init.places.json,
            Command::List(list) => list.places.json,
            Command::Status(status) => status.places.json,
            Command::Check(check) => check.places.json,
            Command::Verify(verify) => verify.places.json,
            Command::Validate(validate) => validate.places.json,
            Command::Scrub(scrub) => scrub.places.json,
            Command::Drill(drill) => drill.places.json,
            Command::Restore(restore) => restore.places.json,
            Command::Repair(repair) => repair.places.json,
            Command::Sync(sync) => sync.places.json,
            Command::Consolidate(consolidate) => consolidate.places.json,
            Command::Delete(delete) => delete.places.json,
            Command::Cleanup(cleanup) => cleanup.places.json,
            Command::Key(key) => key.command.json(),
            Command::Run(run) => run.json,
            Command::Schedule(schedule) => schedule.command.json(),
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
        assert!(parse("teeline restore latest --connection-env A").is_ok());
        assert!(parse("teeline restore latest").is_err());
        assert!(parse("teeline restore latest --target x --connection-env A").is_ok());
        assert!(parse("teeline backup --connection a --connection-env A").is_err());
        assert!(parse("teeline backup --list --connection x").is_ok());
        assert!(parse("teeline backup --status a --list").is_err());
        assert!(parse("teeline backup full --list").is_err());
        assert!(parse("teeline list --limit 0").is_err());
        assert!(parse("teeline list --status degraded").is_err());
        assert!(parse("teeline verify latest --all").is_err());
        assert!(parse("teeline verify --all").is_ok());
    }
}
