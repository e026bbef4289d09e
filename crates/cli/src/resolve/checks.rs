//! The requests of the commands that check again and again: `teeline scrub` and `teeline drill`.

use teeline::{BackupError, Cancel, DrillRequest, RestoreTarget, Scratch, ScrubRequest};

use super::destinations::places_of;
use super::exposed::Exposed;
use super::keys::keys;
use super::requests::places;
use super::setting::Setting;
use crate::args::{DrillArguments, ScrubArguments};
use crate::output::Output;

/// The request of `teeline scrub`.
pub(crate) async fn scrub(
    typed: &ScrubArguments,
    setting: &Setting,
    output: &Output,
    cancel: &Cancel,
) -> Result<ScrubRequest, BackupError> {
    let mut request = ScrubRequest::new(places(&typed.places, setting, output)?);
    request.budget_bytes = typed.budget;
    request.max_age = typed.max_age;
    request.deep = typed.deep;
    request.keys = keys(&typed.keys, setting).await?;
    request.cancel = cancel.clone();
    Ok(request)
}

/// The request of `teeline drill`.
pub(crate) async fn drill(
    typed: &DrillArguments,
    setting: &Setting,
    output: &Output,
    cancel: &Cancel,
) -> Result<DrillRequest, BackupError> {
    let mut exposed = Exposed::default();
    let mut request = DrillRequest::new(places_of(&typed.places, setting, &mut exposed)?);
    request.from.clone_from(&typed.from);
    request.which = typed.id.as_deref().map(str::parse).transpose()?;
    if let Some(place) = &typed.scratch {
        request.scratch = scratch(place, "--scratch", &mut exposed)?;
    }
    exposed.warn(output);
    request.keys = keys(&typed.keys, setting).await?;
    request.cancel = cancel.clone();
    Ok(request)
}

/// A place that is removed again, which `subject` says.
pub(super) fn scratch(
    place: &str,
    subject: &'static str,
    exposed: &mut Exposed,
) -> Result<Scratch, BackupError> {
    match RestoreTarget::parse(place) {
        Ok(RestoreTarget::Folder(folder)) => Ok(Scratch::Folder(folder)),
        Ok(RestoreTarget::Database(connection)) => {
            exposed.note(connection.credentials.is_some(), subject);
            Ok(Scratch::Database(connection))
        }
        Ok(_) => {
            let message = "it isn't a place that can be removed again";
            Err(BackupError::usage(subject, message)
                .suggest("accepted: a folder, or the connection string of a database"))
        }
        Err(error) => Err(BackupError::usage(subject, error.message())),
    }
}
