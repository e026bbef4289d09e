//! The key objects of a sealed backup. They come and go, each destination for itself, so one that is missing may have been taken
//! away: whoever it was for isn't given the backup back. Only where none is left that can be read, and is of the backup's key, all are
//! copied.

use bytes::Bytes;
use teeline_core::seal::{SealEntry, SealedKey};
use teeline_core::{BackupError, Class, ObjectKey, document, layout};

use super::copy::{Found, Healing};
use super::sources::Expected;
use crate::files::file_of;
use crate::keys::{copy_keys, keys_of};
use crate::report::WasWrong;

pub(super) async fn heal(healing: &mut Healing<'_>, seal: &SealEntry) -> Result<(), BackupError> {
    let (to, path) = (healing.to, healing.path);
    let id = &healing.sealed.manifest.id;
    let there = keys_of(to.sink.as_ref(), id, path).await?;
    let mut readable = 0;
    for (key, read) in there {
        // One of another key is wrong only where somebody has the right one in its place: else whoever can write has put it there.
        let is_damaged = match read {
            Ok(object) if object.key == seal.key => {
                readable += 1;
                continue;
            }
            Ok(_) => false,
            Err(error) if error.class() == Class::Corrupt => true,
            Err(error) => return Err(error),
        };
        let judge = |subject: &str, bytes: &Bytes| {
            let sealed: SealedKey = document::open(subject, bytes)?;
            let other = || BackupError::corrupt(subject, "it is the key object of another backup");
            let is_its =
                sealed.backup == *id && sealed.key == seal.key && sealed.name == key.file_name();
            is_its.then_some(()).ok_or_else(other)
        };
        match healing
            .sources
            .whole(&key, &Expected::Document(&judge))
            .await
        {
            Ok(right) => {
                healing.write(&key, &Found::Damaged, right).await?;
                readable += 1;
            }
            Err(none) if none.class() == Class::Corrupt && !is_damaged => {}
            Err(none) if none.class() == Class::Corrupt => healing.found(&key, None, &none),
            Err(none) => return Err(none),
        }
    }
    if readable > 0 {
        return Ok(());
    }
    let folder = file_of(path, layout::KEYS)?;
    let mut in_vain = None;
    for from in healing.sources.destinations() {
        if from.name == to.name {
            continue;
        }
        let writing = |key: &ObjectKey| healing.writing(key);
        match copy_keys(from, to, (id, seal), path, writing).await {
            Ok(written) if written.is_empty() => {}
            Ok(written) => {
                for (key, _) in written {
                    healing.mended(&key, WasWrong::Missing, None);
                }
                return Ok(());
            }
            Err(error) => in_vain = in_vain.or(Some(error)),
        }
    }
    let nobody = || {
        BackupError::corrupt(
            &folder,
            "no destination has a key object of its key that can be read",
        )
    };
    let error = in_vain.unwrap_or_else(nobody);
    match error.class() {
        Class::Corrupt => {
            healing.found(&folder, None, &error);
            Ok(())
        }
        _ => Err(error),
    }
}
