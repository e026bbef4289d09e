//! Where backups of the plugin are: pairs of files below a folder, whose paths it makes by a template.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use teeline_core::{BackupError, Class};

use super::read_error;
use crate::request::Cancel;

const ARCHIVE_ENDS: &str = ".backup";
const MANIFEST_ENDS: &str = ".manifest.json";
/// Folders inside each other.
const DEPTH_MAX: usize = 64;
const BACKUPS_MAX: usize = 100_000;

/// The files of a backup.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) archive: Option<PathBuf>,
    pub(super) manifest: Option<PathBuf>,
}

/// What a search gave.
#[derive(Debug)]
pub(super) struct Search {
    /// In the order of their paths.
    pub(super) found: Vec<Found>,
    /// What couldn't be looked into.
    pub(super) errors: Vec<BackupError>,
}

/// Finds the backups at a path: a folder, or one of a backup's two files.
pub(super) fn search(path: &Path, cancel: &Cancel) -> Result<Search, BackupError> {
    let metadata = fs::metadata(path).map_err(|error| read_error(path, error))?;
    let search = if metadata.is_dir() {
        search_folder(path, cancel)?
    } else {
        Search {
            found: vec![pair_of(path)?],
            errors: Vec::new(),
        }
    };
    if search.found.is_empty() && search.errors.is_empty() {
        let message = "no backup of s3db.js's BackupPlugin is in this folder or below it";
        return Err(
            BackupError::new(Class::NotFound, "inspect", path.display(), message).suggest(
                "what is looked for are files named ID.backup and ID.manifest.json; \
                 name the folder that the plugin's `path` option names, without what its template adds",
            ),
        );
    }
    Ok(search)
}

/// The backup that one of its files belongs to.
fn pair_of(path: &Path) -> Result<Found, BackupError> {
    let Some((id, _)) = named(path) else {
        let message = "its name isn't that of a backup of s3db.js's BackupPlugin";
        return Err(
            BackupError::new(Class::NotFound, "inspect", path.display(), message)
                .suggest("accepted: ID.backup, ID.manifest.json, or a folder with such files"),
        );
    };
    let there =
        |ends| Some(path.with_file_name(format!("{id}{ends}"))).filter(|path| path.is_file());
    Ok(Found {
        archive: there(ARCHIVE_ENDS),
        manifest: there(MANIFEST_ENDS),
        id,
    })
}

fn search_folder(root: &Path, cancel: &Cancel) -> Result<Search, BackupError> {
    let mut found: BTreeMap<(PathBuf, String), Found> = BTreeMap::new();
    let mut errors = Vec::new();
    let mut folders = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        if cancel.is_cancelled() {
            return Err(BackupError::cancelled("the inspection"));
        }
        let entries = fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) if depth == 0 => return Err(read_error(root, error)),
            Err(error) => {
                errors.push(read_error(&folder, error));
                continue;
            }
        };
        for entry in entries {
            let path = entry.path();
            // Links to folders aren't followed: they may lead back.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if depth == DEPTH_MAX {
                    return Err(too_much(
                        root,
                        &format!("{DEPTH_MAX} folders inside each other"),
                    ));
                }
                folders.push((path, depth + 1));
            } else if let Some((id, ends)) = named(&path).filter(|_| path.is_file()) {
                let backup = found.entry((folder.clone(), id.clone())).or_default();
                backup.id = id;
                match ends {
                    ARCHIVE_ENDS => backup.archive = Some(path),
                    _ => backup.manifest = Some(path),
                }
            }
        }
        if found.len() > BACKUPS_MAX {
            return Err(too_much(root, &format!("{BACKUPS_MAX} backups")));
        }
    }
    Ok(Search {
        found: found.into_values().collect(),
        errors,
    })
}

/// The id in a file's name, and what follows it.
fn named(path: &Path) -> Option<(String, &'static str)> {
    let name = path.file_name()?.to_string_lossy();
    [ARCHIVE_ENDS, MANIFEST_ENDS].into_iter().find_map(|ends| {
        let id = name.strip_suffix(ends).filter(|id| !id.is_empty())?;
        Some((id.to_owned(), ends))
    })
}

fn too_much(root: &Path, what: &str) -> BackupError {
    let message = format!("more than {what}");
    BackupError::new(Class::Permanent, "search", root.display(), message)
        .suggest("name a folder further down")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(search: &Search) -> Vec<(&str, bool, bool)> {
        let shown = |found: &Found| (found.archive.is_some(), found.manifest.is_some());
        let all = search.found.iter();
        all.map(|found| (found.id.as_str(), shown(found).0, shown(found).1))
            .collect()
    }

    #[test]
    fn pairs_are_found_below_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        for name in [
            "a.backup",
            "a.manifest.json",
            "2026/01/b.backup",
            "2026/02/b.manifest.json",
            "2026/02/manifest.json",
            "2026/02/.backup",
            "2026/notes.txt",
            "dir.backup/c.manifest.json",
        ] {
            write(name);
        }
        let cancel = Cancel::new();
        let all = search(folder.path(), &cancel).unwrap();
        assert_eq!(
            ids(&all),
            [
                ("a", true, true),
                ("b", true, false),
                ("b", false, true),
                ("c", false, true)
            ]
        );
        for name in ["a.backup", "a.manifest.json"] {
            let one = search(&folder.path().join(name), &cancel).unwrap();
            assert_eq!(ids(&one), [("a", true, true)]);
        }
        for (name, message) in [
            ("2026/notes.txt", "isn't that of a backup"),
            ("none", "no such file or folder"),
        ] {
            let error = search(&folder.path().join(name), &cancel).unwrap_err();
            assert_eq!(error.class(), Class::NotFound);
            assert!(error.to_string().contains(message), "{error}");
        }
        cancel.cancel();
        let error = search(folder.path(), &cancel).unwrap_err();
        assert_eq!(error.class(), Class::Cancelled);
    }
}
