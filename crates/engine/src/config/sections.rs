//! The sections of a configuration: their keys, bounds, and what goes together.

use std::path::PathBuf;

use serde_json::{Map, Value};
use teeline_core::{
    BackupError, Compression, LagPolicy, Metadata, Partitions, PathTemplate, Query, Span,
    StrategyKind, TimeZone,
};

use super::Config;
use super::blame::Blame;
use super::destinations::destinations;
use super::encryption::{ENCRYPTION, EncryptionConfig, encryption};
use super::hooks::hooks;
use super::node::{KeyPath, Node};
use super::places::no_url;
use super::plugin::{CONSTRUCTOR, is_at_the_top, plugin as plugin_of};
use super::reader::{Known, Table, check_known, join_keys};
use super::retention::{LONGEST, RETENTION, retention};
use super::schedules::{SHORT, schedules};
use super::source::{SOURCE, source};
use super::targets::targets;
use super::types::{
    BackupConfig, EmbeddedS3Config, EngineConfig, ExecutorConfig, LogLevel, SampleConfig,
    Verification,
};
use crate::backup::glob;
use crate::destination::{Secret, bucket_name, folder, key_prefix};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

const ROOT: Known = Known {
    keys: &[
        "time_zone",
        "source",
        "backup",
        "encryption",
        "retention",
        "schedule",
        "schedules",
        "engine",
        "destinations",
        "targets",
        "hooks",
        "embedded_s3",
        "plugin",
    ],
    hints: &[],
};
/// Where the options of s3db.js's plugin stand at the top: beside the sections that they don't stand for.
const ROOT_OF_PLUGIN: Known = Known {
    keys: &join_keys::<{ CONSTRUCTOR.keys.len() + BESIDE_PLUGIN.len() }>(
        CONSTRUCTOR.keys,
        &BESIDE_PLUGIN,
    ),
    hints: CONSTRUCTOR.hints,
};
const BESIDE_PLUGIN: [&str; 8] = [
    "time_zone",
    "source",
    "backup",
    "schedules",
    "engine",
    "targets",
    "hooks",
    "embedded_s3",
];
pub(super) const BACKUP: Known = Known {
    keys: &[
        "strategy",
        "lag",
        "lag_patience_ms",
        "resume_quiet_ms",
        "spill_bytes",
        "catch_up",
        "deadline",
        "concurrency",
        "compression",
        "level",
        "block_bytes",
        "segment_bytes",
        "record_bytes_max",
        "inline_bytes_max",
        "verification",
        "path",
        "include",
        "exclude",
        "partitions",
        "query",
        "metadata",
        "cleanup",
        "base",
    ],
    hints: &[
        ("quorum", "write `strategy = \"quorum:N\"`"),
        (
            "time_zone",
            "it stands before all sections: time_zone = \"Europe/Berlin\"",
        ),
        (
            "where",
            "write it as [backup.query.orders] status = \"active\"",
        ),
        (
            "schedule",
            "it is a section of its own: [schedule] daily = \"0 2 * * *\"",
        ),
    ],
};
const ENGINE: Known = Known {
    keys: &[
        "executor",
        "workers",
        "budget_bytes",
        "temp_dir",
        "log_level",
    ],
    hints: &[],
};
const EMBEDDED_S3: Known = Known {
    keys: &["root", "access_key", "secret_key", "buckets", "sample"],
    hints: &[],
};
const SAMPLE: Known = Known {
    keys: &["bucket", "prefix", "records"],
    hints: &[],
};

/// Where a key belongs that stands in the wrong place.
pub(super) const SECTIONS: [(&str, &[&str]); 6] = [
    ("source", SOURCE.keys),
    ("backup", BACKUP.keys),
    ("encryption", ENCRYPTION.keys),
    ("retention", RETENTION.keys),
    ("engine", ENGINE.keys),
    ("embedded_s3", EMBEDDED_S3.keys),
];

/// Refuses a section that isn't known.
pub(super) fn check_names(
    table: &config::Map<String, config::Value>,
    blame: &Blame,
) -> Result<(), BackupError> {
    let destinations = table.get("destinations").map(|value| &value.kind);
    let is_list = matches!(destinations, Some(config::ValueKind::Array(_)));
    let known = root_keys(table.keys().map(String::as_str), is_list);
    check_known(blame, &KeyPath::default(), table.keys(), known)
}

