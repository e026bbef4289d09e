//! Files in folders, and whether they are the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use teeline::BackupId;
use teeline_core::Digest;

use crate::Wrong;

/// Files by their names.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// What files hold, by digests: a soak knows very many of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held(BTreeMap<String, Content>);

/// What a file holds, and the same whatever the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    bytes: Digest,
    lines: Digest,
}

impl Held {
    pub(crate) fn by(files: &Files) -> Self {
        let contents = files
            .iter()
            .map(|(name, bytes)| (name.clone(), Content::of(bytes)));
        Held(contents.collect())
    }

    /// Whether a backup that holds this has been restored, byte for byte; a link brings its lines in an order of its own.
    pub(crate) fn is_restored(&self, id: &BackupId, restored: &Files) -> bool {
        let is_link = id.backup_type().is_incremental();
        let Held(restored) = Held::by(restored);
        let same = |(name, content): (&String, &Content)| {
            restored.get(name).is_some_and(|found| {
                found.bytes == content.bytes || is_link && found.lines == content.lines
            })
        };
        restored.len() == self.0.len() && self.0.iter().all(same)
    }
}

impl Content {
    fn of(bytes: &[u8]) -> Self {
        let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        lines.sort_unstable();
        Content {
            bytes: Digest::of(bytes),
            lines: Digest::of(&lines.join(&b'\n')),
        }
    }
}

/// Every file below a folder, by its path from there; none where there is no folder.
pub(crate) fn files(folder: &Path) -> Result<Files, Wrong> {
    let mut found = Files::new();
    collect(folder, "", &mut found).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(found)
}

fn collect(folder: &Path, prefix: &str, found: &mut Files) -> std::io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type()?.is_dir() {
            true => collect(&entry.path(), &format!("{name}/"), found)?,
            false => drop(found.insert(name, fs::read(entry.path())?)),
        }
    }
    Ok(())
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &target)?,
            false => drop(fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}

/// Writes a file that nobody else may read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Wrong> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| format!("{}: {error}", path.display()))
}
