//! Which local indexes are kept: of each source the newest, and the newest of a backup that restores alone, from which
//! differentials go on.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use teeline_core::{BackupError, BackupId, Manifest, Timestamp};

use super::draft::{UNFINISHED, failed};
use super::header::{Header, IndexedSource};
use super::{LocalIndex, SUFFIX};
use crate::engine::Engine;

/// So many of the newest are kept.
const NEWEST: usize = 3;

/// What was begun so long before a backup that was made since is left from a process that died.
const DEAD_AFTER_MS: i64 = 7 * 24 * 60 * 60 * 1000;

impl LocalIndex {
    /// Removes what isn't kept any more, now that the one of a backup with this manifest is there.
    ///
    /// # Errors
    /// Where something of it can't be removed.
    pub(crate) async fn sweep(
        &self,
        engine: &Engine,
        newest: &Manifest,
    ) -> Result<(), BackupError> {
        let (folder, id) = (self.folder.clone(), newest.id.clone());
        let source = IndexedSource::of(newest);
        let sweep = move || sweep(&folder, &id, &source);
        engine.0.blocking().run("the local indexes", sweep).await?
    }
}

fn sweep(folder: &Path, newest: &BackupId, source: &IndexedSource) -> Result<(), BackupError> {
    let entries = fs::read_dir(folder).map_err(|error| failed("read", folder, &error))?;
    let mut ours = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| failed("read", folder, &error))?
            .path();
        let Some(name) = path.file_name().and_then(OsStr::to_str) else {
            continue;
        };
        if let Some(id) = id_of(name, &format!("{SUFFIX}{UNFINISHED}")) {
            if is_dead(&id, newest) {
                remove(&path)?;
            }
        } else if id_of(name, SUFFIX).is_some() {
            ours.extend(header_of(&path).map(|header| (path, header)));
        }
    }
    ours.retain(|(_, header)| header.source == *source);
    let files = ours.iter().map(|(path, header)| IndexFile {
        path,
        began: header.backup().started_at,
        restores_alone: header.chain.len() == 1,
    });
    goes(files.collect()).into_iter().try_for_each(remove)
}

struct IndexFile<'a> {
    path: &'a Path,
    began: Timestamp,
    restores_alone: bool,
}

/// Those that aren't kept.
fn goes(mut files: Vec<IndexFile<'_>>) -> Vec<&Path> {
    files.sort_by(|one, other| (other.began, other.path).cmp(&(one.began, one.path)));
    let alone = files.iter().position(|file| file.restores_alone);
    let goes = files.iter().enumerate().skip(NEWEST);
    goes.filter(|(place, _)| Some(*place) != alone)
        .map(|(_, file)| file.path)
        .collect()
}

/// One that can't be read is left to whoever wrote it: it may be of another version.
fn header_of(path: &PathBuf) -> Option<Header> {
    let file = File::open(path).ok()?;
    let read = Header::read(path, BufReader::new(file));
    read.ok().map(|(header, _)| header)
}

fn id_of(name: &str, suffix: &str) -> Option<BackupId> {
    name.strip_suffix(suffix)?.parse().ok()
}

fn is_dead(id: &BackupId, newest: &BackupId) -> bool {
    let times = id.began().zip(newest.began());
    times.is_some_and(|(began, now)| now.unix_ms() - began.unix_ms() > DEAD_AFTER_MS)
}

fn remove(path: &Path) -> Result<(), BackupError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed("remove", path, &error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_three_stay_and_the_newest_that_restores_alone() {
        let names: Vec<PathBuf> = (0..6)
            .map(|number| PathBuf::from(format!("{number}")))
            .collect();
        let went = |alone: &[usize]| -> Vec<usize> {
            let files = names.iter().enumerate().map(|(number, path)| IndexFile {
                path,
                began: Timestamp::from_unix_ms(i64::try_from(number).unwrap()),
                restores_alone: alone.contains(&number),
            });
            let went = goes(files.collect());
            let place = |path: &Path| names.iter().position(|name| name == path).unwrap();
            went.into_iter().map(place).collect()
        };
        assert_eq!(went(&[]), [2, 1, 0]);
        assert_eq!(went(&[0, 1]), [2, 0]);
        assert_eq!(went(&[1, 4]), [2, 1, 0]);
    }
}
