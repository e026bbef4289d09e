//! Opening a sealed backup: its data key, from a key object and a secret.

use teeline_core::seal::{Context, DataKey, KeySecret, SealEntry, SealedKey, Sealer};
use teeline_core::{BackupError, BackupId, Class, SealedManifest, layout};

use super::Keys;
use super::objects::readable_keys;
use crate::catalog::located;
use crate::engine::Engine;
use crate::files::file_of;
use crate::open::Opened;

/// A backup that was opened.
#[derive(Debug, Clone)]
pub(crate) struct Unlocked {
    pub(crate) sealer: Sealer,
    pub(crate) data_key: DataKey,
}

/// Opens a sealed backup with its key objects at a destination.
///
/// # Errors
/// [`Class::WrongKey`] where no secret opens it; [`Class::Corrupt`] where there is no key object of its key, or none that can be read.
pub(crate) async fn unlock(
    opened: &Opened,
    path: &str,
    id: &BackupId,
    entry: &SealEntry,
    keys: &Keys,
) -> Result<Unlocked, BackupError> {
    let wrong = |message: &str| BackupError::new(Class::WrongKey, "open", id, message);
    if keys.secrets.is_empty() {
        return Err(wrong("it is sealed, and no key was given").suggest(
            "give one: --key-file, --key-env, --key-fd or --key-command, or --passphrase-… likewise; or [encryption] in the configuration",
        ));
    }
    let readable = readable_keys(opened, id, path, entry).await?;
    let (backup, entry) = (id.clone(), entry.clone());
    let secrets = keys.secrets.clone();
    let tried = opened.blocking.run("the keys", move || {
        try_all(&backup, &entry, &readable, &secrets)
    });
    match tried.await? {
        Ok(Some(unlocked)) => Ok(unlocked),
        Ok(None) => Err(wrong("none of the keys that were given opens it")
            .suggest("`teeline key list` shows whose keys do")),
        Err(error) => Err(error),
    }
}

/// The first key object that a secret opens, those first that take least work: whoever can write may have put some there that
/// take much. One that asks for too much is passed over, if another one opens.
fn try_all(
    id: &BackupId,
    entry: &SealEntry,
    objects: &[SealedKey],
    secrets: &[KeySecret],
) -> Result<Option<Unlocked>, BackupError> {
    let mut failure = None;
    let mut ours: Vec<&SealedKey> = objects.iter().collect();
    ours.sort_by_key(|object| object.recipient.work());
    for object in ours {
        for secret in secrets {
            match object.open(secret) {
                Ok(Some(data_key)) => {
                    // What commits to the key decides, and not that something could be opened.
                    if let Ok(sealer) = Sealer::of(id, &data_key, entry) {
                        return Ok(Some(Unlocked { sealer, data_key }));
                    }
                }
                Ok(None) => {}
                Err(error) => failure = Some(error),
            }
        }
    }
    failure.map_or(Ok(None), Err)
}

/// Whether any of the secrets opens a backup with these key objects.
pub(crate) async fn open_any(
    engine: &Engine,
    objects: &[SealedKey],
    secrets: &[KeySecret],
) -> Result<bool, BackupError> {
    if secrets.is_empty() {
        return Ok(false);
    }
    let (objects, secrets) = (objects.to_vec(), secrets.to_vec());
    let tried = engine.0.blocking().run("the keys", move || {
        for object in &objects {
            for secret in &secrets {
                if object.open(secret)?.is_some() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    });
    tried.await?
}

/// Opens a backup whose manifest was read, and finds out whether it is what the holder of its key wrote. None where it isn't
/// sealed.
///
/// # Errors
/// As [`unlock`]; [`Class::Corrupt`] where the manifest isn't authentic.
pub(crate) async fn authenticate(
    opened: &Opened,
    path: &str,
    sealed: &SealedManifest,
    keys: &Keys,
) -> Result<Option<Unlocked>, BackupError> {
    let manifest = &sealed.manifest;
    let Some(entry) = &manifest.plan.seal else {
        return Ok(None);
    };
    let unlocked = unlock(opened, path, &manifest.id, entry, keys).await?;
    let subject = located(opened.sink.as_ref(), &file_of(path, layout::MANIFEST)?);
    unlocked
        .sealer
        .check_document(&subject, Context::Manifest, &sealed.bytes)?;
    Ok(Some(unlocked))
}