fn root_keys<'n>(
    names: impl Iterator<Item = &'n str>,
    destinations_are_a_list: bool,
) -> &'static Known {
    match is_at_the_top(names, destinations_are_a_list) {
        true => &ROOT_OF_PLUGIN,
        false => &ROOT,
    }
}

/// Reads the whole.
pub(super) fn config(root: Node, blame: &Blame) -> Result<Config, BackupError> {
    let (root, at_the_top) = without_plugin(root);
    let known = if at_the_top.is_some() {
        &ROOT_OF_PLUGIN
    } else {
        &ROOT
    };
    let mut root = Table::open(blame, KeyPath::default(), root, known)?;
    let time_zone = root.text_as("time_zone", |text| {
        text.parse::<TimeZone>().map_err(|error| error.to_string())
    })?;
    let mut section = root.table("backup", &BACKUP)?;
    let says_cleanup = section.as_ref().is_some_and(|table| table.has("cleanup"));
    let backup = match &mut section {
        Some(table) => backup(table, BackupConfig::default())?,
        None => BackupConfig::default(),
    };
    let cleanup = says_cleanup.then_some(backup.cleanup);
    let sealed = root.table("encryption", &ENCRYPTION)?;
    let sealed = sealed.map(encryption).transpose()?;
    let plugin = match at_the_top {
        Some(node) => Some((KeyPath::default(), node)),
        None => root.take("plugin"),
    };
    let plugin = plugin.map(|(key, node)| plugin_of(blame, key, node, backup.clone()));
    let mut plugin = plugin.transpose()?;
    let retained = root.table("retention", &RETENTION)?.map(retention);
    let retained = retained.transpose()?;
    let short = root.table("schedule", &SHORT)?;
    let named = root.tables("destinations")?;
    if let Some(plugin) = &plugin {
        refuse_twice(
            &root,
            "retention",
            retained.is_some() && plugin.retention.is_some(),
        )?;
        refuse_twice(
            &root,
            "encryption",
            sealed.is_some() && plugin.encryption.is_some(),
        )?;
        refuse_twice(
            &root,
            "schedule",
            short.is_some() && plugin.schedule.is_some(),
        )?;
        refuse_twice(&root, "destinations", !named.is_empty())?;
    }
    let short = plugin
        .as_mut()
        .and_then(|plugin| plugin.schedule.take())
        .or(short);
    let mut config = Config {
        time_zone: time_zone.unwrap_or_default(),
        retention: retained.unwrap_or_default(),
        source: root.table("source", &SOURCE)?.map(source).transpose()?,
        engine: root
            .table("engine", &ENGINE)?
            .map(engine)
            .transpose()?
            .unwrap_or_default(),
        destinations: destinations(named, blame)?,
        targets: targets(root.tables("targets")?, blame)?,
        hooks: hooks(root.tables("hooks")?, blame)?,
        embedded_s3: root
            .table("embedded_s3", &EMBEDDED_S3)?
            .map(embedded_s3)
            .transpose()?,
        backup,
        encryption: sealed,
        ..Config::default()
    };
    if let Some(plugin) = plugin {
        config.take(plugin, cleanup);
    }
    if let Some(raised) = config
        .encryption
        .as_ref()
        .and_then(EncryptionConfig::raised)
    {
        config.warnings.push(raised);
    }
    config.schedules = schedules(short, root.tables("schedules")?, blame, &config.backup)?;
    Ok(config)
}

/// Takes the options of s3db.js's plugin out of the top of a file.
fn without_plugin(root: Node) -> (Node, Option<Node>) {
    let Node::Table(entries) = root else {
        return (root, None);
    };
    let is_list =
        |(name, node): &(String, Node)| name == "destinations" && matches!(node, Node::List(_));
    let has_list = entries.iter().any(is_list);
    if !is_at_the_top(entries.iter().map(|(name, _)| name.as_str()), has_list) {
        return (Node::Table(entries), None);
    }
    let is_option = |(name, _): &(String, Node)| CONSTRUCTOR.keys.contains(&name.as_str());
    let (options, sections) = entries.into_iter().partition(is_option);
    (Node::Table(sections), Some(Node::Table(options)))
}

