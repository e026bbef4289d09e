//! What a destination is tried with.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::join_all;
use teeline_actors::is_there;
use teeline_core::{BackupError, Class, ObjectKey, ObjectMeta, Promises, Sink};

use crate::catalog::located;

/// So many write one key at once.
pub(super) const CREATORS: usize = 32;
/// So often.
const ROUNDS: usize = 3;
/// The size of what is read in part.
const RANGED_BYTES: usize = 64 << 10;

/// A probe of a destination, in a folder of its own.
pub(super) struct Probe<'a> {
    sink: &'a dyn Sink,
    folder: ObjectKey,
    /// What it may have written.
    written: Mutex<Vec<ObjectKey>>,
}

impl<'a> Probe<'a> {
    pub(super) fn new(sink: &'a dyn Sink, folder: ObjectKey) -> Self {
        Probe {
            sink,
            folder,
            written: Mutex::default(),
        }
    }

    /// Tries everything, and removes what it was tried with, also after a failure. Where nobody may delete, that stays.
    ///
    /// # Errors
    /// Where the place is no store that backups can be written to and restored from.
    pub(super) async fn run(self) -> Result<Promises, BackupError> {
        let tried = self.keeps().await;
        let deletes = self.removes().await;
        Ok(Promises { deletes, ..tried? })
    }

    async fn keeps(&self) -> Result<Promises, BackupError> {
        let lists_at_once = self.lists_at_once().await?;
        self.reads_in_part().await?;
        let refuses_to_replace = self.refuses_to_replace().await?;
        let mut one_creator_wins = true;
        for round in 0..ROUNDS {
            one_creator_wins &= self.one_creator_wins(round).await?;
        }
        Ok(Promises {
            refuses_to_replace,
            one_creator_wins,
            lists_at_once,
            deletes: false,
        })
    }

    async fn lists_at_once(&self) -> Result<bool, BackupError> {
        let key = self.key("listed")?;
        let bytes = Bytes::from_static(b"listed");
        self.sink.put(&key, bytes.clone()).await?;
        let listed: Vec<ObjectMeta> = self.sink.list(Some(&self.folder)).try_collect().await?;
        let is_it = |object: &ObjectMeta| object.key == key && object.bytes == bytes.len() as u64;
        Ok(listed.iter().any(is_it))
    }

    async fn reads_in_part(&self) -> Result<(), BackupError> {
        let key = self.key("ranged")?;
        let bytes: Bytes = (0..251).cycle().take(RANGED_BYTES).collect();
        self.sink.put(&key, bytes.clone()).await?;
        self.sink.drop_cached(&key).await?;
        for (start, end) in [
            (0, RANGED_BYTES),
            (1_000, 3_000),
            (RANGED_BYTES - 1, RANGED_BYTES),
        ] {
            let read = self.sink.read(&key, start as u64..end as u64).await?;
            if read != bytes.slice(start..end) {
                return Err(self.corrupt(
                    &key,
                    &format!("bytes {start} to {end} aren't what was written"),
                ));
            }
        }
        Ok(())
    }

    async fn refuses_to_replace(&self) -> Result<bool, BackupError> {
        let key = self.key("once")?;
        let [first, second] = [&b"the first"[..], b"another"].map(Bytes::from_static);
        self.sink.put(&key, first.clone()).await?;
        let is_refused = is_refused(self.sink.put(&key, second.clone()).await)?;
        let stands = self.whole(&key).await?;
        match stands {
            stands if stands == first => Ok(is_refused),
            stands if stands == second && !is_refused => Ok(false),
            _ => Err(self.corrupt(&key, "it is nothing that was written there")),
        }
    }

    async fn one_creator_wins(&self, round: usize) -> Result<bool, BackupError> {
        let key = self.key(&format!("contended-{round}"))?;
        // All of one length: where they replace each other, it may change between asking for its size and reading it.
        let content = |creator: usize| Bytes::from(format!("creator {creator:02}"));
        let creators = (0..CREATORS).map(|creator| self.sink.put(&key, content(creator)));
        let mut winners = HashMap::new();
        for (creator, put) in join_all(creators).await.into_iter().enumerate() {
            if !is_refused(put)? {
                winners.insert(content(creator), creator);
            }
        }
        let stands = self.whole(&key).await?;
        Ok(winners.len() == 1 && winners.contains_key(&stands))
    }

    /// Removes what was written; gives whether it is gone.
    async fn removes(&self) -> bool {
        let written = std::mem::take(&mut *self.written());
        let removals = written.iter().map(|key| async move {
            self.sink.delete(key).await?;
            is_there(self.sink, key).await
        });
        let left = join_all(removals).await;
        left.into_iter().all(|left| matches!(left, Ok(false)))
    }

    fn key(&self, name: &str) -> Result<ObjectKey, BackupError> {
        let key = self.folder.join(name)?;
        self.written().push(key.clone());
        Ok(key)
    }

    fn written(&self) -> std::sync::MutexGuard<'_, Vec<ObjectKey>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn whole(&self, key: &ObjectKey) -> Result<Bytes, BackupError> {
        self.sink.drop_cached(key).await?;
        let size = self.sink.head(key).await?.bytes;
        self.sink.read(key, 0..size).await
    }

    fn corrupt(&self, key: &ObjectKey, message: &str) -> BackupError {
        BackupError::corrupt(located(self.sink, key), message)
            .suggest("no backup should go there: the store, or the way to it, damages data")
    }
}

/// Whether a write was refused because something is there.
fn is_refused(put: Result<(), BackupError>) -> Result<bool, BackupError> {
    match put {
        Ok(()) => Ok(false),
        Err(error) if error.class() == Class::Conflict => Ok(true),
        Err(error) => Err(error),
    }
}
