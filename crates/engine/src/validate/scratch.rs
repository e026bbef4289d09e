//! A place to restore to that is removed again.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use teeline_actors::Blocking;
use teeline_core::{BackupError, BackupId, Class, plain_words};
use teeline_sources::s3db::{Connection, erase};

use crate::engine::Engine;
use crate::restore::RestoreTarget;

/// Where backups are restored to, to see whether they can be. Of what is there nothing is touched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Scratch {
    /// A folder of its own in the engine's temporary folder.
    #[default]
    Temporary,
    /// A folder of its own in this one.
    Folder(PathBuf),
    /// A prefix of its own below the one of this connection.
    Database(Connection),
}

/// A scratch place that is in use.
pub(super) enum Taken {
    Folder(Folder),
    Database(Connection),
}

/// A folder that goes with this.
pub(super) struct Folder {
    path: PathBuf,
    removed: bool,
    blocking: Blocking,
}

impl Scratch {
    /// Takes a place that nothing else is at.
    pub(super) async fn take(&self, engine: &Engine, id: &BackupId) -> Result<Taken, BackupError> {
        let mut random = [0; 10];
        (engine.0.random)(&mut random)?;
        let digits = random.iter().map(|byte| format!("{byte:02x}"));
        let name = format!("teeline-validate-{id}-{}", digits.collect::<String>());
        let base = match self {
            Scratch::Temporary => engine.0.temp_dir.clone(),
            Scratch::Folder(folder) => folder.clone(),
            Scratch::Database(connection) => {
                let prefix = match connection.prefix.as_str() {
                    "" => name,
                    prefix => format!("{prefix}/{name}"),
                };
                return Ok(Taken::Database(Connection {
                    prefix,
                    ..connection.clone()
                }));
            }
        };
        let path = base.join(name);
        let made = path.clone();
        // What is restored is nobody else's business.
        let make = move || DirBuilder::new().recursive(true).mode(0o700).create(&made);
        let blocking = engine.0.blocking();
        blocking
            .run("the scratch folder", make)
            .await?
            .map_err(|error| failed("create", &path, &error))?;
        Ok(Taken::Folder(Folder {
            path,
            removed: false,
            blocking,
        }))
    }
}

impl Taken {
    /// The target of a restore there.
    pub(super) fn target(&self) -> RestoreTarget {
        match self {
            Taken::Folder(folder) => RestoreTarget::Folder(folder.restored()),
            Taken::Database(connection) => RestoreTarget::Database(connection.clone()),
        }
    }

    /// How many lines there are in the files that were restored; `None` where there are no files.
    pub(super) async fn count_lines(&self) -> Result<Option<u64>, BackupError> {
        let Taken::Folder(folder) = self else {
            return Ok(None);
        };
        let restored = folder.restored();
        let counted = restored.clone();
        let count = move || count_lines(&counted);
        let count = folder.blocking.run("the scratch folder", count).await?;
        count
            .map(Some)
            .map_err(|error| failed("read", &restored, &error))
    }

    /// Removes it and all that is in it.
    pub(super) async fn remove(self) -> Result<(), BackupError> {
        match self {
            Taken::Folder(mut folder) => {
                let path = folder.path.clone();
                let removed = path.clone();
                let remove = move || std::fs::remove_dir_all(&removed);
                let blocking = folder.blocking;
                blocking
                    .run("the scratch folder", remove)
                    .await?
                    .map_err(|error| failed("remove", &path, &error))?;
                folder.removed = true;
                Ok(())
            }
            Taken::Database(connection) => erase(&connection).await,
        }
    }
}

impl Folder {
    fn restored(&self) -> PathBuf {
        self.path.join("restored")
    }
}

/// Where a validation is dropped on the way, what was restored goes as well.
impl Drop for Folder {
    fn drop(&mut self) {
        if !self.removed {
            // There is nobody left to tell.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Lines of the files of records.
fn count_lines(folder: &Path) -> std::io::Result<u64> {
    use std::io::Read;
    let mut lines = 0;
    let mut buffer = vec![0; 256 << 10];
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('_') || !name.ends_with(".jsonl") {
            continue;
        }
        let mut file = std::fs::File::open(entry.path())?;
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            lines += crate::plain::count_lines(&buffer[..read]);
        }
    }
    Ok(lines)
}

fn failed(operation: &str, path: &Path, error: &std::io::Error) -> BackupError {
    BackupError::new(
        Class::Permanent,
        operation,
        path.display(),
        plain_words(error),
    )
}
