//! The schedules of a configuration.

use std::path::Path;
use std::sync::Arc;

use teeline::config::{ScheduleConfig, UpkeepConfig};
use teeline::{
    BackupError, CleanupRequest, Config, DrillRequest, Engine, RepairRequest, Schedule, Scratch,
    ScrubRequest, Source, Timing, UnreadSource, ValidateRequest, VerifyRequest, WhichBackups, Work,
};

use super::backup::configured;
use super::destinations::configured_places;
use super::keys::{Access, access};
use super::local_index::local_index;
use super::setting::Setting;
use super::source::of_config;
use super::to_usize;
use crate::args::{EngineArguments, KeyArguments, LocalIndexArguments};

/// An engine with the schedules of the configuration, or the one of that name, which it can run.
pub(crate) async fn scheduled(
    setting: &Setting,
    typed: &EngineArguments,
    only: Option<&str>,
) -> Result<Engine, BackupError> {
    let mut access = access(&KeyArguments::default(), &[], setting).await?;
    access.local_index = local_index(&LocalIndexArguments::default(), &access, setting).await?;
    let source = |schedule: &ScheduleConfig| {
        let source = setting.config.source.as_ref().ok_or_else(|| {
            BackupError::usage("source", "nothing to back up is named")
                .suggest("name it in a section [source] of the configuration")
        })?;
        of_config(source, &schedule.backup, setting)
    };
    let Some(name) = only else {
        return with_schedules(setting, typed, &access, source);
    };
    let engine = setting.engine(typed)?;
    add(
        &engine,
        setting,
        named(&setting.config, name, "NAME")?,
        source,
        &access,
    )?;
    Ok(engine)
}

/// The same, where they are only looked at: what they read need not be there, nor the keys of who could open them.
pub(crate) fn schedules_to_look_at(setting: &Setting) -> Result<Engine, BackupError> {
    let configured = setting.config.source.as_ref();
    let source = |schedule: &ScheduleConfig| -> Result<Arc<dyn Source>, BackupError> {
        let named = configured.and_then(|source| of_config(source, &schedule.backup, setting).ok());
        let named = named.map(|source| UnreadSource::of(source.as_ref()));
        Ok(Arc::new(named.unwrap_or_default()))
    };
    with_schedules(
        setting,
        &EngineArguments::default(),
        &Access::default(),
        source,
    )
}

/// As [`schedules_to_look_at`], without what would run on the configuration's behalf.
pub(crate) fn schedules_in(path: &Path) -> Result<Engine, BackupError> {
    schedules_to_look_at(&Setting::read(Some(path))?)
}

fn with_schedules(
    setting: &Setting,
    typed: &EngineArguments,
    access: &Access,
    source: impl Fn(&ScheduleConfig) -> Result<Arc<dyn Source>, BackupError>,
) -> Result<Engine, BackupError> {
    let config = &setting.config;
    if config.schedules.is_empty() {
        let error = BackupError::usage("schedules", "there are none in the configuration");
        return Err(error.suggest(
            "write `schedule = { daily = \"0 2 * * *\" }`, or a section [schedules.NAME] with `cron`",
        ));
    }
    let engine = setting.engine(typed)?;
    for schedule in &config.schedules {
        add(&engine, setting, schedule, &source, access)?;
    }
    Ok(engine)
}

/// Adds a schedule, which must be one that can be run.
pub(super) fn add(
    engine: &Engine,
    setting: &Setting,
    schedule: &ScheduleConfig,
    source: impl Fn(&ScheduleConfig) -> Result<Arc<dyn Source>, BackupError>,
    access: &Access,
) -> Result<(), BackupError> {
    let config = &setting.config;
    let work = work(setting, schedule, source, access)?;
    let timing = Timing {
        cron: schedule.cron.clone(),
        time_zone: config.time_zone,
        jitter: schedule.jitter,
    };
    engine.schedule(Schedule::of(&schedule.name, timing, work)?)
}

/// What a schedule does, with the destinations and the keys of the configuration.
fn work(
    setting: &Setting,
    schedule: &ScheduleConfig,
    source: impl Fn(&ScheduleConfig) -> Result<Arc<dyn Source>, BackupError>,
    access: &Access,
) -> Result<Work, BackupError> {
    let config = &setting.config;
    let places = configured_places(setting)?;
    let keys = access.keys.clone();
    let scratch = |folder: &Option<std::path::PathBuf>| {
        folder.clone().map_or(Scratch::Temporary, Scratch::Folder)
    };
    Ok(match &schedule.upkeep {
        None => {
            let backup_type = schedule.backup_type.clone();
            let source = source(schedule)?;
            let mut request = configured(config, &schedule.backup, backup_type, source, places)?;
            request.recipients.clone_from(&access.recipients);
            request.keys = keys;
            request.local_index.clone_from(&access.local_index);
            request.resources.clone_from(&schedule.resources);
            Work::Backup(Box::new(request))
        }
        Some(UpkeepConfig::Cleanup) => {
            let mut request = CleanupRequest::new(places, config.retention);
            request.time_zone = config.time_zone;
            Work::Cleanup(request)
        }
        Some(UpkeepConfig::Verify { all, deep }) => {
            let mut request = VerifyRequest::new(places);
            if *all {
                request.which = WhichBackups::All;
            }
            request.deep = *deep;
            request.keys = keys;
            Work::Verify(request)
        }
        Some(UpkeepConfig::Validate { last, scratch: to }) => {
            let mut request = ValidateRequest::new(places);
            request.which = WhichBackups::Last(to_usize(*last));
            request.scratch = scratch(to);
            request.keys = keys;
            Work::Validate(request)
        }
        Some(UpkeepConfig::Scrub {
            budget_bytes,
            max_age,
            deep,
        }) => {
            let mut request = ScrubRequest::new(places);
            request.budget_bytes = *budget_bytes;
            request.max_age = *max_age;
            request.deep = *deep;
            request.keys = keys;
            Work::Scrub(request)
        }
        Some(UpkeepConfig::Repair) => {
            let mut request = RepairRequest::everything(places);
            request.keys = keys;
            Work::Repair(request)
        }
        Some(UpkeepConfig::Drill { from, scratch: to }) => {
            let mut request = DrillRequest::new(places);
            request.from.clone_from(from);
            request.scratch = scratch(to);
            request.keys = keys;
            Work::Drill(request)
        }
    })
}

/// The schedule of that name.
pub(crate) fn named<'c>(
    config: &'c Config,
    name: &str,
    option: &str,
) -> Result<&'c ScheduleConfig, BackupError> {
    let found = config.schedules.iter().find(|known| known.name == name);
    found.ok_or_else(|| {
        let known = config.schedules.iter().map(|known| known.name.as_str());
        let message = match config.schedules.is_empty() {
            true => "there are no schedules in the configuration".to_owned(),
            false => format!(
                "no schedule is called so; accepted: {}",
                known.collect::<Vec<_>>().join(", ")
            ),
        };
        BackupError::usage(option, message)
    })
}
