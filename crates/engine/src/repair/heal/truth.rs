//! Which manifest is a backup's: the one that some destination has whole, and that nothing that is known contradicts. By it every
//! file of every copy is judged. Where two of them may be it nobody can say which is right, and nothing is touched.

use teeline_core::{BackupError, BackupId, SealedManifest, layout};

use super::site::{Site, Standing};
use crate::catalog::{located, read_whole};
use crate::files::file_of;
use crate::repair::evidence::Evidence;

/// The manifest of a backup, and the folder of its files.
pub(super) struct Truth {
    pub(super) sealed: SealedManifest,
    pub(super) path: String,
}

/// The manifest of a backup, where any destination has it. Where none has the backup, or has lost it, what was withdrawn isn't one:
/// it would come to where a run had only begun it.
///
/// # Errors
/// Where destinations differ, or have another one than is known.
pub(super) async fn find(
    id: &BackupId,
    sites: &[Site<'_>],
    evidence: &Evidence,
) -> Result<Option<Truth>, BackupError> {
    let mut truth: Option<(Truth, String)> = None;
    let mut against = None;
    let has_it = |site: &Site<'_>| matches!(site.standing, Standing::Listed | Standing::Lost);
    let is_anywhere = sites.iter().any(has_it);
    let counts = |site: &&Site<'_>| is_anywhere || site.standing != Standing::Withdrawn;
    for site in sites.iter().filter(counts) {
        let Some(path) = &site.path else { continue };
        let Some(sealed) = read(id, site, path).await else {
            continue;
        };
        if let Some((known, file)) = evidence.against(sealed.checksum) {
            let message = format!(
                "its checksum is {}, and {file} has {known}",
                sealed.checksum
            );
            against.get_or_insert(refused(id, &message));
            continue;
        }
        let name = &site.opened().name;
        match &truth {
            Some((other, at)) if other.sealed.checksum != sealed.checksum => {
                let message = format!("{at} and {name} have different manifests of it");
                return Err(refused(id, &message));
            }
            Some(_) => {}
            None => {
                let path = path.clone();
                truth = Some((Truth { sealed, path }, name.clone()));
            }
        }
    }
    match (truth, against) {
        (Some((truth, _)), _) => Ok(Some(truth)),
        (None, Some(error)) => Err(error),
        (None, None) => Ok(None),
    }
}

/// One that can't be read is to be healed by another.
async fn read(id: &BackupId, site: &Site<'_>, path: &str) -> Option<SealedManifest> {
    let sink = site.opened().sink.as_ref();
    let key = file_of(path, layout::MANIFEST).ok()?;
    let bytes = read_whole(sink, &key).await.ok()?;
    let sealed = SealedManifest::open(&located(sink, &key), bytes).ok()?;
    (sealed.manifest.id == *id).then_some(sealed)
}

fn refused(id: &BackupId, message: &str) -> BackupError {
    let error = BackupError::corrupt(
        id,
        format!("{message}; which is right can't be told, so nothing is changed"),
    );
    error.suggest(
        "`teeline verify --deep`, with the key where it is encrypted, tells which is damaged; move that one away, and repair again",
    )
}
