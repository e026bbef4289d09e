//! The key objects of a backup at a destination.

use futures::TryStreamExt;
use teeline_actors::put_checked;
use teeline_core::seal::{SealEntry, SealedKey};
use teeline_core::{BackupError, BackupId, Class, ObjectKey, ObjectMeta, Sink, document, layout};

use crate::catalog::{located, read_document};
use crate::files::file_of;
use crate::open::Opened;

/// No backup has more: each is tried, and a passphrase takes its time.
pub(crate) const KEYS_MAX: usize = 64;

/// Whether `key` may be that of a key object of the backup whose folder is at `path`.
pub(crate) fn is_key_object(path: &str, key: &ObjectKey) -> bool {
    let folder = format!("{path}/{}", layout::KEYS);
    let above = key.as_str().rsplit_once('/');
    above.is_some_and(|(above, _)| above == folder)
}

/// The key objects of the backup whose folder is at `path`, by their names; those that can't be read as well.
pub(crate) async fn keys_of(
    sink: &dyn Sink,
    id: &BackupId,
    path: &str,
) -> Result<Vec<(ObjectKey, Result<SealedKey, BackupError>)>, BackupError> {
    let mut objects = Vec::new();
    for key in listed(sink, path).await? {
        let read = read_document::<SealedKey>(sink, &key).await;
        let read = read.and_then(|sealed| {
            let is_ours = sealed.backup == *id && sealed.name == key.file_name();
            is_ours.then_some(sealed).ok_or_else(|| {
                BackupError::corrupt(
                    located(sink, &key),
                    "it is the key object of another backup",
                )
            })
        });
        objects.push((key, read));
    }
    Ok(objects)
}

/// Those that can be read, and are of the key that the backup is sealed with.
///
/// # Errors
/// [`Class::Corrupt`] where there is none, or what is wrong with one of them: nobody can open the backup there.
pub(crate) async fn readable_keys(
    opened: &Opened,
    id: &BackupId,
    path: &str,
    seal: &SealEntry,
) -> Result<Vec<SealedKey>, BackupError> {
    let sink = opened.sink.as_ref();
    let mut unreadable = None;
    let mut readable = Vec::new();
    for (_, read) in keys_of(sink, id, path).await? {
        match read {
            Ok(object) if object.key == seal.key => readable.push(object),
            Ok(_) => {}
            Err(error) => unreadable = Some(error),
        }
    }
    if readable.is_empty() {
        let folder = located(sink, &file_of(path, layout::KEYS)?);
        return Err(unreadable.unwrap_or_else(|| {
            BackupError::corrupt(
                folder,
                "the backup is sealed, and has no key object of its key here",
            )
            .suggest("copy its folder `keys` from another destination")
        }));
    }
    Ok(readable)
}

/// The keys of those objects.
async fn listed(sink: &dyn Sink, path: &str) -> Result<Vec<ObjectKey>, BackupError> {
    let folder = file_of(path, layout::KEYS)?;
    let objects: Vec<ObjectMeta> = sink.list(Some(&folder)).try_collect().await?;
    let objects = objects.into_iter().map(|object| object.key);
    let mut keys: Vec<ObjectKey> = objects.filter(|key| is_key_object(path, key)).collect();
    if keys.len() > KEYS_MAX {
        let message = format!(
            "{} key objects are more than the {KEYS_MAX} that are tried",
            keys.len()
        );
        let error = BackupError::corrupt(located(sink, &folder), message);
        return Err(error.suggest(
            "delete there, by the store's own means, those that nobody needs: whoever can write to it may have put them there",
        ));
    }
    keys.sort();
    Ok(keys)
}

/// Writes a key object of the backup whose folder is at `path`.
pub(super) async fn put_key(
    opened: &Opened,
    path: &str,
    sealed: &SealedKey,
) -> Result<(), BackupError> {
    let key = key_of(path, &sealed.name)?;
    let read_back = opened.sink.capabilities().read_back.has_documents();
    let bytes = document::readable::<SealedKey>(key.as_str(), document::seal(sealed))?;
    put_checked(opened.sink.as_ref(), &key, bytes, read_back).await
}

/// Where the key object of this name is.
pub(super) fn key_of(path: &str, name: &str) -> Result<ObjectKey, BackupError> {
    file_of(path, &layout::key_object(name))
}

/// Copies the key objects that a copy of a backup lacks; `writing` is called before each is. Gives those that were written, with
/// their bytes.
///
/// # Errors
/// [`Class::Corrupt`] where nobody could open the copy even then.
pub(crate) async fn copy_keys(
    from: &Opened,
    to: &Opened,
    (id, seal): (&BackupId, &SealEntry),
    path: &str,
    mut writing: impl FnMut(&ObjectKey) + Send,
) -> Result<Vec<(ObjectKey, u64)>, BackupError> {
    let there = listed(to.sink.as_ref(), path).await?;
    let mut written = Vec::new();
    for (key, read) in keys_of(from.sink.as_ref(), id, path).await? {
        // One that can't be read, or is of another key, opens nothing.
        let opens = |sealed: &SealedKey| sealed.key == seal.key;
        let Some(sealed) = read.ok().filter(opens).filter(|_| !there.contains(&key)) else {
            continue;
        };
        writing(&key);
        put_key(to, path, &sealed).await?;
        written.push((key, document::seal(&sealed).len() as u64));
    }
    match (written.is_empty(), there.is_empty()) {
        (true, true) => Err(BackupError::new(
            Class::Corrupt,
            "copy",
            located(from.sink.as_ref(), &file_of(path, layout::KEYS)?),
            "the backup is sealed, and has no key object of its key there: nobody could open the copy",
        )),
        (true, false) => readable_keys(to, id, path, seal).await.map(|_| written),
        (false, _) => Ok(written),
    }
}
