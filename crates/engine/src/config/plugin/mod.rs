//! The configuration of s3db.js's BackupPlugin: the object that its constructor takes, at the top of a file or as the
//! table `plugin`. What each of its options means here is in docs/reference/compatibility.md.
//!
//! It says the same as sections do, in other words, and no more: what it comes to is plain configuration.

mod driver;
mod encryption;
mod template;

use std::path::PathBuf;

use teeline_core::{BackupError, Compression, StrategyKind};

use self::driver::{Driver, Drivers, drivers};
use self::encryption::{ENCRYPTION, encryption};
use super::blame::Blame;
use super::encryption::EncryptionConfig;
use super::node::{KeyPath, Node};
use super::reader::{Known, Table};
use super::retention::{RETENTION, retention};
use super::schedules::SHORT;
use super::sections::{check_glob, partitions};
use super::types::{BackupConfig, ConfigWarning, LogLevel, Verification};
use crate::destination::DestinationSpec;
use crate::request::RetentionPolicy;

/// The constructor's options.
pub(super) const CONSTRUCTOR: Known = Known {
    keys: &[
        "driver",
        "config",
        "drivers",
        "destinations",
        "strategy",
        "concurrency",
        "retention",
        "include",
        "exclude",
        "partitions",
        "compression",
        "encryption",
        "verification",
        "tempDir",
        "logLevel",
        "schedule",
        "emitEvents",
        "parallelism",
        "backupMetadataResource",
    ],
    hints: &[
        ("path", "it stands in `config`"),
        ("prefix", "it stands in `config`"),
        ("bucket", "it stands in `config`"),
        ("onBackupStart", FUNCTION),
        ("onBackupComplete", FUNCTION),
        ("onBackupError", FUNCTION),
        ("onRestoreStart", FUNCTION),
        ("onRestoreComplete", FUNCTION),
        ("onRestoreError", FUNCTION),
    ],
};

const FUNCTION: &str =
    "functions are given through the API; in a file, `hooks` name commands and webhooks";

/// Options of those above that no section of ours has as its name.
const ONLY_ITS_OWN: [&str; 15] = [
    "driver",
    "config",
    "drivers",
    "strategy",
    "concurrency",
    "include",
    "exclude",
    "partitions",
    "compression",
    "verification",
    "tempDir",
    "logLevel",
    "emitEvents",
    "parallelism",
    "backupMetadataResource",
];

/// Options that are accepted, and do nothing here.
const WITHOUT_EFFECT: [(&str, &str); 2] = [
    (
        "parallelism",
        "`engine.workers` and `concurrency` say how much is done at once",
    ),
    (
        "backupMetadataResource",
        "what is known of backups is kept beside them",
    ),
];

/// What the constructor's object comes to.
pub(super) struct Plugin<'a> {
    pub(super) backup: BackupConfig,
    pub(super) destinations: Vec<DestinationSpec>,
    pub(super) retention: Option<RetentionPolicy>,
    pub(super) encryption: Option<EncryptionConfig>,
    pub(super) schedule: Option<Table<'a>>,
    pub(super) temp_dir: PathBuf,
    pub(super) log_level: Option<LogLevel>,
    pub(super) emits_events: bool,
    pub(super) warnings: Vec<ConfigWarning>,
}

/// Whether the constructor's options stand at the top of a file: by one that is its own, or by a list of destinations.
pub(super) fn is_at_the_top<'n>(
    mut names: impl Iterator<Item = &'n str>,
    destinations_are_a_list: bool,
) -> bool {
    destinations_are_a_list || names.any(|name| ONLY_ITS_OWN.contains(&name))
}

/// Reads the object; what it doesn't say of backups is as `default` has it.
pub(super) fn plugin<'a>(
    blame: &'a Blame,
    key: KeyPath,
    node: Node,
    default: BackupConfig,
) -> Result<Plugin<'a>, BackupError> {
    let inferred = Driver::inferred(&node);
    let mut table = Table::open(blame, key, without_nulls(node), &CONSTRUCTOR)?;
    let driver = table.word("driver", &Driver::NAMES, |word| word.parse().ok())?;
    let said = Shared::of(&mut table)?;
    let said_of_all = drivers(&mut table, driver.unwrap_or(inferred), said)?;
    let Drivers {
        destinations,
        template,
        shared,
    } = said_of_all;
    let verification = table.boolean("verification")?;
    let backup = BackupConfig {
        strategy: shared.strategy.map_or(default.strategy, |(kind, _)| kind),
        concurrency: shared
            .concurrency
            .map_or(default.concurrency, |(calls, _)| calls),
        compression: shared
            .compression
            .map_or(default.compression, |(name, _)| name),
        verification: match verification {
            None => default.verification,
            Some(true) => Verification::Read,
            Some(false) => Verification::Attested,
        },
        path: template.unwrap_or(default.path),
        include: table
            .texts("include", check_glob)?
            .unwrap_or(default.include),
        exclude: table
            .texts("exclude", check_glob)?
            .unwrap_or(default.exclude),
        partitions: partitions(&mut table)?.unwrap_or(default.partitions),
        ..default
    };
    let encryption = table.table("encryption", &ENCRYPTION)?.map(encryption);
    let temp_dir = table.text_as("tempDir", |text| Ok(PathBuf::from(text)))?;
    Ok(Plugin {
        backup,
        destinations,
        retention: shared.retention.map(|(policy, _)| policy),
        encryption: encryption.transpose()?,
        schedule: table.table("schedule", &SHORT)?,
        temp_dir: temp_dir.unwrap_or_else(|| std::env::temp_dir().join("s3db/backups")),
        log_level: log_level(&mut table)?,
        emits_events: table.boolean("emitEvents")?.unwrap_or(true),
        warnings: warnings(&table),
    })
}

