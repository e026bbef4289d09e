//! The secret that local indexes are sealed with. It is the host's own, and opens no backup.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use teeline_core::seal::{KeySecret, RawKey};
use teeline_core::{BackupError, Hex32};

use super::LocalIndex;
use super::draft::{failed, make_folder, private};
use crate::engine::Engine;
use crate::keys::{KeyForm, KeySource};

const KEY_FILE: &str = "local-index.key";

impl LocalIndex {
    /// The secret that there is.
    ///
    /// # Errors
    /// Where the folder's own key isn't there, is no key, or can be read by others than its owner.
    pub(super) async fn secret(&self) -> Result<KeySecret, BackupError> {
        if let Some(key) = &self.key {
            return Ok(key.clone());
        }
        let source = KeySource::File(self.folder.join(KEY_FILE));
        match source.read(KeyForm::Any).await? {
            key @ KeySecret::Key(_) => Ok(key),
            _ => Err(BackupError::usage(source, "isn't a key of 32 bytes")
                .suggest("remove it: another one is made, and the next backup is a full one")),
        }
    }

    /// The secret, which is made where it has to be there and isn't.
    pub(super) async fn secret_or_new(&self, engine: &Engine) -> Result<KeySecret, BackupError> {
        if self.key.is_none() {
            let folder = self.folder.clone();
            let (mut key, mut name) = ([0; 32], [0; 32]);
            (engine.0.random)(&mut key)?;
            (engine.0.random)(&mut name)?;
            let make = move || make_key(&folder, &RawKey::new(key), Hex32::new(name));
            engine.0.blocking().run("the local index", make).await??;
        }
        self.secret().await
    }
}

/// Puts a key in the folder unless one is there. It has its name once it is whole, so that nobody reads a part of it.
fn make_key(folder: &Path, key: &RawKey, name: Hex32) -> Result<(), BackupError> {
    let path = folder.join(KEY_FILE);
    if path.exists() {
        return Ok(());
    }
    make_folder(folder)?;
    let staged = folder.join(format!("{KEY_FILE}.{name}"));
    let write = || {
        let mut file: File =
            private(OpenOptions::new().write(true).create_new(true)).open(&staged)?;
        file.write_all(format!("{}\n", *key.to_text()).as_bytes())?;
        file.sync_all()?;
        fs::hard_link(&staged, &path)
    };
    let written = write();
    let removed = fs::remove_file(&staged);
    match written {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(failed("write", &path, &error))
        }
        _ => removed.map_err(|error| failed("remove", &staged, &error)),
    }
}
