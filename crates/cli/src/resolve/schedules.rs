//! The schedules of a configuration.

use std::path::Path;
use std::sync::Arc;

use teeline::config::ScheduleConfig;
use teeline::{BackupError, Config, Engine, JsonlSource, Schedule, Source, Timing};

use super::backup::configured;
use super::destinations::configured_places;
use super::keys::{Access, access};
use super::setting::Setting;
use super::source::of_config;
use crate::args::{EngineArguments, KeyArguments};

/// An engine with the schedules of the configuration, which it can run.
pub(crate) async fn scheduled(
    setting: &Setting,
    typed: &EngineArguments,
) -> Result<Engine, BackupError> {
    let source = setting.config.source.as_ref().ok_or_else(|| {
        BackupError::usage("source", "nothing to back up is named")
            .suggest("name it in a section [source] of the configuration")
    })?;
    let access = access(&KeyArguments::default(), &[], setting).await?;
    with_schedules(setting, typed, &access, |schedule| {
        of_config(source, &schedule.backup, setting)
    })
}

/// The same, where they are only looked at: what they read need not be there, nor the keys of who could open them.
pub(crate) fn schedules_to_look_at(setting: &Setting) -> Result<Engine, BackupError> {
    with_schedules(
        setting,
        &EngineArguments::default(),
        &Access::default(),
        |_| Ok(source_unread()),
    )
}

/// As [`schedules_to_look_at`], without what would run on the configuration's behalf.
pub(crate) fn schedules_in(path: &Path) -> Result<Engine, BackupError> {
    schedules_to_look_at(&Setting::read(Some(path))?)
}

/// Stands for a source that isn't read.
pub(super) fn source_unread() -> Arc<dyn Source> {
    Arc::new(JsonlSource::path("."))
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
        add(&engine, setting, schedule, source(schedule)?, access)?;
    }
    Ok(engine)
}

/// Adds a schedule, which must be one that can be run.
pub(super) fn add(
    engine: &Engine,
    setting: &Setting,
    schedule: &ScheduleConfig,
    source: Arc<dyn Source>,
    access: &Access,
) -> Result<(), BackupError> {
    let config = &setting.config;
    let destinations = configured_places(setting)?;
    let mut request = configured(config, &schedule.backup, source, destinations)?;
    request.backup_type = schedule.backup_type.clone();
    request.recipients.clone_from(&access.recipients);
    request.keys = access.keys.clone();
    request.resources.clone_from(&schedule.resources);
    let timing = Timing {
        cron: schedule.cron.clone(),
        time_zone: config.time_zone,
        jitter: schedule.jitter,
    };
    engine.schedule(Schedule::new(&schedule.name, timing, request)?)
}

/// The schedule of that name.
pub(super) fn named<'c>(config: &'c Config, name: &str) -> Result<&'c ScheduleConfig, BackupError> {
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
        BackupError::usage("--schedule", message)
    })
}