/// What may be said, with the key that says it.
type Said<T> = Option<(T, String)>;

/// What the object or its `config` may say.
#[derive(Default)]
struct Shared {
    strategy: Said<StrategyKind>,
    concurrency: Said<usize>,
    compression: Said<Compression>,
    retention: Said<RetentionPolicy>,
}

impl Shared {
    const KEYS: [&'static str; 4] = ["strategy", "concurrency", "compression", "retention"];

    fn of(table: &mut Table<'_>) -> Result<Self, BackupError> {
        let [strategy, concurrency, compression, retained] =
            Self::KEYS.map(|name| table.said_by(name));
        let concurrency_said = table.integer("concurrency", 1..=1024)?;
        let policy = table.table("retention", &RETENTION)?.map(retention);
        let kinds = ["all", "any", "priority"];
        let kind = table.word("strategy", &kinds, |word| word.parse::<StrategyKind>().ok())?;
        Ok(Shared {
            strategy: kind.map(|kind| (kind, strategy)),
            concurrency: concurrency_said
                .and_then(|calls| usize::try_from(calls).ok())
                .map(|calls| (calls, concurrency)),
            compression: compression_of(table)?.map(|name| (name, compression)),
            retention: policy.transpose()?.map(|policy| (policy, retained)),
        })
    }

    /// What either says. Two that differ are an error.
    fn and(self, other: Shared) -> Result<Self, BackupError> {
        Ok(Shared {
            strategy: agreed(self.strategy, other.strategy)?,
            concurrency: agreed(self.concurrency, other.concurrency)?,
            compression: agreed(self.compression, other.compression)?,
            retention: agreed(self.retention, other.retention)?,
        })
    }
}

/// What is said in one place, or the same in both.
fn agreed<T: PartialEq>(one: Said<T>, other: Said<T>) -> Result<Said<T>, BackupError> {
    match (one, other) {
        (Some((one, here)), Some((other, there))) if one != other => Err(BackupError::usage(
            there,
            format!("says something else than {here}; it is said once, or the same in both"),
        )),
        (one, other) => Ok(one.or(other)),
    }
}

/// `true`, which is gzip, `false`, which is none, or a name.
fn compression_of(table: &mut Table<'_>) -> Result<Option<Compression>, BackupError> {
    match table.flag("compression") {
        Some(true) => Ok(Some(Compression::default())),
        Some(false) => Ok(Some(Compression::None)),
        None => table.word("compression", &Compression::NAMES, |word| word.parse().ok()),
    }
}

/// Whether it logs in detail, or how much.
fn log_level(table: &mut Table<'_>) -> Result<Option<LogLevel>, BackupError> {
    match table.flag("logLevel") {
        Some(true) => Ok(Some(LogLevel::Debug)),
        Some(false) => Ok(None),
        None => table.word(
            "logLevel",
            &LogLevel::NAMES_OF_THE_PLUGIN,
            LogLevel::of_the_plugin,
        ),
    }
}

fn warnings(table: &Table<'_>) -> Vec<ConfigWarning> {
    let given = WITHOUT_EFFECT.iter().filter(|(name, _)| table.has(name));
    given
        .map(|(name, help)| ConfigWarning {
            message: format!("{} has no effect", table.said_by(name)),
            help: (*help).to_owned(),
        })
        .collect()
}

/// In JavaScript an option that is null is one that isn't given; save for a path, which is a mistake.
fn without_nulls(node: Node) -> Node {
    match node {
        Node::Table(entries) => Node::Table(
            entries
                .into_iter()
                .filter(|(name, node)| !matches!(node, Node::Null) || name == "path")
                .map(|(name, node)| (name, without_nulls(node)))
                .collect(),
        ),
        Node::List(nodes) => Node::List(nodes.into_iter().map(without_nulls).collect()),
        node => node,
    }
}
