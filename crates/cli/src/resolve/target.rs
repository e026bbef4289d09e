//! Where a restore goes.

use teeline::config::TargetLocation;
use teeline::{BackupError, RestoreTarget};

use super::exposed::Exposed;
use super::setting::Setting;
use super::source::typed_database;
use crate::args::RestoreArguments;
use crate::output::Output;

/// The target that was typed: a database, or what `--target` says.
pub(super) fn target(
    typed: &RestoreArguments,
    setting: &Setting,
    output: &mut Output,
    exposed: &mut Exposed,
) -> Result<RestoreTarget, BackupError> {
    if let Some(text) = &typed.target {
        return target_of(text, setting, output, exposed);
    }
    let Some(database) = typed_database(&typed.places.database)? else {
        return Err(BackupError::usage(
            "--target",
            "nothing is named to restore to",
        ));
    };
    configured(&TargetLocation::Database(database), setting)
}

/// Standard output, a target that the configuration names, a folder's path, or a URL.
fn target_of(
    typed: &str,
    setting: &Setting,
    output: &mut Output,
    exposed: &mut Exposed,
) -> Result<RestoreTarget, BackupError> {
    if typed == "-" {
        return Ok(RestoreTarget::Writer(Box::new(output.data_to_stdout())));
    }
    if let Some(location) = setting.config.targets.get(typed) {
        return configured(location, setting);
    }
    if is_bare_name(typed) {
        return Err(unknown(typed, setting));
    }
    let target = RestoreTarget::parse(typed)?;
    if let RestoreTarget::Database(connection) = &target {
        exposed.note(connection.credentials.is_some(), "--target");
    }
    Ok(target)
}

/// A target of the configuration.
pub(super) fn configured(
    location: &TargetLocation,
    setting: &Setting,
) -> Result<RestoreTarget, BackupError> {
    Ok(match location {
        TargetLocation::Folder(path) => RestoreTarget::Folder(path.clone()),
        TargetLocation::Database(connection) => {
            RestoreTarget::Database(connection.resolve(&setting.environment())?)
        }
    })
}

/// Whether it could as well be the name of a target, so that it mustn't become a folder by a slip of the keyboard.
fn is_bare_name(typed: &str) -> bool {
    let is_other = typed.is_empty() || typed.contains('/') || typed.starts_with(['.', '-', '~']);
    !is_other
}

fn unknown(typed: &str, setting: &Setting) -> BackupError {
    let names: Vec<&str> = setting.config.targets.keys().map(String::as_str).collect();
    let there_are = match names.is_empty() {
        true => "the configuration names none".to_owned(),
        false => format!("there are: {}", names.join(", ")),
    };
    BackupError::usage("--target", format!("no target is called so; {there_are}")).suggest(format!(
        "a folder of that name is written ./{typed}; [targets.<name>] in a configuration names a database or a folder"
    ))
}
