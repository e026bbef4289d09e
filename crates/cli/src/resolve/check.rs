//! What `teeline config check` finds.

use std::path::Path;
use std::sync::Arc;

use teeline::config::{EncryptionConfig, ScheduleConfig};
use teeline::{
    BackupError, BackupRequest, DestinationSpec, KeySource, ResourceGlobs, Source, UnreadSource,
};

use super::backup;
use super::destinations::configured_places;
use super::keys::Access;
use super::setting::Setting;
use super::{schedules, source, target};
use crate::output::{Checked, CheckedDestination, CheckedSchedule, CheckedTarget, counted};

/// What a configuration comes to, which a backup must be able to use.
pub(crate) async fn check(path: &Path) -> Result<Checked, BackupError> {
    let setting = Setting::read(Some(path))?;
    let config = &setting.config;
    let source = match &config.source {
        Some(source) => Some(source::of_config(source, &config.backup, &setting)?),
        None => None,
    };
    check_request(&setting, source.clone()).map_err(|error| in_file(path, &error))?;
    if let Some(encryption) = &config.encryption {
        let checked = check_secrets(encryption).await;
        checked.map_err(|error| in_file(path, &error))?;
    }
    let destination = |spec: &DestinationSpec| CheckedDestination {
        name: spec.name.clone(),
        location: setting.as_written(&spec.place.location()),
        required: spec.is_required(config.backup.strategy),
        resources: spec
            .resources
            .as_ref()
            .map(|taken| taken.patterns().to_vec()),
    };
    let schedule = |schedule: &ScheduleConfig| CheckedSchedule {
        name: schedule.name.clone(),
        cron: schedule.cron.to_string(),
        backup_type: schedule.backup_type.clone(),
    };
    let targets = config.targets.iter().map(|(name, location)| {
        let target = target::configured(location, &setting)?;
        Ok(CheckedTarget {
            name: name.clone(),
            location: setting.as_written(&target.to_string()),
        })
    });
    Ok(Checked {
        status: "ok",
        file: path.display().to_string(),
        source: source.map(|source| setting.as_written(&source.to_string())),
        strategy: config.backup.strategy.to_string(),
        compression: config.backup.compression.to_string(),
        encryption: config.encryption.as_ref().map(encryption),
        destinations: config.destinations.iter().map(destination).collect(),
        schedules: config.schedules.iter().map(schedule).collect(),
        targets: targets.collect::<Result<_, _>>()?,
        warnings: config.warnings.clone(),
    })
}

fn encryption(of: &EncryptionConfig) -> String {
    format!(
        "AES-256-GCM, for {} and {}",
        counted(of.secrets.len() as u64, "secret"),
        counted(of.recipients.len() as u64, "recipient")
    )
}

/// Asks the engine whether a backup can be made so.
fn check_request(setting: &Setting, source: Option<Arc<dyn Source>>) -> Result<(), BackupError> {
    // A source that isn't configured is typed; all that is known of it is that it goes with the rest.
    let source = source.unwrap_or_else(|| Arc::new(UnreadSource::default()));
    let destinations = configured_places(setting)?;
    let config = &setting.config;
    let (how, of) = (&config.backup, Arc::clone(&source));
    let request = backup::configured(config, how, backup::full(), of, destinations)?;
    let engine = setting.plain_engine()?;
    for request in runs(request) {
        engine.check(&request)?;
    }
    let mut schedules = config.schedules.iter();
    schedules.try_for_each(|schedule| {
        schedules::add(
            &engine,
            setting,
            schedule,
            |_| Ok(Arc::clone(&source)),
            &Access::default(),
        )
    })
}

/// Reads the secrets as a backup will, where that does nothing: no command is run, and no descriptor used up.
async fn check_secrets(encryption: &EncryptionConfig) -> Result<(), BackupError> {
    for (source, form) in &encryption.secrets {
        if !matches!(source, KeySource::Command(_) | KeySource::Descriptor(_)) {
            source.read(*form).await?;
        }
    }
    Ok(())
}

/// The backups that are made where none names its resources: one. Where each destination takes others there is none, so those of each
/// are named.
fn runs(request: BackupRequest) -> Vec<BackupRequest> {
    let taken = request.destinations.iter().map(|to| to.resources.clone());
    let mut taken: Vec<_> = taken.collect();
    taken.dedup();
    if taken.len() == 1 || taken.contains(&None) || !request.include.is_empty() {
        return vec![request];
    }
    let of = |taken: Option<ResourceGlobs>| {
        let mut run = request.clone();
        run.destinations.retain(|to| to.resources == taken);
        run
    };
    taken.into_iter().map(of).collect()
}

/// An error about settings that don't go together; it names them by itself.
fn in_file(path: &Path, error: &BackupError) -> BackupError {
    let in_file = BackupError::new(error.class(), error.operation(), path.display(), error);
    match error.suggestion() {
        Some(suggestion) => in_file.suggest(suggestion),
        None => in_file,
    }
}
