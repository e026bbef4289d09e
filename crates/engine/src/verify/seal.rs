//! What a key tells of a sealed copy: that it is what the key's holder wrote, and that it follows what it followed.

use teeline_core::seal::{Context, Predecessor};
use teeline_core::{BackupError, CatalogEntry, Class, RunClaim, layout};

use super::VerifyRequest;
use crate::catalog::{Asked, located, read_bytes_of};
use crate::check::{Check, read_manifest};
use crate::files::file_of;
use crate::keys::authenticate;
use crate::report::{PreviousState, VerifiedSeal};

/// Looks at a copy whose digests are right; what isn't authentic is damage. None where it isn't sealed, and needn't be.
pub(super) async fn look(
    check: &mut Check<'_>,
    asked_all: &[&Asked],
    asked: &Asked,
    entry: &CatalogEntry,
    request: &VerifyRequest,
) -> Option<VerifiedSeal> {
    let file = |name: &str| format!("{}/{name}", entry.path);
    // That it can be read was seen before.
    let sealed = read_manifest(&asked.opened, entry).await.ok()?;
    let Some(plan) = &sealed.manifest.plan.seal else {
        let error = request.keys.take_unsealed(&entry.id).err()?;
        return Some(VerifiedSeal {
            authentic: false,
            previous: None,
            error: Some((&error).into()),
        });
    };
    let mut seal = VerifiedSeal {
        authentic: false,
        previous: plan.previous.as_ref().map(|it| state(it, asked_all, asked)),
        error: None,
    };
    if request.keys.secrets.is_empty() && !request.deep {
        return Some(seal);
    }
    let opened = authenticate(&asked.opened, &entry.path, &sealed, &request.keys).await;
    let unlocked = match opened {
        Ok(unlocked) => unlocked?,
        Err(error) if error.class() == Class::WrongKey => {
            seal.error = Some((&error).into());
            return Some(seal);
        }
        Err(error) => {
            check.found(&file(layout::MANIFEST), None, None, &error);
            return Some(seal);
        }
    };
    let claim = async {
        let sink = asked.opened.sink.as_ref();
        let key = file_of(&entry.path, layout::RUN_CLAIM)?;
        let bytes = read_bytes_of::<RunClaim>(sink, &key).await?;
        let subject = located(sink, &key);
        unlocked
            .sealer
            .check_document(&subject, Context::Claim, &bytes)
    };
    match claim.await {
        Err(error) => check.found(&file(layout::RUN_CLAIM), None, None, &error),
        Ok(()) => seal.authentic = true,
    }
    if seal.authentic && seal.previous == Some(PreviousState::Different) {
        let message = "the backup before it isn't the one that it was made after";
        let error = BackupError::corrupt(&asked.opened.sink, message);
        check.found(&file(layout::MANIFEST), None, None, &error);
    }
    Some(seal)
}

/// What there is of a predecessor: at this destination, or else at the others that were asked.
fn state(previous: &Predecessor, asked_all: &[&Asked], asked: &Asked) -> PreviousState {
    let mut withdrawn = false;
    for place in [asked].into_iter().chain(asked_all.iter().copied()) {
        match place.entry(&previous.id) {
            Some(entry) if entry.checksum == previous.checksum => return PreviousState::Present,
            Some(_) => return PreviousState::Different,
            None => withdrawn |= place.has_withdrawn(&previous.id),
        }
    }
    match withdrawn {
        true => PreviousState::Withdrawn,
        false => PreviousState::Absent,
    }
}
