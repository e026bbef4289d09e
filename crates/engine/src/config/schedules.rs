//! `[schedules.<name>]`, and the short form `schedule`: backups, and what keeps them worth having, that are made again and again.

use std::str::FromStr;

use teeline_core::{BackupError, BackupType, CronExpression, Span};

use super::blame::Blame;
use super::node::{KeyPath, Node};
use super::places::no_url;
use super::reader::{Known, Table, join_keys};
use super::sections::{BACKUP, backup};
use super::types::{BackupConfig, ScheduleConfig, UpkeepConfig};
use super::upkeep::{UPKEEP_KEYS, keys_of, upkeep};
use crate::destination::{NAME_FORM, is_name};

/// The schedules of the short form, which are full backups.
const SHORT_NAMES: [&str; 3] = ["daily", "weekly", "monthly"];

pub(super) const SHORT: Known = Known {
    keys: &SHORT_NAMES,
    hints: &[
        (
            "hourly",
            "write [schedules.hourly] with cron = \"0 * * * *\"",
        ),
        (
            "yearly",
            "write [schedules.yearly] with cron = \"0 5 1 1 *\"",
        ),
        ("cron", "write [schedules.NAME] with cron = \"0 2 * * *\""),
        (
            "time_zone",
            "it stands before all sections: time_zone = \"Europe/Berlin\"",
        ),
    ],
};

const OWN_KEYS: [&str; 4] = ["cron", "type", "jitter", "resources"];
/// A backup may differ in whatever `[backup]` says.
const KEYS_OF_BACKUPS: [&str; OWN_KEYS.len() + BACKUP.keys.len()] =
    join_keys(&OWN_KEYS, BACKUP.keys);
const KEYS: [&str; KEYS_OF_BACKUPS.len() + UPKEEP_KEYS.len()] =
    join_keys(&KEYS_OF_BACKUPS, &UPKEEP_KEYS);
const SCHEDULE: Known = Known {
    keys: &KEYS,
    hints: &[
        ("backup_type", "write `type = \"full\"`"),
        (
            "destinations",
            "each schedule writes to all of [destinations]",
        ),
        (
            "time_zone",
            "it stands before all sections: time_zone = \"Europe/Berlin\"",
        ),
    ],
};

const JITTER_MAX: Span = Span::from_days(31);

/// The schedules of both forms; what they don't say of their backups is as `all` has it.
pub(super) fn schedules(
    short: Option<Table<'_>>,
    named: Vec<(KeyPath, String, Node)>,
    blame: &Blame,
    all: &BackupConfig,
) -> Result<Vec<ScheduleConfig>, BackupError> {
    let mut schedules = Vec::new();
    if let Some(mut table) = short {
        for name in SHORT_NAMES {
            let cron = table.text_as(name, cron)?;
            schedules.extend(cron.map(|cron| ScheduleConfig {
                name: name.to_owned(),
                cron,
                backup_type: full(),
                upkeep: None,
                jitter: Span::default(),
                resources: None,
                backup: all.clone(),
            }));
        }
    }
    for (key, name, node) in named {
        if !is_name(&name) {
            let message = format!("`{key}` isn't a name for a schedule; accepted: {NAME_FORM}");
            return Err(blame.error(&key, message));
        }
        if schedules.iter().any(|known| known.name == name) {
            let message = format!("`{key}` and `schedule.{name}` are both there");
            return Err(blame
                .error(&key, message)
                .suggest("take one of them away, or name this one otherwise"));
        }
        schedules.push(schedule(
            Table::open(blame, key, node, &SCHEDULE)?,
            name,
            all,
        )?);
    }
    Ok(schedules)
}

fn schedule(
    mut table: Table<'_>,
    name: String,
    all: &BackupConfig,
) -> Result<ScheduleConfig, BackupError> {
    let cron = table.text_as("cron", cron)?;
    let cron = cron.ok_or_else(|| {
        table
            .error("lacks `cron`")
            .suggest("write cron = \"0 2 * * *\" for each day at two")
    })?;
    let backup_type = table.text_as("type", backup_type)?.unwrap_or_else(full);
    let upkeep = upkeep(&mut table, backup_type.as_str())?;
    refuse_others(&table, &backup_type, upkeep.as_ref())?;
    Ok(ScheduleConfig {
        name,
        cron,
        backup_type,
        upkeep,
        jitter: table
            .span("jitter", Span::default()..=JITTER_MAX)?
            .unwrap_or_default(),
        resources: table
            .texts("resources", |name| no_url(name).map(drop))?
            .filter(|names| !names.is_empty()),
        backup: backup(&mut table, all.clone())?,
    })
}

fn cron(text: &str) -> Result<CronExpression, String> {
    CronExpression::from_str(text).map_err(|error| error.to_string())
}

fn backup_type(text: &str) -> Result<BackupType, String> {
    text.parse()
        .map_err(|_| "1 to 40 of a-z, 0-9 and '-' are accepted".to_owned())
}

/// Refuses what goes with something else than this does.
fn refuse_others(
    table: &Table<'_>,
    backup_type: &BackupType,
    upkeep: Option<&UpkeepConfig>,
) -> Result<(), BackupError> {
    let (others, accepted): (Vec<&str>, Vec<&str>) = match upkeep {
        None => (UPKEEP_KEYS.to_vec(), Vec::new()),
        Some(_) => {
            let own = keys_of(backup_type.as_str());
            let of_it = |key: &&str| ["cron", "type", "jitter"].contains(key) || own.contains(key);
            let others = KEYS.into_iter().filter(|key| !of_it(key));
            let accepted = KEYS.into_iter().filter(of_it);
            (others.collect(), accepted.collect())
        }
    };
    let Some(other) = others.into_iter().find(|key| table.has(key)) else {
        return Ok(());
    };
    let message = match accepted.as_slice() {
        [] => {
            let mut types = ["verify", "validate", "scrub", "drill"].into_iter();
            let takes = types.find(|name| keys_of(name).contains(&other));
            format!(
                "goes with no backup; a schedule of type {} takes it",
                takes.unwrap_or("drill")
            )
        }
        accepted => format!(
            "goes with a backup, or something else; accepted of a {backup_type}: {}",
            accepted.join(", ")
        ),
    };
    Err(table.error_at(other, &message))
}

fn full() -> BackupType {
    "full".parse().expect("a type")
}
