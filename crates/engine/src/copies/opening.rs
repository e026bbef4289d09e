//! Which copies of a backup are read: those whose manifests are the same, and of a sealed one authentic.

use std::sync::Mutex;

use teeline_core::seal::Sealer;
use teeline_core::{BackupError, BackupId, CatalogEntry, Class, Digest, Manifest, layout};

use super::Copies;
use super::seals::open_manifest;
use crate::catalog::Asked;
use crate::check::{damage, read_manifest};
use crate::keys::Keys;
use crate::open::Opened;

impl Copies {
    /// The backup `id`, from whichever of the destinations has it; the one whose manifest has the checksum `meant`, where that is
    /// known. Of a sealed one the manifest is authentic.
    ///
    /// # Errors
    /// [`Class::Conflict`] where destinations have different ones, and nothing tells which is meant.
    pub(crate) async fn open(
        id: &BackupId,
        meant: Option<Digest>,
        asked: &[Result<Asked, (String, BackupError)>],
        keys: &Keys,
    ) -> Result<Self, BackupError> {
        let mut avoided = Vec::new();
        let mut first: Option<(CatalogEntry, Manifest, Option<Sealer>)> = None;
        let mut last_error = None;
        let mut unopened: Vec<(Opened, CatalogEntry)> = Vec::new();
        // Each with its folder, where that is known.
        let mut copies: Vec<(Opened, Option<String>)> = Vec::new();
        for asked in asked {
            let asked = match asked {
                Ok(asked) => asked,
                Err((name, error)) => {
                    avoided.push(damage(name, layout::CATALOG, None, None, error));
                    last_error = Some(said_again(error));
                    continue;
                }
            };
            for (_, key, error) in asked.catalog.damaged_of(id) {
                avoided.push(damage(&asked.opened.name, key.as_str(), None, None, error));
                last_error = Some(said_again(error));
            }
            let opened = asked.opened.clone();
            let Some(entry) = asked.entry(id).cloned() else {
                // Its data may be whole all the same, where only its entry is damaged.
                if asked.catalog.damaged_of(id).next().is_some() {
                    copies.push((opened, None));
                }
                continue;
            };
            let path = entry.path.clone();
            let file = format!("{path}/{}", layout::MANIFEST);
            let mut avoid = |error: &BackupError| {
                avoided.push(damage(&opened.name, &file, None, None, error));
            };
            if meant.is_some_and(|meant| meant != entry.checksum) {
                let message = "it is another backup of this id than the one that is meant";
                let error = BackupError::corrupt(&opened.sink, message);
                avoid(&error);
                last_error = Some(error);
                continue;
            }
            match read_manifest(&opened, &entry).await {
                Ok(_)
                    if first
                        .as_ref()
                        .is_some_and(|(known, ..)| known.checksum == entry.checksum) => {}
                Ok(sealed) => match open_manifest(&opened, &entry, &sealed, keys).await {
                    Ok(sealer) => match &first {
                        None => first = Some((entry, sealed.manifest, sealer)),
                        Some((known, ..)) => return Err(differ(id, known, &opened, &entry)),
                    },
                    Err(error) => {
                        avoid(&error);
                        // What isn't sealed only pretends to be what is; what is may be the right one, with another key.
                        let may_be_right =
                            error.class() != Class::Corrupt && sealed.manifest.plan.seal.is_some();
                        if may_be_right {
                            unopened.push((opened.clone(), entry));
                        }
                        last_error = Some(error);
                        if first.is_some() {
                            continue;
                        }
                    }
                },
                Err(error) => {
                    avoid(&error);
                    last_error = Some(error);
                }
            }
            copies.push((opened, Some(path)));
        }
        if let Some((known, ..)) = &first
            && let Some((opened, entry)) = unopened
                .iter()
                .find(|(_, of)| of.checksum != known.checksum)
        {
            return Err(differ(id, known, opened, entry));
        }
        let Some((entry, manifest, sealer)) = first else {
            return Err(last_error.unwrap_or_else(|| {
                BackupError::new(
                    Class::NotFound,
                    "find",
                    "the backup",
                    format!("no destination has {id}"),
                )
            }));
        };
        // Where an entry is damaged, its backup is most likely where the others have it.
        let copies = copies
            .into_iter()
            .map(|(opened, path)| (opened, path.unwrap_or_else(|| entry.path.clone())));
        Ok(Copies {
            avoided: Mutex::new(avoided),
            ..Self::of(copies, entry.checksum, manifest, sealer)
        })
    }
}

/// Of two destinations that have different backups under one id neither is believed.
fn differ(
    id: &BackupId,
    known: &CatalogEntry,
    opened: &Opened,
    entry: &CatalogEntry,
) -> BackupError {
    let message = format!(
        "{} has another backup of this id, whose manifest has the checksum {}, than others, where it is {}",
        opened.name, entry.checksum, known.checksum
    );
    BackupError::new(Class::Conflict, "read", id, message).suggest(
        "name the one that is meant alone (--at DEST), and delete the other there; reports and run records have the checksum of what was made",
    )
}

/// An error that somebody else keeps, less what caused it.
fn said_again(error: &BackupError) -> BackupError {
    let said = BackupError::new(
        error.class(),
        error.operation(),
        error.subject(),
        error.message(),
    );
    match error.suggestion() {
        Some(suggestion) => said.suggest(suggestion),
        None => said,
    }
}