fn refuse_twice(root: &Table<'_>, name: &str, is_twice: bool) -> Result<(), BackupError> {
    match is_twice {
        true => Err(root.error_at(name, "is said by `plugin` too; one of them is accepted")),
        false => Ok(()),
    }
}

/// How backups are made: as `default`, save what the table says.
pub(super) fn backup(
    table: &mut Table<'_>,
    default: BackupConfig,
) -> Result<BackupConfig, BackupError> {
    let compression = compression(table, default.compression)?;
    let strategies = ["all", "any", "priority", "quorum:N with N from 1"];
    let strategy = table.word("strategy", &strategies, |word| {
        word.parse::<StrategyKind>().ok()
    })?;
    let lag = lag_policy(table)?;
    let lag_patience_ms = table.integer("lag_patience_ms", 1..=86_400_000)?;
    let resume_quiet_ms = table.integer("resume_quiet_ms", 0..=3_600_000)?;
    let spill_bytes = table.size("spill_bytes", MIB..=1024 * GIB)?;
    let catch_up = table.word("catch_up", &["wait", "later"], |word| word.parse().ok())?;
    let deadline = table.span("deadline", Span::from_ms(1_000)..=LONGEST)?;
    let base = table.word("base", &["last", "full"], |word| word.parse().ok())?;
    let concurrency = table.integer("concurrency", 1..=1024)?;
    let block_bytes = table.size("block_bytes", 4 * KIB..=16 * MIB)?;
    let segment_bytes = table.size("segment_bytes", MIB..=8 * GIB)?;
    let block_bytes = block_bytes.map(to_usize).or(default.block_bytes);
    let least_record_bytes = block_bytes.map_or(4 * KIB, to_u64);
    let record_bytes_max = table.size("record_bytes_max", least_record_bytes..=GIB)?;
    let record_bytes_max = record_bytes_max.map_or(default.record_bytes_max, to_usize);
    let inline_bytes_max = table.size("inline_bytes_max", 0..=to_u64(record_bytes_max))?;
    let inline_default = default.inline_bytes_max.min(record_bytes_max);
    let verification = table.word("verification", &["read", "attested"], |word| match word {
        "read" => Some(Verification::Read),
        "attested" => Some(Verification::Attested),
        _ => None,
    })?;
    let path = table.text_as("path", |text| {
        PathTemplate::new(text).map_err(|_| {
            "it is made of names between single slashes, \
             with {date} {time} {year} {month} {day} {type} {backupId} in them, \
             and doesn't begin with catalog, runs or teeline.json"
                .to_owned()
        })
    })?;
    let metadata = as_said(table, "metadata", Metadata::new)?;
    let partitions = partitions(table)?;
    let query = as_said(table, "query", |said| Query::new(said.into()))?;
    Ok(BackupConfig {
        strategy: strategy.unwrap_or(default.strategy),
        lag: lag.or(default.lag),
        catch_up: catch_up.unwrap_or(default.catch_up),
        deadline: deadline.or(default.deadline),
        base: base.unwrap_or(default.base),
        lag_patience_ms: lag_patience_ms.unwrap_or(default.lag_patience_ms),
        resume_quiet_ms: resume_quiet_ms.unwrap_or(default.resume_quiet_ms),
        spill_bytes: spill_bytes.unwrap_or(default.spill_bytes),
        concurrency: concurrency.map_or(default.concurrency, to_usize),
        compression,
        block_bytes,
        segment_bytes: segment_bytes.unwrap_or(default.segment_bytes),
        record_bytes_max,
        inline_bytes_max: inline_bytes_max.map_or(inline_default, to_usize),
        verification: verification.unwrap_or(default.verification),
        path: path.unwrap_or(default.path),
        include: table
            .texts("include", check_glob)?
            .unwrap_or(default.include),
        exclude: table
            .texts("exclude", check_glob)?
            .unwrap_or(default.exclude),
        partitions: partitions.unwrap_or(default.partitions),
        query: query.unwrap_or(default.query),
        metadata: metadata.unwrap_or(default.metadata),
        cleanup: table.boolean("cleanup")?.unwrap_or(default.cleanup),
    })
}

