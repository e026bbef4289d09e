//! Writing a local index: what its parent's says and what the new backup says, of each object the last word.

use std::collections::HashSet;

use futures::TryStreamExt;
use teeline_core::chain::{Base, BaseItem};
use teeline_core::seal::{
    DataKey, KdfFunction, KeySecret, Recipient, SealAlgorithm, SealEntry, SealedKey, Sealer,
};
use teeline_core::{BackupError, BackupRef, Digest, Hex32, Manifest};

use super::LocalIndex;
use super::chunks::CHUNK_BYTES;
use super::draft::Draft;
use super::header::{Header, IndexedSource};
use super::line;
use super::opened::public_keys;
use crate::engine::Engine;

/// What is to be kept of a backup that was made.
pub(crate) struct NewIndex<'a> {
    /// What it takes to restore it: the full one first, itself last.
    pub(crate) chain: Vec<BackupRef>,
    pub(crate) manifest: &'a Manifest,
    /// For whom it is sealed.
    pub(crate) recipients: &'a [Recipient],
    /// Its key, sealed for them.
    pub(crate) keys: &'a [SealedKey],
}

/// By what keys are told apart.
type Said = HashSet<[u8; 16]>;

impl NewIndex<'_> {
    /// Writes what the parent says, where there is one, and over it what the backup says itself.
    ///
    /// # Errors
    /// Where it can't be written, what is in it can't be read, or the key that it would be sealed with opens the backup.
    pub(crate) async fn write(
        &self,
        engine: &Engine,
        local: &LocalIndex,
        (parent, own): (Option<Base>, Base),
    ) -> Result<(), BackupError> {
        let secret = local.secret_or_new(engine).await?;
        self.refuse_key_of_backups(engine, &secret).await?;
        let (header, sealer) = self.header(engine, &secret).await?;
        let path = local.file(&self.manifest.id);
        let create = move || Draft::create(&path, &header, sealer);
        let draft = engine.0.blocking().run("a local index", create).await??;
        let mut lines = Lines {
            engine,
            draft,
            waiting: Vec::new(),
        };
        match own.lines {
            Some(mut known) => {
                while let Some(line) = known.try_next().await? {
                    lines = lines.push(&line.encode()?).await?;
                }
            }
            None => {
                let parent = parent.map(|base| base.backups).unwrap_or_default();
                let all = parent.into_iter().chain(own.backups);
                lines = lines.flattened(all.collect()).await?;
            }
        }
        lines.finish().await
    }

    /// Whoever has the folder's key is not to read backups by it.
    async fn refuse_key_of_backups(
        &self,
        engine: &Engine,
        secret: &KeySecret,
    ) -> Result<(), BackupError> {
        let secrets = [secret.clone()];
        match crate::keys::open_any(engine, self.keys, &secrets).await? {
            false => Ok(()),
            true => {
                let message = "it opens the backup, so local indexes aren't sealed with it";
                Err(BackupError::usage("the key of the local index", message)
                    .suggest("give one that opens nothing else: `teeline key generate` makes it"))
            }
        }
    }

    async fn header(
        &self,
        engine: &Engine,
        secret: &KeySecret,
    ) -> Result<(Header, Sealer), BackupError> {
        let random = || -> Result<[u8; 32], BackupError> {
            let mut bytes = [0; 32];
            (engine.0.random)(&mut bytes)?;
            Ok(bytes)
        };
        let id = self.manifest.id.clone();
        let (data_key, epoch) = (DataKey::new(random()?), Hex32::new(random()?));
        let sealer = Sealer::new(&id, &data_key, &epoch);
        let seal = SealEntry {
            algorithm: SealAlgorithm::default(),
            epoch,
            key: sealer.key_id(),
            previous: None,
        };
        let of = (id, data_key, seal.clone());
        let host = vec![Recipient::of(secret, KdfFunction::default())];
        let now = (engine.0.clock)();
        let keys = crate::keys::seal_keys(engine, of, host, now).await?;
        let header = Header {
            chain: self.chain.clone(),
            source: IndexedSource::of(self.manifest),
            server_time: self.manifest.source.server_time,
            recipients: public_keys(self.recipients).collect(),
            seal,
            key: keys.into_iter().next().expect("there is one recipient"),
        };
        Ok((header, sealer))
    }
}

/// Lines on their way to a file.
struct Lines<'a> {
    engine: &'a Engine,
    draft: Draft,
    waiting: Vec<u8>,
}

impl Lines<'_> {
    /// Writes what backups say, the oldest of them first: of each object what the last one says that says anything. Takes 16
    /// bytes of memory for each object of all but the oldest.
    async fn flattened(
        mut self,
        mut backups: Vec<futures::stream::BoxStream<'static, Result<BaseItem, BackupError>>>,
    ) -> Result<Self, BackupError> {
        let mut said = Said::new();
        while let Some(mut items) = backups.pop() {
            while let Some(item) = items.try_next().await? {
                let digest = match &item {
                    BaseItem::Object { row, .. } => digest_of(&row.key),
                    BaseItem::Gone(key) => digest_of(key),
                };
                let is_said = match backups.is_empty() {
                    true => said.contains(&digest),
                    false => !said.insert(digest),
                };
                match item {
                    BaseItem::Object {
                        row,
                        as_line,
                        as_frame,
                    } if !is_said => {
                        self = self.push(&line::encode(row, as_line, as_frame)?).await?;
                    }
                    BaseItem::Object { .. } | BaseItem::Gone(_) => {}
                }
            }
        }
        Ok(self)
    }

    async fn push(mut self, line: &[u8]) -> Result<Self, BackupError> {
        self.waiting.extend_from_slice(line);
        match self.waiting.len() < CHUNK_BYTES {
            true => Ok(self),
            false => self.flush().await,
        }
    }

    async fn flush(self) -> Result<Self, BackupError> {
        let Lines {
            engine,
            mut draft,
            mut waiting,
        } = self;
        let write = move || {
            draft.chunk(&waiting)?;
            waiting.clear();
            Ok::<_, BackupError>((draft, waiting))
        };
        let written = engine.0.blocking().run("a local index", write).await?;
        let (draft, waiting) = written?;
        Ok(Lines {
            engine,
            draft,
            waiting,
        })
    }

    async fn finish(self) -> Result<(), BackupError> {
        let lines = match self.waiting.is_empty() {
            true => self,
            false => self.flush().await?,
        };
        let draft = lines.draft;
        let finish = move || draft.finish();
        lines
            .engine
            .0
            .blocking()
            .run("a local index", finish)
            .await?
    }
}

fn digest_of(key: &str) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&Digest::of(key.as_bytes()).as_bytes()[..16]);
    half
}