/// Which partitions' records a backup has.
pub(super) fn partitions(table: &mut Table<'_>) -> Result<Option<Partitions>, BackupError> {
    as_said(table, "partitions", |said| Partitions::new(said.into()))
}

/// What a table of values under names that the user chose says, where it is there.
fn as_said<T>(
    table: &mut Table<'_>,
    name: &str,
    read: impl Fn(Map<String, Value>) -> Result<T, BackupError>,
) -> Result<Option<T>, BackupError> {
    if !table.has(name) {
        return Ok(None);
    }
    let read = read(table.values(name)?).map_err(|error| {
        let message = format!("isn't usable: {}: {}", error.subject(), error.message());
        table.error_at(name, &message)
    });
    read.map(Some)
}

/// What becomes of a destination that falls behind, where it is said.
pub(super) fn lag_policy(table: &mut Table<'_>) -> Result<Option<LagPolicy>, BackupError> {
    table.word("lag", &LagPolicy::NAMES, |word| word.parse().ok())
}

/// One that is named has its own level, not that of the other.
fn compression(table: &mut Table<'_>, default: Compression) -> Result<Compression, BackupError> {
    let has_level = table.has("level");
    let compression = table.word("compression", &Compression::NAMES, |word| word.parse().ok())?;
    let compression = compression.unwrap_or(default);
    let Some(levels) = compression.levels() else {
        return match has_level {
            true => Err(table.error_at("level", "goes with a compression; \"none\" has no levels")),
            false => Ok(compression),
        };
    };
    let Some(level) = table.integer("level", (*levels.start()).into()..=(*levels.end()).into())?
    else {
        return Ok(compression);
    };
    let level = u8::try_from(level).unwrap_or(u8::MAX);
    let refused = |error: BackupError| table.error_at("level", error.message());
    compression.with_level(level).map_err(refused)
}

pub(super) fn check_glob(text: &str) -> Result<(), String> {
    glob(text).map(|_| ())
}

fn engine(mut table: Table<'_>) -> Result<EngineConfig, BackupError> {
    let executor = table.word("executor", &["threads", "inline"], |word| match word {
        "threads" => Some(ExecutorConfig::Threads),
        "inline" => Some(ExecutorConfig::Inline),
        _ => None,
    })?;
    let workers = table.integer("workers", 1..=256)?.map(to_usize);
    if executor == Some(ExecutorConfig::Inline) && workers.is_some() {
        return Err(table.error_at(
            "workers",
            "goes with executor = \"threads\"; inline has none",
        ));
    }
    Ok(EngineConfig {
        executor,
        workers,
        budget_bytes: table.size("budget_bytes", 8 * MIB..=1024 * GIB)?,
        temp_dir: table.text_as("temp_dir", no_url)?.map(PathBuf::from),
        log_level: table.word("log_level", &LogLevel::NAMES, LogLevel::named)?,
    })
}

fn embedded_s3(mut table: Table<'_>) -> Result<EmbeddedS3Config, BackupError> {
    // First, so that a misspelt key in it is found before what is missing around it.
    let sample_table = table.table("sample", &SAMPLE)?;
    let root = table.text_as("root", folder)?;
    let root = root.ok_or_else(|| table.error("lacks `root`"))?;
    let access_key = table.needed_text("access_key")?;
    let secret_key = Secret::new(table.needed_text("secret_key")?);
    let buckets = table.texts("buckets", |name| bucket_name(name).map(|_| ()))?;
    let buckets = buckets.unwrap_or_default();
    let sample = sample_table.map(|table| sample(table, &buckets));
    Ok(EmbeddedS3Config {
        root,
        access_key,
        secret_key,
        sample: sample.transpose()?,
        buckets,
    })
}

fn sample(mut table: Table<'_>, buckets: &[String]) -> Result<SampleConfig, BackupError> {
    let bucket = table.needed_text("bucket")?;
    if !buckets.contains(&bucket) {
        return Err(table.error_at("bucket", "isn't one of `embedded_s3.buckets`"));
    }
    let prefix = table.text_as("prefix", key_prefix)?;
    let records = table.integer("records", 1..=10_000_000)?;
    Ok(SampleConfig {
        bucket,
        prefix: prefix.unwrap_or_default(),
        records: records.unwrap_or(5_000),
    })
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn to_u64(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
